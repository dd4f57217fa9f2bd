"""The requests about the account: what the plan has left, and its reset credits.

Each is asked again like a turn: after a failure of the server or the network, and after a 401 with a
refreshed token, but never with another account's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin

import msgspec

from onplan.backends import Backend
from onplan.errors import (
    ConfigurationError,
    NotIncludedError,
    SignInAgainError,
    UnexpectedReplyError,
)
from onplan.flow import Request
from onplan.plan.usage_reply import ResetCredit, limits_of_usage, reset_credits_of
from onplan.turn.attempts import Attempt, json_reply, persist
from onplan.turn.context import Context
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import Flow
from onplan.types import Credential, Limits, OAuthCredentials

T = TypeVar("T")

_ONCE = RetryPolicy(attempts=1)
_USAGE, _RESETS, _CONSUME = "usage", "rate-limit-reset-credits", "rate-limit-reset-credits/consume"


def limits(context: Context) -> Flow[Limits]:
    """What the plan has left now.

    Raises:
        ConfigurationError: the backend does not say.
        OnplanError: it could not be asked.
    """
    _require_account(context.backend)

    def read(body: Any) -> Limits:
        return limits_of_usage(body, context.now())

    told = yield from persist(_AccountRequest(context, _USAGE, read), context)
    if context.recorder:
        context.recorder.limits(told)
    return told


def reset_credits(context: Context) -> Flow[list[ResetCredit]]:
    """The reset credits of the account, asked for once. Raises as ``limits``.

    For some accounts this address answers 429 for days, while their number is told with the usage.
    """
    _require_account(context.backend)
    return (yield from persist(_AccountRequest(context, _RESETS, reset_credits_of), context, _ONCE))


class Redemption(msgspec.Struct, frozen=True):
    """What spending a reset credit did.

    Attributes:
        code: ``reset``, ``already_redeemed`` (an earlier request with the same id did it) or
            ``nothing_to_reset``.
        windows_reset: how many windows were reset; None if the backend does not say.
    """

    code: str
    windows_reset: int | None = None


def spend_reset_credit(
    context: Context, request_id: str, credit_id: str | None, account_id: str | None
) -> Flow[Redemption]:
    """Spend one reset credit, which cannot be had back.

    Args:
        context: what all turns of the client have in common.
        request_id: a UUID. The same one in every try, so that the backend never spends two credits.
        credit_id: which one; None lets the backend choose.
        account_id: whose it is. No other account's credit is spent.

    Raises:
        NotIncludedError: there is no credit.
        UnexpectedReplyError: the backend answers with a word that is not known.
        OnplanError: nothing is known about the outcome. Ask again with the same ``request_id``.
    """
    _require_account(context.backend)
    body = {"redeem_request_id": request_id} | ({"credit_id": credit_id} if credit_id else {})
    attempt = _AccountRequest(context, _CONSUME, _redemption, body, account_id)
    return (yield from persist(attempt, context))


def _redemption(body: Any) -> Redemption:
    fields = body if isinstance(body, dict) else {}
    code, count = fields.get("code"), fields.get("windows_reset")
    if code == "no_credit":
        raise NotIncludedError(
            "There is no reset credit to spend.", hint="Run `onplan usage` to see what is left."
        )
    if code not in ("reset", "already_redeemed", "nothing_to_reset"):
        said = f" It says {code!r}." if isinstance(code, str) else ""
        raise UnexpectedReplyError(f"The backend did not say whether the reset credit is spent.{said}")
    return Redemption(code, count if isinstance(count, int) else None)


def _require_account(backend: Backend) -> None:
    """Raise ConfigurationError where the backend has no endpoint that says what is left."""
    if backend.account_path is None:
        page = f"See {backend.usage_page}." if backend.usage_page else "Ask with `--backend openai-codex`."
        raise ConfigurationError(f"{backend.name} does not say what is left to use.", hint=page)


class _AccountRequest(Attempt[T]):
    """One request below ``/wham``: a GET, or a POST of ``body``.

    ``account_id``: whose account it is about; None for that of the first try.
    """

    def __init__(
        self,
        context: Context,
        path: str,
        read: Callable[[Any], T],
        body: Mapping[str, str] | None = None,
        account_id: str | None = None,
    ) -> None:
        self._context, self._read, self._body, self._account_id = context, read, body, account_id
        base = urljoin(f"{context.base_url}/", context.backend.account_path or "")
        self._url = f"{base}/{path}"

    def run(self, credentials: Credential) -> Flow[T]:
        self._require_same_account(credentials)
        body, _ = yield from json_reply(self._request(credentials), self._context.now)
        return self._read(body)

    def _request(self, credentials: Credential) -> Request:
        # The official client names itself in no originator header here.
        named = self._context.backend.api_headers(credentials)
        headers = {**{name: value for name, value in named.items() if name != "originator"}, "accept": "*/*"}
        if self._body is None:
            return Request("GET", self._url, headers)
        return Request.json(self._url, self._body, headers=headers)

    def _require_same_account(self, credentials: Credential) -> None:
        found = credentials.account_id if isinstance(credentials, OAuthCredentials) else None
        if self._account_id is not None and found != self._account_id:
            raise SignInAgainError(
                "Another account has signed in meanwhile.", hint="Run it again to use that account."
            )
        self._account_id = found
