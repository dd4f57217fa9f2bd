"""The official Codex CLI, the newest and an older one: strangers judge how faithful the emulator is."""

from __future__ import annotations

import base64
import json
import time
import urllib.request

import pytest

from onplan.emulator import Emulator, Options, Scenario
from onplan.emulator.catalogue import CATALOGUE, serves
from onplan.emulator.codex_home import write_codex_home
from onplan.emulator.journal import fingerprint

from ..conftest import browser_lock
from .codex_cli import VERSIONS, Codex, check_tool_turn, installed, with_clients

pytestmark = [pytest.mark.interop, pytest.mark.stranger("Codex CLI {version}"), with_clients]


@pytest.fixture(params=VERSIONS or ["none"])
def version(request):
    return request.param


@pytest.fixture
def binary(version):
    return installed(version)


@pytest.fixture
def codex(tmp_path, binary):
    home = tmp_path / "codex"
    with Emulator(Options(codex_home=home)) as emulator:
        yield Codex(binary, emulator, home)


@pytest.fixture
def signed_in(tmp_path, binary):
    home = tmp_path / "codex"
    with Emulator(Options(codex_home=home, codex_auth=True)) as emulator:
        yield Codex(binary, emulator, home)


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


def visit(url):
    """Be the browser, to the page at the end."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as page:
        return page.status


def test_it_signs_in_by_browser(codex):
    """Its app server's sign-in: the code comes back to a registered port, and is exchanged and stored."""
    with browser_lock(), codex.app_server() as server:
        started = server.call("account/login/start", {"type": "chatgpt"})
        assert visit(started["authUrl"]) == 200
        assert server.notified("account/login/completed")["success"] is True
        account = server.call("account/read", {"refreshToken": False})["account"]
    assert (account["email"], account["planType"]) == ("person@example.com", "plus")
    (authorized,) = codex.requests("/oauth/authorize")
    assert authorized["query"]["redirect_uri"] == "http://127.0.0.1:1455/auth/callback"
    exchange, api_key = codex.requests("/oauth/token")
    assert (exchange["status"], exchange["body"]["grant_type"]) == (200, "authorization_code")
    assert api_key["body"]["requested_token"] == "openai-api-key"
    assert codex.auth["OPENAI_API_KEY"] is None
    assert codex.tokens["account_id"] == codex.emulator.world.scenario.account_id


def test_its_app_server_reads_limits_and_models(signed_in, version):
    """Of the usage every number is taken, and of the catalogue every model that is listed."""
    with signed_in.app_server() as server:
        limits = server.call("account/rateLimits/read")["rateLimits"]
        models = server.call("model/list")["data"]
    windows = [
        (limits[name]["usedPercent"], limits[name]["windowDurationMins"]) for name in ("primary", "secondary")
    ]
    assert (limits["planType"], windows) == ("plus", [(12, 300), (34, 10_080)])
    shown = [model for model in signed_in.emulator.world.catalogue if model["visibility"] == "list"]
    assert [model["id"] for model in models] == [model["slug"] for model in shown if serves(model, version)]


def test_fractions_in_the_usage_are_what_it_refuses(signed_in):
    """So the emulator's integers are what they have to be."""
    signed_in.emulator.arm("usage_fractions")
    with signed_in.app_server() as server, pytest.raises(AssertionError, match="error"):
        server.call("account/rateLimits/read")


def test_its_app_server_talks_compacts_and_reviews(signed_in):
    """A turn with a tool; its history as one sealed item, which comes back; a review in its own socket."""
    with signed_in.app_server() as server:
        thread = server.start_thread("gpt-5.5")
        said = [{"type": "text", "text": "say hi"}]
        server.turn("turn/start", threadId=thread, input=said)
        server.turn("thread/compact/start", threadId=thread)
        compacted = signed_in.turns[-1]
        server.turn("turn/start", threadId=thread, input=said)
        target = {"type": "custom", "instructions": "Look at it."}
        server.turn("review/start", threadId=thread, target=target, delivery="inline")
    assert compacted["body"]["input"][-1]["type"] == "compaction_trigger"
    kinds = [{item["type"] for item in row["body"]["input"]} for row in signed_in.turns]
    assert any("compaction" in seen for seen in kinds), "sealed here, sent back, and accepted"
    assert {row["status"] for row in signed_in.turns} == {200}
    reviewed = [row for row in signed_in.turns if row["headers"].get("x-openai-subagent") == "review"]
    assert {row["transport"] for row in reviewed} == {"websocket"}


def test_its_app_server_refreshes_and_signs_out(signed_in):
    """On request; the token is revoked where the emulator is, and the credential is gone."""
    before = signed_in.tokens["refresh_token"]
    with signed_in.app_server() as server:
        server.call("account/read", {"refreshToken": True})
        after = signed_in.tokens["refresh_token"]
        server.call("account/logout")
    (refresh,) = signed_in.requests("/oauth/token")
    assert refresh["body"]["refresh_reason"] == "forced"
    assert refresh["body"]["refresh_token"] == fingerprint(before) != fingerprint(after)
    (revoke,) = signed_in.requests("/oauth/revoke")
    assert revoke["body"]["token"] == fingerprint(after)
    assert not (signed_in.home / "auth.json").exists()


@pytest.fixture(params=["plain", "lite"])
def model(request, version):
    """The one that takes its tools as ever, and the best of those that take them inside the input."""
    return "gpt-5.5" if request.param == "plain" else next(m["slug"] for m in CATALOGUE if serves(m, version))


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


def test_it_takes_compressed_answers(tmp_path, binary, version):
    """Who accepts zstd and gzip, as 0.171.0 does, reads streams and the catalogue in them."""
    home = tmp_path / "codex"
    options = Options(codex_home=home, codex_auth=True, scenario=Scenario(compress=True))
    with Emulator(options) as emulator:
        codex = Codex(binary, emulator, home)
        emulator.arm("websocket_426", times=99)
        check_tool_turn(codex.execute("--model", "gpt-5.5"))
        assert (codex.home / "models_cache.json").exists()
    accepted = {row["headers"].get("accept-encoding") for row in codex.turns}
    assert accepted == ({None} if version == "0.169.0" else {"zstd,gzip"})


def test_it_resumes(signed_in):
    """A new process goes on with the whole history, the sealed reasoning included."""
    signed_in.execute("--model", "gpt-5.5")
    before = len(signed_in.turns)
    events = signed_in.execute("--model", "gpt-5.5", "resume", "--last", said="and again")
    assert events[-1]["type"] == "turn.completed"
    resumed = signed_in.turns[before:]
    assert {row["status"] for row in resumed} == {200}
    kinds = {item["type"] for row in resumed for item in row["body"]["input"]}
    assert {"message", "function_call", "function_call_output", "reasoning"} <= kinds


@pytest.mark.parametrize(
    "fault",
    [
        "incomplete_interrupted",
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


def test_it_takes_the_catalogue(signed_in, version):
    """The emulator's list for its version replaces the one built into the client, every entry of it."""
    signed_in.execute("--model", "gpt-5.5")
    cache = json.loads((signed_in.home / "models_cache.json").read_text())
    listed = {model["slug"] for model in cache["models"]}
    catalogue = signed_in.emulator.world.catalogue
    assert listed == {model["slug"] for model in catalogue if serves(model, version)}
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
    done = signed_in.attempt("--model", "gpt-5.5")
    assert done.returncode != 0
    assert "usage limit" in done.stdout
    assert "premium" not in done.stdout, "that is no meter's name"
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
