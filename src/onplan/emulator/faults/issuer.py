"""Faults while signing in, refreshing and signing out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from onplan.emulator.faults.actions import changed, ended, redirected, server_error, without
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.pages import BAD_GATEWAY
from onplan.emulator.wire.replies import (
    DEVICE_PENDING,
    Reply,
    api_error,
    html_reply,
    json_reply,
    oauth_error,
    refresh_refused,
)

TOKEN = ("token:authorization_code", "token:refresh_token")
REFRESH = ("token:refresh_token",)
AUTHORIZE = ("authorize",)
POLL = ("device_token",)


def _only(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tokens: {name: value for name, value in tokens.items() if name in names}


def _denied(description: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda query: {"error": "access_denied", "error_description": description, "state": query["state"]}


_REFRESH_REFUSALS = (
    ("refresh_token_expired", ""),
    ("refresh_token_reused", ", as if another process had been first"),
    ("refresh_token_invalidated", ""),
)

FAULTS = (
    Fault(
        "authorize_access_denied",
        "Redirects with error=access_denied.",
        AUTHORIZE,
        after=redirected(_denied("The user declined.")),
    ),
    Fault(
        "authorize_wrong_state",
        "Redirects with a state that was never sent.",
        AUTHORIZE,
        after=redirected(lambda query: {**query, "state": "not-the-state-that-was-sent"}),
    ),
    Fault(
        "authorize_missing_entitlement",
        "Redirects with error_description=missing_codex_entitlement.",
        AUTHORIZE,
        after=redirected(_denied("missing_codex_entitlement")),
    ),
    Fault("authorize_no_code", "Redirects without a code.", AUTHORIZE, after=redirected(without("code"))),
    Fault("token_500", "500 before anything is processed.", TOKEN, instead=server_error),
    Fault(
        "token_429",
        "429 with retry-after: 1, before anything is processed.",
        TOKEN,
        instead=lambda: api_error(
            "Rate limit reached.", code="rate_limit_exceeded", status=429, headers=(("retry-after", "1"),)
        ),
    ),
    Fault("token_html", "502 with a page of HTML.", TOKEN, instead=lambda: html_reply(BAD_GATEWAY, 502)),
    Fault(
        "token_truncated",
        "200, processed, but the connection closes half-way through the body.",
        TOKEN,
        after=ended("cut"),
    ),
    Fault(
        "token_connection_reset",
        "The connection ends without a reply, before anything is processed.",
        TOKEN,
        instead=lambda: Reply(ending="reset"),
    ),
    Fault(
        "token_response_lost",
        "Processed (a refresh token is spent), then the connection ends without a reply.",
        TOKEN,
        after=ended("reset"),
    ),
    Fault(
        "token_500_after_rotation",
        "Processed (a refresh token is spent), then 500.",
        TOKEN,
        after=lambda reply: server_error(),
    ),
    Fault(
        "token_no_refresh_token",
        "200 without a refresh_token.",
        TOKEN,
        after=changed(without("refresh_token")),
    ),
    Fault("token_no_id_token", "200 without an id_token.", TOKEN, after=changed(without("id_token"))),
    Fault(
        "token_no_access_token",
        "200 without an access_token.",
        TOKEN,
        after=changed(without("access_token")),
    ),
    Fault(
        "token_only_access_token",
        "200 with nothing but an access_token.",
        TOKEN,
        after=changed(_only("access_token")),
    ),
    Fault(
        "token_expires_in_zero",
        "200 with expires_in 0.",
        TOKEN,
        after=changed(lambda tokens: {**tokens, "expires_in": 0}),
    ),
    Fault("token_no_expires_in", "200 without expires_in.", TOKEN, after=changed(without("expires_in"))),
    Fault(
        "token_invalid_grant",
        "400 invalid_grant.",
        TOKEN,
        instead=lambda: oauth_error("invalid_grant", "The grant is not valid."),
    ),
    Fault("token_slow", "Answers after a while (1 s, or the seconds it was armed with).", TOKEN, delay=1.0),
    Fault(
        "token_not_json",
        "200 with text instead of JSON.",
        TOKEN,
        instead=lambda: Reply(headers=(("content-type", "text/plain"),), body=b"OK"),
    ),
    Fault("token_empty_object", "200 with {}.", TOKEN, instead=lambda: json_reply({})),
    *(
        Fault(code, f"401 {code}{more}.", REFRESH, instead=partial(refresh_refused, code))
        for code, more in _REFRESH_REFUSALS
    ),
    Fault(
        "device_not_enabled_404",
        "404 for a user code: device sign-in is switched off.",
        ("device_usercode",),
        instead=lambda: api_error("Not found", status=404),
    ),
    Fault(
        "device_interval_integer",
        "interval is a number instead of a string.",
        ("device_usercode",),
        after=changed(lambda body: {**body, "interval": int(body["interval"])}),
    ),
    Fault(
        "device_usercode_alias",
        "The code comes as usercode instead of user_code.",
        ("device_usercode",),
        after=changed(lambda body: {**without("user_code")(body), "usercode": body["user_code"]}),
    ),
    Fault(
        "device_interval_missing",
        "The reply has no interval.",
        ("device_usercode",),
        after=changed(without("interval")),
    ),
    Fault(
        "device_pending",
        "One more poll is answered 403: not approved yet.",
        POLL,
        instead=lambda: DEVICE_PENDING,
    ),
    Fault(
        "device_pending_404",
        "One more poll is answered 404: not approved yet.",
        POLL,
        instead=lambda: replace(DEVICE_PENDING, status=404),
    ),
    Fault(
        "device_slow_down",
        "400 slow_down to a poll (RFC 8628, section 3.5).",
        POLL,
        instead=lambda: oauth_error("slow_down", "Poll less often."),
    ),
    Fault("device_poll_500", "500 to a poll.", POLL, instead=server_error),
    Fault(
        "device_access_denied",
        "400 access_denied to a poll: the person declined.",
        POLL,
        instead=lambda: oauth_error("access_denied", "The user declined."),
    ),
    Fault(
        "device_expired_token",
        "400 expired_token to a poll: the code was not approved in time.",
        POLL,
        instead=lambda: oauth_error("expired_token", "The device code has expired."),
    ),
    Fault("revoke_500", "500, nothing revoked.", ("revoke",), instead=server_error),
    Fault(
        "revoke_slow",
        "Answers after a while (1 s, or the seconds it was armed with).",
        ("revoke",),
        delay=1.0,
    ),
)
