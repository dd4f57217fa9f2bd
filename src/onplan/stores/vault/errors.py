"""Explains the failures of a Vault server. None of them means that there is no sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onplan.errors import CertificateError, ConnectError, StoreError, TransportError
from onplan.flow import Response


@dataclass(frozen=True)
class Failure:
    """Why a request did not succeed.

    Attributes:
        passing: whether the same request may succeed in a moment.
        doubtful: whether the server may have carried it out nevertheless.
        retry_after: seconds that the server asks to wait.
    """

    error: StoreError
    passing: bool = False
    doubtful: bool = False
    retry_after: float | None = None


_STANDBY = "is a standby that does not pass requests on"
_AGAIN = "Nothing is lost; try again in a moment."
_ACTIVE = "Set VAULT_ADDR to the address of the active server, or of the load balancer in front of it."

# Status -> a description, the hint, and whether the failure may pass in a moment.
_BY_STATUS: Mapping[int, tuple[str, str, bool]] = {
    412: ("has not caught up with what was written just now", _AGAIN, True),
    429: ("gets more requests than its quota allows", "Wait a moment, or have its rate limit raised.", True),
    472: (_STANDBY, _ACTIVE, False),
    473: (_STANDBY, _ACTIVE, False),
    501: ("has not been initialised", "Run `bao operator init`, or have it done.", False),
}
_SEALED = ("is sealed", "Have it unsealed (`bao operator unseal`). Nothing is lost.", False)
_UPGRADING = "Upgrading from non-versioned"  # a KV engine in the moments after it was changed to version 2


def failure_of(answer: Response, server: str) -> Failure | None:
    """The failure of an answer; None for one that the caller interprets: success, 400, 403, 404, 405."""
    reason = reasons(answer)
    if answer.ok or (answer.status in (400, 403, 404, 405) and _UPGRADING not in reason):
        return None
    if answer.status == 503 and "sealed" in reason:
        what, hint, passing = _SEALED
    elif answer.status in _BY_STATUS:
        what, hint, passing = _BY_STATUS[answer.status]
    else:
        passing = answer.status >= 500 or _UPGRADING in reason
        what = f"failed ({with_status(answer)})"
        hint = _AGAIN if passing else "Check that VAULT_ADDR is the address of a Vault server."
    return Failure(
        StoreError(f"The Vault server at {server} {what}.", hint=hint, status_code=answer.status),
        passing=passing,
        doubtful=answer.status >= 500,
        retry_after=_seconds(answer.headers.get("retry-after")),
    )


def failure_to_reach(error: TransportError, server: str) -> Failure:
    """The failure of a connection that could not be made, or broke."""
    if isinstance(error, CertificateError):
        return Failure(
            StoreError(
                f"The certificate of the Vault server at {server} is from an unknown authority, or for "
                "another name.",
                hint="Set VAULT_CACERT to the certificate of the authority that signed it.",
            )
        )
    problem = StoreError(
        f"The Vault server does not answer: {error.message}",
        hint="Check that it runs and that VAULT_ADDR is right. Nothing is lost.",
    )
    return Failure(problem, passing=True, doubtful=not isinstance(error, ConnectError))


def expired(server: str, namespace: str | None, hint: str) -> StoreError:
    """The error for a token that the server does not know, or not in this namespace."""
    also = f" Check also that it is for the namespace {namespace}." if namespace else ""
    return StoreError(
        f"The Vault server at {server} no longer accepts the Vault token: it has expired or was revoked.",
        hint=hint + also,
        status_code=403,
    )


def refusal(answer: Response, server: str, path: str, capabilities: tuple[str, ...]) -> StoreError:
    """The error for a token without permission for ``path``, or a request that the server refuses."""
    if answer.status == 403:
        return StoreError(
            f"The Vault server at {server} does not permit this token to use {path}.",
            hint=f"Have its policy extended: {policy(path, capabilities)}",
            status_code=403,
        )
    return StoreError(
        f"The Vault server at {server} refused a request for {path} ({with_status(answer)}).",
        hint="Check that VAULT_ADDR and VAULT_NAMESPACE are right.",
        status_code=answer.status,
    )


def policy(path: str, capabilities: tuple[str, ...]) -> str:
    """The line of a policy that permits it."""
    wanted = ", ".join(f'"{name}"' for name in capabilities)
    return f'path "{path}" {{ capabilities = [{wanted}] }}'


def reasons(answer: Response) -> str:
    """The server's error messages, on one short line."""
    body = answer.json()
    errors = body.get("errors") if isinstance(body, dict) else None
    return " ".join(" ".join(map(str, errors)).split())[:200] if isinstance(errors, list) else ""


def with_status(answer: Response) -> str:
    """The status and the server's error messages."""
    return ": ".join(filter(None, (f"HTTP {answer.status}", reasons(answer))))


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isdecimal() else None
