"""What a firewall or proxy in front of a service sends, and what the service itself says."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.answers.firewall import cloudflare_number, is_page, refused_by_firewall
from onplan.flow import Response

TYPE = "https://developers.cloudflare.com/support/troubleshooting/"


@pytest.mark.parametrize(
    ("body", "decoded", "number"),
    [
        (b"error code: 1020", None, "error code 1020"),
        (b"  Error Code: 1006\n", None, "error code 1006"),
        (b"error code: 1020" + b" " * 200, None, "error code 1020"),
        (b"error code: 10201", None, ""),
        (b"error code: 502", None, ""),
        (b"An error code: 1020", None, ""),
        (b"\xff", None, ""),
        (b"", None, ""),
        (b"{}", {"type": TYPE, "error_code": 1010}, "error code 1010"),
        (b"{}", {"type": TYPE, "status": 403}, "error code 403"),
        (b"{}", {"cloudflare_error": True, "error_code": 1015}, "error code 1015"),
        (b"{}", {"type": "invalid_request_error", "error_code": 1010}, ""),
        (b"{}", {"cloudflare_error": False}, ""),
        (b"{}", {}, ""),
        (b"[]", [], ""),
    ],
)
def test_the_number_of_a_refusal(body: bytes, decoded: Any, number: str) -> None:
    """Cloudflare's number, from its line of text or its JSON."""
    assert cloudflare_number(Response(403, {}, body), decoded) == number


@pytest.mark.parametrize(
    ("headers", "body", "page"),
    [
        ({}, b"<html>", True),
        ({}, b" \r\n<!doctype html>", True),
        ({}, b"\xef\xbb\xbf <html>", True),
        ({"content-type": "text/html; charset=utf-8"}, b"", True),
        ({"content-type": "text/plain"}, b"<", True),
        ({"content-type": "text/plain"}, b"a < b", False),
        ({}, b"", False),
        ({}, b"{}", False),
    ],
)
def test_what_is_a_web_page(headers: dict[str, str], body: bytes, page: bool) -> None:
    """By its first character, or by its type."""
    assert is_page(Response(200, headers, body)) is page


KNOWN = {
    "cf-mitigated": "challenge",
    "x-sucuri-id": "1",
    "x-iinfo": "1",
    "x-datadome": "protected",
    "x-amzn-waf-action": "captcha",
    "x-squid-error": "ERR_ACCESS_DENIED 0",
    "x-zscaler": "1",
}
SERVERS = """cloudflare AkamaiGHost Sucuri/Cloudproxy imperva incapsula ddos-guard awselb/2.0 zscaler
squid/5 BIG-IP bigip fortiweb barracuda mcafee bluecoat netskope forcepoint"""
HEADERS = [*KNOWN.items(), *(("server", name) for name in SERVERS.split())]


@pytest.mark.parametrize(("name", "value"), HEADERS)
def test_firewalls_are_known_by_a_header(name: str, value: str) -> None:
    """If the body is not JSON, and the status is one with which they refuse."""
    for status in (403, 406, 451):
        assert refused_by_firewall(Response(status, {name: value}), None)
        assert not refused_by_firewall(Response(status, {name: value}, b"{}"), {})
    for status in (200, 401, 402, 404, 405, 407, 450, 452):
        is_cloudflare = name == "cf-mitigated" and status != 200
        assert refused_by_firewall(Response(status, {name: value}), None) is is_cloudflare


@pytest.mark.parametrize(
    ("response", "body", "refused"),
    [
        (Response(403, {}, b"<html>"), None, True),
        (Response(403, {}, b"error code: 1020"), None, True),
        (Response(403, {}, b"{}"), {"type": TYPE}, True),
        (Response(500, {}, b"{}"), {"type": TYPE}, False),
        (Response(500, {}, b"<html>"), None, False),
        (Response(403, {"server": "nginx"}), None, False),
        (Response(403, {"x-iinfo": ""}), None, False),
        (Response(403), None, False),
        (Response(503, {"cf-mitigated": "challenge"}, b"<html>"), None, True),
        (Response(200, {"cf-mitigated": "challenge"}, b"<html>"), None, False),
        (Response(503, {"cf-mitigated": "challenge"}, b"{}"), {}, False),
    ],
)
def test_who_refused(response: Response, body: Any, refused: bool) -> None:
    """A page, a number or a known header; JSON of the service's own is the service's word."""
    assert refused_by_firewall(response, body) is refused
