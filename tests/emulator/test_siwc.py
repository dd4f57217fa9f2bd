"""Sign in with ChatGPT, played strictly: registration, consent, tokens, keys, the API, and every fault."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from urllib.parse import parse_qsl, urlsplit

import httpx2
import jwt
import pytest

from onplan.emulator import Emulator, Options
from onplan.emulator.faults.register import FAULTS

CALLBACK = "http://127.0.0.1:4711/auth/callback"
RESOURCE = "https://api.openai.com/v1"
SCOPE = "openid profile email offline_access resource.invoke chatgpt.tokens.use.direct"
HOST = "urn:uuid:3f0c2c1e-8d0f-4f0e-9f1b-2b6d7f3a9c11"
BROKEN = httpx2.RemoteProtocolError, httpx2.ReadError


def decoded(text):
    """The events of a stream."""
    return [json.loads(frame.partition("\ndata: ")[2]) for frame in text.split("\n\n") if frame]


class Agent:
    """A program that signs a person in; knows the requests, judges nothing."""

    def __init__(self, emulator, http):
        self.emulator, self.http = emulator, http
        self.verifier = secrets.token_urlsafe(64)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def authorize(self, client_id="dynamic_agent_client", **changes):
        name = {"agent_name_hint": "Tester"} if client_id == "dynamic_agent_client" else {}
        query = {
            "client_id": client_id,
            **name,
            "ext_agent_host_id": HOST,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": SCOPE,
            "resource": RESOURCE,
            "state": "the-state",
            "nonce": "the-nonce",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        url = f"{self.emulator.issuer}/api/accounts/authorize"
        return self.http.get(url, params={k: v for k, v in query.items() if v is not None})

    def callback(self, *arguments, **changes):
        reply = self.authorize(*arguments, **changes)
        assert reply.status_code == 302, reply.text
        return dict(parse_qsl(urlsplit(reply.headers["location"]).query))

    def token(self, **form):
        form = {k: v for k, v in {"resource": RESOURCE, **form}.items() if v is not None}
        return self.http.post(f"{self.emulator.issuer}/api/accounts/oauth/token", data=form)

    def exchange(self, callback, **changes):
        known = {"client_id": callback.get("client_id", ""), "code": callback["code"]}
        grant = {"grant_type": "authorization_code", "code_verifier": self.verifier}
        return self.token(**grant, **{**known, "redirect_uri": CALLBACK, **changes})

    def refresh(self, tokens, client_id, **changes):
        fields = {"client_id": client_id, "refresh_token": tokens["refresh_token"], **changes}
        return self.token(grant_type="refresh_token", **fields)

    def signed_in(self, **changes):
        callback = self.callback(**changes)
        return callback, self.exchange(callback).json()

    def ask(self, token, /, **changes):
        said = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
        body = {"model": "gpt-5.5", "input": said, "store": False, "stream": True, **changes}
        body = {name: value for name, value in body.items() if value is not ...}
        url, headers = f"{self.emulator.plan_base_url}/responses", {"authorization": f"Bearer {token}"}
        return self.http.post(url, json=body, headers=headers)

    def get(self, path, token):
        headers = {"authorization": f"Bearer {token}"}
        return self.http.get(f"{self.emulator.plan_base_url}/{path}", headers=headers)

    def published(self):
        return self.http.get(f"{self.emulator.issuer}/.well-known/jwks.json").json()["keys"]


@pytest.fixture
def agent(emulator, http):
    emulator.consent()
    return Agent(emulator, http)


def verified(agent, token, client_id):
    """The claims, as a library of others verifies them."""
    kid = jwt.get_unverified_header(token)["kid"]
    (key,) = [key for key in agent.published() if key["kid"] == kid]
    return jwt.decode(token, jwt.PyJWK(key), algorithms=["RS256"], audience=client_id)


class TestSigningIn:
    def test_a_client_is_registered_on_the_way(self, agent):
        """The callback has the issued id; the ID token is for it, with the nonce, and verifies."""
        callback, tokens = agent.signed_in()

        assert callback["client_id"].startswith("oaiapp_")
        assert set(callback["scope"].split()) == set(SCOPE.split())
        claims = verified(agent, tokens["id_token"], callback["client_id"])
        assert (claims["aud"], claims["nonce"]) == ([callback["client_id"]], "the-nonce")
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == 3600
        assert tokens["earliest_refresh_at"] is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"agent_name_hint": None},
            {"ext_agent_host_id": "urn:uuid:not-one"},
            {"redirect_uri": "http://localhost:4711/auth/callback"},
            {"redirect_uri": "http://127.0.0.1:4711/callback"},
            {"resource": "https://example.com"},
            {"nonce": None},
            {"state": ""},
            {"code_challenge_method": "plain"},
            {"code_challenge": "short"},
            {"id_token_hint": "x"},
            {"prompt": "consent"},
            {"client_id": "oaiapp_unknown", "agent_name_hint": None},
        ],
        ids=str,
    )
    def test_a_wrong_request_is_a_page(self, agent, changes):
        """What is missing or wrong ends at a page; nothing is redirected."""
        assert agent.authorize(**changes).status_code == 400

    def test_the_host_need_not_be_named(self, agent):
        """Released clients leave `ext_agent_host_id` out; one that is sent has one of the three forms."""
        assert agent.authorize(ext_agent_host_id=None).status_code == 302
        assert agent.authorize(ext_agent_host_id="").status_code == 400

    def test_identity_alone_is_for_others(self, agent):
        """The dynamic client asks for the complete set of scopes, or is no client."""
        assert agent.callback(scope="openid profile email")["error"] == "invalid_client"

    def test_a_client_returns(self, agent):
        """With its id, without a name, perhaps with hints that are its own."""
        callback, tokens = agent.signed_in()
        client_id = callback["client_id"]

        assert agent.callback(client_id)["client_id"] == client_id
        hinted = {"id_token_hint": tokens["id_token"], "login_hint": "person@example.com"}
        assert agent.callback(client_id, **hinted)["code"]
        for wrong in ({"agent_name_hint": "x"}, {"id_token_hint": "x"}, {"login_hint": "a@b.c"}):
            assert agent.authorize(client_id, **wrong).status_code == 400

    def test_consent_is_kept_until_it_is_asked_for_again(self, agent):
        """A plan that was declined stays off without prompt=consent."""
        agent.emulator.consent(plan=False)
        callback, tokens = agent.signed_in()
        agent.emulator.consent()
        client_id = callback["client_id"]

        assert "chatgpt.tokens.use.direct" not in tokens["scope"]
        assert "chatgpt.tokens.use.direct" not in agent.callback(client_id)["scope"]
        assert "chatgpt.tokens.use.direct" in agent.callback(client_id, prompt="consent")["scope"]
        refused = agent.ask(tokens["access_token"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            403,
            "chatpass_v2_scope_not_authorized",
        )

    def test_the_control_says_what_people_answer(self, agent):
        """/_emulator/consent declines, until it is taken back."""
        url = f"{agent.emulator.issuer}/_emulator/consent"
        assert agent.http.post(url, json={"decline": True}).json()["decline"] is True
        assert agent.callback()["error"] == "access_denied"
        assert agent.http.post(url, json={"nonsense": 1}).status_code == 400
        agent.http.delete(url)
        assert agent.callback()["code"]

    def test_the_page_asks(self, http):
        """--interactive shows the name, the workspaces and the plan; what is chosen there counts."""
        with Emulator(Options(interactive=True)) as emulator:
            agent = Agent(emulator, http)
            shown = agent.authorize().text
            assert "Tester" in shown
            assert "Personal" in shown
            assert "Team" in shown
            handle = shown.partition('name="request" value="')[2].partition('"')[0]
            answer = {"request": handle, "workspace": "Team", "decision": "approve"}
            decided = http.post(f"{emulator.issuer}/api/accounts/authorize", data=answer)
            granted = dict(parse_qsl(urlsplit(decided.headers["location"]).query))
            assert "chatgpt.tokens.use.direct" not in granted["scope"]
            assert emulator.world.registry.clients[granted["client_id"]].workspace == "Team"

    def test_the_page_asks_only_what_is_open(self, http):
        """Who returns has a workspace, and a consent unless it is asked for again; a hint skips the page."""
        with Emulator(Options(interactive=True)) as emulator:
            agent = Agent(emulator, http)
            issued = emulator.issue_plan_tokens()
            client_id, hint = issued["client_id"], {"id_token_hint": issued["id_token"]}

            assert 'name="plan"' not in agent.authorize(client_id).text
            again = agent.authorize(client_id, prompt="consent", **hint).text
            assert 'name="plan"' in again
            assert "Personal" not in again
            assert "chatgpt.tokens.use.direct" in agent.callback(client_id, **hint)["scope"]


class TestTokens:
    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"redirect_uri": "http://127.0.0.1:4712/auth/callback"}, "invalid_grant"),
            ({"code_verifier": "v" * 43}, "invalid_grant"),
            ({"code": "ac_other"}, "invalid_grant"),
            ({"client_id": "oaiapp_other"}, "invalid_client"),
            ({"resource": None}, "invalid_request"),
            ({"resource": "https://example.com"}, "invalid_target"),
        ],
        ids=str,
    )
    def test_a_wrong_exchange_is_refused(self, agent, changes, code):
        """Each binding of the code is checked, and the code is gone afterwards."""
        callback = agent.callback()
        grant = {"client_id": callback["client_id"], "code": callback["code"], "redirect_uri": CALLBACK}
        form = {"grant_type": "authorization_code", "code_verifier": agent.verifier, **grant, **changes}

        assert agent.token(**form).json()["error"] == code

    def test_a_refresh_token_is_good_for_one_use(self, agent):
        """It rotates; its re-use, a scope, and another client's id are refused."""
        callback, tokens = agent.signed_in()
        client_id = callback["client_id"]
        other = agent.callback()["client_id"]

        assert agent.refresh(tokens, other).json()["error"] == "invalid_grant"
        assert agent.refresh(tokens, client_id, scope=SCOPE).json()["error"] == "invalid_scope"
        refreshed = agent.refresh(tokens, client_id).json()
        assert refreshed["refresh_token"] != tokens["refresh_token"]
        assert "nonce" not in verified(agent, refreshed["id_token"], client_id)
        assert agent.refresh(tokens, client_id).json()["error"] == "refresh_token_reused"

    def test_a_body_is_a_form(self, agent):
        """JSON, which the Codex route takes, is refused here."""
        url = f"{agent.emulator.issuer}/api/accounts/oauth/token"
        assert agent.http.post(url, json={"grant_type": "refresh_token"}).json()["error"] == "invalid_request"

    def test_revoking_ends_the_session_and_not_the_client(self, agent):
        """Discovery names the endpoint; it answers 200 and nothing, also for a token that is dead."""
        callback, tokens = agent.signed_in()
        told = agent.http.get(f"{agent.emulator.issuer}/.well-known/openid-configuration").json()
        form = {"token": tokens["refresh_token"], "token_type_hint": "refresh_token"}

        def end(client_id):
            return agent.http.post(told["revocation_endpoint"], data={**form, "client_id": client_id})

        assert end(agent.callback()["client_id"]).status_code == 400  # another client's
        for _ in range(2):
            ended = end(callback["client_id"])
            assert (ended.status_code, ended.text) == (200, "")

        assert agent.refresh(tokens, callback["client_id"]).json()["error"] == "refresh_token_invalidated"
        assert agent.ask(tokens["access_token"]).status_code == 401
        assert agent.callback(callback["client_id"])["code"]

    def test_keys_rotate(self, http):
        """The old key stays published until it is forgotten; the new one signs."""
        with Emulator(Options()) as emulator:
            agent = Agent(emulator, http)
            before = [key["kid"] for key in agent.published()]
            assert len(before) > 1
            url = f"{emulator.issuer}/_emulator/tokens"
            http.post(url, json={"rotate_keys": True})
            assert [key["kid"] for key in agent.published()][:-1] == before
            callback, tokens = agent.signed_in()
            assert verified(agent, tokens["id_token"], callback["client_id"])
            http.post(url, json={"forget_old_keys": True})
            assert len(agent.published()) == 1


class TestTheAPI:
    def test_a_turn(self, agent):
        """A stream without Content-Type, with phases, whose last event repeats nothing."""
        _, tokens = agent.signed_in()
        reply = agent.ask(tokens["access_token"])
        events = decoded(reply.text)

        assert "content-type" not in reply.headers
        assert reply.headers["x-oai-request-id"]
        assert events[-1]["response"]["output"] == []
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done[-1]["phase"] == "final_answer"

    @pytest.mark.parametrize(
        ("changes", "status", "fragment"),
        [
            ({"store": ...}, 400, "Store must be set to false"),
            ({"stream": False}, 400, "Stream must be set to true"),
            ({"input": "hi"}, 422, "list_type"),
            ({"service_tier": "flex"}, 400, "Unsupported service_tier: flex"),
            ({"model": "gpt-0"}, 400, '"param":"model"'),
            ({"tools": [{"type": "image_generation"}]}, 400, '"param":"tools"'),
            ({"input": [{"role": "system", "content": "x"}]}, 400, '"param":"input"'),
            ({"input": [{"type": "compaction_trigger"}]}, 400, '"param":"input"'),
            *(
                ({name: 1}, 400, f'"param":"{name}"')
                for name in (
                    *("background", "conversation", "max_output_tokens", "max_tool_calls", "metadata"),
                    *("moderation", "multi_agent", "prompt", "prompt_cache_retention", "safety_identifier"),
                    *("temperature", "top_logprobs", "top_p", "truncation", "user", "previous_response_id"),
                )
            ),
        ],
        ids=str,
    )
    def test_what_it_lacks_is_refused(self, agent, changes, status, fragment):
        """With the bodies of the notes; what was documented as unsupported names its parameter."""
        _, tokens = agent.signed_in()
        reply = agent.ask(tokens["access_token"], **changes)

        assert (reply.status_code, fragment in reply.text) == (status, True), reply.text
        if "param" in fragment:
            assert reply.json()["error"]["code"] == "subscription_sharing_unsupported_capability"

    @pytest.mark.parametrize("place", ["tools", "input"])
    def test_a_call_names_its_namespace(self, agent, place):
        """Tools may be grouped, and may stand inside the input; flat ones have no namespace."""
        _, tokens = agent.signed_in()
        tool = {"type": "function", "name": "look", "parameters": None, "strict": None}
        grouped = {"type": "namespace", "name": "app", "description": "Mine.", "tools": [tool]}
        said = [{"role": "user", "content": "hi"}]
        calls = []
        for offered in ([grouped], [tool]):
            inside = [{"type": "additional_tools", "role": "developer", "tools": offered}]
            body = {"tools": offered} if place == "tools" else {"input": [*inside, *said]}
            reply = agent.ask(tokens["access_token"], **body)
            done = [event["item"] for event in decoded(reply.text) if event["type"].endswith("item.done")]
            calls += [(item["name"], item.get("namespace")) for item in done if "arguments" in item]

        assert calls == [("look", "app"), ("look", None)]

    def test_what_is_not_kept_cannot_be_referred_to(self, agent):
        """An item reference is an item, but nothing is stored."""
        _, tokens = agent.signed_in()
        refused = agent.ask(tokens["access_token"], input=[{"type": "item_reference", "id": "msg_1"}])
        assert "Items are not persisted when `store` is set to false." in refused.json()["error"]["message"]

    def test_tokens_are_for_one_route(self, agent, client):
        """Neither a Codex token nor an API key is taken here, nor one from here there."""
        _, tokens = agent.signed_in()

        assert agent.ask("sk-key").status_code == 401
        assert agent.ask(client.emulator.issue_tokens()["access_token"]).status_code == 401
        headers = client.headers(authorization=f"Bearer {tokens['access_token']}")
        assert client.turn(headers=headers).status_code == 401

    def test_there_is_nothing_else(self, agent):
        """Other routes and methods are refused as such; the catalogue shows hidden models as well."""
        _, tokens = agent.signed_in()
        for path in ("chat/completions", "files", "responses"):
            refused = agent.get(path, tokens["access_token"])
            assert refused.status_code == 403
            assert refused.json()["error"]["code"] == "subscription_sharing_route_not_supported"
        models = agent.get("models", tokens["access_token"]).json()["models"]
        assert {model["visibility"] for model in models} == {"list", "hide"}


SIWC = {name: fault for name, fault in FAULTS.items() if name.startswith("siwc_")}


def asked(agent, endpoint, **changes):
    """The ordinary request to an endpoint; `changes` to that of an authorization."""
    callback = {} if endpoint == "siwc_authorize" else agent.callback()
    issued = agent.emulator.issue_plan_tokens()
    requests = {
        "siwc_authorize": lambda: agent.authorize(**changes),
        "siwc_token:authorization_code": lambda: agent.exchange(callback),
        "siwc_token:refresh_token": lambda: agent.refresh(issued, issued["client_id"]),
        "plan_models": lambda: agent.get("models", issued["access_token"]),
        "plan_responses": lambda: agent.ask(issued["access_token"]),
        "siwc_revoke": lambda: agent.http.post(
            f"{agent.emulator.issuer}/api/accounts/oauth/revoke", data={"token": "t", "client_id": "c"}
        ),
        "jwks": lambda: agent.http.get(f"{agent.emulator.issuer}/.well-known/jwks.json"),
    }
    return requests[endpoint]


def is_as_ever(agent, endpoint, reply):
    """Whether nothing is wrong with it."""
    if endpoint == "siwc_authorize":
        query = dict(parse_qsl(urlsplit(reply.headers.get("location", "")).query))
        return query.get("client_id") in agent.emulator.world.registry.clients and "iss" not in query
    if reply.status_code != 200:
        return False
    if endpoint == "plan_responses":
        return "response.completed" in reply.text
    if endpoint.startswith("siwc_token"):
        return is_genuine(agent, reply.json(), nonce="the-nonce" if "code" in endpoint else None)
    return True


def is_genuine(agent, tokens, nonce):
    """Whether a token response is whole, and its ID token what it should be."""
    told = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    try:
        claims = verified(agent, tokens["id_token"], told["client_id"])
    except (jwt.PyJWTError, KeyError, ValueError):
        return False
    right = {"iss": agent.emulator.issuer, "sub": "user-emulated-0001", "aud": [told["client_id"]]}
    whole = {"scope"} <= set(tokens) and {"exp"} <= set(claims) and "azp" not in claims
    return whole and claims.get("nonce") == nonce and right.items() <= claims.items()


@pytest.mark.parametrize(
    ("name", "endpoint"), [(name, where) for name, fault in SIWC.items() for where in fault.where]
)
def test_faults_happen_once_and_where_they_should(agent, name, endpoint):
    """What is armed goes wrong, once; the next request to that endpoint is answered as ever."""
    unnamed = {"ext_agent_host_id": None} if name == "siwc_host_id_required" else {}
    request = asked(agent, endpoint, **unnamed)
    agent.emulator.arm(name)
    if SIWC[name].after and name == "siwc_token_lost":
        with pytest.raises(BROKEN):
            request()
    else:
        assert not is_as_ever(agent, endpoint, request())
    assert agent.emulator.world.faults.armed() == {}
    assert is_as_ever(agent, endpoint, asked(agent, endpoint)())
