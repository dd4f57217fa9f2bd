"""A whole answer stays whole, however its connection goes on."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import zstandard

import onplan
from onplan import CompletionRequest, RetryPolicy, Timeouts

from ..conftest import over_http
from .conftest import Network
from .exact import USAGE, Answer, Exact, chunk, completed, events, refused, said

REQUEST = CompletionRequest(messages="hi", model="m")
ONCE = RetryPolicy(attempts=1)
SPOKEN = (chunk({"content": "hello"}), chunk({}, "stop"))
CALLED = chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]})
DOCUMENT = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}],
}
PING = b": ping\n\n"


@pytest.fixture
def ask(driver: Any, network: Network) -> Callable[..., Any]:
    """What each way of asking is answered by a server that says these bytes, asked once."""

    def ask(answer: Answer, api: str = "chat", **options: Any) -> list[onplan.StreamChunk]:
        server = Exact(lambda body: answer)
        server.port = network.serve(server.handle)
        client = driver(backend="openai", base_url=server.url, api_key="k", api=api, retry=ONCE, **options)
        chunks: list[onplan.StreamChunk] = client.chunks(REQUEST)
        assert len(server.bodies) == 1
        return chunks

    return ask


def done(chunks: list[onplan.StreamChunk]) -> onplan.CompletionResponse:
    last = chunks[-1]
    assert isinstance(last, onplan.Done)
    assert sum(isinstance(chunk, onplan.Done) for chunk in chunks) == 1
    return last.response


BREAKS = {
    "after reason and usage": (events(*SPOKEN, USAGE), 2),
    "after the reason": (events(*SPOKEN), 0),
    "after a reason beside text": (events(chunk({"content": "hello"}, "stop")), 0),
    "after the reason, in a line without its end": (events(*SPOKEN).rstrip(b"\n"), 0),
    "in the middle of the usage": (events(*SPOKEN) + events(USAGE)[:-20], 0),
    "in the middle of a comment": (events(*SPOKEN, USAGE) + b": pi", 2),
    "after DONE without its line end": (events(*SPOKEN, USAGE) + b"data: [DONE]", 2),
    "after a document": (json.dumps(DOCUMENT).encode(), 0),
}


@over_http
@pytest.mark.parametrize(("data", "tokens"), BREAKS.values(), ids=BREAKS)
def test_a_break_after_the_end_takes_nothing_away(ask: Callable[..., Any], data: bytes, tokens: int) -> None:
    """Once the finish reason came, a connection that breaks leaves the answer whole."""
    response = done(ask(Answer([data], end="broken")))

    assert (response.text, response.usage.completion_tokens) == ("hello", tokens)


@over_http
@pytest.mark.parametrize("reason", ["tool_calls", "stop"])
def test_a_call_is_whole_with_its_reason(ask: Callable[..., Any], reason: str) -> None:
    """A tool call is handed out although the connection broke after the finish reason."""
    response = done(ask(said(CALLED, chunk({}, reason), end="broken")))

    assert [(call.name, call.arguments) for call in response.tool_calls] == [("f", "{}")]


COMPLETED = {
    "broken": Answer([events(completed("hello"))], end="broken"),
    "broken, in a line without its end": Answer([events(completed("hello"))[:-2]], end="broken"),
    "open": said(completed("hello"), end="open"),
}


@over_http
@pytest.mark.parametrize("answer", COMPLETED.values(), ids=COMPLETED)
def test_a_completed_response_is_whole(ask: Callable[..., Any], answer: Answer) -> None:
    """``response.completed`` ends a Responses stream, whatever the connection does then."""
    assert done(ask(answer, "responses")).text == "hello"


OPEN = {
    "in silence": Answer([events(*SPOKEN, USAGE)], end="open"),
    "in silence, without usage": Answer([events(*SPOKEN)], end="open"),
    "in silence, after a reason beside text": Answer(
        [events(chunk({"content": "hello"}, "stop"), USAGE)], end="open"
    ),
    "with comments for a minute": Answer([events(*SPOKEN, USAGE), *[PING] * 200], pause=0.3),
    "with empty chunks for a minute": Answer([events(*SPOKEN), *[events(chunk())] * 200], pause=0.3),
    "with usage over and over": Answer([events(*SPOKEN), *[events(USAGE)] * 200], pause=0.3),
}


@over_http
@pytest.mark.parametrize("answer", OPEN.values(), ids=OPEN)
def test_a_connection_that_stays_open_holds_nothing_up(ask: Callable[..., Any], answer: Answer) -> None:
    """Neither silence nor heartbeats after the finish reason keep the answer for long."""
    assert done(ask(answer, timeout=Timeouts(idle=40.0))).text == "hello"


@over_http
def test_a_limit_for_the_turn_does_not_take_a_whole_answer_away(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was whole in time is handed out, although its connection stays open beyond the limit."""
    monkeypatch.setattr("onplan.chat.stream._GRACE", 60.0)

    assert done(ask(said(*SPOKEN, end="open"), timeout=Timeouts(total=6))).text == "hello"


@over_http
def test_usage_that_follows_soon_is_waited_for(ask: Callable[..., Any]) -> None:
    """The token counts that come a moment after the finish reason belong to the answer."""
    late = Answer([events(*SPOKEN), events(USAGE), events("[DONE]")], pause=0.2)

    assert done(ask(late)).usage.completion_tokens == 2


@over_http
def test_a_reason_in_every_chunk_is_not_the_end(ask: Callable[..., Any]) -> None:
    """Text that follows a finish reason is waited for, more than a second if that came beside text, too."""
    pieces = [events(chunk({"content": text}, "stop")) for text in ("one ", "two ", "three")]

    assert done(ask(Answer([*pieces, events("[DONE]")], pause=1.2))).text == "one two three"


IN_EVERY_CHUNK = tuple(chunk({"content": text}, "stop") for text in ("one ", "two ", "three"))


@over_http
def test_where_reasons_mean_nothing_a_break_is_one(ask: Callable[..., Any]) -> None:
    """A stream that breaks is no answer where text has followed a finish reason before."""
    with pytest.raises(onplan.StreamTruncatedError):
        ask(said(*IN_EVERY_CHUNK[:2], end="broken"))


@over_http
def test_where_reasons_mean_nothing_an_error_is_one(ask: Callable[..., Any]) -> None:
    """What a server says wrong counts where text has followed a finish reason before."""
    with pytest.raises(onplan.ServerError):
        ask(said(*IN_EVERY_CHUNK[:2], AFTERWARDS["an error"]))


AFTERWARDS = {
    "an error": {"error": {"message": "overloaded", "code": 503}},
    "an error as text": {"error": "overloaded"},
    "no JSON": "{",
    "another shape": {"choices": 7},
}


@over_http
@pytest.mark.parametrize("event", AFTERWARDS.values(), ids=AFTERWARDS)
def test_an_error_after_the_end_takes_nothing_away(ask: Callable[..., Any], event: Any) -> None:
    """What a server says wrong after the finish reason does not undo the answer."""
    assert done(ask(said(*SPOKEN, USAGE, event))).text == "hello"


def _deflated(data: bytes, window: int) -> bytes:
    encoder = zlib.compressobj(wbits=window)
    return encoder.compress(data) + encoder.flush()


def _zstandard(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


GZIP = partial(gzip.compress, mtime=0)
RAW, ZLIB = partial(_deflated, window=-15), partial(_deflated, window=15)
# How a body is compressed, and what is done to its end.
COMPRESSED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", GZIP),
    "gzip, wrong checksum": ("gzip", lambda data: GZIP(data)[:-8] + bytes(8)),
    "gzip, no checksum": ("x-gzip", lambda data: GZIP(data)[:-8]),
    "gzip, then something else": ("gzip", lambda data: GZIP(data) + b"junk"),
    "gzip, then half of another member": ("gzip", lambda data: GZIP(data) + GZIP(data)[:7]),
    "gzip in two members": ("GZIP", lambda data: GZIP(data[:20]) + GZIP(data[20:])),
    "deflate": ("deflate", ZLIB),
    "deflate, wrong checksum": ("deflate", lambda data: ZLIB(data)[:-4] + bytes(4)),
    "deflate without its header": ("deflate", RAW),
    "zstd": ("zstd", _zstandard),
    "zstd, wrong checksum": ("zstd", lambda data: _zstandard(data)[:-4] + bytes(4)),
    "zstd, no checksum": ("zstd", lambda data: _zstandard(data)[:-4]),
}


@over_http
@pytest.mark.parametrize(("encoding", "compress"), COMPRESSED.values(), ids=COMPRESSED)
@pytest.mark.parametrize("end", ["whole", "broken"])
def test_a_damaged_end_of_a_compressed_body_takes_nothing_away(
    ask: Callable[..., Any], encoding: str, compress: Callable[[bytes], bytes], end: str
) -> None:
    """What was decoded before the damage is read, on both wires and in whatever pieces it comes."""
    headers = {"content-encoding": encoding}
    chat, responses = compress(events(*SPOKEN, USAGE)), compress(events(completed("hello")))
    pieces = [chat[place : place + 1] for place in range(len(chat))]

    assert done(ask(Answer([chat], headers=headers, end=end))).usage.completion_tokens == 2
    assert done(ask(Answer(pieces, headers=headers, end=end))).text == "hello"
    assert done(ask(Answer([responses], headers=headers, end=end), "responses")).text == "hello"


@over_http
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "sparkle"])
def test_a_damaged_body_is_no_answer(ask: Callable[..., Any], encoding: str) -> None:
    """Bytes that decode to nothing are an error, and never an empty answer."""
    with pytest.raises(onplan.OnplanError):
        ask(Answer([b"\xff\x28 no such thing"], headers={"content-encoding": encoding}))


NOT_WHOLE: dict[str, tuple[Answer, type[onplan.OnplanError]]] = {
    "text alone, broken": (said(SPOKEN[0], end="broken"), onplan.StreamTruncatedError),
    "text alone, whole": (said(SPOKEN[0]), onplan.StreamTruncatedError),
    "text alone, open": (said(SPOKEN[0], end="open"), onplan.IdleTimeoutError),
    "an announced call that never came": (
        said(*SPOKEN[:1], chunk({}, "tool_calls"), end="broken"),
        onplan.StreamError,
    ),
    "half of a document": (Answer([json.dumps(DOCUMENT).encode()[:-2]], end="broken"), onplan.OnplanError),
    "an error before the end": (said(SPOKEN[0], {"error": {"message": "no"}}), onplan.OnplanError),
    "a refusal": (refused({"error": {"message": "no"}}), onplan.InvalidRequestError),
}


@over_http
@pytest.mark.parametrize(("answer", "error"), NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_what_is_not_whole_stays_an_error(
    ask: Callable[..., Any], answer: Answer, error: type[onplan.OnplanError]
) -> None:
    """Without a finish reason a connection's end is an error, as before."""
    with pytest.raises(error):
        ask(answer, timeout=Timeouts(idle=0.5))
