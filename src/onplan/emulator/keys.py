"""Who signs the tokens? One RSA key per process, made when first needed. Knows nothing of claims."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

ALGORITHM = "RS256"


@cache
def _private_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@cache
def public_jwk() -> dict[str, Any]:
    """The public key as a JSON Web Key (RFC 7517), its id being a fingerprint."""
    jwk = RSAAlgorithm.to_jwk(_private_key().public_key(), as_dict=True)
    key_id = hashlib.sha256(jwk["n"].encode()).hexdigest()[:16]
    return {**jwk, "kid": key_id, "use": "sig", "alg": ALGORITHM}


def sign(claims: dict[str, Any]) -> str:
    """A signed JSON Web Token."""
    return jwt.encode(claims, _private_key(), algorithm=ALGORITHM, headers={"kid": public_jwk()["kid"]})
