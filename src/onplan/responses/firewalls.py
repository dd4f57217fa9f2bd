"""Answers that are not the backend's own but a firewall's or a proxy's. They say nothing of the sign-in.

Cloudflare stands in front of both of OpenAI's hosts and of many others. Its refusals come as a page, as
``error code: 1020`` in plain text, as problem+json, or empty (seen 2026 by the Codex CLI and others).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from onplan.errors import BlockedError, OnplanError, RateLimitError, UnexpectedReplyError
from onplan.responses.error_body import ErrorBody
from onplan.responses.error_codes import row_of_status
from onplan.wire import Response, request_id_of

# By which header a firewall or proxy is known as the one who answers, where no backend's JSON came.
_BY_HEADER: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "cf-mitigated": ".",
        "server": r"cloudflare|akamai|sucuri|imperva|incapsula|ddos-guard|awselb|"
        r"zscaler|squid|big-?ip|fortiweb|barracuda|mcafee|bluecoat|netskope|forcepoint",
        "x-sucuri-id": ".",
        "x-iinfo": ".",  # Imperva
        "x-datadome": ".",
        "x-amzn-waf-action": ".",
        "x-squid-error": ".",
        "x-zscaler": ".",
    }.items()
}
_CLOUDFLARE = re.compile(r"error code: (1\d{3})\b", re.IGNORECASE)
_REFUSALS = frozenset({403, 406, 451})


def is_page(response: Response) -> bool:
    """Whether a web page came."""
    return response.body.lstrip()[:1] == b"<" or "text/html" in response.headers.get("content-type", "")


def failure_on_the_way(response: Response, body: Any, facts: ErrorBody) -> OnplanError | None:
    """What something in front of the backend says; None if the answer is the backend's, as far as is known.

    Args:
        response: the whole answer, of a failing status or with a page as its body.
        body: the decoded JSON of the answer; None if it is none.
        facts: what it says as an error's body.
    """
    status, page = response.status, body is None and is_page(response)
    number = _cloudflare_number(response, body)
    stranger = number or page or (body is None and _known_by_header(response.headers))
    if status in _REFUSALS and stranger:
        return _refused(response, number, "" if page else facts.message)
    if number and status == 429:
        sentence = f"A firewall in front of the backend limits how often it lets you through ({number})."
        return _error(RateLimitError, sentence, response)
    if not page:
        return None
    if status == 429 or status >= 500:
        row = row_of_status(status, "")
        return _error(row.error, row.sentence, response)
    return _error(
        UnexpectedReplyError, f"A web page came back instead of an answer (HTTP {status}).", response
    )


def _refused(response: Response, number: str, said: str) -> OnplanError:
    ray = response.headers.get("cf-ray")
    named = [number or said.rstrip(".")[:300], f"cf-ray {ray}" if ray else ""]
    why = ", ".join(filter(None, named))
    sentence = f"A firewall in front of the backend refused this connection{f' ({why})' if why else ''}."
    return _error(BlockedError, sentence, response)


def _cloudflare_number(response: Response, body: Any) -> str:
    """``error code 1020`` and the like; empty if it is no refusal of Cloudflare's."""
    if body is None:
        found = _CLOUDFLARE.match(response.body[:100].decode("latin-1").strip())
        return f"error code {found[1]}" if found else ""
    if isinstance(body, dict) and (body.get("cloudflare_error") or "cloudflare" in str(body.get("type"))):
        return f"error code {body.get('error_code') or body.get('status')}"
    return ""


def _known_by_header(headers: Mapping[str, str]) -> bool:
    return any(name in headers and pattern.search(headers[name]) for name, pattern in _BY_HEADER.items())


def _error(kind: type[OnplanError], sentence: str, response: Response) -> OnplanError:
    return kind(sentence, status=response.status, request_id=request_id_of(response.headers))
