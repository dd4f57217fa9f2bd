"""The command line as a user meets it: separate processes, real sockets, data and talk kept apart."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from click.testing import CliRunner

import onplan.cli
from onplan.cli import COMMANDS, main
from onplan.cli.commands import cli as group
from onplan.emulator import Emulator

from ..conftest import interrupt, redirected

Run = Callable[..., subprocess.CompletedProcess[str]]

# A browser that is no more than Python: BROWSER's own syntax, with %s for the address.
_VISIT = (
    "import sys, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=20).read()"
)


@pytest.fixture
def browser(tmp_path: Path) -> str:
    """A program that follows the redirects of an address, for ``BROWSER``."""
    script = tmp_path / "browser.py"
    script.write_text(_VISIT)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} %s"


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, **extra}


def test_the_whole_way_from_outside(tmp_path: Path, run_cli: Run, browser: str) -> None:
    """From sign-in to sign-out every command exits 0, with data on stdout and talk on stderr."""
    ready = tmp_path / "ready.json"
    emulator = subprocess.Popen(
        [sys.executable, "-m", "onplan", "emulator", "--port", "0", "--ready-file", str(ready)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert emulator.stdout
        urls = json.loads(emulator.stdout.readline())
        assert json.loads(ready.read_text()) == urls
        env = environment(
            ONPLAN_ISSUER=urls["issuer"], ONPLAN_CODEX_BASE_URL=urls["codex_base_url"], BROWSER=browser
        )
        login = run_cli("login", env=env)
        assert (login.returncode, login.stdout) == (0, "")
        assert f"{urls['issuer']}/oauth/authorize?" in login.stderr
        assert "Signed in as person@example.com (ChatGPT Plus)" in login.stderr

        status = run_cli("status", "--json", env=env)
        assert (status.returncode, status.stderr) == (0, "")
        assert json.loads(status.stdout)["email"] == "person@example.com"

        models = run_cli("models", "--json", env=env)
        assert (models.returncode, models.stderr) == (0, "")
        assert json.loads(models.stdout)[0]["id"] == "gpt-6.2-sol"

        ask = run_cli("ask", "hi", env=env)
        assert (ask.returncode, ask.stdout, ask.stderr) == (0, "You said: hi\n", "")

        lines = run_cli("ask", "--json", "hi", env=env)
        chunks = [json.loads(line) for line in lines.stdout.splitlines()]
        assert (lines.returncode, lines.stderr) == (0, "")
        assert chunks[-1]["type"] == "done"
        assert chunks[-1]["response"]["finish_reason"] == "stop"

        logout = run_cli("logout", env=env)
        assert (logout.returncode, logout.stdout) == (0, "")
        assert run_cli("status", env=env).returncode == 3
    finally:
        emulator.send_signal(signal.SIGTERM)
        emulator.communicate(timeout=20)
    assert emulator.returncode == 0


def test_login_by_pasting(emulator: Emulator, run_cli: Run) -> None:
    """On a machine without a browser the address is printed and the pasted answer read."""
    process = subprocess.Popen(
        [sys.executable, "-m", "onplan", "login", "--paste"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    url = next(line.strip() for line in process.stderr if line.strip().startswith("http"))
    _, talk = process.communicate(redirected(url) + "\n", timeout=60)

    assert process.returncode == 0
    assert "Signed in as person@example.com" in talk


def test_the_prompt_may_be_piped(signed_in: Emulator, run_cli: Run) -> None:
    """Without an argument, or with "-", the prompt is read from stdin; else what is there stands below it."""
    for arguments, expected in (
        (["ask"], "You said: from stdin\n"),
        (["ask", "-"], "You said: from stdin\n"),
        (["ask", "argument"], "You said: argument\n\nfrom stdin\n"),
    ):
        assert run_cli(*arguments, input="from stdin\n").stdout == expected


def test_options_reach_the_backend(signed_in: Emulator, run_cli: Run, tmp_path: Path) -> None:
    """Model, system text, effort and images are sent; thinking goes to stderr when it is wanted."""
    image = tmp_path / "a.gif"
    image.write_bytes(b"GIF89a\x01\x00\x01\x00\x00\xff\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x00;")
    options = ["--model", "gpt-5.5", "--system", "Be brief.", "--effort", "high", "--image", str(image)]
    result = run_cli("ask", "hi", *options, "--thinking")

    body = signed_in.journal()[-1]["body"]
    assert result.returncode == 0
    assert "Reading the request" in result.stderr
    assert "Reading the request" not in result.stdout
    assert body["model"] == "gpt-5.5"
    assert body["reasoning"]["effort"] == "high"
    assert [item["role"] for item in body["input"]] == ["developer", "user"]
    assert body["input"][1]["content"][1]["image_url"].startswith("data:image/gif;base64,")


def test_the_token_is_bare(signed_in: Emulator, run_cli: Run) -> None:
    """``token`` prints the access token and nothing else."""
    result = run_cli("token")

    assert result.returncode == 0
    assert result.stdout.count("\n") == 1
    assert result.stdout.startswith("eyJ")


@pytest.mark.parametrize(
    ("fault", "exit_code", "hint"),
    [
        ("html_instead_of_json", 33, "captive portal"),
        ("usage_limit_429", 20, "Wait until it resets"),
        ("cut_mid_event", 50, "Ask again"),
        ("model_not_supported", 11, "onplan models"),
        ("refresh_token_expired", 4, "onplan login"),
        ("refusal", 13, "Rephrase"),
        ("incomplete_max_output_tokens", 12, "shorter"),
    ],
)
def test_every_failure_has_its_code_and_next_step(
    signed_in: Emulator, run_cli: Run, fault: str, exit_code: int, hint: str
) -> None:
    """A failure is a short error with its own exit code and what to do next; nothing is lost or leaked."""
    stored = _stored()
    if fault == "refresh_token_expired":
        signed_in.expire_access_tokens()
    signed_in.arm(fault, times=1)

    result = run_cli("ask", "one two three four")

    assert exit_code == result.returncode
    assert hint in result.stderr
    assert "Traceback" not in result.stderr
    assert not [token for token in _tokens(stored) if token in result.stderr + result.stdout]
    assert _stored()["credentials"] == stored["credentials"]
    assert run_cli("status").returncode == 0


def _stored() -> dict[str, Any]:
    path = Path(os.environ["ONPLAN_HOME"]) / "credentials" / "default.json"
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def _tokens(stored: dict[str, Any]) -> list[str]:
    return [value for name, value in stored["credentials"].items() if name.endswith("_token")]


def test_failures_without_a_backend(signed_in: Emulator, run_cli: Run, unused_url: str) -> None:
    """A backend that is down, an unsafe address, a wrong option: each its own code, nothing lost."""
    down = run_cli("ask", "-m", "gpt-5.5", "hi", env=environment(ONPLAN_CODEX_BASE_URL=unused_url))
    unsafe = run_cli("ask", "hi", env=environment(ONPLAN_CODEX_BASE_URL="http://example.com"))
    wrong = run_cli("ask", "--nonsense")

    assert (down.returncode, unsafe.returncode, wrong.returncode) == (40, 2, 2)
    assert "Start the server on this machine" in down.stderr
    assert "https" in unsafe.stderr
    assert "onplan ask --help" in wrong.stderr
    assert run_cli("ask", "hi").returncode == 0


def test_a_full_disk_loses_nothing(signed_in: Emulator) -> None:
    """With no room for the store, an expired token is not refreshed; the error says why, and exits with 7."""
    stored = _stored()
    path = Path(os.environ["ONPLAN_HOME"]) / "credentials" / "default.json"
    stored["credentials"]["expires_at"] = 1.0
    stored.pop("obtained_at")
    path.write_text(json.dumps(stored))
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        "from onplan.cli import main; main(['ask', 'hi'])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == 7
    assert "Make room" in result.stderr
    assert _stored() == stored
    assert signed_in.journal() == []


def test_an_effort_that_is_none_is_answered_with_those_there_are(signed_in: Emulator, run_cli: Run) -> None:
    """Who misspells --effort is told the model's own."""
    result = run_cli("ask", "hi", "--effort", "silly", "--model", "gpt-5.5")

    assert result.returncode == 10
    assert (
        "Use one of: `--effort low`, `--effort medium`, `--effort high`, `--effort xhigh`." in result.stderr
    )


def test_an_effort_that_the_model_lacks_is_reported(signed_in: Emulator, run_cli: Run) -> None:
    """The nearest one is asked for; the answer is not disturbed by the line that says so."""
    result = run_cli("ask", "hi", "--effort", "ultra", "--model", "gpt-5.5")

    assert (result.returncode, result.stdout) == (0, "You said: hi\n")
    assert result.stderr.endswith("as it was given (adapted: reasoning_effort)\n")
    assert signed_in.journal()[-1]["body"]["reasoning"]["effort"] == "xhigh"


def test_an_effort_is_not_blamed_for_something_else(signed_in: Emulator, run_cli: Run) -> None:
    """A request that is refused for another reason keeps its own hint."""
    result = run_cli("ask", "hi", "--effort", "low", "--model", "nonsense")

    assert (result.returncode, "--effort" in result.stderr) == (11, False)


def test_the_built_in_models_are_told_as_such(signed_in: Emulator, run_cli: Run, unused_url: str) -> None:
    """Where the catalogue cannot be read, stderr says that the list is the built-in one, also with --json."""
    for more in ([], ["--json"]):
        result = run_cli("models", *more, env=environment(ONPLAN_CODEX_BASE_URL=unused_url))

        assert (result.returncode, "gpt-6.2-sol" in result.stdout) == (0, True)
        assert "this is the built-in one" in result.stderr


def test_nobody_is_named_by_the_profile(emulator: Emulator, run_cli: Run) -> None:
    """Where nobody is signed in, the error names the profile and how to sign in with it."""
    for command in (["ask", "hi"], ["token"], ["status"], ["models"]):
        result = run_cli(*command, "--profile", "work")

        assert result.returncode == 3
        assert "Not signed in with the profile work." in result.stderr
        assert "Run `onplan login --profile work`." in result.stderr


def test_models_are_listed_where_one_was_refused(emulator: Emulator, run_cli: Run) -> None:
    """The command in the hint names the backend that was asked, and lists what that one has."""
    at = environment(OPENAI_API_KEY="sk-emulated", ONPLAN_OPENAI_BASE_URL=emulator.urls["openai_base_url"])
    result = run_cli("ask", "hi", "--backend", "openai", "--model", "nonsense", env=at)

    assert result.returncode == 11
    assert "`onplan models --backend openai` lists all." in result.stderr
    assert "gpt-4.1" in run_cli("models", "--backend", "openai", env=at).stdout


def test_no_command_signs_in_into_memory(emulator: Emulator, run_cli: Run) -> None:
    """Where a login is refused, the hint advises none."""
    result = run_cli("ask", "hi", "--store", "memory:")

    assert result.returncode == 3
    assert "onplan login" not in result.stderr
    assert "choose another one" in result.stderr


def test_the_name_alone_shows_the_help(run_cli: Run) -> None:
    """`onplan` without anything is a question, not a mistake."""
    result = run_cli()

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == run_cli("--help").stdout


def test_errors_are_json_when_asked(signed_in: Emulator, run_cli: Run) -> None:
    """With --json an error is one JSON object on stderr, with its code and hint."""
    signed_in.arm("usage_limit_429", times=1)

    error = json.loads(run_cli("ask", "--json", "hi").stderr)["error"]

    assert error["code"] == "usage_limit"
    assert error["resets_at"] > 1_700_000_000
    assert error["hint"]


def test_ctrl_c_ends_the_stream(signed_in: Emulator) -> None:
    """Ctrl-C during an answer closes it, ends the line, and exits with 130 without a traceback."""
    signed_in.arm("stall", times=1)
    process = subprocess.Popen(
        [sys.executable, "-m", "onplan", "ask", "--json", "one two three"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()  # the stream has begun
    interrupt(process)
    _, talk = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in talk


def test_an_interruption_of_any_line_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also while modules are imported, and while another failure is reported."""
    imported = ("onplan.cli.commands", "onplan.cli.session", "onplan.cli.failures")
    for name in imported:
        monkeypatch.delitem(sys.modules, name, raising=False)  # those of other tests come back
    step, met = 5, True  # after the first lines of the entry point
    while met:
        for name in imported:
            sys.modules.pop(name, None)
        code, met = interrupted_at(step, lambda: main(["login", "--none-such"]))
        assert code == (130 if met else 2), step
        step += 7
    assert step > 100
    assert "Traceback" not in capsys.readouterr().err


def interrupted_at(step: int, work: Callable[[], object]) -> tuple[object, bool]:
    """The exit code of ``work`` that is interrupted at this one of onplan's lines; whether it has so many.

    Not those of other libraries: the collector of garbage may come in between, which swallows it.
    """
    left, met, source = step, False, str(Path(onplan.cli.__file__).parent)

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left, met
        left -= event == "line" and frame.f_code.co_filename.startswith(source)
        if left < 0:
            sys.settrace(None)
            met = True
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except SystemExit as end:
        return end.code, met
    finally:
        sys.settrace(before)
    return None, met


def test_a_reader_that_leaves_is_no_error(signed_in: Emulator) -> None:
    """``onplan ask … | head -1`` ends quietly."""
    command = f"{shlex.quote(sys.executable)} -m onplan ask --json 'one two three' | head -n 1"
    result = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_verbose_says_what_happens_without_secrets(signed_in: Emulator, run_cli: Run) -> None:
    """-v logs requests and refreshes to stderr; no token is among it."""
    stored = _stored()
    signed_in.expire_access_tokens()

    result = run_cli("-v", "ask", "hi")

    assert "/backend-api/codex/responses: 200" in result.stderr
    assert "refreshing the access token" in result.stderr
    assert not [token for token in (*_tokens(stored), *_tokens(_stored())) if token in result.stderr]


def test_profiles_are_kept_apart(signed_in: Emulator, run_cli: Run, browser: str) -> None:
    """Signing in with another profile makes it the one in use; the first one stays signed in."""
    env = environment(BROWSER=browser)
    assert run_cli("login", "--profile", "work", env=env).returncode == 0

    assert json.loads(run_cli("status", "--json").stdout)["profile"] == "work"
    assert run_cli("logout").returncode == 0
    assert run_cli("status").returncode == 3
    assert run_cli("status", "--profile", "default").returncode == 0


def test_the_demo_shows_it_all(run_cli: Run) -> None:
    """``demo`` signs in, lists, streams, calls a tool, refreshes and counts over real sockets, exits 0."""
    result = run_cli("demo")

    assert (result.returncode, result.stderr) == (0, "")
    for piece in (
        "signed in as person@example.com",
        "gpt-6.2-sol",
        "Robin, wren and kingfisher.",
        'calls weather({"city":"Lisbon"})',
        "POST /oauth/token  200",
        "in all",
    ):
        assert piece in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """Each command has help, and the group lists it with the same first line."""
    done = CliRunner().invoke(group, [command, "--help"], prog_name="onplan")

    assert done.exit_code == 0
    assert done.output.splitlines()[2].strip() == COMMANDS[command][1]


def test_the_help_at_once_is_clicks_own() -> None:
    """The list of commands that appears without loading click is what click would print."""
    from onplan import cli

    for option, at_once in cli._AT_ONCE.items():
        assert CliRunner().invoke(group, list(option), prog_name="onplan").output == at_once


def test_a_spinner_turns_on_a_terminal_only(signed_in: Emulator) -> None:
    """Who watches a terminal sees that the model thinks; the answer itself is all that stays."""
    import pty

    signed_in.arm("slow_first_byte", times=1)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "onplan", "ask", "hi"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm"),
    )
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65_536):
            seen += data
    except OSError:  # the other end is closed
        pass
    os.close(ours)

    assert process.wait(30) == 0
    assert b"thinking" in seen
    assert seen.endswith(b"You said: hi\r\n")
