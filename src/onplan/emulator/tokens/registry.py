"""The clients registered at "Sign in with ChatGPT", and their tokens. Knows nothing of HTTP."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from onplan.emulator.keys import Keys
from onplan.emulator.options import Scenario
from onplan.emulator.tokens.ledger import AccessToken, Bounded, Code, Family, Ledger, RefreshToken

HOUR = 3600.0
DYNAMIC_CLIENT = "dynamic_agent_client"
RESOURCE = "https://api.openai.com/v1"
IDENTITY = ("openid", "profile", "email", "offline_access")
INVOKE, PLAN_SCOPE = "resource.invoke", "chatgpt.tokens.use.direct"
ALL_SCOPES = frozenset((*IDENTITY, INVOKE, PLAN_SCOPE))


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answers on the consent page: whether the plan may be used, in which workspace; or declined.

    `user`: sign in as this person instead of the scenario's.
    """

    plan: bool = True
    decline: bool = False
    workspace: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Person:
    """The person who signs in."""

    subject: str
    email: str


@dataclass
class Registration:
    """A registered client: of one program, for one person in one workspace."""

    client_id: str
    agent_name: str
    person: Person
    workspace: str
    plan: bool


@dataclass(frozen=True, kw_only=True)
class AgentCode(Code):
    """An authorization code with its client, its person and the nonce of the sign-in."""

    registration: Registration
    person: Person
    nonce: str


@dataclass
class AgentFamily(Family):
    """The tokens of one sign-in, with their client and person."""

    registration: Registration | None = None
    person: Person = Person("", "")


class Registry(Ledger):
    """The clients that were registered, and the tokens that they hold."""

    def __init__(self, scenario: Scenario, keys: Keys, *, issuer: str, lifetime: float, reuse: str) -> None:
        super().__init__(scenario, keys, issuer=issuer, lifetime=lifetime, reuse=reuse)
        self.consent = Consent()
        self.clients: Bounded[Registration] = Bounded()
        self.agent_codes: Bounded[AgentCode] = Bounded()

    def person(self, consent: Consent) -> Person:
        """The person who signs in, as `consent` says."""
        if consent.user is None:
            return Person(self.scenario.user_id, self.scenario.email)
        return Person(consent.user, f"{consent.user}@example.com")

    def register(self, agent_name: str, consent: Consent) -> Registration:
        """A new client, of the person who consents."""
        workspace = consent.workspace or self.scenario.workspaces[0]
        client_id = f"oaiapp_{secrets.token_urlsafe(12)}"
        made = Registration(client_id, agent_name, self.person(consent), workspace, consent.plan)
        self.clients[client_id] = made
        return made

    def new_agent_code(
        self, registration: Registration, person: Person, *, redirect_uri: str, challenge: str, nonce: str
    ) -> tuple[str, str]:
        """An authorization code, and the scope that was granted."""
        granted = [*IDENTITY, INVOKE, *((PLAN_SCOPE,) if registration.plan else ())]
        scope = " ".join(sorted(granted))
        code = "ac_" + secrets.token_urlsafe(32)
        self.agent_codes[code] = AgentCode(
            client_id=registration.client_id,
            redirect_uri=redirect_uri,
            challenge=challenge,
            scope=scope,
            expires_at=time.time() + 600,
            registration=registration,
            person=person,
            nonce=nonce,
        )
        return code, scope

    def sign_in(self, code: AgentCode) -> dict[str, Any]:
        """A token response for a code."""
        family = AgentFamily(code.client_id, code.scope, registration=code.registration, person=code.person)
        return self._tokens(family, code.nonce)

    def issue_for(self, client_id: str, scope: str = " ".join(sorted(ALL_SCOPES))) -> dict[str, Any]:
        """A token response for a client that is registered."""
        client = self.clients[client_id]
        return self._tokens(AgentFamily(client_id, scope, registration=client, person=client.person), None)

    def revoke_of(self, client_id: str, token: str) -> bool:
        """End a client's session; False if the token is another client's (RFC 7009, section 2.1)."""
        held = self._refresh.get(token) or self._access.get(token)
        if held is not None and held.family.client_id != client_id:
            return False
        self.revoke(token)
        return True

    def _response(self, family: Family) -> dict[str, Any]:
        return self._tokens(family, None)

    def _tokens(self, family: Family, nonce: str | None) -> dict[str, Any]:
        now, lifetime = time.time(), min(self.lifetime, HOUR)
        person = family.person if isinstance(family, AgentFamily) else Person("", "")
        access_token = self.sign(self._claims_of_access(family, person, now, lifetime))
        refresh_token = "rt_" + secrets.token_urlsafe(48)
        self._access[access_token] = AccessToken(family, now + lifetime)
        self._refresh[refresh_token] = RefreshToken(family)
        return {
            "access_token": access_token,
            "refresh_token": refresh_token,
            "id_token": self.sign(self._claims_of_identity(family, person, nonce, now)),
            "token_type": "Bearer",
            "expires_in": int(lifetime),
            "scope": family.scope,
            "earliest_refresh_at": self.scenario.earliest_refresh_at,
        }

    def _claims_of_identity(
        self, family: Family, person: Person, nonce: str | None, now: float
    ) -> dict[str, Any]:
        return {
            "iss": self.issuer,
            "sub": person.subject,
            "aud": [family.client_id],
            "iat": int(now),
            "exp": int(now + HOUR),
            "jti": secrets.token_urlsafe(16),  # no two are the same, also within one second
            "email": person.email,
            "email_verified": True,
            "name": person.subject,
            **({} if nonce is None else {"nonce": nonce}),
        }

    def _claims_of_access(
        self, family: Family, person: Person, now: float, lifetime: float
    ) -> dict[str, Any]:
        return {
            "iss": self.issuer,
            "sub": person.subject,
            "aud": RESOURCE,
            "client_id": family.client_id,
            "scope": family.scope,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now + lifetime),
            "jti": secrets.token_urlsafe(16),
            "https://api.openai.com/auth": {
                "per_user_salt": secrets.token_urlsafe(16),
                "encrypted_auth_metadata": secrets.token_urlsafe(32),
            },
        }
