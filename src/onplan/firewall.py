"""Whether an answer came from the service at all, or from a firewall, proxy or portal on the way to it."""

from __future__ import annotations

import re

from onplan.wire import Response

# Cloudflare's refusals in plain text: 1006 to 1020 and others (docs/protocol.md).
_ERROR_CODE = re.compile(rb"\s*error code: 1\d{3}\b")
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<")


def is_page(response: Response) -> bool:
    """Whether it is a web page, which no API sends."""
    return bool(_PAGE.match(response.body)) or "text/html" in response.headers.get("content-type", "")


def refused_by_firewall(response: Response) -> bool:
    """Whether a firewall refused the connection, and the service never saw the request.

    By Cloudflare's ``cf-mitigated`` header, by a page with status 403, or by Cloudflare's refusals in plain
    text (``error code: 1010``; a 429 with 1015).
    """
    if response.ok:
        return False
    if "cf-mitigated" in response.headers or _ERROR_CODE.match(response.body):
        return True
    return response.status == 403 and is_page(response)


def facts(response: Response) -> str:
    """What to quote in a report: the status and Cloudflare's name for the connection, in brackets."""
    named = response.headers.get("cf-ray")
    return f"(HTTP {response.status}; cf-ray {named})" if named else f"(HTTP {response.status})"
