"""The official Codex CLI against the emulator: a stranger judges how faithful it is."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from onplan.emulator import Emulator, Options
from onplan.emulator.codex_home import write_codex_home
from onplan.emulator.journal import fingerprint

BINARY = os.environ.get("CODEX_BINARY")
TIMEOUT = 90

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not BINARY, reason="CODEX_BINARY does not name the official client; run `make interop`"
    ),
]


@dataclass
class Codex:
    """The client in a folder of its own, knowing nothing of this machine's user."""

    emulator: Emulator
    home: Path

    def run(self, *arguments, **variables):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home.parent),
            "CODEX_HOME": str(self.home),
            "NO_COLOR": "1",
            **variables,
        }
        return subprocess.run(
            [BINARY, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=environment,
            cwd=self.home.parent,
            check=False,
        )

    def sign_in(self):
        done = self.run("login", "--device-auth", "--experimental_issuer", self.emulator.issuer)
        assert done.returncode == 0, done.stderr

    def execute(self, *options):
        """A turn. Its sandbox needs rights that not every machine gives, so it runs without one."""
        unconfined = "--dangerously-bypass-approvals-and-sandbox"
        done = self.run("exec", "--json", "--skip-git-repo-check", unconfined, *options, "say hi")
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    @property
    def auth(self):
        return json.loads((self.home / "auth.json").read_text())

    @property
    def tokens(self):
        return self.auth["tokens"]

    def requests(self, path):
        return [row for row in self.emulator.journal() if row["path"] == path]

    @property
    def turns(self):
        return [row for row in self.requests("/backend-api/codex/responses") if row["method"] == "POST"]


@pytest.fixture
def codex(tmp_path):
    home = tmp_path / "codex"
    with Emulator(Options(codex_home=home)) as emulator:
        yield Codex(emulator, home)


@pytest.fixture
def signed_in(tmp_path):
    home = tmp_path / "codex"
    with Emulator(Options(codex_home=home, codex_auth=True)) as emulator:
        yield Codex(emulator, home)


def completed(events, kind):
    return [
        event["item"]
        for event in events
        if event["type"] == "item.completed" and event["item"]["type"] == kind
    ]


def test_it_signs_in_by_device_code(codex):
    """User code, a pending poll, an approved one, the exchange; and the credential is on disk."""
    codex.sign_in()
    rows = [(row["method"], row["path"], row["status"]) for row in codex.emulator.journal()]
    assert rows == [
        ("POST", "/api/accounts/deviceauth/usercode", 200),
        ("POST", "/api/accounts/deviceauth/token", 403),
        ("POST", "/api/accounts/deviceauth/token", 200),
        ("POST", "/oauth/token", 200),
    ]
    assert codex.requests("/oauth/token")[0]["body"]["grant_type"] == "authorization_code"
    assert codex.auth["auth_mode"] == "chatgpt"
    assert codex.tokens["account_id"] == codex.emulator.world.scenario.account_id
    assert codex.tokens["oauth_provenance"]["issuer"] == codex.emulator.issuer
    status = codex.run("login", "status")
    assert (status.returncode, "Logged in using ChatGPT" in status.stderr) == (0, True)


def check_tool_turn(events):
    """A command was run as the model asked, and its output is in the answer."""
    (command,) = completed(events, "command_execution")
    (message,) = completed(events, "agent_message")
    assert (command["exit_code"], command["aggregated_output"]) == (0, "hello-tool\n")
    assert "hello-tool" in message["text"]
    assert events[-1]["type"] == "turn.completed"
    assert events[-1]["usage"]["output_tokens"] > 0
    assert events[-1]["usage"]["cached_input_tokens"] > 0


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6.1-sol"])
def test_it_completes_a_turn_with_a_tool_call(codex, model):
    """Freshly signed in, over one WebSocket: prewarmed, then only what is new, its call's result included."""
    codex.sign_in()
    check_tool_turn(codex.execute("--model", model))
    assert [row["status"] for row in codex.requests("/backend-api/codex/responses")] == [101, 200, 200, 200]
    prewarm, first, second = codex.turns
    assert {row["transport"] for row in codex.turns} == {"websocket"}
    assert prewarm["body"]["generate"] is False
    assert first["body"]["previous_response_id"]
    assert first["headers"]["sec-websocket-extensions"].startswith("permessage-deflate")
    kinds = [item["type"] for item in second["body"]["input"]]
    assert kinds in (["function_call_output"], ["custom_tool_call_output"])
    assert second["body"]["client_metadata"]["x-codex-turn-state"].startswith("ts_")


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6.1-sol"])
def test_it_completes_a_turn_over_sse(codex, model):
    """Where the upgrade is answered with 426, it posts compressed bodies with the whole history."""
    codex.emulator.arm("websocket_426", times=99)
    codex.sign_in()
    check_tool_turn(codex.execute("--model", model))
    first, second = codex.turns
    assert (first["status"], second["status"]) == (200, 200)
    assert first["headers"]["content-encoding"] == "zstd"
    assert second["body"]["input"][-1]["type"] in ("function_call_output", "custom_tool_call_output")
    reasoning = [item for item in second["body"]["input"] if item["type"] == "reasoning"]
    assert reasoning[0]["encrypted_content"], "sealed here, sent back, and accepted"


@pytest.mark.parametrize(
    "fault",
    [
        "websocket_connection_limit",
        "websocket_previous_response_not_found",
        "websocket_close_1011",
        "websocket_error_with_status",
        "websocket_pings",
        "websocket_fragments",
    ],
)
def test_it_takes_a_fault_for_what_it_is(signed_in, fault):
    """What the notes say it survives, it survives here: the turn completes."""
    signed_in.emulator.arm(fault)
    events = signed_in.execute("--model", "gpt-5.5")
    assert events[-1]["type"] == "turn.completed"
    assert signed_in.emulator.world.faults.armed() == {}


def test_it_takes_the_catalogue(signed_in):
    """The emulator's list replaces the one built into the client, every entry of it."""
    signed_in.execute("--model", "gpt-5.5")
    cache = json.loads((signed_in.home / "models_cache.json").read_text())
    listed = {model["slug"] for model in cache["models"]}
    assert listed == {model["slug"] for model in signed_in.emulator.world.catalogue}
    assert {model["description"] for model in cache["models"] if model["slug"] == "gpt-5.5"} == {
        "GPT-5.5, as played by the onplan emulator."
    }


def aged(tokens, issuer, scenario, home):
    """A credential whose access token says that it ran out; nobody checks its signature before it is used."""
    head, claims, signature = tokens["access_token"].split(".")
    old = json.loads(base64.urlsafe_b64decode(claims + "=="))
    old["exp"] = int(time.time()) - 60
    claims = base64.urlsafe_b64encode(json.dumps(old).encode()).rstrip(b"=").decode()
    write_codex_home(
        home, {"issuer": issuer}, scenario, {**tokens, "access_token": f"{head}.{claims}.{signature}"}
    )


def test_it_refreshes_an_aged_token(codex):
    """Once, before anything else, at the emulator; the rotated pair is stored and the turn completes."""
    tokens = codex.emulator.issue_tokens()
    aged(tokens, codex.emulator.issuer, codex.emulator.world.scenario, codex.home)
    events = codex.execute("--model", "gpt-5.5")
    (refresh,) = codex.requests("/oauth/token")
    assert (refresh["status"], refresh["body"]["refresh_reason"]) == (200, "proactive_expiry")
    assert refresh["body"]["refresh_token"] == fingerprint(tokens["refresh_token"])
    assert codex.tokens["refresh_token"] != tokens["refresh_token"]
    assert events[-1]["type"] == "turn.completed"
    assert {row["headers"]["authorization"] for row in codex.turns} == {
        f"Bearer {fingerprint(codex.tokens['access_token'])}"
    }


def test_it_refreshes_after_a_401(signed_in):
    """Access tokens that died early are replaced, once, and the turn completes."""
    signed_in.emulator.expire_access_tokens()
    events = signed_in.execute("--model", "gpt-5.5")
    (refresh,) = signed_in.requests("/oauth/token")
    assert (refresh["status"], refresh["body"]["refresh_reason"]) == (200, "unauthorized_recovery")
    assert events[-1]["type"] == "turn.completed"


def test_it_gives_up_on_a_usage_limit_at_once(signed_in):
    """The emulator's refusal is what the client takes for one: one turn, and a sentence about the plan."""
    signed_in.emulator.arm("usage_limit_429", times=9)
    unconfined = "--dangerously-bypass-approvals-and-sandbox"
    done = signed_in.run(
        "exec", "--json", "--skip-git-repo-check", unconfined, "--model", "gpt-5.5", "say hi"
    )
    assert done.returncode != 0
    assert "usage limit" in done.stdout
    assert [(row["body"].get("generate"), row["status"]) for row in signed_in.turns] == [
        (False, 429),
        (None, 429),
    ]


def test_it_signs_out(signed_in):
    """The refresh token is revoked at the emulator, and the credential is gone from the disk."""
    token = signed_in.tokens["refresh_token"]
    url = f"{signed_in.emulator.issuer}/oauth/revoke"
    done = signed_in.run("logout", CODEX_REVOKE_TOKEN_URL_OVERRIDE=url)
    assert done.returncode == 0, done.stderr
    (revoke,) = signed_in.requests("/oauth/revoke")
    assert (revoke["status"], revoke["body"]["token"]) == (200, fingerprint(token))
    assert revoke["body"]["token_type_hint"] == "refresh_token"
    assert not (signed_in.home / "auth.json").exists()
