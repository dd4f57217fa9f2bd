"""Token responses: whatever is odd beside the tokens or about how they are written, the tokens are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onplan.oauth.credentials import credentials_from
from onplan.oauth.issuer import CODEX
from onplan.oauth.token_response import TokenResponse, decode_token_response, moment
from onplan.stores import Record, decode_record, encode_record
from onplan.types import OAuthCredentials

NOW = 1_800_000_000.0
PREVIOUS = OAuthCredentials(access_token="old", refresh_token="spent", scopes=["openid"])
TOKENS = {"access_token": "new-access", "refresh_token": "new-refresh"}
PLAIN = json.dumps(TOKENS)

BESIDE: list[dict[str, Any]] = [
    {},
    *(
        {"expires_in": odd}
        for odd in ("3600", " 3600 ", "soon", "", None, [], {}, True, -1, 0, 10**400, 1e308)
    ),
    *({"expires_in": odd} for odd in ("NaN", "Infinity", "1e999", "3600s", {"seconds": 3600})),
    *(
        {"id_token": odd}
        for odd in (None, "", 7, {}, ["a"], "a.b", "no jwt", "..", "a.b.c", "a\ud800.b.c", "é.é.é")
    ),
    *({"scope": odd} for odd in (None, "", 7, ["openid", "email"], [1, None], {"a": 1}, "\ud800", " a  b ")),
    *(
        {"earliest_refresh_at": odd}
        for odd in ("tomorrow", -1, 10**30, "0001-01-01", "9999-12-31T23:59:59-12:00", [])
    ),
    *({"token_type": odd} for odd in (None, 7, "mac", {})),
    {"error": None, "error_description": None},
    {"junk": {"deep": [[[[{}]]]]}, "more": "x" * 100_000},
    {"account_id": 5, "user": {"email": 7}, "": ""},
]

SPELLED: list[tuple[str, bytes]] = [
    ("byte order mark", b"\xef\xbb\xbf" + PLAIN.encode()),
    ("UTF-16", PLAIN.encode("utf-16")),
    ("UTF-16 without a mark", PLAIN.encode("utf-16-le")),
    ("UTF-32", PLAIN.encode("utf-32")),
    ("spaces around", b" \r\n\t" + PLAIN.encode() + b"\r\n\r\n"),
    ("bytes behind", PLAIN.encode() + b"\0\0\0"),
    ("words behind", PLAIN.encode() + b"<!-- served by edge-7 -->"),
    ("a second object behind", PLAIN.encode() + b'\n{"access_token": "x", "refresh_token": "y"}'),
    ("a prefix against inclusion by scripts", b")]}',\n" + PLAIN.encode()),
    ("a byte that is no UTF-8", PLAIN.encode()[:-1] + b', "name": "J\xf6rg"}'),
    ("a control character", PLAIN.encode()[:-1] + b', "name": "a\tb\nc"}'),
    ("half a surrogate pair", PLAIN.encode()[:-1] + b', "name": "\\ud83d"}'),
    ("NaN", PLAIN.encode()[:-1] + b', "expires_in": NaN}'),
    ("a number of 10,000 digits", PLAIN.encode()[:-1] + b', "n": ' + b"9" * 10_000 + b"}"),
    ("nested without end", PLAIN.encode()[:-1] + b', "n": ' + b"[" * 100_000),
    ("a comma too many", PLAIN.encode()[:-1] + b",}"),
    ("cut off behind the tokens", PLAIN.encode()[:-1] + b', "id_token": "eyJ'),
    ("members twice", b'{"access_token": "x", "refresh_token": "y", ' + PLAIN.encode()[1:]),
    ("escapes", PLAIN.replace("n", "\\u006e").encode().replace(b"acce\\u006ess", b"access")),
    ("spaces in the tokens", PLAIN.replace('new-refresh"', 'new-refresh\\n"').encode()),
    ("as a form, with blanks around", b"\r\n access_token=new-access&refresh_token=new-refresh\r\n"),
    ("in a list", b"[" + PLAIN.encode() + b"]"),
    ("in an envelope", b'{"data": ' + PLAIN.encode() + b', "ok": true}'),
    ("a form", b"access_token=new-access&refresh_token=new-refresh&scope=a+b&expires_in=3600\n"),
]

# Controls: what is no token response, and must not be taken for one.
NONE_AT_ALL = [
    b"",
    b"null",
    b"[]",
    b"7",
    b'"access_token"',
    b"<html>refresh_token</html>",
    b"\xff\xfe",
    PLAIN.encode()[:-4],  # cut off within the refresh token
    b'{"access_token": "new-access", "refresh_token": "new-ref',
    b'{"refresh_token": ',
    b"access_token",
]


def saved(response: TokenResponse) -> OAuthCredentials:
    """What a later process reads of the credentials that are made of it."""
    record = Record(credentials=credentials_from(response, CODEX, NOW, PREVIOUS))
    credentials = decode_record(encode_record(record), "a place").credentials
    assert credentials
    assert credentials == record.credentials
    return credentials


@pytest.mark.parametrize("odd", BESIDE, ids=lambda odd: ascii(odd)[:40])
def test_tokens_are_not_lost_for_what_is_beside_them(odd: dict[str, Any]) -> None:
    """Whatever the other fields hold, the rotated set is read, can be stored, and is read again."""
    response = decode_token_response(json.dumps(TOKENS | odd).encode())

    assert response
    credentials = saved(response)
    assert (credentials.access_token, credentials.refresh_token) == ("new-access", "new-refresh")
    assert credentials.expires_at is None or 0 <= credentials.expires_at < 253_402_300_800


@pytest.mark.parametrize("body", [body for _, body in SPELLED], ids=[name for name, _ in SPELLED])
def test_tokens_are_not_lost_for_how_they_are_written(body: bytes) -> None:
    """Marks, encodings, damage and words around the object do not cost the rotated set."""
    response = decode_token_response(body)

    assert response
    credentials = saved(response)
    assert (credentials.access_token, credentials.refresh_token) == ("new-access", "new-refresh")


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"access_token": "new-access"}, "ok": True},
        {"ok": True, "data": {"access_token": "new-access"}},
    ],
)
def test_an_access_token_alone_is_found_in_an_envelope(body: dict[str, Any]) -> None:
    """Whichever member holds it."""
    response = decode_token_response(json.dumps(body).encode())

    assert response
    assert (response.access_token, response.refresh_token) == ("new-access", None)


def test_tokens_are_not_printed() -> None:
    """A token response may be in a log or a traceback."""
    body = b'{"access_token": "secret-1", "refresh_token": "secret-2", "id_token": "secret-3"}'

    assert "secret" not in repr(decode_token_response(body))
    assert "secret" not in repr(TokenResponse("secret-1", "secret-2", "secret-3"))


def test_what_is_read_beside_the_tokens() -> None:
    """The lifetime, the scopes, as text or a list, and when a refresh is welcome."""
    for scope in ("openid email", ["openid", "email"]):
        beside = {"id_token": "a.b.c", "expires_in": "60", "scope": scope, "earliest_refresh_at": NOW}

        assert decode_token_response(json.dumps(TOKENS | beside).encode()) == TokenResponse(
            "new-access", "new-refresh", "a.b.c", 60.0, "openid email", NOW
        )


@pytest.mark.parametrize("body", NONE_AT_ALL)
def test_what_holds_no_tokens_is_no_token_response(body: bytes) -> None:
    """Pages, cut tokens and other JSON give no tokens: the outcome is then unknown."""
    response = decode_token_response(body)

    assert response is None or not (response.access_token or response.refresh_token)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOW, NOW),
        (NOW * 1000, NOW),
        (str(int(NOW)), NOW),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T08:00:00", NOW),
        (-1, None),
        (10**30, None),
        ("never", None),
        (None, None),
        (True, None),
    ],
)
def test_moments_in_any_spelling(value: object, expected: float | None) -> None:
    """Seconds, milliseconds and ISO 8601 are the same moment; what no calendar shows is none."""
    assert moment(value) == expected


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("id_token", "expires_in", "scope", "earliest_refresh_at", "token_type", "error")


@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING))
@example({"scope": ["\ud800"]})
def test_any_values_beside_the_tokens(odd: dict[str, Any]) -> None:
    """No value of any other field loses the set or keeps it from being stored."""
    response = decode_token_response(json.dumps(TOKENS | odd).encode())

    assert response
    assert saved(response).refresh_token == "new-refresh"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_read_or_not_but_never_fail(before: bytes, behind: bytes) -> None:
    """Arbitrary bytes, alone or around the object, raise nothing; what stands behind costs nothing."""
    decode_token_response(before)
    decode_token_response(before + PLAIN.encode() + behind)
    response = decode_token_response(PLAIN.encode() + b"\n" + behind)

    assert response
    assert response.refresh_token == "new-refresh"
