"""Refusals that are not in the OAuth RFCs: region, workspace, account, or a firewall's page instead.

One table serves every step: the redirect, the device code's request and polls, the exchange, a refresh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onplan.answers.firewall import cloudflare_number, is_page, refused_by_firewall
from onplan.errors import SignInError, UnexpectedReplyError
from onplan.flow import Response, request_id_of
from onplan.lazy_pattern import LazyPattern
from onplan.oauth.credentials import error_code


@dataclass(frozen=True, slots=True)
class Refusal:
    """What happened and what to do, as sentences for people.

    Attributes:
        ends_sign_in: whether a stored sign-in has ended if its refresh is refused like this.
    """

    sentence: str
    hint: str
    ends_sign_in: bool = False


_ANOTHER_WORKSPACE = "Run `onplan login` and choose another workspace, or ask the workspace's administrator."
SWITCH = (
    "Turn on the switch `Enable device code authorization for Codex` in ChatGPT's settings, under Security "
    "(in a workspace, its administrator does), then run `onplan login --device` again. Or run "
    "`onplan login --paste`."
)
_REGION = Refusal(
    "OpenAI does not serve the country or region that this connection comes from.",
    "If your browser uses a proxy or VPN, let this program use it as well: `export HTTPS_PROXY=URL`; "
    "`onplan doctor` shows which proxy is in effect.",
)
_DEACTIVATED = Refusal("The ChatGPT workspace has been deactivated.", _ANOTHER_WORKSPACE, ends_sign_in=True)
_NO_CODEX = Refusal(
    "Codex is not enabled for this ChatGPT workspace.",
    "Ask its administrator to enable it.",
    ends_sign_in=True,
)
_ACCOUNT = Refusal(
    "The account has been deactivated or deleted.",
    "Run `onplan login` with another account; https://help.openai.com helps with this one.",
    ends_sign_in=True,
)
NO_DEVICE_CODES = Refusal("Signing in with a code is switched off for this account or workspace.", SWITCH)

# By the error's code.
_BY_CODE: Mapping[str, Refusal] = {
    "unsupported_country_region_territory": _REGION,
    "unsupported_country": _REGION,
    "unsupported_region": _REGION,
    "deactivated_workspace": _DEACTIVATED,
    "workspace_deactivated": _DEACTIVATED,
    "invalid_workspace_selected": Refusal(
        "The ChatGPT workspace that was chosen cannot be used for this.",
        _ANOTHER_WORKSPACE,
        ends_sign_in=True,
    ),
    "workspace_restriction": Refusal(
        "This ChatGPT workspace may not be used here.", _ANOTHER_WORKSPACE, ends_sign_in=True
    ),
    "codex_cli_workspace_disabled": _NO_CODEX,
    "missing_codex_entitlement": _NO_CODEX,
    "account_deactivated": _ACCOUNT,
    "user_deactivated": _ACCOUNT,
    "account_deleted": _ACCOUNT,
}

# By the message, if the code is another one or missing.
_BY_MESSAGE: tuple[tuple[LazyPattern, Refusal], ...] = (
    (LazyPattern(r"\b(country|region|territory)\b.*\bnot (supported|available)"), _REGION),
    (LazyPattern(r"workspace\b.*\bdeactivated|deactivated workspace"), _DEACTIVATED),
    (
        LazyPattern(
            r"enable device.?code|device.?code (auth\w*|login|sign.?in)\b.*\b(disabled|not enabled|off)"
        ),
        NO_DEVICE_CODES,
    ),
)


def refusal_named(code: str, message: str = "") -> Refusal | None:
    """The refusal for an error's code or message, or None if it is not in the tables."""
    found = _BY_CODE.get(code)
    return found or next((refusal for pattern, refusal in _BY_MESSAGE if pattern.search(message)), None)


def refusal_in(response: Response) -> Refusal | None:
    """The refusal in ``response``, of the sign-in service or of a firewall or proxy before it; or None."""
    return page_in(response) or refusal_named(*error_code(response.json()))


def page_in(response: Response) -> Refusal | None:
    """The refusal for a web page, or a firewall's line of text, that came instead of an answer; or None."""
    body = response.json()
    named = [f"HTTP {response.status}", cloudflare_number(response, body)]
    if ray := response.headers.get("cf-ray"):
        named.append(f"cf-ray {ray}")
    facts = ", ".join(filter(None, named))
    if refused_by_firewall(response, body):
        return Refusal(
            f"A firewall in front of the sign-in service refused this connection ({facts}).",
            "Try from another network, without a VPN or data-centre address.",
        )
    if body is None and is_page(response):
        return Refusal(
            f"A web page came back instead of the sign-in service's answer ({facts}).",
            UnexpectedReplyError.hint,
        )
    return None


def sign_in_error(refusal: Refusal, response: Response) -> SignInError:
    """The error for a sign-in that ended with ``refusal``, in ``response``."""
    return SignInError(
        refusal.sentence,
        hint=refusal.hint,
        status_code=response.status,
        request_id=request_id_of(response.headers),
    )
