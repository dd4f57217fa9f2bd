"""What people get wrong, or what goes wrong around them: told so that following the hint harms nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan.config.profiles import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options
from onplan.stores import open_store

from ..conftest import issued

Run = Callable[..., subprocess.CompletedProcess[str]]

FULL = Path("/dev/full")


@pytest.fixture
def work(signed_in: Emulator) -> Emulator:
    """Beside ``default``, which is in use, ``work`` is signed in, and at the other door ``plan``."""
    for name, backend in (("work", "openai-codex"), ("plan", "chatgpt-plan")):
        settings = load_settings(profile=name, backend=backend)
        tokens = signed_in.issue_plan_tokens() if name == "plan" else signed_in.issue_tokens()
        open_store(settings.store).save(issued(tokens, settings.issuer), None)
        remember_profile(settings)
    remember_profile(load_settings(profile="default", backend="openai-codex"))
    return signed_in


# --- hints ------------------------------------------------------------------------------------------

COMMANDS = {
    "work": "`onplan login --profile work`",
    "plan": "`onplan login --backend chatgpt-plan --profile plan`",
}


@pytest.mark.parametrize("profile", COMMANDS)
def test_a_hint_signs_in_the_profile_that_failed(work: Emulator, run_cli: Run, profile: str) -> None:
    """Typed as it stands, it replaces no other profile's sign-in: on the command line and in both clients."""
    work.revoke_refresh_tokens()
    work.expire_access_tokens()

    assert COMMANDS[profile] in run_cli("ask", "--profile", profile, "hi").stderr
    with onplan.Client(profile=profile) as client, pytest.raises(onplan.SignInAgainError) as caught:
        client.complete("hi")
    assert COMMANDS[profile] in caught.value.hint


@pytest.mark.parametrize("profile", COMMANDS)
async def test_so_does_the_asynchronous_clients(work: Emulator, profile: str) -> None:
    """The same, awaited."""
    work.revoke_refresh_tokens()
    work.expire_access_tokens()

    async with onplan.AsyncClient(profile=profile) as client:
        with pytest.raises(onplan.SignInAgainError) as caught:
            await client.complete("hi")
        assert COMMANDS[profile] in caught.value.hint


def test_a_program_that_catches_nothing_shows_the_hint_last(work: Emulator) -> None:
    """It stands below the traceback, once."""
    program = "import onplan; onplan.Client(profile='nobody').complete('hi')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr.endswith("with the profile nobody.\nRun `onplan login --profile nobody`.\n")
    assert done.stderr.count("Run `onplan login") == 1


async def test_a_profile_that_was_named_is_named_again(work: Emulator, run_cli: Run) -> None:
    """Also ``default``, which is not what a command without a name uses while another one is in use."""
    assert run_cli("profiles", "use", "work").returncode == 0
    work.revoke_refresh_tokens()
    work.expire_access_tokens()

    assert "`onplan login --profile default`" in run_cli("ask", "--profile", "default", "hi").stderr
    assert run_cli("logout", "--profile", "default").returncode == 0
    with onplan.Client(profile="default") as client, pytest.raises(onplan.NotSignedInError) as caught:
        client.credentials()
    assert "`onplan login --profile default`" in caught.value.hint
    async with onplan.AsyncClient(profile="default") as client:
        with pytest.raises(onplan.NotSignedInError) as caught:
            await client.credentials()
    assert "`onplan login --profile default`" in caught.value.hint


def test_where_nobody_can_sign_in_nobody_is_told_to(
    run_cli: Run, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable is to be set: there is nothing to sign in to."""
    monkeypatch.setenv("ONPLAN_STORE", "env:MY_TOKEN")
    refused = run_cli("ask", "hi")

    assert refused.returncode == 3
    assert "Set MY_TOKEN" in refused.stderr
    assert "login" not in refused.stderr


def test_a_base_url_that_was_given_is_not_called_a_variable() -> None:
    """The sentence names what the program wrote."""
    with pytest.raises(onplan.ConfigurationError, match=r"^The base URL is http:"):
        onplan.Client(base_url="http://example.com")


# --- signing in over somebody -----------------------------------------------------------------------


def test_a_sign_in_at_another_issuer_is_not_replaced(
    signed_in: Emulator, run_cli: Run, point_at: Callable[[Emulator], None]
) -> None:
    """Whoever tries the emulator keeps their real sign-in; the way to have both is told."""
    store = open_store(load_settings().store)
    before = store.load()
    with Emulator(Options()) as other:
        point_at(other)
        refused = run_cli("login", "--device")

        assert refused.returncode == 2
        assert f"is signed in at {signed_in.issuer}" in refused.stderr
        assert "--profile" in refused.stderr
        assert store.load() == before
        assert f"{signed_in.issuer}, and not the one in use, {other.issuer}" in run_cli("status").stdout
        assert run_cli("login", "--device", "--profile", "emulated").returncode == 0


def test_whoever_is_replaced_is_named(signed_in: Emulator, run_cli: Run) -> None:
    """Another account at the same issuer takes the place, and that is said; the same account is not news."""
    assert "It replaced" not in run_cli("login", "--device").stderr
    store = open_store(load_settings().store)
    record, version = store.load()  # type: ignore[misc]
    other = msgspec.structs.replace(record.credentials, email="boss@example.com")
    store.save(msgspec.structs.replace(record, credentials=other), version)
    assert "It replaced the sign-in of boss@example.com" in run_cli("login", "--device").stderr
    record, version = store.load()  # type: ignore[misc]
    unknown = msgspec.structs.replace(record.credentials, email=None, account_id=None)
    store.save(msgspec.structs.replace(record, credentials=unknown), version)
    assert "It replaced" not in run_cli("login", "--device").stderr


def test_a_sign_in_says_that_it_changed_the_profile_in_use(
    signed_in: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where a setting keeps another one in use, how to ask the new one."""
    remember_profile(load_settings())
    assert (
        "The profile dev is the one in use from now on"
        in run_cli("login", "--device", "--profile", "dev").stderr
    )
    monkeypatch.setenv("ONPLAN_PROFILE", "dev")
    told = run_cli("login", "--device", "--profile", "third").stderr

    assert "in use" not in told
    assert "onplan ask --profile third" in told


# --- moving a sign-in -------------------------------------------------------------------------------


def test_what_was_moved_in_is_gone_from_where_it_was(
    signed_in: Emulator, run_cli: Run, tmp_path: Path
) -> None:
    """A second import would be a copy, and two copies end each other at the next refresh."""
    moved = str(tmp_path / "moved.json")
    assert run_cli("credentials", "export", moved).returncode == 0
    first = run_cli("credentials", "import", moved, "--profile", "a")

    assert first.returncode == 0, first.stderr
    assert "The profile a is signed in to openai-codex as person@example.com" in first.stderr
    assert not Path(moved).exists()
    assert run_cli("credentials", "export", moved, "--profile", "a").returncode == 0
    link = tmp_path / "link.json"
    link.symlink_to(moved)
    assert run_cli("credentials", "import", str(link), "--profile", "a").returncode == 0
    assert not Path(moved).exists()
    second = run_cli("credentials", "import", moved, "--profile", "b")
    assert (second.returncode, "There is no file" in second.stderr) == (3, True)


def test_where_a_profile_keeps_its_sign_in_is_no_file_to_move(signed_in: Emulator, run_cli: Run) -> None:
    """Neither its own nor another's: the file would be removed while it is in use."""
    kept = load_settings().store.removeprefix("file:")
    elsewhere = Path(kept).parents[1] / "own.json"
    elsewhere.write_bytes(Path(kept).read_bytes())
    elsewhere.chmod(0o600)
    for arguments in (
        [kept, "--force"],
        [kept, "--profile", "other"],
        [str(elsewhere), "--force", "--store", f"file:{elsewhere}"],
    ):
        refused = run_cli("credentials", "import", *arguments)
        assert (refused.returncode, "export PATH --profile NAME" in refused.stderr) == (2, True)
    assert elsewhere.exists()
    assert run_cli("ask", "hi").returncode == 0


def test_a_file_that_holds_no_sign_in_costs_no_sign_in(
    signed_in: Emulator, run_cli: Run, tmp_path: Path
) -> None:
    """The hint is about the file, and not about the profile in use; the file stays."""
    junk = tmp_path / "junk.json"
    junk.write_text("garbage")
    for mode, word in ((0o644, "chmod 600"), (0o600, "credentials export")):
        junk.chmod(mode)
        refused = run_cli("credentials", "import", str(junk))
        assert refused.returncode != 0
        assert word in refused.stderr
        assert "logout" not in refused.stderr
    assert junk.exists()


def test_a_sign_in_is_moved_into_a_file_or_not_at_all(
    signed_in: Emulator, run_cli: Run, tmp_path: Path
) -> None:
    """Stdout is no file, and a folder that is missing is named as what is missing."""
    refused = run_cli("credentials", "export", "-", cwd=tmp_path)
    assert refused.returncode == 2
    assert list(tmp_path.glob("-*")) == []
    assert "in a folder that exists" in run_cli("credentials", "export", str(tmp_path / "no" / "x")).stderr
    assert run_cli("ask", "hi").returncode == 0


# --- API keys ---------------------------------------------------------------------------------------


def test_a_key_in_the_environment_outlives_the_one_that_was_kept(
    emulator: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing out says who pays from now on, and a key is not exported as if it were a sign-in."""
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
    keep = ("login", "--backend", "openai", "--api-key", "--profile", "platform")
    assert run_cli(*keep, input="sk-kept\n").returncode == 0

    exported = run_cli("credentials", "export", "key.json", "--profile", "platform")
    assert (exported.returncode, "keeps an API key" in exported.stderr) == (2, True)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-shell")
    assert "OPENAI_API_KEY is set, though" in run_cli("logout", "--profile", "platform").stderr


# --- requests ---------------------------------------------------------------------------------------

REQUESTS: dict[str, dict[str, Any]] = {
    "messages of a dictionary": {"messages": [{"role": "user", "content": "hi"}]},
    "no messages at all": {"messages": None},
    "a tool of a dictionary": {"messages": "hi", "tools": [{"type": "function"}]},
    "tools in a string": {"messages": "hi", "tools": "look"},
    "a model that is a number": {"messages": "hi", "model": 5},
}


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_a_request_of_the_wrong_types_is_refused_where_it_is_made(fields: dict[str, Any]) -> None:
    """By an error of ours that names the field and says what belongs there."""
    with pytest.raises(onplan.InvalidRequestError) as caught:
        onplan.CompletionRequest(**fields)
    assert "Give it" in caught.value.hint


def test_half_a_character_is_refused(signed_in: Emulator) -> None:
    """A lone surrogate has no UTF-8; nothing is sent."""
    with onplan.Client() as client, pytest.raises(onplan.InvalidRequestError, match="surrogate"):
        client.complete(onplan.CompletionRequest(messages="\udcff", model="gpt-5.5"))


@pytest.mark.parametrize("limit", ["connect", "idle", "write", "total"])
@pytest.mark.parametrize("seconds", [-1, 0, "x", float("nan")])
def test_a_limit_is_a_number_of_seconds(limit: str, seconds: Any) -> None:
    """Anything else is an error where it is made."""
    with pytest.raises(onplan.ConfigurationError, match=limit):
        onplan.Timeouts(**{limit: seconds})


# --- the machine ------------------------------------------------------------------------------------


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full")
@pytest.mark.parametrize("arguments", [["ask", "hi"], ["models"]])
def test_a_full_disk_is_no_defect_of_ours(signed_in: Emulator, arguments: list[str]) -> None:
    """Output that cannot be written is said so, once, with an exit code of its own."""
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "onplan", *arguments]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )

    assert done.returncode == 74
    assert done.stderr.startswith("error: The output cannot be written: No space left")
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sh(1)")
def test_without_a_stdout_nothing_breaks(signed_in: Emulator) -> None:
    """A service may start a program with it closed."""
    for arguments in ("ask hi", ""):
        command = f'exec "{sys.executable}" -m onplan {arguments} >&-'
        done = subprocess.run(
            ["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are bytes elsewhere")
@pytest.mark.parametrize(
    ("prompt", "environment", "read"),
    [
        (b"Z\xffrich", {}, "Z\ufffdrich"),
        ("Zürich".encode(), {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "Zürich"),
    ],
    ids=["not UTF-8", "a locale without UTF-8"],
)
def test_a_prompt_is_read_as_utf_8(
    signed_in: Emulator, prompt: bytes, environment: dict[str, str], read: str
) -> None:
    """Whatever the locale made of it; what is no UTF-8 is replaced, as on stdin."""
    command: list[Any] = [sys.executable, "-m", "onplan", "ask", prompt]
    env = {**os.environ, **environment}
    done = subprocess.run(command, env=env, capture_output=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    asked = signed_in.journal()[-1]["body"]["input"][-1]["content"][0]["text"]
    assert asked == read


def test_an_emulator_that_cannot_start_says_why(emulator: Emulator, run_cli: Run, tmp_path: Path) -> None:
    """A port in use, one that is none, a file without its folder, options that go together."""
    port = emulator.issuer.rpartition(":")[2]
    for arguments, word in (
        (["--port", port], port),
        (["--port", "99999"], "99999"),
        (["--ready-file", str(tmp_path / "no" / "ready")], str(tmp_path / "no")),
        (["--codex-auth"], "--codex-home"),
        (["--public-url", "emulator.example"], "--public-url https://"),
        (["--access-token-lifetime", "-5"], "-5"),
    ):
        refused = run_cli("emulator", *arguments)
        assert (refused.returncode, word in refused.stderr) == (2, True), refused.stderr


def test_a_mistake_is_told_in_json_where_json_was_asked_for(run_cli: Run) -> None:
    """Also where the mistake stands before what asks for it is understood."""
    refused = run_cli("ask", "hi", "--modle", "x", "--json")

    assert (refused.returncode, json.loads(refused.stderr)["error"]["code"]) == (2, "usage")


# --- the shell and the terminal ---------------------------------------------------------------------


def test_the_shell_gets_its_completion_and_not_the_help(run_cli: Run) -> None:
    """README's line is evaluated by a shell: the help in its place would be run as commands."""
    for shell in ("bash", "zsh", "fish"):
        script = run_cli(env={**os.environ, "_ONPLAN_COMPLETE": f"{shell}_source"})
        assert script.returncode == 0
        assert "Usage:" not in script.stdout
        assert "_onplan_completion" in script.stdout
    words = {"_ONPLAN_COMPLETE": "bash_complete", "COMP_WORDS": "onplan as", "COMP_CWORD": "1"}
    assert run_cli(env={**os.environ, **words}).stdout == "plain,ask\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
def test_the_spinner_leaves_the_thinking_alone(signed_in: Emulator) -> None:
    """Once there is thinking on the terminal, nothing is erased there any more."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "onplan", "ask", "--thinking", "hi"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    screen = b""
    with suppress(OSError):  # the end, as Linux tells it
        while read := os.read(ours, 65536):
            screen += read
    os.close(ours)

    assert process.wait(60) == 0
    before, shown, after = screen.partition(b"**Reading")
    assert b"\x1b[2K" in before
    assert shown
    assert b"\x1b[2K" not in after
    assert b"You said: hi" in after
