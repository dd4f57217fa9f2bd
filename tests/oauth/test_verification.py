"""ID tokens: which signature and which claims are accepted, as tables of values."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from onplan.errors import SignInError
from onplan.flow import Request, Response
from onplan.oauth.issuer import SIWC
from onplan.oauth.verification import (
    CLOCK_TOLERANCE,
    AnotherPersonError,
    Expectation,
    KeysUnavailableError,
    check,
    verify,
)

NOW = 1_800_000_000.0
RIGHT: dict[str, Any] = {
    "iss": SIWC.url,
    "aud": ["client-1"],
    "iat": NOW - 1,
    "exp": NOW + 3600,
    "nonce": "nonce-1",
    "sub": "person-1",
}
EXPECTED = Expectation(SIWC.url, "client-1", "nonce-1", "person-1")
EXPIRED = "has expired already"


def claims(*lacking: str, **changed: Any) -> dict[str, Any]:
    return {name: value for name, value in {**RIGHT, **changed}.items() if name not in lacking}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": (claims(iss="https://auth.example.com"), "another issuer"),
    "the issuer with a slash": (claims(iss=f"{SIWC.url}/"), "another issuer"),
    "no issuer": (claims("iss"), "another issuer"),
    "another audience": (claims(aud=["client-2"]), "meant for another client"),
    "another audience, as text": (claims(aud="client-2"), "meant for another client"),
    "an audience that begins the same": (claims(aud="client-10"), "meant for another client"),
    "an audience that holds it": (claims(aud={"client-1": True}), "meant for another client"),
    "no audience": (claims("aud"), "meant for another client"),
    "an empty audience": (claims(aud=[]), "meant for another client"),
    "two audiences and no party": (claims(aud=["client-1", "client-2"]), "issued to another client"),
    "another party": (claims(azp="client-2"), "issued to another client"),
    "two audiences, another party": (
        claims(aud=["client-1", "client-2"], azp="client-2"),
        "issued to another client",
    ),
    "an empty party": (claims(azp=""), "issued to another client"),
    "no beginning": (claims("iat"), "valid"),
    "a beginning in words": (claims(iat="now"), "valid"),
    "no end": (claims("exp"), "valid"),
    "an end in words": (claims(exp="never"), "valid"),
    "an end that is a truth": (claims(exp=True), "valid"),
    "a beginning that is a truth": (claims(iat=True), "valid"),
    "an end long ago": (claims(exp=NOW - 3600), EXPIRED),
    "an end beyond the tolerance": (claims(exp=NOW - CLOCK_TOLERANCE - 0.5), EXPIRED),
    "an end at the tolerance": (claims(exp=NOW - CLOCK_TOLERANCE), EXPIRED),
    "another nonce": (claims(nonce="nonce-2"), "another sign-in"),
    "no nonce": (claims("nonce"), "another sign-in"),
    "an empty nonce": (claims(nonce=""), "another sign-in"),
    "a nonce that is a list": (claims(nonce=["nonce-1"]), "another sign-in"),
    "no subject": (claims("sub"), "whose it is"),
    "an empty subject": (claims(sub=""), "whose it is"),
    "a subject that is a number": (claims(sub=1), "whose it is"),
    "another person": (claims(sub="person-2"), "different person"),
}

ACCEPTED: dict[str, tuple[dict[str, Any], Expectation]] = {
    "as it should be": (RIGHT, EXPECTED),
    "an audience as text": (claims(aud="client-1"), EXPECTED),
    "its party named": (claims(azp="client-1"), EXPECTED),
    "two audiences, its party named": (claims(aud=["client-2", "client-1"], azp="client-1"), EXPECTED),
    "whole seconds": (claims(iat=int(NOW), exp=int(NOW) + 1), EXPECTED),
    "an end within the tolerance": (claims(exp=NOW - CLOCK_TOLERANCE + 0.5), EXPECTED),
    "a beginning in the future": (claims(iat=NOW + 60), EXPECTED),
    "no nonce after a refresh": (claims("nonce"), Expectation(SIWC.url, "client-1", None, "person-1")),
    "any person at the first sign-in": (
        claims(sub="person-2"),
        Expectation(SIWC.url, "client-1", "nonce-1"),
    ),
    "other claims": (claims(email="a@example.com", amr=["otp"]), EXPECTED),
}


@pytest.mark.parametrize(("said", "reason"), REFUSED.values(), ids=REFUSED)
def test_claims_that_are_refused(said: dict[str, Any], reason: str) -> None:
    """A token that is another's, of another client, sign-in or time, is refused with the reason."""
    with pytest.raises(SignInError, match=reason) as caught:
        check(said, EXPECTED, NOW)

    assert ("different person" in reason) is (type(caught.value) is AnotherPersonError)
    assert caught.value.hint
    assert "person-" not in str(caught.value)


@pytest.mark.parametrize(("said", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_claims_that_are_accepted(said: dict[str, Any], expected: Expectation) -> None:
    """A token that says what it must is accepted, in each form that the standard permits."""
    check(said, expected, NOW)


def test_clocks_may_differ_by_five_seconds() -> None:
    """The tolerance is that of OpenAI's own sample."""
    assert CLOCK_TOLERANCE == 5.0


# --- the signature, and the keys ---


@pytest.fixture(scope="module")
def keys() -> tuple[RSAPrivateKey, RSAPrivateKey]:
    """Two key pairs: the issuer's, and another."""
    return generate_private_key(65537, 2048), generate_private_key(65537, 2048)


def public(key: RSAPrivateKey, **more: str) -> dict[str, Any]:
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "key-1", **more}


def signed(key: RSAPrivateKey, kid: str = "key-1") -> str:
    return jwt.encode(RIGHT, key, algorithm="RS256", headers={"kid": kid})


def answered(flow: Generator[Request, Response, Any], response: Response) -> Any:
    """What the flow returns, once its one request has been answered."""
    request = next(flow)
    assert (request.method, request.url, request.timeout) == ("GET", SIWC.jwks_uri, 10.0)
    assert request.headers == {"accept": "application/json"}
    with pytest.raises(StopIteration) as stop:
        flow.send(response)
    return stop.value.value


def document(*entries: object) -> Response:
    return Response(200, {}, json.dumps({"keys": entries}).encode())


def test_keys_are_fetched_if_they_are_not_known(keys: tuple[RSAPrivateKey, RSAPrivateKey]) -> None:
    """The key that the token names is fetched, found among others, and known afterwards."""
    right = public(keys[0], alg="RS256", use="sig")
    answer = document(7, {"kid": 7}, {"kty": "RSA"}, {"kid": "key-0"}, right)

    found, known = answered(verify(SIWC, signed(keys[0]), EXPECTED, NOW), answer)

    assert dict(found) == RIGHT
    assert known == {"key-0": {"kid": "key-0"}, "key-1": right}
    assert repr(found) == "…"


def test_known_keys_are_not_fetched_again(keys: tuple[RSAPrivateKey, RSAPrivateKey]) -> None:
    """With the key at hand there is no request; the keys stay as they are."""
    known = {"key-1": public(keys[0])}

    with pytest.raises(StopIteration) as stop:
        next(verify(SIWC, signed(keys[0]), EXPECTED, NOW, known))
    assert stop.value.value == (RIGHT, known)


def test_a_new_key_replaces_those_that_are_known(keys: tuple[RSAPrivateKey, RSAPrivateKey]) -> None:
    """A token signed by a key that is not known yet has the keys fetched."""
    flow = verify(SIWC, signed(keys[0]), EXPECTED, NOW, {"key-0": public(keys[1])})

    _, known = answered(flow, document(public(keys[0])))
    assert set(known) == {"key-1"}


@pytest.mark.parametrize("kid", ["k", "ke", "key", "key-1"])
def test_a_key_is_found_by_its_whole_name(keys: tuple[RSAPrivateKey, RSAPrivateKey], kid: str) -> None:
    """The token's head is read whatever its length, which base64 pads with 0, 1 or 2 characters."""
    _, known = answered(
        verify(SIWC, signed(keys[0], kid), EXPECTED, NOW), document({**public(keys[0]), "kid": kid})
    )
    assert set(known) == {kid}


OTHERWISE: dict[str, tuple[dict[str, Any], str]] = {
    "not valid before tomorrow": (claims(nbf=NOW + 86_400), ""),
    "a beginning in words": (claims(nbf="tomorrow"), ""),
    "issued tomorrow": (claims(iat=NOW + 86_400), ""),
    "a number as its name": (claims(jti=7), ""),
    "expired": (claims(exp=1), "expired"),
    "an issuer that is a number": (claims(iss=7), "another issuer"),
    "a subject that is a number": (claims(sub=7), "whose it is"),
    "an audience that is a number": (claims(aud=7), "another client"),
}


@pytest.mark.parametrize(("said", "reason"), OTHERWISE.values(), ids=OTHERWISE)
def test_claims_are_checked_here_alone(
    keys: tuple[RSAPrivateKey, RSAPrivateKey], said: dict[str, Any], reason: str
) -> None:
    """PyJWT, which has its own clock and its own opinion on claims, checks the signature and nothing else."""
    token = jwt.api_jws.encode(
        json.dumps(said).encode(), keys[0], algorithm="RS256", headers={"kid": "key-1"}
    )
    flow = verify(SIWC, token, EXPECTED, NOW)
    next(flow)

    with pytest.raises(SignInError if reason else StopIteration, match=reason or None):
        flow.send(document(public(keys[0])))


UNFIT: tuple[tuple[Mapping[str, str], str], ...] = (
    ({"kty": "EC"}, "not one for signatures"),
    ({"alg": "HS256"}, "not one for signatures"),
    ({"alg": "RS512"}, "not one for signatures"),
    ({"use": "enc"}, "not one for signatures"),
    ({"kid": "key-2"}, "no such key"),
)


@pytest.mark.parametrize(("more", "reason"), UNFIT, ids=str)
def test_keys_that_are_not_for_this(
    keys: tuple[RSAPrivateKey, RSAPrivateKey], more: Mapping[str, str], reason: str
) -> None:
    """A key of another kind, algorithm, use or name verifies nothing."""
    flow = verify(SIWC, signed(keys[0]), EXPECTED, NOW)
    next(flow)

    with pytest.raises(SignInError, match=reason or None):
        flow.send(document(public(keys[0], **more)))


def test_a_key_without_its_numbers(keys: tuple[RSAPrivateKey, RSAPrivateKey]) -> None:
    """A key that cannot be read is refused like a wrong signature, not with another library's error."""
    flow = verify(SIWC, signed(keys[0]), EXPECTED, NOW)
    next(flow)

    with pytest.raises(SignInError, match="signature is wrong"):
        flow.send(document({"kid": "key-1", "kty": "RSA"}))


@pytest.mark.parametrize("forged", ["another key", "unsigned", "by a secret", "cut", "no token", "text"])
def test_signatures_that_are_refused(keys: tuple[RSAPrivateKey, RSAPrivateKey], forged: str) -> None:
    """Only RS256 by the issuer's key counts, whatever the token says of itself."""
    headers = {"kid": "key-1"}
    token = {
        "another key": signed(keys[1]),
        "unsigned": jwt.encode(RIGHT, None, algorithm="none", headers=headers),
        "by a secret": jwt.encode(RIGHT, "x" * 64, algorithm="HS256", headers=headers),
        "cut": signed(keys[0])[:-8],
        "no token": "",
        "text": "é.é.é",
    }[forged]
    flow = verify(SIWC, token, EXPECTED, NOW)
    next(flow)

    with pytest.raises(SignInError, match=r"signature is wrong|no such key"):
        flow.send(document(public(keys[0])))


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (Response(503, {}, b"{}"), "HTTP 503"),
        (Response(500, {}, json.dumps({"keys": []}).encode()), "HTTP 500"),
        (Response(200, {}, b"{}"), "HTTP 200"),
        (Response(200, {}, b"[]"), "HTTP 200"),
        (Response(200, {}, json.dumps({"keys": {}}).encode()), "HTTP 200"),
        (Response(200, {"content-type": "text/html"}, b"<html>"), "web page"),
    ],
    ids=["503", "500 with keys", "no keys", "a list", "keys by name", "a page"],
)
def test_keys_that_cannot_be_fetched(
    keys: tuple[RSAPrivateKey, RSAPrivateKey], response: Response, says: str
) -> None:
    """If there are no keys now, that is another error than a wrong signature: it may pass."""
    flow = verify(SIWC, signed(keys[0]), EXPECTED, NOW)
    next(flow)

    with pytest.raises(KeysUnavailableError, match=says) as caught:
        flow.send(response)
    assert caught.value.status_code == response.status
    assert caught.value.hint
    assert str(caught.value) == str(caught.value).strip()
