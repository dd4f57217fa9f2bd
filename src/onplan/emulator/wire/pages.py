"""The HTML pages that a browser is shown: escaped, without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from onplan.emulator.wire.replies import Reply, html_reply

# A page that approves a sign-in must not be framed by another site's, nor leak its URL.
PAGE_HEADERS = (
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:1rem system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem}}</style></head>
<body><h1>{title}</h1><p>{text}</p>{more}</body></html>"""

CLOUDFLARE_BLOCK = """<!DOCTYPE html><html lang="en-US">
<head><title>Attention Required! | Cloudflare</title></head>
<body><h1>Sorry, you have been blocked</h1><p>You are unable to access chatgpt.com</p>
<span>Cloudflare Ray ID: <strong>9a1b2c3d4e5f6a7b</strong></span></body></html>"""
BAD_GATEWAY = """<html><head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>"""


def page(title: str, text: str, *, status: int = 200, more: str = "") -> Reply:
    """A page with a heading and a sentence; `more` is HTML already."""
    body = _PAGE.format(title=escape(title), text=escape(text), more=more)
    return html_reply(body, status, PAGE_HEADERS)


def form(action: str, hidden: Mapping[str, str], buttons: Mapping[str, str], choices: str = "") -> str:
    """A form of hidden fields whose buttons set `decision`; `choices` is HTML already, above them."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    row = "".join(
        f'<button name="decision" value="{escape(value)}">{escape(label)}</button> '
        for value, label in buttons.items()
    )
    return f'<form method="post" action="{escape(action)}">{fields}{choices}{row}</form>'


def choice(kind: str, name: str, value: str, label: str, *, checked: bool = False) -> str:
    """A radio button or a checkbox with its label, on a line of its own."""
    mark = " checked" if checked else ""
    head = f'<input type="{escape(kind)}" name="{escape(name)}" value="{escape(value)}"{mark}>'
    return f"<p><label>{head} {escape(label)}</label></p>"
