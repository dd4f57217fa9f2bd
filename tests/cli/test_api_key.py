"""``--backend openai`` on the command line: a key on stdin, kept, used, shown nowhere, and forgotten."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from onplan.backends import COMPATIBLE
from onplan.emulator import Emulator, Options, Scenario
from onplan.emulator.journal import fingerprint

KEY = "sk-kept-0123456789"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A server that takes one key, at the address in the environment."""
    with Emulator(Options(scenario=Scenario(api_keys=(KEY,)))) as emulator:
        monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
        yield emulator


@pytest.fixture
def kept(platform: Emulator, run_cli: Run) -> Emulator:
    """The same, with its key kept in the default profile."""
    result = run_cli("login", "--backend", "openai", "--api-key", input=f"{KEY}\n")
    assert result.returncode == 0, result.stderr
    return platform


def bearers(emulator: Emulator) -> set[str]:
    """Fingerprints of the keys that arrived."""
    return {row["headers"].get("authorization", "").removeprefix("Bearer ") for row in emulator.journal()}


def test_a_key_on_stdin_is_kept_and_used(
    kept: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on the profile asks this server under this key, and neither needs to be named again."""
    for name in ("ONPLAN_OPENAI_BASE_URL", "ONPLAN_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    result = run_cli("ask", "hi")

    assert (result.returncode, result.stdout, result.stderr) == (0, "You said: hi\n", "")
    assert bearers(kept) == {fingerprint(KEY)}


def test_login_says_where_the_key_goes_and_who_pays(platform: Emulator, run_cli: Run) -> None:
    """Facts on stdout with ``--json``; talk on stderr without; the key in neither."""
    facts = json.loads(run_cli("login", "--backend", "openai", "--api-key", "--json", input=KEY).stdout)
    told = run_cli("login", "--backend", "openai", "--api-key", input=KEY)

    assert (facts["backend"], facts["base_url"]) == ("openai", platform.urls["openai_base_url"])
    assert told.stdout == ""
    assert f"requests to {facts['base_url']}, billed to {COMPATIBLE.billed_to}" in told.stderr
    assert KEY not in f"{facts}{told.stderr}"


def test_models_and_status(kept: Emulator, run_cli: Run) -> None:
    """``models`` lists the server's; ``status`` says whence the key comes, and never what it is."""
    models = run_cli("models", "--json")
    status = run_cli("status", "--json")
    facts = json.loads(status.stdout)

    assert {model["provider"] for model in json.loads(models.stdout)} == {"openai"}
    assert facts["signed_in"] is True
    assert facts["api_key"].endswith("default.json")
    assert facts["billed_to"] == COMPATIBLE.billed_to
    assert KEY not in status.stdout + run_cli("status").stdout


def test_logout_forgets_the_key(kept: Emulator, run_cli: Run) -> None:
    """It is gone from the disk, and the command says that it keeps working where it was made."""
    result = run_cli("logout")

    assert result.returncode == 0
    assert "keeps working until you delete it" in result.stderr
    home = Path(os.environ["ONPLAN_HOME"])
    assert not [path for path in home.rglob("*") if path.is_file() and KEY in path.read_text()]
    assert run_cli("ask", "hi").returncode == 4


def test_a_wrong_key_is_told_with_what_to_do(platform: Emulator, run_cli: Run) -> None:
    """A key that the server refuses is asked with once, and the error says where to put another."""
    run_cli("login", "--backend", "openai", "--api-key", input="sk-wrong-0123456789\n")
    result = run_cli("ask", "hi", "--json")

    assert (result.returncode, result.stdout) == (4, "")
    assert "onplan login --backend openai --api-key" in json.loads(result.stderr)["error"]["hint"]
    assert "sk-wrong-0123456789" not in result.stderr
    assert {row["status"] for row in platform.journal()} == {401}
    assert len(platform.journal()) == 1


def test_a_key_goes_to_the_server_that_it_was_given_for(
    kept: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile's key is not sent to another address, and the error says for which one it was given."""
    with Emulator(Options()) as stranger:
        monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", stranger.urls["openai_base_url"])
        run_cli("ask", "hi")
        assert bearers(stranger) == {""}
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", "https://llm.example.com/v1")
    result = run_cli("ask", "hi")

    assert result.returncode == 3
    assert f"was given for {kept.urls['openai_base_url']}" in result.stderr
    assert KEY not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudoterminals here")
def test_a_key_that_is_typed_is_not_shown(platform: Emulator) -> None:
    """At a terminal the key is asked for on stderr and not echoed."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "onplan", "login", "--backend", "openai", "--api-key"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        while b"API key: " not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, f"{KEY}\n".encode())
        with suppress(OSError):  # the other end is closed
            while piece := os.read(ours, 4096):
                shown += piece
        assert process.stdout
        data = process.stdout.read()
    os.close(ours)

    assert (process.returncode, data) == (0, b"")
    assert b"The key is stored" in shown
    assert KEY.encode() not in shown


@pytest.mark.parametrize("typed", ["", "\n", "two words\n", "sk-é\n"])
def test_what_is_no_key_is_not_kept(platform: Emulator, run_cli: Run, typed: str) -> None:
    """Nothing, several words, or what no header can hold: an error, and nothing is stored."""
    result = run_cli("login", "--backend", "openai", "--api-key", input=typed)

    assert result.returncode == 2
    assert "API key" in result.stderr
    assert not list(Path(os.environ["ONPLAN_HOME"]).rglob("default.json"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--api-key",), "openai-codex takes no API key"),
        (("--backend", "openai"), "openai takes an API key instead of a sign-in"),
        (("--backend", "openai", "--api-key", "--device"), "--api-key does not go with"),
    ],
)
def test_a_sign_in_is_no_key(platform: Emulator, run_cli: Run, arguments: tuple[str, ...], says: str) -> None:
    """A key for the plan, a browser for an API key, or both at once: each is told, and nothing is asked."""
    result = run_cli("login", *arguments, input=f"{KEY}\n")

    assert (result.returncode, platform.journal()) == (2, [])
    assert says in result.stderr
    assert KEY not in result.stderr


def test_a_key_does_not_join_a_sign_in(
    signed_in: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One profile has one payer: a key needs a profile of its own, beside that of the plan."""
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", signed_in.urls["openai_base_url"])
    refused = run_cli("login", "--backend", "openai", "--api-key", input=KEY)
    beside = run_cli("login", "--backend", "openai", "--api-key", "--profile", "openai", input=KEY)

    assert (refused.returncode, beside.returncode) == (2, 0)
    assert "--profile openai" in refused.stderr
    assert run_cli("ask", "hi", "--profile", "openai").stdout == "You said: hi\n"
    assert run_cli("ask", "hi", "--profile", "default").stdout == "You said: hi\n"
    paths = [row["path"] for row in signed_in.journal() if row["method"] == "POST"]
    assert paths == ["/v1/chat/completions", "/backend-api/codex/responses"]


def test_the_emulator_exports_what_both_backends_read(run_cli: Run) -> None:
    """After ``eval "$(onplan emulator --env)"`` the platform is the emulator, under a key of its own."""
    command = [sys.executable, "-m", "onplan", "emulator", "--env"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(5)]
            exported = dict(re.findall(r"^export (\w+)=(\S+)$", "".join(lines), re.MULTILINE))
            result = run_cli("ask", "--backend", "openai", "hi", env={**os.environ, **exported})
        finally:
            process.terminate()

    assert (result.returncode, result.stdout) == (0, "You said: hi\n")


def test_a_key_in_the_environment_outlives_the_stored_one(
    emulator: Emulator, run_cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing out says who pays from now on, and a key is not exported as if it were a sign-in."""
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
    keep = ("login", "--backend", "openai", "--api-key", "--profile", "platform")
    assert run_cli(*keep, input="sk-kept\n").returncode == 0

    exported = run_cli("credentials", "export", "key.json", "--profile", "platform")
    assert (exported.returncode, "keeps an API key" in exported.stderr) == (2, True)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-shell")
    assert "OPENAI_API_KEY is still set" in run_cli("logout", "--profile", "platform").stderr
