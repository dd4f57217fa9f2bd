"""PKCE (RFC 7636), method S256. Knows nothing of HTTP or time."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256

from onplan.secret import SecretText


def base64url(octets: bytes) -> str:
    """Base64url without padding (RFC 7636 §3)."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def generate_verifier(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A code verifier of 86 characters: 64 random octets, like the official client's (RFC 7636 §4.1)."""
    return SecretText(base64url(random(64)))


def code_challenge(verifier: str) -> str:
    """The S256 code challenge of ``verifier`` (RFC 7636 §4.2)."""
    return base64url(sha256(verifier.encode("ascii")).digest())


def generate_state(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """An unguessable state of 43 characters, against cross-site request forgery (RFC 6749 §10.12)."""
    return SecretText(base64url(random(32)))
