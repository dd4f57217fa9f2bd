"""Faults: answers of firewalls and proxies instead of the service's."""

from __future__ import annotations

from collections.abc import Callable

from onplan.emulator.faults.actions import HEADS, RAY
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.replies import Headers, Reply, json_reply


def _text(status: int, text: str, headers: Headers = RAY) -> Callable[[], Reply]:
    head = (("content-type", "text/plain; charset=UTF-8"), *headers)
    return lambda: Reply(status=status, headers=head, body=text.encode())


def _problem() -> Reply:
    problem = {
        "type": "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/error-1010/",
        "title": "Error 1010: Access denied",
        "status": 403,
        "detail": "The site owner has blocked access based on your browser's signature.",
        "error_code": 1010,
        "cloudflare_error": True,
    }
    reply = json_reply(problem, 403, RAY)
    return Reply(
        status=403,
        headers=(("content-type", "application/problem+json"), *reply.headers[1:]),
        body=reply.body,
    )


# Cloudflare's numbers and their meanings.
_CODES = {
    1006: "the IP address is blocked",
    1010: "the client's signature is blocked",
    1020: "a firewall rule blocks the request",
}

FAULTS = (
    *(
        Fault(
            f"cloudflare_{code}",
            f'403 with the text "error code: {code}": {what}.',
            HEADS,
            instead=_text(403, f"error code: {code}"),
        )
        for code, what in _CODES.items()
    ),
    Fault(
        "cloudflare_1015",
        '429 with the text "error code: 1015": the firewall\'s own rate limit.',
        HEADS,
        instead=_text(429, "error code: 1015"),
    ),
    Fault(
        "cloudflare_empty_403",
        "403 without a body, with Cloudflare's headers.",
        HEADS,
        instead=lambda: Reply(status=403, headers=RAY),
    ),
    Fault("cloudflare_problem_403", "403 as application/problem+json.", HEADS, instead=_problem),
    Fault(
        "proxy_denied_403",
        "403 with the text of a company's proxy (Zscaler).",
        HEADS,
        instead=_text(403, "Access Denied by security policy", (("server", "Zscaler/6.2"),)),
    ),
    Fault(
        "ingress_503",
        "503 with the text of an ingress (Envoy).",
        HEADS,
        instead=_text(
            503,
            "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
            (("server", "envoy"),),
        ),
    ),
)
