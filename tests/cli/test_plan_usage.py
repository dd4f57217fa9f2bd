"""``onplan usage`` against a real server: every state, every kind of output, and reset credits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import click
import pytest

import onplan
from onplan.cli.session import Session
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Limit, Options, Scenario
from onplan.stores import open_store

from ..conftest import issued
from .terminal import ONPLAN, screen_of

Run = Callable[..., subprocess.CompletedProcess[str]]

# Faults with which the emulator plays a state, the windows told then, and whether the plan answers.
STATES = [
    (None, [["5-hour", 12], ["weekly", 34]], True),
    ("usage_only_week", [["weekly", 34]], True),
    ("usage_exhausted", [["5-hour", 100], ["weekly", 34]], False),
    ("usage_odd", [["usage", 34.25]], True),
]
needs_terminal = pytest.mark.skipif(os.name == "nt", reason="a pseudoterminal")


def test_it_is_data_for_programs(signed_in: Emulator, run_cli: Run) -> None:
    """With --json a program gets what is left, with names, times and forecasts, and nothing on stderr."""
    for fault, windows, available in STATES:
        if fault:
            signed_in.arm(fault)
        done = run_cli("usage", "--json")
        told = json.loads(done.stdout)

        assert (done.returncode, done.stderr) == (0, "")
        assert [[window["name"], window["used_percent"]] for window in told["windows"]] == windows
        assert told["is_available"] is available


def test_it_is_text_in_a_pipe(signed_in: Emulator, run_cli: Run) -> None:
    """One line for each thing, no bars, no colours."""
    done = run_cli("usage")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["plan", "5-hour", "weekly", "credits"]
    assert not {"\x1b", "█", "░"} & set(done.stdout)


@needs_terminal
@pytest.mark.parametrize(("columns", "no_color"), [(100, ""), (40, "1")])
def test_it_is_drawn_at_a_terminal(signed_in: Emulator, columns: int, no_color: str) -> None:
    """In colours unless NO_COLOR is set, and no wider than the terminal."""
    code, screen = screen_of("usage", columns=columns, NO_COLOR=no_color)

    assert code == 0
    assert screen.count("░") + screen.count("█") == 48
    assert max(len(click.unstyle(line)) for line in screen.splitlines()) <= columns
    assert ("\x1b[32m█" in screen) == (not no_color)
    assert ("\x1b" in screen) == (not no_color)


@needs_terminal
def test_a_terminal_that_is_plain(signed_in: Emulator) -> None:
    """A dumb one gets what a file gets, and one without Unicode gets ASCII."""
    assert "used · resets 20" in screen_of("usage", TERM="dumb")[1]
    ascii_only = screen_of("usage", PYTHONIOENCODING="ascii", NO_COLOR="1")[1]
    assert ascii_only.isascii()
    assert "###-" in ascii_only


@needs_terminal
def test_watching_draws_in_one_place(signed_in: Emulator) -> None:
    """Each time it goes back to where it began, also without colours; Ctrl-C ends it."""
    import pty

    ours, theirs = pty.openpty()
    command = [*ONPLAN, "usage", "--watch", "--interval", "1"]
    environment = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment
    )
    os.close(theirs)
    screen = b""
    while screen.count(b"ChatGPT Plus") < 3:
        screen += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    os.close(ours)
    assert screen.count(b"F\x1b[J") >= 2


def test_watching_for_a_program(signed_in: Emulator) -> None:
    """With --json each reading is a line; a failure that passes does not end it."""
    command = [*ONPLAN, "usage", "--watch", "--interval", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        first = json.loads(process.stdout.readline())
        signed_in.arm("usage_500", times=5)
        assert "error" in process.stderr.readline()
        second = json.loads(process.stdout.readline())
        process.terminate()

    assert first["windows"][0]["minutes"] == second["windows"][0]["minutes"] == 300


def test_other_backends_do_not_say(signed_in: Emulator, run_cli: Run) -> None:
    """The error names the page where a person can look."""
    refused = run_cli("usage", "--backend", "chatgpt-plan")

    assert refused.returncode == 2
    assert "chatgpt-plan does not say what is left" in refused.stderr
    assert "https://chatgpt.com/settings/usage" in refused.stderr


def test_a_failure_keeps_its_exit_code(signed_in: Emulator, run_cli: Run) -> None:
    """As everywhere: what happened, and an exit code for it."""
    signed_in.arm("usage_404")
    assert run_cli("usage").returncode == 33
    assert run_cli("usage", "--watch", "--reset").returncode == 2


# --- in the status --------------------------------------------------------------------------------------


def test_the_status_has_a_line_of_it(signed_in: Emulator, run_cli: Run) -> None:
    """What was seen last, without asking; `ask` has seen it as well."""
    assert "usage      not asked for lately: `onplan usage`" in run_cli("status").stdout
    assert json.loads(run_cli("status", "--json").stdout)["usage"] is None

    run_cli("ask", "hi", "--model", "gpt-5.5")
    asked = len(signed_in.journal())
    shown = run_cli("status").stdout
    told = json.loads(run_cli("status", "--json").stdout)["usage"]

    assert "usage      5-hour 12% used, weekly 34% used, 1 min ago (now: `onplan usage`)" in shown
    assert told["windows"][0]["used_percent"] == 12.5
    assert len(signed_in.journal()) == asked


def test_the_status_tells_of_no_other_account(signed_in: Emulator, run_cli: Run) -> None:
    """Neither after another sign-in, nor for a backend that does not say."""
    run_cli("usage")
    kept = load_settings().home / "usage.json"
    kept.write_text(kept.read_text().replace("acct-emulated-0001", "acct-other"))

    assert "not asked for lately" in run_cli("status").stdout
    kept.write_text("{")
    assert "not asked for lately" in run_cli("status").stdout
    assert run_cli("usage").returncode == 0
    assert "5-hour 12% used" in run_cli("status").stdout


def test_what_is_left_of_somebody_elses_plan_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes API keys may pass on the limits of a plan behind it: that is no failure."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    session = Session()
    session.backend = "openai"

    with session.client() as client:
        assert session.note_limits(client, onplan.Limits(plan="plus")) == []


# --- reset credits --------------------------------------------------------------------------------------


@pytest.fixture
def with_credits(point_at: Callable[[Emulator], None]) -> Iterator[Emulator]:
    """An emulator at which two reset credits can be spent, and the 5 hours are used up."""
    scenario = Scenario(reset_credits=2, limits=[Limit(300, tokens=100, used=100)])
    with Emulator(Options(scenario=scenario)) as running:
        point_at(running)
        settings = load_settings()
        open_store(settings.store).save(issued(running.issue_tokens(), settings.issuer), None)
        yield running


def spent_with(emulator: Emulator) -> list[str]:
    """The request ids with which a credit was asked to be spent."""
    return [
        row["body"]["redeem_request_id"] for row in emulator.journal() if row["path"].endswith("/consume")
    ]


def left(run_cli: Run) -> tuple[int, float]:
    """How many credits are left, and how much of the window is used."""
    told = json.loads(run_cli("usage", "--json").stdout)
    return told["reset_credits"], told["windows"][0]["used_percent"]


@needs_terminal
@pytest.mark.parametrize(("typed", "code", "spent"), [("y\n", 0, 1), ("n\n", 130, 0), ("\n", 130, 0)])
def test_it_asks_before_it_spends(
    with_credits: Emulator, run_cli: Run, typed: str, code: int, spent: int
) -> None:
    """What is used, how many there are and until when; only a yes spends one."""
    exit_code, screen = screen_of("usage", "--reset", typed=typed, columns=200)

    assert exit_code == code
    assert (
        "5-hour 100% used. Spend one of 2 reset credits, which can be spent until 2030-01-01? "
        "It cannot be had back. [y/N]:"
    ) in screen
    assert len(spent_with(with_credits)) == spent
    assert left(run_cli) == (2 - spent, 0 if spent else 100)


def test_a_script_says_yes(with_credits: Emulator, run_cli: Run) -> None:
    """Without a terminal nothing is spent unless --yes is given; afterwards the new state is shown."""
    refused = run_cli("usage", "--reset")
    assert refused.returncode == 2
    assert "`onplan usage --reset --yes`" in refused.stderr
    assert spent_with(with_credits) == []

    done = run_cli("usage", "--reset", "--yes", "--json")

    assert done.returncode == 0
    assert "The reset credit is spent: 1 window reset." in done.stderr
    assert json.loads(done.stdout)["windows"][0]["used_percent"] == 0
    assert with_credits.journal()[-3]["body"]["credit_id"] == "rc_1"


def test_one_id_through_all_tries(with_credits: Emulator, run_cli: Run) -> None:
    """The answer is lost and the request repeated: the same id, and one credit."""
    with_credits.arm("reset_consume_lost")
    with_credits.arm("reset_consume_500")

    done = run_cli("usage", "--reset", "--yes")

    assert done.returncode == 0, done.stderr
    ids = spent_with(with_credits)
    assert (len(ids), len(set(ids))) == (3, 1)
    assert left(run_cli) == (1, 0)


def test_an_unknown_outcome_is_asked_about_with_the_same_id(with_credits: Emulator, run_cli: Run) -> None:
    """All tries fail after the credit was spent: the next command learns it and spends no second one."""
    with_credits.arm("reset_consume_lost", times=5)
    lost = run_cli("usage", "--reset", "--yes")
    assert lost.returncode != 0
    assert "Run `onplan usage --reset` again" in lost.stderr
    assert len(spent_with(with_credits)) == 5

    again = run_cli("usage", "--reset", "--yes")

    assert again.returncode == 0, again.stderr
    assert "The outcome of an earlier `--reset` is not known" in again.stderr
    assert len(set(spent_with(with_credits))) == 1
    assert left(run_cli) == (1, 0)
    assert "reset-credit.json" in {path.name for path in load_settings().home.iterdir()}
    refused = run_cli("usage", "--reset", "--yes")  # a third one is a new wish, and there is nothing to reset
    assert (refused.returncode, len(set(spent_with(with_credits)))) == (10, 1)


def test_a_refused_token_is_refreshed_with_the_same_id(with_credits: Emulator, run_cli: Run) -> None:
    """A 401 in the middle costs one refresh and no second credit."""
    command = [*ONPLAN, "usage", "--reset", "--yes"]
    with_credits.expire_access_tokens()

    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    assert sum(row["path"] == "/oauth/token" for row in with_credits.journal()) == 1
    assert left(run_cli) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("reset_consume_nothing", 29, "there is nothing to reset"),
        ("reset_consume_unknown", 33, "did not say whether"),
    ],
)
def test_what_the_backend_says_is_passed_on(
    with_credits: Emulator, run_cli: Run, fault: str, code: int, says: str
) -> None:
    """A word that is not a reset is an error."""
    with_credits.arm(fault)

    done = run_cli("usage", "--reset", "--yes")

    assert (done.returncode, says in done.stderr) == (code, True)


def test_without_credits_nothing_is_sent(signed_in: Emulator, run_cli: Run) -> None:
    """An account that has none is told so."""
    done = run_cli("usage", "--reset", "--yes")

    assert (done.returncode, "There is no reset credit" in done.stderr) == (22, True)
    assert spent_with(signed_in) == []


@pytest.mark.parametrize("fault", ["reset_credits_429", "reset_credits_malformed"])
def test_a_list_that_fails_does_not_matter(with_credits: Emulator, run_cli: Run, fault: str) -> None:
    """The count is known from the usage; what can be read of the list is used."""
    with_credits.arm(fault, times=9)

    done = run_cli("usage")

    assert done.returncode == 0
    assert "2 reset credits" in done.stdout
    assert run_cli("usage", "--reset", "--yes").returncode == 0
    assert left(run_cli)[0] == 1


def test_an_id_that_cannot_be_kept_is_not_used(with_credits: Emulator, run_cli: Run) -> None:
    """Without the file a failure could spend a second credit: nothing is sent."""
    (load_settings().home / "reset-credit.json").mkdir()

    done = run_cli("usage", "--reset", "--yes")

    assert (done.returncode, "reset-credit.json cannot be read" in done.stderr) == (2, True)
    assert spent_with(with_credits) == []
