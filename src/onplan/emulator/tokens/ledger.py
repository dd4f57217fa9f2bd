"""The ledger of tokens and codes: issues, rotates and revokes them. Knows nothing of HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from onplan.emulator.keys import Keys
from onplan.emulator.options import Scenario

CODEX_CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
DEFAULT_SCOPE = "openid profile email offline_access"
CODE_LIFETIME = 600.0
MOST_TOKENS = 10_000
AUTH_CLAIM = "https://api.openai.com/auth"
PROFILE_CLAIM = "https://api.openai.com/profile"

Value = TypeVar("Value")


class Bounded(OrderedDict[str, Value]):
    """A dictionary that forgets its oldest entry when it is full."""

    def __setitem__(self, key: str, value: Value) -> None:
        super().__setitem__(key, value)
        if len(self) > MOST_TOKENS:
            self.popitem(last=False)


@dataclass(frozen=True, kw_only=True)
class Code:
    """An authorization code, waiting to be exchanged."""

    client_id: str
    redirect_uri: str
    challenge: str
    scope: str
    expires_at: float


@dataclass
class Family:
    """All the tokens that descend from one sign-in."""

    client_id: str
    scope: str
    revoked: bool = False


@dataclass
class RefreshToken:
    """A refresh token; it can be spent once."""

    family: Family
    spent: bool = False


@dataclass(frozen=True)
class AccessToken:
    """An access token and when it expires."""

    family: Family
    expires_at: float


@dataclass
class DeviceSignIn:
    """A device sign-in in progress. Without `--interactive`, the first poll approves it."""

    user_code: str
    client_id: str
    redirect_uri: str
    expires_at: float
    approved: bool = False


class TokenError(Exception):
    """A refresh token was not accepted; `code` is the service's own word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Ledger:
    """The tokens that this issuer has issued; of too many, the newest."""

    def __init__(self, scenario: Scenario, keys: Keys, *, issuer: str, lifetime: float, reuse: str) -> None:
        self.scenario = scenario
        self.sign = keys.sign
        self.issuer = issuer
        self.lifetime = lifetime
        self.reuse = reuse
        self.codes: Bounded[Code] = Bounded()
        self._refresh: Bounded[RefreshToken] = Bounded()
        self._access: Bounded[AccessToken] = Bounded()

    def new_code(self, *, client_id: str, redirect_uri: str, challenge: str, scope: str) -> str:
        """An authorization code, good for ten minutes (RFC 6749, section 4.1.2, recommends at most that)."""
        code = "ac_" + secrets.token_urlsafe(32)
        self.codes[code] = Code(
            client_id=client_id,
            redirect_uri=redirect_uri,
            challenge=challenge,
            scope=scope,
            expires_at=time.time() + CODE_LIFETIME,
        )
        return code

    def issue(self, *, client_id: str = CODEX_CLIENT_ID, scope: str = DEFAULT_SCOPE) -> dict[str, Any]:
        """A token response for a new sign-in."""
        return self._response(Family(client_id, scope))

    def rotate(self, refresh_token: str, client_id: str) -> dict[str, Any]:
        """A token response for a refresh token, which is spent by it; TokenError otherwise."""
        held = self._refresh.get(refresh_token)
        if held is None or held.family.client_id != client_id:
            raise TokenError("invalid_grant")
        if held.spent:
            if self.reuse == "revoke-family":
                held.family.revoked = True
            raise TokenError("refresh_token_reused")
        if held.family.revoked:
            raise TokenError("refresh_token_invalidated")
        held.spent = True
        return self._response(held.family)

    def revoke(self, token: str) -> None:
        """End the family that a token belongs to; one that was not issued here ends nothing."""
        held = self._refresh.get(token) or self._access.get(token)
        if held is not None:
            held.family.revoked = True

    def accepts(self, access_token: str) -> bool:
        """Whether an access token was issued here, is alive and not revoked."""
        held = self._access.get(access_token)
        return held is not None and not held.family.revoked and time.time() < held.expires_at

    def family(self, access_token: str) -> Family | None:
        """The family of an access token that is accepted, else None."""
        held = self._access.get(access_token)
        return held.family if held is not None and self.accepts(access_token) else None

    def expire_access_tokens(self) -> None:
        """Issued access tokens are refused from now on, although their `exp` says otherwise."""
        self._access.clear()

    def revoke_refresh_tokens(self) -> None:
        """Issued refresh tokens are refused from now on; access tokens stay valid."""
        for held in list(self._refresh.values()):
            held.family = replace(held.family, revoked=True)

    def _response(self, family: Family) -> dict[str, Any]:
        now = time.time()
        access_token = self.sign(self._access_claims(family, now))
        refresh_token = "rt_" + secrets.token_urlsafe(48)
        self._access[access_token] = AccessToken(family, now + self.lifetime)
        self._refresh[refresh_token] = RefreshToken(family)
        return {
            "id_token": self.sign(self._id_claims(family, now)),
            "access_token": access_token,
            "refresh_token": refresh_token,
            "token_type": "bearer",
            "expires_in": int(self.lifetime),
            "scope": family.scope,
        }

    def _common_claims(self, now: float) -> dict[str, Any]:
        return {"iss": self.issuer, "sub": self.scenario.user_id, "iat": int(now)}

    def _auth_claim(self) -> dict[str, Any]:
        user_id = self.scenario.user_id
        return {
            "chatgpt_account_id": self.scenario.account_id,
            "chatgpt_plan_type": self.scenario.plan,
            "chatgpt_user_id": user_id,
            "user_id": user_id,
        }

    def _id_claims(self, family: Family, now: float) -> dict[str, Any]:
        return {
            **self._common_claims(now),
            "aud": [family.client_id],
            "exp": int(now + 3600),
            "jti": secrets.token_urlsafe(16),  # no two are the same, also within one second
            "email": self.scenario.email,
            "email_verified": True,
            AUTH_CLAIM: {**self._auth_claim(), "organizations": [], "groups": []},
        }

    def _access_claims(self, family: Family, now: float) -> dict[str, Any]:
        return {
            **self._common_claims(now),
            "aud": ["https://api.openai.com/v1"],
            "client_id": family.client_id,
            "exp": int(now + self.lifetime),
            "nbf": int(now),
            "jti": secrets.token_urlsafe(16),
            "scp": family.scope.split(),
            AUTH_CLAIM: self._auth_claim(),
            PROFILE_CLAIM: {"email": self.scenario.email, "email_verified": True},
        }


def proves(verifier: str, challenge: str) -> bool:
    """Whether a code verifier belongs to an S256 challenge (RFC 7636, section 4.6)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    expected = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return hmac.compare_digest(expected, challenge.encode())
