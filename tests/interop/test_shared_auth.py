"""One auth.json, two programs: onplan and the official Codex CLI refresh it in turn, and at once."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time

import pytest

from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Options
from onplan.emulator.journal import fingerprint
from onplan.sign_in import login
from onplan.stores import open_store

from .codex_cli import TIMEOUT, VERSIONS, Codex, installed, with_clients

pytestmark = [
    pytest.mark.interop,
    pytest.mark.stranger("Codex CLI, one auth.json with onplan"),
    with_clients,
]

ROUNDS = 3
# What the CLI says when it lost, and the winner has not saved yet. It gives up the turn, and no more.
LOST = "your refresh token was already used"


class Shared(Codex):
    """The CLI's folder, and both programs as processes that use it."""

    def start(self, program):
        ask = ("exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
        commands = {
            "codex": [self.binary, *ask, "--model", "gpt-5.5", "say hi"],
            "onplan": [sys.executable, "-m", "onplan", "ask", "--model", "gpt-5.5", "say hi"],
        }
        environment = {**os.environ, "CODEX_HOME": str(self.home), "HOME": str(self.home.parent)}
        return subprocess.Popen(
            commands[program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=self.home.parent,
        )

    def ask(self, program):
        """A turn that must succeed."""
        process = self.start(program)
        output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, output + errors
        return output

    def onplan(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "onplan", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def make_stale(self, kind):
        """By the clock: the token says that it ran out, long after its refresh. Or only the server knows."""
        if kind == "refused":
            self.emulator.expire_access_tokens()
            return
        document = self.auth
        head, claims, signature = document["tokens"]["access_token"].split(".")
        old = json.loads(base64.urlsafe_b64decode(claims + "=="))
        old["exp"] = int(time.time()) - 60
        claims = base64.urlsafe_b64encode(json.dumps(old).encode()).rstrip(b"=").decode()
        document["tokens"]["access_token"] = f"{head}.{claims}.{signature}"
        document["last_refresh"] = "2026-01-01T00:00:00.000000000Z"
        (self.home / "auth.json").write_text(json.dumps(document, indent=2))

    @property
    def refreshes(self):
        rows = [row for row in self.requests("/oauth/token") if row["body"]["grant_type"] == "refresh_token"]
        return [
            (row["headers"]["user-agent"].partition("/")[0].partition("_")[0], row["status"]) for row in rows
        ]


@pytest.fixture(params=["refuse"])
def shared(request, tmp_path, point_at, monkeypatch):
    """An emulator that both programs of this folder talk to; nobody is signed in yet."""
    home = tmp_path / "codex"
    monkeypatch.setenv("ONPLAN_STORE", f"codex:{home}")
    with Emulator(Options(codex_home=home, reuse=request.param)) as emulator:
        point_at(emulator)
        yield Shared(installed(VERSIONS[0]), emulator, home)


def sign_in_with_onplan(browse):
    settings = load_settings()
    login.sign_in_with_browser(settings, open_store(settings.store), lambda started: None, browse=browse)


@pytest.mark.parametrize("shared", ["revoke-family"], indirect=True)
@pytest.mark.parametrize("first", ["codex", "onplan"])
def test_they_refresh_one_sign_in_in_turn(shared, browse, first):
    """Whoever signed in, each refreshes what the other left, once, for both reasons, and asks with it.

    The emulator ends the sign-in if any refresh token is spent twice.
    """
    shared.sign_in() if first == "codex" else sign_in_with_onplan(browse)
    owner = shared.tokens["login_owner_id"]
    for kind in ("clock", "refused"):
        for program in ("onplan", "codex", "onplan", "codex"):
            shared.make_stale(kind)
            shared.emulator.clear_journal()
            before = shared.tokens["refresh_token"]

            shared.ask(program)

            assert shared.refreshes == [(program, 200)], kind
            assert shared.requests("/oauth/token")[0]["body"]["refresh_token"] == fingerprint(before)
            assert shared.tokens["refresh_token"] != before
            assert shared.tokens["login_owner_id"] == owner


@pytest.mark.parametrize("seconds", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["clock", "refused"])
def test_they_refresh_at_once(shared, kind, seconds):
    """Both find the token stale at the same time, round after round: nobody is signed out.

    The CLI spends the refresh token without any lock, so both may send it; therefore the emulator refuses
    the second use here and does not end the sign-in. onplan, refused, waits for what the CLI saves, and its
    turn succeeds. The CLI looks once: if what onplan gets is not saved yet, it gives up that one turn,
    as it does for another CLI. ``seconds``: how long the first answer takes, so that they do overlap.
    """
    shared.sign_in()
    for _ in range(ROUNDS):
        shared.make_stale(kind)
        shared.emulator.clear_journal()
        if seconds:
            shared.emulator.arm("token_slow", seconds=seconds)
        running = [(program, shared.start(program)) for program in ("codex", "onplan", "onplan")]
        for program, process in running:
            output, errors = process.communicate(timeout=TIMEOUT)
            gave_up = program == "codex" and LOST in output
            assert process.returncode == 0 or gave_up, output + errors
        shared.emulator.disarm()

        assert [status for _, status in shared.refreshes].count(200) == 1
        for program in ("codex", "onplan"):
            shared.ask(program)
        assert [status for _, status in shared.refreshes].count(200) == 1


def test_the_cli_accepts_a_file_of_ours(shared, browse):
    """A sign-in that onplan wrote is one for the CLI: it says so, and asks with it."""
    sign_in_with_onplan(browse)

    status = shared.run("login", "status")
    assert (status.returncode, "Logged in using ChatGPT" in status.stderr) == (0, True)
    shared.emulator.clear_journal()
    shared.ask("codex")
    assert shared.refreshes == []
    posts = [row for row in shared.requests("/backend-api/codex/responses") if row["method"] == "POST"]
    assert {row["status"] for row in posts} == {200}


def test_onplan_signs_both_out(shared):
    """After `onplan logout` the tokens are revoked and the CLI says that nobody is signed in."""
    shared.sign_in()
    assert shared.onplan("status").returncode == 0

    assert shared.onplan("logout").returncode == 0

    status = shared.run("login", "status")
    assert (status.returncode, "Not logged in" in status.stderr) == (1, True)
    assert [row["status"] for row in shared.requests("/oauth/revoke")] == [200]


def test_the_cli_signs_both_out(shared, browse):
    """After `codex logout` onplan says that nobody is signed in, and either can sign in again for both."""
    sign_in_with_onplan(browse)
    url = f"{shared.emulator.issuer}/oauth/revoke"

    assert shared.run("logout", CODEX_REVOKE_TOKEN_URL_OVERRIDE=url).returncode == 0

    status = shared.onplan("status")
    assert (status.returncode, "Not signed in" in status.stderr) == (3, True)
    sign_in_with_onplan(browse)
    for program in ("codex", "onplan"):
        shared.ask(program)


def test_what_the_cli_has_is_borrowed(shared, tmp_path, monkeypatch):
    """`onplan import` takes the CLI's access token and leaves its folder as it was."""
    shared.sign_in()
    monkeypatch.setenv("ONPLAN_STORE", f"file:{tmp_path / 'own.json'}")
    before = {path.name: path.stat().st_mtime_ns for path in shared.home.iterdir()}

    assert shared.onplan("import", f"codex:{shared.home}").returncode == 0

    assert {path.name: path.stat().st_mtime_ns for path in shared.home.iterdir()} == before
    assert shared.onplan("ask", "hi").stdout
    assert shared.refreshes == []
