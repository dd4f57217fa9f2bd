"""Recognises responses of firewalls, proxies and captive portals, which the service itself never sent.

Cloudflare protects OpenAI's hosts and many others. It refuses with a web page, with ``error code: 1020`` in
plain text, with problem+json, or with an empty body (reported 2026: opencode issue 41320 for the Codex CLI,
llama_index issue 16796).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onplan.flow import Response
from onplan.lazy_pattern import LazyPattern

# Headers that identify a firewall or proxy; they count only if the body is not JSON.
_BY_HEADER: Mapping[str, LazyPattern] = {
    name: LazyPattern(pattern)
    for name, pattern in {
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
_CLOUDFLARE = LazyPattern(r"error code: (1\d{3})\b")
_REFUSALS = frozenset({403, 406, 451})
_MARK = b"\xef\xbb\xbf"


def is_page(response: Response) -> bool:
    """Whether the response is a web page, which no API sends."""
    start = response.body.removeprefix(_MARK).lstrip()[:1]
    return start == b"<" or "text/html" in response.headers.get("content-type", "")


def refused_by_firewall(response: Response, body: Any) -> bool:
    """Whether a firewall in front of the service refused the request, so that the service never saw it.

    ``body``: the response's JSON, or None if it is not JSON.
    """
    if body is None and not response.ok and "cf-mitigated" in response.headers:
        return True
    if response.status not in _REFUSALS:
        return False
    if cloudflare_number(response, body):
        return True
    return body is None and (is_page(response) or _known_by_header(response.headers))


def cloudflare_number(response: Response, body: Any) -> str:
    """Cloudflare's error number as ``error code 1020``; empty if the response is not Cloudflare's refusal."""
    if body is None:
        found = _CLOUDFLARE.match(response.body[:100].decode("latin-1").strip())
        return f"error code {found[1]}" if found else ""
    if isinstance(body, dict) and (body.get("cloudflare_error") or "cloudflare" in str(body.get("type"))):
        return f"error code {body.get('error_code') or body.get('status')}"
    return ""


def _known_by_header(headers: Mapping[str, str]) -> bool:
    return any(name in headers and pattern.search(headers[name]) for name, pattern in _BY_HEADER.items())
