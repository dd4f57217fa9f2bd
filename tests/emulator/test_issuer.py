"""The issuer: as strict as the real one, in the real one's words."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from onplan.emulator import Emulator, Options


def test_authorize_approves_at_once(client):
    """Any HTTP client can play the browser: the answer is a redirect with code, scope and state."""
    reply = client.authorize()
    location = urlsplit(reply.headers["location"])
    query = parse_qs(location.query)
    assert reply.status_code == 302
    assert location.netloc + location.path == "localhost:1455/auth/callback"
    assert set(query) == {"code", "scope", "state"}
    assert query["state"] == ["the-state"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("port", [1455, 1457])
def test_the_registered_redirects_are_accepted(client, host, port):
    """Clients write the redirect with localhost or 127.0.0.1, and one of two ports."""
    uri = f"http://{host}:{port}/auth/callback"
    assert client.authorize(redirect_uri=uri).headers["location"].startswith(uri + "?")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_type", "token"),
        ("client_id", "unknown"),
        ("redirect_uri", "https://localhost:1455/auth/callback"),
        ("redirect_uri", "http://example.com:1455/auth/callback"),
        ("redirect_uri", "http://localhost.example.com:1455/auth/callback"),
        ("redirect_uri", "http://localhost:1455/other"),
        ("redirect_uri", "http://localhost:99999/auth/callback"),
        ("redirect_uri", "http://localhost:1456/auth/callback"),
        ("redirect_uri", "http://127.0.0.1:54321/auth/callback"),
        ("redirect_uri", "http://localhost/auth/callback"),
        ("redirect_uri", "http://user@localhost:1455/auth/callback"),
        ("code_challenge", "too-short"),
        ("code_challenge", "=" * 43),
        ("code_challenge_method", "plain"),
        ("state", ""),
        ("scope", "profile"),
        *((name, None) for name in ("response_type", "client_id", "redirect_uri", "code_challenge", "state")),
    ],
)
def test_authorize_is_strict(client, name, value):
    """A wrong or missing parameter is a page that names it, never a redirect."""
    reply = client.authorize(**{name: value})
    assert reply.status_code == 400
    assert f"The parameter {name} " in reply.text
    assert "location" not in reply.headers


def test_authorize_refuses_a_parameter_sent_twice(client):
    """RFC 6749, section 3.1."""
    reply = client.get("/oauth/authorize?state=a&state=b")
    assert (reply.status_code, "more than once" in reply.text) == (400, True)


def test_a_code_becomes_tokens_that_are_signed(client):
    """ID and access token are RS256, verifiable with the JWKS, and carry the claims of the notes."""
    tokens = client.exchange(*client.approved()).json()
    keys = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    claims = {}
    for name, audience in (
        ("id_token", "app_EMoamEEZ73f0CkXaXp7hrann"),
        ("access_token", "https://api.openai.com/v1"),
    ):
        key = keys[jwt.get_unverified_header(tokens[name])["kid"]]
        claims[name] = jwt.decode(
            tokens[name], key.key, algorithms=["RS256"], audience=audience, issuer=client.emulator.issuer
        )
    auth = claims["id_token"]["https://api.openai.com/auth"]
    assert claims["id_token"]["email"] == "person@example.com"
    assert (auth["chatgpt_plan_type"], auth["chatgpt_account_id"]) == ("plus", "acct-emulated-0001")
    assert claims["access_token"]["exp"] - claims["access_token"]["iat"] == tokens["expires_in"] == 864_000
    assert {"client_id", "jti", "https://api.openai.com/profile"} <= set(claims["access_token"])
    assert set(tokens) == {"id_token", "access_token", "refresh_token", "token_type", "expires_in", "scope"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "x" * 64}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:1455/auth/callback"}, "invalid_grant"),
        ({"client_id": "app_other"}, "invalid_grant"),
        ({"code": "ac_unknown"}, "invalid_grant"),
        ({"code": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_the_exchange_is_strict(client, changes, error):
    """PKCE is verified, redirect and client are compared, nothing is optional."""
    reply = client.exchange(*client.approved(), **changes)
    assert (reply.status_code, reply.json()["error"]) == (400, error)
    assert reply.json()["error_description"]


def test_a_code_is_good_once(client):
    """Also when the first exchange failed."""
    first, second = client.approved(), client.approved()
    assert client.exchange(*first).status_code == 200
    assert client.exchange(second[0], "x" * 64).status_code == 400
    assert [client.exchange(*pair).json()["error"] for pair in (first, second)] == ["invalid_grant"] * 2


def test_the_exchange_is_a_form(client):
    """The code exchange in JSON is refused, as forms are what the specification has."""
    code, verifier = client.approved()
    reply = client.post(
        "/oauth/token", {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
    )
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


def test_there_is_no_api_key_to_be_had(client):
    """The token exchange answers as it does for an account without an organisation."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": "app_x",
        "requested_token": "openai-api-key",
        "subject_token": "t",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    }
    reply = client.http.post(f"{client.emulator.issuer}/oauth/token", data=form)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_subject_token")


def test_refresh_tokens_rotate_and_are_single_use(client):
    """The second use is refused in the service's words; the new token still works."""
    old = client.emulator.issue_tokens()["refresh_token"]
    new = client.refresh(old).json()["refresh_token"]
    reused = client.refresh(old)
    assert (reused.status_code, reused.json()["error"]["code"]) == (401, "refresh_token_reused")
    assert set(reused.json()["error"]) == {"message", "type", "param", "code"}
    assert client.refresh(new).status_code == 200


def test_a_refresh_may_be_a_form(client):
    """JSON is what the official client sends, a form what RFC 6749 has."""
    form = {
        "grant_type": "refresh_token",
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "refresh_token": client.emulator.issue_tokens()["refresh_token"],
    }
    assert client.http.post(f"{client.emulator.issuer}/oauth/token", data=form).status_code == 200


@pytest.mark.parametrize("changes", [{"refresh_token": "rt_unknown"}, {"client_id": "app_other"}])
def test_strangers_do_not_refresh(client, changes):
    """An unknown token, or another client's, is invalid_grant."""
    reply = client.refresh(client.emulator.issue_tokens()["refresh_token"], **changes)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


def test_reuse_can_sign_the_family_out(connect):
    """With revoke-family one re-use kills the newest refresh token and every access token of the sign-in."""
    with Emulator(Options(reuse="revoke-family")) as emulator:
        client = connect(emulator)
        old = emulator.issue_tokens()["refresh_token"]
        new = client.refresh(old).json()
        headers = client.headers(authorization=f"Bearer {new['access_token']}")
        assert client.turn(headers=headers).status_code == 200
        assert client.refresh(old).json()["error"]["code"] == "refresh_token_reused"
        dead = client.refresh(new["refresh_token"])
        assert (dead.status_code, dead.json()["error"]["code"]) == (401, "refresh_token_invalidated")
        assert client.turn(headers=headers).status_code == 401
        assert client.turn().status_code == 200, "another sign-in is not touched"


def test_revoking_signs_out_and_is_always_200(client):
    """RFC 7009, section 2.2: unknown tokens too."""
    tokens = client.emulator.issue_tokens()
    assert client.post("/oauth/revoke", {"token": "unknown"}).status_code == 200
    assert client.post("/oauth/revoke", {"token": tokens["refresh_token"]}).status_code == 200
    assert client.refresh(tokens["refresh_token"]).json()["error"]["code"] == "refresh_token_invalidated"
    assert (
        client.turn(headers=client.headers(authorization=f"Bearer {tokens['access_token']}")).status_code
        == 401
    )
    assert client.post("/oauth/revoke", {}).status_code == 400


def start_device(client):
    started = client.post("/api/accounts/deviceauth/usercode", {"client_id": "app_custom"}).json()
    return started, {name: started[name] for name in ("device_auth_id", "user_code")}


def test_device_sign_in(client):
    """A string for an interval, 403 while pending, then a code with the PKCE pair the server made."""
    started, poll = start_device(client)
    assert isinstance(started["interval"], str)
    replies = [client.post("/api/accounts/deviceauth/token", poll) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [403, 200, 403]
    assert replies[0].json()["error"]["code"] == "deviceauth_authorization_unknown"
    given = replies[1].json()
    tokens = client.exchange(
        given["authorization_code"],
        given["code_verifier"],
        client_id="app_custom",
        redirect_uri=f"{client.emulator.issuer}/deviceauth/callback",
    )
    assert tokens.status_code == 200


@pytest.mark.parametrize("public_url", ["https://auth.example.com", "https://auth.example.com/"])
def test_device_sign_in_behind_another_address(connect, public_url):
    """The exchange names the issuer as its clients know it, whatever Host the proxy in front passes on."""
    with Emulator(Options(public_url=public_url)) as emulator:
        client = connect(emulator)
        _, poll = start_device(client)
        _, approved = (client.post("/api/accounts/deviceauth/token", poll) for _ in range(2))
        given = approved.json()
        tokens = client.exchange(
            given["authorization_code"],
            given["code_verifier"],
            client_id="app_custom",
            redirect_uri="https://auth.example.com/deviceauth/callback",
        )
        assert tokens.status_code == 200
        assert client.get("/.well-known/openid-configuration").json()["issuer"] == "https://auth.example.com"


def test_device_sign_in_needs_a_known_client(client):
    """Anything but an app_ id is refused."""
    assert client.post("/api/accounts/deviceauth/usercode", {"client_id": "x"}).status_code == 400


def test_a_person_can_decide(connect):
    """On pages with buttons: declined is access_denied, pages are escaped and good once."""
    with Emulator(Options(interactive=True)) as emulator:
        client = connect(emulator)

        def decide(decision):
            page = client.authorize(scope="openid <script>").text
            assert "&lt;script&gt;" in page
            assert "<script>" not in page
            handle = page.partition('name="request" value="')[2].partition('"')[0]
            form = {"request": handle, "decision": decision}
            return [client.http.post(f"{emulator.issuer}/oauth/authorize", data=form) for _ in range(2)]

        declined, again = decide("decline")
        assert "error=access_denied" in declined.headers["location"]
        assert again.status_code == 400
        assert "code=" in decide("approve")[0].headers["location"]

        started, poll = start_device(client)
        pending = [client.post("/api/accounts/deviceauth/token", poll).status_code for _ in range(3)]
        assert pending == [403, 403, 403]
        assert 'name="user_code"' in client.get("/codex/device").text
        for typed, status in (("WRONG", 400), (started["user_code"].lower(), 200)):
            page = client.http.post(f"{emulator.issuer}/codex/device", data={"user_code": typed})
            assert page.status_code == status
        assert client.post("/api/accounts/deviceauth/token", poll).status_code == 200


def test_discovery_names_the_endpoints(client):
    """OpenID Connect Discovery: every endpoint named is on this issuer."""
    document = client.get("/.well-known/openid-configuration").json()
    endpoints = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert document["issuer"] == client.emulator.issuer
    assert all(endpoint.startswith(document["issuer"]) for endpoint in endpoints)
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
