"""Signing in and out on the command line, with a terminal where a person would have one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from onplan.cli.remote import forwarding_command
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options
from onplan.sign_in.login import sign_in_with_browser
from onplan.stores import Record, open_store

from ..conftest import redirected
from .terminal import ONPLAN, follow, terminal

Run = Callable[..., subprocess.CompletedProcess[str]]
needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="pty(7)")
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="DISPLAY")


@pytest.fixture
def desktop(tmp_path: Path) -> Path:
    """A PATH with a desktop's way to open an address: it writes it down beside itself, as ``opened``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "xdg-open"
    script.write_text(
        f'#!/bin/sh\ncd {shlex.quote(str(folder))} && printf %s "$1" > opened.new && mv opened.new opened\n'
    )
    script.chmod(0o700)
    preference = folder / "xdg-settings"  # this machine's own would name a browser that is installed here
    preference.write_text("#!/bin/sh\nexit 1\n")
    preference.chmod(0o700)
    return folder


# --- whichever comes first ------------------------------------------------------------------------------


@needs_terminal
def test_pasting_overtakes_the_browser(emulator: Emulator) -> None:
    """At a terminal the address may be pasted while the browser is awaited; a wrong one is explained."""
    with terminal(*ONPLAN, "login") as at:
        url = at.address()
        assert "paste the address that it ends at here" in at.screen
        at.type("http://localhost:1455/auth/callback?code=x&state=wrong\n")
        at.read_until("That is not the whole address")
        at.type(redirected(url) + "\n")
        assert at.end() == (0, "")

    assert "Signed in as person@example.com (ChatGPT Plus)" in at.screen


@needs_terminal
def test_the_browser_overtakes_pasting(emulator: Emulator) -> None:
    """When the browser comes back the program ends, and does not wait for a line."""
    with terminal(*ONPLAN, "login", "--json") as at:
        follow(at.address())
        exit_code, out = at.end()

    assert exit_code == 0
    assert json.loads(out) == {
        "profile": "default",
        "backend": "openai-codex",
        "email": "person@example.com",
        "plan": "plus",
        "account_id": "acct-emulated-0001",
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "plan_permitted": True,
        "store": load_settings().store,
        "expires_at": json.loads(out)["expires_at"],
    }


@needs_terminal
@pytest.mark.parametrize("arguments", [["login"], ["login", "--paste"], ["login", "--device"]])
def test_ctrl_c_gives_up(point_at: Callable[[Emulator], None], arguments: list[str]) -> None:
    """Whatever is awaited, Ctrl-C ends it, and nothing is kept."""
    with Emulator(Options(interactive=True)) as emulator:
        point_at(emulator)
        with terminal(*ONPLAN, *arguments) as at:
            at.address()
            at.type("\x03")
            assert at.end() == (130, ""), at.screen

    assert "Traceback" not in at.screen
    assert open_store(load_settings().store).load() is None


@needs_terminal
def test_the_end_of_the_input_is_not_the_end(emulator: Emulator) -> None:
    """After Ctrl-D nothing can be pasted any more, and the browser is still awaited."""
    with terminal(*ONPLAN, "login") as at:
        url = at.address()
        at.type("\x04")
        follow(url)
        assert at.end() == (0, "")


@needs_terminal
def test_what_is_typed_afterwards_is_left_alone() -> None:
    """A line that comes when nothing is awaited any more is for whoever reads next."""
    program = """
from onplan.cli.pasting import pasted_lines
import queue, sys
lines = queue.Queue()
with pasted_lines(lines.put):
    print("ready", file=sys.stderr)
    got = lines.get()
print("got", got, file=sys.stderr)
print("then", input())
"""
    with terminal(sys.executable, "-c", program) as at:
        at.read_until("ready")
        at.type("one\n")
        at.read_until("got one")
        at.type("two\n")
        assert at.end() == (0, "then two\n")


def test_without_a_terminal_nothing_is_read(emulator: Emulator, run_cli: Run, browser: str) -> None:
    """What is piped in is not taken for a paste, and nobody is told to paste."""
    result = run_cli("login", input="nonsense\n", env={**os.environ, "BROWSER": browser})

    assert result.returncode == 0
    assert "paste" not in result.stderr.lower()
    assert "That is not" not in result.stderr


def test_pasting_through_a_pipe_reads_on(emulator: Emulator) -> None:
    """Wrong or empty lines from a pipe do not end the sign-in; the right one after them counts."""
    process = subprocess.Popen(
        [*ONPLAN, "login", "--paste"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    assert process.stdin
    url = next(line.strip() for line in process.stderr if line.strip().startswith("http"))
    process.stdin.write("nonsense\n\n")
    process.stdin.flush()
    talk = next(line for line in process.stderr if "That is not" in line)
    talk += process.communicate(f"{redirected(url)}\n", timeout=60)[1]

    assert process.returncode == 0
    assert "That is not the whole address" in talk
    assert "Signed in as person@example.com" in talk


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [("", "Nothing was pasted"), ("\n", "Nothing was pasted"), ("x\n", "does not belong to this sign-in")],
)
def test_pasting_through_a_pipe_ends_with_it(
    emulator: Emulator, run_cli: Run, lines: str, sentence: str
) -> None:
    """When no right line has come, the error says whether anything had."""
    result = run_cli("login", "--paste", input=lines)

    assert (result.returncode, sentence in result.stderr) == (5, True)


def test_a_sign_in_is_kept_somewhere(emulator: Emulator, run_cli: Run, browser: str) -> None:
    """Into a store that ends with the command nobody signs in; no browser is opened for it."""
    for more in ([], ["--device"], ["--backend", "openai", "--api-key"]):
        result = run_cli("login", "--store", "memory:", *more, env={**os.environ, "BROWSER": browser})

        assert (result.returncode, "forgets everything" in result.stderr) == (2, True)
        assert "--store file:PATH" in result.stderr
    assert emulator.journal() == []


# --- where the browser is -------------------------------------------------------------------------------


@needs_terminal
@needs_linux
@pytest.mark.parametrize(
    ("variables", "opened"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({}, False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22"}, False),
        ({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/0"}, False),
    ],
)
def test_a_browser_is_opened_where_it_would_be_seen(
    emulator: Emulator, desktop: Path, variables: dict[str, str], *, opened: bool
) -> None:
    """On a screen of this machine, and nowhere else."""
    with terminal(*ONPLAN, "login", PATH=f"{desktop}:/bin:/usr/bin", **variables) as at:
        url = at.address()
        if opened:
            while not (desktop / "opened").exists():
                assert at.process.poll() is None
            assert (desktop / "opened").read_text() == url
        follow(url)
        assert at.end() == (0, "")

    assert (desktop / "opened").exists() is opened


@needs_terminal
@needs_linux
def test_no_browser_means_none(emulator: Emulator, desktop: Path) -> None:
    """--no-browser opens nothing, on a screen or not."""
    with terminal(*ONPLAN, "login", "--no-browser", PATH=f"{desktop}:/bin:/usr/bin", DISPLAY=":0") as at:
        follow(at.address())
        assert at.end() == (0, "")

    assert not (desktop / "opened").exists()


def test_over_ssh_there_is_a_line_to_type(emulator: Emulator, run_cli: Run, browser: str) -> None:
    """Who came by SSH is told how the browser at home reaches the port that really listens."""
    variables = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 2222", "LOGNAME": "me", "BROWSER": browser}
    result = run_cli("login", env={**os.environ, **variables})

    assert result.returncode == 0
    (port,) = [line.split()[3] for line in result.stderr.splitlines() if line.startswith("Waiting on port")]
    assert f"  ssh -N -L {port}:127.0.0.1:{port} -p 2222 me@192.0.2.1\n" in result.stderr


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("192.0.2.7 50000 192.0.2.1 22", "ssh -N -L 1457:127.0.0.1:1457 me@192.0.2.1"),
        ("2001:db8::7 50000 2001:db8::1 22", "ssh -N -L 1457:127.0.0.1:1457 me@2001:db8::1"),
        ("192.0.2.7 50000 192.0.2.1 2222", "ssh -N -L 1457:127.0.0.1:1457 -p 2222 me@192.0.2.1"),
        ("fe80::7 50000 fe80::1%eth0 22", "ssh -N -L 1457:127.0.0.1:1457 me@{name}"),
        ("a b $(c) 22", "ssh -N -L 1457:127.0.0.1:1457 me@{name}"),
        ("UNKNOWN", "ssh -N -L 1457:127.0.0.1:1457 me@{name}"),
        ("", "ssh -N -L 1457:127.0.0.1:1457 me@{name}"),
    ],
)
def test_the_line_names_how_one_came(monkeypatch: pytest.MonkeyPatch, connection: str, expected: str) -> None:
    """Address and port are those by which the person came; where they are of no use, this machine's name."""
    import socket

    monkeypatch.setenv("SSH_CONNECTION", connection)
    monkeypatch.setenv("LOGNAME", "me")

    assert forwarding_command(1457) == expected.format(name=socket.gethostname())


# --- busy ports -----------------------------------------------------------------------------------------


@pytest.fixture
def busy() -> Iterator[None]:
    """Both ports to which a browser may come back are taken."""
    import socket

    with ExitStack() as taken:
        for port in (1455, 1457):
            listener = taken.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
        yield


@needs_terminal
def test_with_busy_ports_a_person_pastes(emulator: Emulator, busy: None) -> None:
    """At a terminal the sign-in goes on by pasting, and says why; a wrong paste is explained there, too."""
    with terminal(*ONPLAN, "login") as at:
        at.read_until("Paste that address here:")
        assert "port 1455 or 1457, but 1455 and 1457 are in use by other programs" in at.screen
        url = next(line.strip() for line in at.screen.splitlines() if line.strip().startswith("http"))
        at.type("nonsense\n")
        at.read_until("That is not the whole address")
        at.type(redirected(url) + "\n")
        assert at.end() == (0, "")

    assert "Signed in as" in at.screen


def test_with_busy_ports_a_program_is_told(emulator: Emulator, busy: None, run_cli: Run) -> None:
    """Without a terminal it is an error that names both other ways."""
    result = run_cli("login")

    assert result.returncode == 5
    assert "onplan login --paste" in result.stderr
    assert "onplan login --device" in result.stderr


# --- a code ---------------------------------------------------------------------------------------------


def test_a_code_signs_in(emulator: Emulator, run_cli: Run) -> None:
    """--device says where to go, what to enter, how long, and whom not to trust; --json says who it is."""
    result = run_cli("login", "--device", "--json")

    assert result.returncode == 0
    assert json.loads(result.stdout)["email"] == "person@example.com"
    assert f"  {emulator.issuer}/codex/device\n" in result.stderr
    poll = next(row for row in emulator.journal() if row["path"].endswith("/deviceauth/token"))
    assert f"  {poll['body']['user_code']}\n" in result.stderr
    assert "expires in 15 minutes" in result.stderr
    assert "Never enter a code that someone sent you" in result.stderr
    assert "█" not in result.stderr
    assert json.loads(run_cli("status", "--json").stdout)["signed_in"]


def test_where_it_is_not_enabled_the_next_command_is_named(emulator: Emulator, run_cli: Run) -> None:
    """An issuer without device sign-in is an error with another way."""
    emulator.arm("device_not_enabled_404")
    result = run_cli("login", "--device")

    assert result.returncode == 5
    assert "run `onplan login --paste`." in result.stderr


@needs_terminal
def test_a_telephone_can_read_the_address(emulator: Emulator) -> None:
    """At a terminal the address is drawn as the QR code that segno makes of it."""
    segno = pytest.importorskip("segno")
    with terminal(*ONPLAN, "login", "--device", PYTHONIOENCODING="utf-8") as at:
        assert at.end() == (0, "")

    drawn = [line for line in at.screen.splitlines() if line.strip() and set(line) <= set("█▀▄ ")]
    code = segno.make_qr(f"{emulator.issuer}/codex/device", error="l")
    size, _ = code.symbol_size(border=2)
    halves = {"█": (0, 0), " ": (1, 1), "▀": (0, 1), "▄": (1, 0)}
    rows = [[halves[mark][half] for mark in line.ljust(size)] for line in drawn for half in (0, 1)]
    assert rows[:size] == [[int(dark) for dark in row] for row in code.matrix_iter(border=2)]


@needs_terminal
@pytest.mark.parametrize(
    "variables",
    [{"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "20"}, {"LINES": "10"}, {"PYTHONPATH": ""}],
    ids=str,
)
def test_without_the_means_there_is_no_picture(
    emulator: Emulator, tmp_path: Path, variables: dict[str, str]
) -> None:
    """No room, no characters, or no segno: it is left out, and the sign-in goes on."""
    if "PYTHONPATH" in variables:
        (tmp_path / "segno.py").write_text("raise ImportError('not installed')\n")
        variables = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with terminal(*ONPLAN, "login", "--device", **{"PYTHONIOENCODING": "utf-8", **variables}) as at:
        assert at.end() == (0, "")

    assert "/codex/device" in at.screen
    assert "▀" not in at.screen
    assert "????" not in at.screen


def test_two_ways_at_once_are_refused(run_cli: Run) -> None:
    """--device and --paste exclude each other."""
    result = run_cli("login", "--device", "--paste")

    assert result.returncode == 2
    assert "exclude each other" in result.stderr


# --- out ------------------------------------------------------------------------------------------------


@pytest.fixture
def two(emulator: Emulator, browse: Callable[[str], None]) -> Emulator:
    """Signed in as ``home``, then as ``work``."""
    for name in ("home", "work"):
        settings = load_settings(profile=name)
        sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=browse)
        remember_profile(settings)
    emulator.clear_journal()
    return emulator


def test_signing_out_is_told_in_json(two: Emulator, run_cli: Run) -> None:
    """logout --json says whose sign-in was removed and whether the server confirmed."""
    result = run_cli("logout", "--json")

    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "profiles": ["work"],
        "store": load_settings(profile="work").store,
        "removed": True,
        "was_signed_in": True,
        "revoked": True,
        "borrowed_from": None,
    }


def test_all_are_signed_out(two: Emulator, run_cli: Run) -> None:
    """logout --all ends every profile; one line each."""
    result = run_cli("logout", "--all")

    assert result.returncode == 0
    lines = {line.partition(":")[0]: line for line in result.stderr.splitlines()}
    assert "no longer work" in lines["home"]
    assert "no longer work" in lines["work"]
    assert "Not signed in; nothing to do" in lines["default"]
    assert [row["path"] for row in two.journal()] == ["/oauth/revoke"] * 2


def test_what_a_profile_left_behind_is_signed_out_too(two: Emulator, run_cli: Run) -> None:
    """--all finds a sign-in whose profile was given another store, or is not known any more."""
    home = load_settings(profile="home").home
    (home / "profiles.json").unlink()
    result = run_cli("logout", "--all", "--json")

    revoked = {row["profiles"][0] for row in json.loads(result.stdout) if row["revoked"]}
    assert revoked == {"home", "work"}


def test_one_that_fails_is_told_by_the_exit_code(two: Emulator, run_cli: Run) -> None:
    """With --all the others are signed out, the failure is in the list, and the exit code is its own."""
    Path(load_settings(profile="home").store.removeprefix("file:")).write_text("damaged")
    result = run_cli("logout", "--all", "--json")
    rows = {row["profiles"][0]: row for row in json.loads(result.stdout)}

    assert result.returncode == 61
    assert rows["work"]["revoked"] is True
    assert rows["home"]["removed"] is False
    assert rows["home"]["error"]["code"] == "store_damaged"
    assert run_cli("logout", "--all", "--force").returncode == 0
    assert open_store(load_settings(profile="home").store).load() is None


def test_a_read_only_store_is_not_signed_out(
    emulator: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in in a variable cannot be removed: that is an error, with what to type."""
    monkeypatch.setenv("SOMEBODY_SET_THIS", emulator.issue_tokens()["access_token"])
    result = run_cli("logout", "--store", "env:SOMEBODY_SET_THIS")

    assert result.returncode == 7
    assert "unset SOMEBODY_SET_THIS" in result.stderr


def test_the_codex_cli_is_named_when_it_is_signed_out_with_us(
    emulator: Emulator, run_cli: Run, browse: Callable[[str], None], tmp_path: Path
) -> None:
    """A shared sign-in ends for both, and that is said."""
    settings = load_settings(store=f"codex:{tmp_path / 'codex'}")
    sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=browse)
    result = run_cli("logout", "--store", settings.store)

    assert result.returncode == 0
    assert result.stderr == (
        "Signed out; the tokens no longer work. "
        "OpenAI may have ended other sign-ins of this account with them. "
        "The Codex CLI used the same sign-in, so it is signed out as well.\n"
    )
    assert not (tmp_path / "codex" / "auth.json").exists()


def test_a_borrowed_token_is_named_as_such(signed_in: Emulator, run_cli: Run) -> None:
    """What belongs to another program is forgotten, and the server hears nothing of it."""
    import msgspec

    store = open_store(load_settings().store)
    loaded = store.load()
    assert loaded
    store.save(msgspec.structs.replace(loaded.record, borrowed_from="codex:/elsewhere"), loaded.version)
    result = run_cli("logout")

    assert result.returncode == 0
    assert "it keeps working in codex:/elsewhere" in result.stderr
    assert signed_in.journal() == []


def test_what_is_not_confirmed_is_told(signed_in: Emulator, run_cli: Run) -> None:
    """When the server does not confirm, the person is told where to make sure."""
    signed_in.arm("revoke_500", times=9)
    result = run_cli("logout")

    assert result.returncode == 0
    assert "did not confirm" in result.stderr
    assert "chatgpt.com" in result.stderr


def test_all_and_one_exclude_each_other(run_cli: Run) -> None:
    """--all takes neither --profile nor --store."""
    for more in (["--profile", "home"], ["--store", "memory:"]):
        assert run_cli("logout", "--all", *more).returncode == 2


def test_a_record_of_nobody_is_nobody(emulator: Emulator, run_cli: Run) -> None:
    """What a sign-in may leave that was killed while it tried the store counts as nothing everywhere."""
    settings = load_settings()
    open_store(settings.store).save(Record(), None)

    assert run_cli("status").returncode == 3
    assert run_cli("token").returncode == 3
    assert json.loads(run_cli("profiles", "--json").stdout)[0]["signed_in"] is False
    assert "Not signed in; nothing to do" in run_cli("logout").stderr
