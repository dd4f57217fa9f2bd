"""What the sign-in service, or something in front of it, says beyond OAuth: told alike at every step."""

from __future__ import annotations

import json

import pytest

from onplan.answers.firewall import is_page, refused_by_firewall
from onplan.errors import RefreshError, RefreshOutcomeUnknownError, SignInAgainError, SignInError
from onplan.flow import Response, drive
from onplan.oauth.authorization_code import Callback, exchange, require_granted
from onplan.oauth.credentials import error_code
from onplan.oauth.device_code import DeviceAuthorization, poll, request_code
from onplan.oauth.issuer import CODEX
from onplan.oauth.refresh import refresh
from onplan.oauth.refusals import refusal_in, refusal_named
from onplan.types import OAuthCredentials

NOW = 1_800_000_000.0
WAITING = DeviceAuthorization(
    verification_uri="https://x/codex/device",
    user_code="ABCD-12345",
    device_auth_id="secret-id",
    interval=5.0,
    expires_at=NOW + 900,
)


def answer(status, body=b"", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


CHALLENGE = answer(
    403,
    b"<!DOCTYPE html><title>Just a moment...</title>",
    content_type="text/html; charset=UTF-8",
    cf_mitigated="challenge",
    server="cloudflare",
    cf_ray="8f00",
)
FIREWALLS = {
    "challenge": CHALLENGE,
    "page": answer(403, b"<html><body>blocked"),
    "page after a byte order mark": answer(403, b"\xef\xbb\xbf\r\n <!doctype html>"),
    "page by its type": answer(403, b"Access denied", content_type="text/html"),
    "plain text": answer(403, b"error code: 1010", content_type="text/plain; charset=UTF-8"),
    "plain text with a line end": answer(403, b"error code: 1020\n"),
    "mitigated without a body": answer(403, cf_mitigated="block", server="cloudflare"),
    "problem+json": answer(403, {"type": "https://developers.cloudflare.com/x", "error_code": 1010}),
    "empty by Cloudflare": answer(403, server="cloudflare"),
    "another firewall's text": answer(403, b"Access Denied", server="AkamaiGHost"),
    "mitigated with another status": answer(503, b"<html>", cf_mitigated="challenge"),
}
# An empty answer to a poll, and a 5xx, have their own meanings.
STAYING = [
    (name, response)
    for name, response in FIREWALLS.items()
    if response.status < 500 and name != "empty by Cloudflare"
]
PAGES = {
    "portal": answer(200, b"<html>Log in to the Wi-Fi"),
    "gateway": answer(502, b"<html><title>502"),
    "redirect": answer(302, b"<html>moved", location="https://portal.example"),
}
WORDS = {
    "region": (
        answer(
            403,
            {
                "error": {
                    "code": "unsupported_country_region_territory",
                    "message": "Country, region, or territory not supported",
                    "param": None,
                    "type": "request_forbidden",
                }
            },
        ),
        "country or region",
        False,
    ),
    "region in words": (
        answer(403, {"detail": "Country or region not supported"}),
        "country or region",
        False,
    ),
    "deactivated": (answer(402, {"detail": {"code": "deactivated_workspace"}}), "deactivated", True),
    "deactivated in words": (answer(403, {"detail": "This workspace was deactivated"}), "deactivated", True),
    "not chosen": (answer(403, {"detail": {"code": "invalid_workspace_selected"}}), "was chosen", True),
    "not chosen, as an error": (
        answer(403, {"error": {"code": "invalid_workspace_selected"}}),
        "was chosen",
        True,
    ),
    "restricted": (answer(403, {"error": "workspace_restriction"}), "may not be used", True),
    "no Codex": (answer(403, {"error": "codex_cli_workspace_disabled"}), "not enabled", True),
    "account": (answer(403, {"error": {"code": "account_deactivated", "message": "x"}}), "account", True),
}
# What is none of these, and keeps its own meaning.
PLAIN = {
    "pending": answer(403, {"error": {"code": "deviceauth_authorization_pending"}}),
    "unknown pending": answer(403, {"error": {"code": "deviceauth_authorization_unknown", "message": "?"}}),
    "empty": answer(403),
    "empty by Cloudflare, in front of everything there": answer(404, server="cloudflare"),
    "rejected": answer(400, {"error": "invalid_grant", "error_description": "expired"}),
    "other text": answer(500, b"upstream connect error"),
    "JSON that says it is a page": answer(400, {"error": "x"}, content_type="text/html"),
}
PAIRS = [
    *((name, response, "firewall") for name, response in FIREWALLS.items()),
    *((name, response, words) for name, (response, words, _) in WORDS.items()),
]
every_refusal = pytest.mark.parametrize(
    ("response", "words"),
    [(response, words) for _, response, words in PAIRS],
    ids=[name for name, _, _ in PAIRS],
)


def run(flow, *answers):
    """What comes of a flow; the last answer is given again and again. Also how many were asked for."""
    left, asked = list(answers), []

    def send(request):
        asked.append(request)
        return left.pop(0) if len(left) > 1 else left[0]

    def outcome():
        try:
            return drive(flow, send, lambda seconds: None)
        except (SignInError, SignInAgainError, RefreshError) as error:
            return error

    return outcome(), asked


@pytest.mark.parametrize("response", FIREWALLS.values(), ids=FIREWALLS)
def test_a_firewall_is_recognised(response):
    """By Cloudflare's header, a page with 403, or its line of text."""
    assert refused_by_firewall(response, response.json())


@pytest.mark.parametrize("response", [*PLAIN.values(), *PAGES.values()], ids=[*PLAIN, *PAGES])
def test_other_answers_are_no_firewall_s(response):
    """Nothing else is taken for one: neither an empty answer, nor another page."""
    assert not refused_by_firewall(response, response.json())


@pytest.mark.parametrize("response", PAGES.values(), ids=PAGES)
def test_another_page_is_one(response):
    """A portal's page is a page, whatever its status."""
    assert is_page(response)
    assert "web page" in refusal_in(response).sentence


@pytest.mark.parametrize("response", PLAIN.values(), ids=PLAIN)
def test_what_oauth_says_is_left_to_oauth(response):
    """A refusal in OAuth's own terms is none of these."""
    assert refusal_in(response) is None


@pytest.mark.parametrize(
    ("codes", "words", "ends"),
    [
        (
            ("unsupported_country_region_territory", "unsupported_country", "unsupported_region"),
            "country or region",
            False,
        ),
        (("deactivated_workspace", "workspace_deactivated"), "workspace has been deactivated", True),
        (("invalid_workspace_selected",), "was chosen", True),
        (("workspace_restriction",), "may not be used here", True),
        (("codex_cli_workspace_disabled", "missing_codex_entitlement"), "Codex is not enabled", True),
        (("account_deactivated", "user_deactivated", "account_deleted"), "account has been", True),
    ],
)
def test_every_code_has_its_sentence(codes, words, ends):
    """What a code means, whatever the service says beside it; and no code like it means the same."""
    for code in codes:
        found = refusal_named(code, "Something else.")
        assert found
        assert words in found.sentence
        assert (found.ends_sign_in, bool(found.hint)) == (ends, True)
        assert refusal_named(f"{code}_soon") is None


@every_refusal
def test_it_is_told_when_a_code_is_asked_for(response, words):
    """The device code's first request ends with what was refused, and with what to do."""
    error, _ = run(request_code(CODEX, lambda: NOW), response)

    assert words in str(error)
    assert (response.status, "onplan login` to try again" in error.hint) == (error.status_code, False)


@every_refusal
def test_it_is_told_when_a_code_is_exchanged(response, words):
    """So does the exchange of an authorization code."""
    error, _ = run(exchange(CODEX, "secret-code", "secret-verifier", "http://x", lambda: NOW), response)

    assert words in str(error)
    assert response.status == error.status_code


@pytest.mark.parametrize(("response", "words", "ends"), WORDS.values(), ids=WORDS)
def test_a_refusal_in_words_ends_the_polls(response, words, ends):
    """A 403 that names region, workspace or account is no "not yet": the first one ends the sign-in."""
    error, asked = run(poll(CODEX, WAITING, lambda: NOW), response)

    assert isinstance(error, SignInError)
    assert words in str(error)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "response",
    [*(response for _, response in STAYING), PAGES["portal"]],
    ids=[*(name for name, _ in STAYING), "portal"],
)
def test_a_page_ends_the_polls_after_ten_in_a_row(response):
    """A firewall may let the next poll through; one that stays is told after ten, at the usual pace."""
    error, asked = run(poll(CODEX, WAITING, lambda: NOW), response)

    assert isinstance(error, SignInError)
    assert "firewall" in str(error) or "web page" in str(error)
    assert [request.after for request in asked] == [0.0, *[5.0] * 9]


def test_a_page_between_polls_is_lived_through():
    """Nine pages and a "not yet" are forgotten when the code is approved."""
    granted = answer(200, {"authorization_code": "c", "code_verifier": "v"})
    tokens = answer(200, {"access_token": "a", "refresh_token": "r"})
    answers = [*[CHALLENGE] * 9, PLAIN["pending"], *[CHALLENGE] * 9, granted, tokens]

    credentials, _ = run(poll(CODEX, WAITING, lambda: NOW), *answers)

    assert credentials.refresh_token == "r"


@pytest.mark.parametrize(
    "response",
    [
        answer(404, b"<html>not yet"),
        answer(404),
        answer(403),
        answer(403, server="cloudflare"),
        PLAIN["pending"],
    ],
)
def test_not_yet_stays_not_yet(response):
    """Every other 403 and 404 means that the code is not approved yet, as for the official client."""
    clock = iter(range(10_000))
    error, asked = run(poll(CODEX, WAITING, lambda: NOW + 45 * next(clock)), response)

    assert "15 minutes" in str(error)
    assert len(asked) > 10


def _refreshed(response):
    credentials = OAuthCredentials(access_token="a", refresh_token="secret-refresh-token")
    return run(refresh(CODEX, credentials, "proactive_expiry", lambda: NOW), response)[0]


@pytest.mark.parametrize("response", FIREWALLS.values(), ids=FIREWALLS)
def test_a_firewall_at_a_refresh_costs_nothing(response):
    """The sign-in is kept, what refused it is named; a 5xx says nothing of what became of the token."""
    error = _refreshed(response)

    assert isinstance(error, RefreshError)
    assert ("firewall" in str(error)) is not isinstance(error, RefreshOutcomeUnknownError)
    assert isinstance(error, RefreshOutcomeUnknownError) is (response.status >= 500)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 511])
def test_a_page_at_a_refresh_ends_no_sign_in(status):
    """A page is no word of the service's, whatever status it has."""
    assert isinstance(_refreshed(answer(status, b"<html>")), RefreshError)


@pytest.mark.parametrize(("response", "words", "ends"), WORDS.values(), ids=WORDS)
def test_a_refusal_at_a_refresh_is_told_as_such(response, words, ends):
    """A workspace that is gone ends the sign-in; a region that is not served does so only for now."""
    error = _refreshed(response)

    assert words in str(error)
    assert type(error) is (SignInAgainError if ends else RefreshError)


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (Callback(True, error="access_denied", description="missing_codex_entitlement"), "not enabled"),
        (Callback(True, error="unsupported_country_region_territory"), "country or region"),
        (Callback(True, error="invalid_workspace_selected"), "was chosen"),
        (Callback(True, error="access_denied", description="deactivated_workspace"), "deactivated"),
        (Callback(True, error="access_denied", description="The user declined"), "declined"),
        (Callback(True, error="other", description="Something else"), "Something else"),
    ],
)
def test_it_is_told_when_the_browser_brings_it(callback, words):
    """What the redirect says is told in the same words."""
    with pytest.raises(SignInError, match=words):
        require_granted(callback)


@pytest.mark.parametrize(
    "response",
    [
        answer(404),
        answer(404, b"<html>"),
        answer(403, {"detail": "Please contact your workspace admin to enable device code authentication"}),
        answer(403, {"error": {"code": "x", "message": "Device code login is disabled for this account"}}),
    ],
)
def test_where_codes_are_switched_off_the_switch_is_named(response):
    """The hint names the switch in ChatGPT's settings, and the way without it."""
    error, _ = run(request_code(CODEX, lambda: NOW), response)

    assert "Enable device code authorization for Codex" in error.hint
    assert "onplan login --paste" in error.hint


def test_a_code_that_expired_may_have_met_the_switch():
    """The page says it only to the person, so the switch is named when the code expires, too."""
    clock = iter(range(0, 100_000, 100))
    error, _ = run(poll(CODEX, WAITING, lambda: NOW + next(clock)), PLAIN["pending"])

    assert "Enable device code authorization for Codex" in error.hint


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": "invalid_grant", "error_description": "d"}, ("invalid_grant", "d")),
        ({"error": {"code": "c", "message": "m"}}, ("c", "m")),
        ({"error": {"code": None, "type": "T"}}, ("t", "")),
        ({"code": "c", "message": "m"}, ("c", "m")),
        ({"detail": {"code": "deactivated_workspace"}}, ("deactivated_workspace", "")),
        ({"detail": "Not allowed"}, ("", "Not allowed")),
        ({"error": None, "detail": {"code": "c", "message": "m"}}, ("c", "m")),
        ({"error": "e", "detail": "d"}, ("e", "d")),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, ("", "")),
        ([], ("", "")),
        (None, ("", "")),
    ],
)
def test_errors_are_read_in_every_shape(body, expected):
    """Code and description are found wherever the service puts them."""
    assert error_code(body) == expected
