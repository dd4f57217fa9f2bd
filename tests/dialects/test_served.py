"""What every reply tells beside its body."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import pytest

from onplan.dialects.served import (
    ServedReply,
    ServedRequest,
    estimated_usage,
    limit_headers,
    reported_parameters,
    reported_repairs,
)


@pytest.mark.parametrize(
    ("name", "value", "is_told"),
    [
        ("x-codex-primary-used-percent", "12.5", True),
        ("x-codex-credits-balance", "", True),
        ("x-codex-plan-type", "plus\r\nset-cookie: a=b", False),
        ("x-codex-plan-type", "pl\u00fcs", False),
        ("x-codex-\x7f", "1", False),
        ("set-cookie", "a=b", False),
    ],
)
def test_limits_are_told_as_far_as_headers_can_hold_them(name: str, value: str, is_told: bool) -> None:
    """Control characters of a backend reach no reply, and other headers of its are not handed on."""
    assert limit_headers({name: value}) == ({name: value} if is_told else {})


def test_tokens_are_estimated_by_bytes() -> None:
    """Four bytes of a request and two hundred of a stream for a token."""
    usage = estimated_usage(4_000, 2_000)

    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1_000, 10, 1_010)


@pytest.mark.parametrize(
    ("ignored", "emulated", "headers"),
    [
        ([], [], {}),
        (["user"], [], {"x-onplan-ignored-parameters": "user"}),
        ([], ["stop"], {"x-onplan-emulated-parameters": "stop"}),
        (
            ["top_p", "user", "top_p"],
            ["text.format", "stop"],
            {
                "x-onplan-ignored-parameters": "top_p, user",
                "x-onplan-emulated-parameters": "text.format, stop",
            },
        ),
        (["x" * 64], [], {"x-onplan-ignored-parameters": "x" * 64}),
        (["x" * 65, "", "a b", "a\r\nb: c", "\u00fc", "a,b"], [], {}),
        (map(str, range(65)), [], {"x-onplan-ignored-parameters": ", ".join(map(str, range(64)))}),
    ],
)
def test_parameters_are_told_by_their_names(
    ignored: Iterable[str], emulated: list[str], headers: dict[str, str]
) -> None:
    """Each once, and at most 64; what cannot be the name of a parameter stands in no header."""
    assert reported_parameters(ignored, emulated) == headers


@pytest.mark.parametrize(
    ("repairs", "told"),
    [
        ([], None),
        ([""], None),
        (["Left out one.", "Left out one.", "Added two."], "Left out one. Added two."),
        (["call_\u00fc\r\n\x7f"], "call_????"),
        (["x" * 4_096], "x" * 4_096),
        (["x" * 4_095, "yz"], "x" * 4_095 + " "),
    ],
)
def test_repairs_are_told_in_one_header(repairs: list[str], told: str | None) -> None:
    """They may quote the client's ids, of which only what a header can hold is told."""
    assert reported_repairs(repairs) == ({"x-onplan-history-repairs": told} if told is not None else {})


class _NoPieces:
    """A body that ends before it begins."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        pass


def test_a_stream_of_events_is_kept_alive() -> None:
    """No proxy holds it back or keeps it; a comment between two events shows that it goes on."""
    body = _NoPieces()
    reply = ServedReply.events(body, {"x-a": "b"})

    assert (reply.status, reply.body, reply.heartbeat) == (200, body, b": ping\n\n")
    assert reply.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "x-a": "b",
    }
    assert ServedReply.events(body).headers is not ServedReply.events(body).headers
    assert (reply.sent, reply.usage, reply.model) == (0, None, None)


def test_a_json_reply_is_whole() -> None:
    """It needs no heartbeat; its status is 200 unless it is another."""
    reply = ServedReply.json({"a": [1]})
    assert (reply.status, reply.body, reply.heartbeat) == (200, b'{"a":[1]}', b"")
    assert reply.headers == {"content-type": "application/json"}
    other = ServedReply.json(None, 404, {"x-a": "b"})
    assert (other.status, other.body) == (404, b"null")
    assert other.headers == {"content-type": "application/json", "x-a": "b"}


def test_headers_and_bodies_are_not_printed() -> None:
    """They may hold a key, and what people ask and are told."""
    request = ServedRequest("POST", "/v1/responses", {"authorization": "secret"}, b"secret", caller="ann")
    assert repr(request) == ("ServedRequest(method='POST', path='/v1/responses', query='', caller='ann')")
    assert "secret" not in repr(ServedReply.json("secret"))
