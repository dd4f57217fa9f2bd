"""The RSA keys that sign tokens; the newest signs, all are published (RFC 7517). Knows nothing of claims."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

ALGORITHM = "RS256"


def new_key() -> RSAPrivateKey:
    """Another key."""
    return generate_private_key(public_exponent=65537, key_size=2048)


@cache
def first_key() -> RSAPrivateKey:
    """The one that every emulator of this process begins with: making one takes a while."""
    return new_key()


@cache
def former_key() -> RSAPrivateKey:
    """One that is published from the start and signs nothing: verifiers have to choose by `kid`."""
    return new_key()


def public_jwk(key: RSAPrivateKey) -> dict[str, Any]:
    """The public key as a JSON Web Key (RFC 7517), its id being a fingerprint."""
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    key_id = hashlib.sha256(jwk["n"].encode()).hexdigest()[:16]
    return {**jwk, "kid": key_id, "use": "sig", "alg": ALGORITHM}


def sign_with(key: RSAPrivateKey, claims: dict[str, Any], key_id: str | None = None) -> str:
    """A signed JSON Web Token; ``key_id`` may name another key than the one that signed it."""
    headers = {"kid": key_id or public_jwk(key)["kid"]}
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers=headers)


class Keys:
    """The keys of one issuer."""

    def __init__(self) -> None:
        self._keys = [former_key(), first_key()]

    def sign(self, claims: dict[str, Any]) -> str:
        """A JSON Web Token, signed with the newest key."""
        return sign_with(self._keys[-1], claims)

    def verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that one of these keys signed, expired or not; else None."""
        options = {"verify_exp": False, "verify_aud": False}
        for key in self._keys:
            try:
                return jwt.decode(token, key.public_key(), algorithms=[ALGORITHM], options=options)  # type: ignore[arg-type]
            except jwt.PyJWTError:
                continue
        return None

    def jwks(self) -> list[dict[str, Any]]:
        """All public keys."""
        return [public_jwk(key) for key in self._keys]

    def rotate(self) -> None:
        """Sign with a new key from now on; the earlier ones stay published."""
        self._keys.append(new_key())

    def forget_old(self) -> None:
        """Publish only the key that signs."""
        del self._keys[:-1]
