from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.oauth import claims
from onplan.oauth.credentials import (
    came_from,
    credentials_from,
    error_code,
    is_fresh,
    stated_issuer,
    unknown_client,
)
from onplan.oauth.issuer import CODEX, SIWC
from onplan.oauth.token_response import TokenResponse
from onplan.types import OAuthCredentials

NOW = 1_800_000_000.0
AUTH = "https://api.openai.com/auth"


class TestClaims:
    def test_the_recorded_places(self, jwt):
        """E-mail, account and plan are read where the official client reads them."""
        token = jwt(
            email="a@example.org", exp=5, **{AUTH: {"chatgpt_account_id": "a", "chatgpt_plan_type": "k12"}}
        )

        assert "a@example.org" == claims.email(token)
        assert "a" == claims.account_id(token)
        assert "k12" == claims.plan(token)
        assert 5.0 == claims.expires_at(token)

    def test_the_other_place_of_the_email(self, jwt):
        """Without an e-mail of its own, the token's profile has it."""
        assert "b@example.org" == claims.email(
            jwt(email="", **{"https://api.openai.com/profile": {"email": "b@example.org"}})
        )

    @pytest.mark.parametrize(
        "token",
        [
            None,
            "",
            "opaque",
            "a.b",
            "a.b.c.d",
            "..",
            "a.!!!.c",
            "é.é.é",
            "a.bnVsbA.c",
            "a.W10.c",
            "a.eyJ4Ijo.c",
            "a._w.c",
        ],
    )
    def test_what_is_no_jwt_says_nothing(self, token):
        """A token that cannot be read has no claims, and is no failure."""
        assert {} == claims.read_claims(token)
        assert (None, None, None, None) == (
            claims.email(token),
            claims.account_id(token),
            claims.plan(token),
            claims.expires_at(token),
        )

    @pytest.mark.parametrize(
        "odd", [None, 7, "x", [], {"chatgpt_account_id": 7, "chatgpt_plan_type": None}], ids=str
    )
    def test_claims_of_another_shape_say_nothing(self, jwt, odd):
        """A claim that is not what it should be is not there."""
        token = jwt(email=odd, exp="soon", **{AUTH: odd, "https://api.openai.com/profile": odd})

        assert None is claims.account_id(token) is claims.plan(token) is claims.expires_at(token)

    @given(st.text() | st.builds("a.{}.c".format, st.text()))
    def test_no_text_is_a_failure(self, text):
        """Whatever stands where a token should, reading it does not fail."""
        assert isinstance(claims.read_claims(text), dict)


class TestCredentialsFrom:
    OLD = OAuthCredentials(
        access_token="old-access",
        refresh_token="old-refresh",
        id_token="old-id",
        expires_at=5.0,
        account_id="chosen",
        plan="plus",
        email="a@example.org",
        client_id="old-client",
        issuer="https://old.example.org",
        scopes=["openid"],
    )

    def test_what_the_answer_leaves_out_is_kept(self):
        """An answer of an access token alone refreshes that and keeps everything else."""
        found = credentials_from(TokenResponse(access_token="new", expires_in=60.0), CODEX, NOW, self.OLD)

        assert found == OAuthCredentials(
            **{
                **{name: getattr(self.OLD, name) for name in self.OLD.__struct_fields__},
                "access_token": "new",
                "expires_at": NOW + 60,
            }
        )

    def test_what_the_answer_has_is_taken(self, jwt):
        """Rotated tokens, scopes and a changed plan replace the old ones; the chosen account stays."""
        identity = jwt(**{AUTH: {"chatgpt_plan_type": "pro", "chatgpt_account_id": "other"}})
        found = credentials_from(
            TokenResponse("new", "new-refresh", identity, None, "openid email"), CODEX, NOW, self.OLD
        )

        assert ("new", "new-refresh", identity) == (found.access_token, found.refresh_token, found.id_token)
        assert ("pro", "chosen", ["openid", "email"]) == (found.plan, found.account_id, found.scopes)

    def test_the_token_itself_knows_best_when_it_expires(self, jwt):
        """The ``exp`` claim goes before ``expires_in``; with neither the expiry is unknown."""
        token = jwt(exp=NOW + 9)

        assert NOW + 9 == credentials_from(TokenResponse(token, expires_in=5), CODEX, NOW).expires_at
        assert NOW + 5 == credentials_from(TokenResponse("opaque", expires_in=5), CODEX, NOW).expires_at
        assert credentials_from(TokenResponse("opaque"), CODEX, NOW, self.OLD).expires_at is None

    def test_without_an_access_token_the_old_one_stays(self):
        """An answer that brings only a refresh token keeps the access token, and when that expires."""
        found = credentials_from(TokenResponse(refresh_token="new", expires_in=60.0), CODEX, NOW, self.OLD)

        assert (found.access_token, found.refresh_token, found.expires_at) == ("old-access", "new", 5.0)

    def test_the_first_have_nothing_to_keep(self):
        """Without earlier credentials, client and issuer are those that were asked."""
        found = credentials_from(TokenResponse("new", earliest_refresh_at=7.0), CODEX, NOW)

        assert found == OAuthCredentials(
            access_token="new", client_id=CODEX.client_id, issuer=CODEX.url, earliest_refresh_at=7.0
        )

    def test_an_expiry_that_no_calendar_shows_is_unknown(self):
        """Seconds beyond every calendar are no expiry."""
        assert credentials_from(TokenResponse("new", expires_in=1e300), CODEX, NOW).expires_at is None

    def test_the_account_may_stand_in_the_access_token(self, jwt):
        """Without an ID token, the access token says whose it is."""
        token = jwt(**{AUTH: {"chatgpt_account_id": "a"}})

        assert "a" == credentials_from(TokenResponse(token), CODEX, NOW).account_id


@pytest.mark.parametrize(
    ("kept", "access", "identity", "told"),
    [
        ("https://a.example", "https://b.example", "https://c.example", "https://a.example"),
        (None, "https://b.example/", "https://c.example", "https://b.example"),
        (None, None, "https://c.example", "https://c.example"),
        (None, None, None, CODEX.url),
    ],
    ids=["record", "access token", "ID token", "none"],
)
def test_where_a_credential_came_from(jwt, kept, access, identity, told):
    """The record says it, else the access token, else the ID token; else it is the real issuer's."""
    access_token, identity_token = (jwt(**({"iss": url} if url else {})) for url in (access, identity))
    credentials = OAuthCredentials(access_token=access_token, id_token=identity_token, issuer=kept)

    assert came_from(credentials, CODEX.at("http://127.0.0.1:9")) == told


@pytest.mark.parametrize(
    ("left", "fresh"), [(301.0, True), (300.0, False), (0.0, False), (-60.0, False), (None, True)], ids=str
)
def test_freshness_ends_five_minutes_early(left, fresh):
    """An access token is fresh while it lasts for more than 300 s, or if its end is unknown."""
    expiry = None if left is None else NOW + left

    assert fresh is is_fresh(OAuthCredentials(access_token="t", expires_at=expiry), NOW)


@pytest.mark.parametrize(
    ("left", "allowed_in", "fresh"),
    [
        (100.0, 1.0, True),
        (0.5, 1.0, True),
        (100.0, 0.0, False),
        (100.0, -1.0, False),
        (0.0, 1.0, False),
        (-1.0, 1.0, False),
        (301.0, -1.0, True),
        (100.0, None, False),
    ],
    ids=str,
)
def test_a_token_that_may_not_be_refreshed_yet_is_used_to_its_end(left, allowed_in, fresh):
    """Within the last 300 s a token is fresh if it lasts and may be refreshed only later: expired, never."""
    allowed = None if allowed_in is None else NOW + allowed_in
    held = OAuthCredentials(access_token="t", expires_at=NOW + left, earliest_refresh_at=allowed)

    assert fresh is is_fresh(held, NOW)


def test_the_margin_may_be_another():
    """A smaller margin finds a token fresh for longer."""
    held = OAuthCredentials(access_token="t", expires_at=NOW + 10)

    assert is_fresh(held, NOW, 9.0)
    assert not is_fresh(held, NOW, 10.0)


@pytest.mark.parametrize("issuer", [CODEX, SIWC], ids=["codex", "siwc"])
def test_without_a_word_it_is_the_built_in_issuer_of_its_kind(issuer):
    """Credentials that name no issuer are from the real one of this kind, wherever ONPLAN_ISSUER points."""
    held = OAuthCredentials(access_token="opaque")

    assert stated_issuer(held) is None
    assert came_from(held, issuer.at("http://127.0.0.1:9")) == issuer.url


@pytest.mark.parametrize("url", ["https://x.example/", "https://x.example//", "https://x.exampleX"])
def test_an_issuer_is_named_without_its_last_slash(url):
    """A slash at the end makes no other issuer; a letter does."""
    held = OAuthCredentials(access_token="opaque", issuer=url)

    assert stated_issuer(held) == url.rstrip("/")


@pytest.mark.parametrize(
    ("registered", "again"), [(True, True), (False, False)], ids=["registered", "public"]
)
def test_an_unknown_client_loses_nothing(registered, again):
    """The error says that nothing is lost; only a client that was registered can be given up for another."""
    error = unknown_client(401, registered=registered)

    assert "Nothing is lost" in str(error)
    assert "HTTP 401" in str(error)
    assert error.status_code == 401
    assert "ONPLAN_ISSUER" in error.hint
    assert again is ("onplan logout --force" in error.hint)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "invalid_grant", "error_description": "Gone."}, ("invalid_grant", "Gone.")),
        ({"error": {"code": "Refresh_Token_Reused", "message": "Used."}}, ("refresh_token_reused", "Used.")),
        ({"error": {"type": "server_error", "code": None}}, ("server_error", "")),
        ({"code": "token_expired", "message": "Old."}, ("token_expired", "Old.")),
        ({"error": None, "code": 7}, ("7", "")),
        ({"error": {"type": "A", "code": "B", "message": None}}, ("b", "")),
        ({"error": {"message": 7}}, ("", "7")),
        ({"detail": {"code": "Gone", "message": "No."}}, ("gone", "No.")),
        ({"error": {}, "detail": {"code": "never"}}, ("", "")),
        ({"detail": "Not here."}, ("", "Not here.")),
        ({"detail": ["Not here."]}, ("", "")),
        ({"error": "a", "error_description": "b", "message": "c", "detail": "d"}, ("a", "b")),
        ({"error": "a", "message": "c", "detail": "d"}, ("a", "c")),
        ({}, ("", "")),
        (None, ("", "")),
        (["invalid_grant"], ("", "")),
    ],
    ids=str,
)
def test_an_error_code_is_found_in_any_shape(body, expected):
    """All three shapes of a token endpoint's error give their code, in lower case, and description."""
    assert expected == error_code(body)
