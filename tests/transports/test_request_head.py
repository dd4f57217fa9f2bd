"""The first bytes of a request, and what cannot be said in them."""

from __future__ import annotations

import pytest

from onplan.backends import USER_AGENT
from onplan.errors import TransportError
from onplan.flow import Request
from onplan.transports.request_head import RequestHeads, is_idempotent

from ..conftest import source_locals


def lines(request: Request) -> list[str]:
    return RequestHeads().head_of(request, "gzip").decode("latin-1").split("\r\n")


def test_what_is_said() -> None:
    """The request's own headers take the place of those that every request has."""
    request = Request("GET", "https://a.example/path?q=1", {"Accept": "x/y", "Authorization": "Bearer t"})

    assert lines(request) == [
        "GET /path?q=1 HTTP/1.1",
        "host: a.example",
        "accept: x/y",
        "accept-encoding: gzip",
        f"user-agent: {USER_AGENT}",
        "authorization: Bearer t",
        "",
        "",
    ]


def test_what_is_said_next() -> None:
    """Headers that are as before, others and none: each head says what its own request does."""
    heads = RequestHeads()

    def said(headers: dict[str, str]) -> list[str]:
        return heads.head_of(Request("GET", "https://a", headers), "gzip").decode().split("\r\n")[5:-2]

    assert said({"x": "1", "Y": "2"}) == ["x: 1", "y: 2"]
    assert said({"x": "1", "y": "3"}) == ["x: 1", "y: 3"]
    assert said({"x": "4"}) == ["x: 4"]
    assert said({}) == []


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("POST", b"abc", "3"), ("POST", b"", "0"), ("POST", None, "0"), ("GET", None, None), ("GET", b"a", "1")],
)
def test_the_length(method: str, body: bytes | None, length: str | None) -> None:
    """A body has one, and so has a request that could have a body."""
    said = lines(Request(method, "https://a", {"Content-Length": "9"} if body else {}, body))

    assert [line for line in said if line.startswith("content-length")] == (
        [] if length is None else [f"content-length: {length}"]
    )


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("https://a.example", "/", "a.example"),
        ("https://a.example:443/x", "/x", "a.example"),
        ("http://a.example:443/x", "/x", "a.example:443"),
        ("http://[::1]:80/x", "/x", "[::1]"),
        ("http://[::1]:8080/x%20y", "/x%20y", "[::1]:8080"),
        ("https://u:p@a.example/x", "/x", "a.example"),
        ("https://b\u00fccher.example/caf\u00e9?a=\u00e9", "/caf%C3%A9?a=%C3%A9", "xn--bcher-kva.example"),
        ("https://a.example/x y?z={}", "/x%20y?z=%7B%7D", "a.example"),
        ("https://a.example/x#part", "/x", "a.example"),
    ],
)
def test_where_it_goes(url: str, target: str, host: str) -> None:
    """In ASCII, without user, part and a port that goes without saying."""
    first, second, *_ = lines(Request("GET", url))

    assert first == f"GET {target} HTTP/1.1"
    assert second == f"host: {host}"


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "https://a", {"x": "marked\r\ny: z"}),
        Request("GET", "https://a", {"x": "marked\n"}),
        Request("GET", "https://a", {"x": "marked\0"}),
        Request("GET", "https://a", {"x": "marked \u2603"}),
        Request("GET", "https://a", {"x marked": "y"}),
        Request("GET", "https://a", {"": "marked"}),
        Request("GET / HTTP/1.1\r\n", "https://a"),
        Request("GET", f"https://\u00e9{'a' * 70}.example"),
    ],
)
def test_what_cannot_be_said(request_: Request) -> None:
    """It is an error that does not repeat it."""
    with pytest.raises(TransportError, match="could not be written") as caught:
        RequestHeads().head_of(request_, "gzip")

    assert "marked" not in str(caught.value)
    assert not [frame for frame in source_locals(caught.value) if "marked" in str(frame)]


def test_nothing_is_printed() -> None:
    """A traceback with local variables shows no token."""
    heads, request = RequestHeads(), Request("GET", "https://a", {"authorization": "marked"})

    assert repr(heads.head_of(request, "")) == "…"
    assert "marked" not in repr(vars(heads))


def test_what_is_kept_of_headers_is_bounded() -> None:
    """Also if each request has names and values of its own; each is written as if it were the first."""
    heads = RequestHeads()
    for number in range(1_000):
        request = Request("GET", "https://a", {f"x-{number}": "y", "authorization": f"Bearer {number}"})
        assert heads.head_of(request, "gzip") == RequestHeads().head_of(request, "gzip")

    assert len(heads._last) < 100


def test_what_may_be_sent_twice() -> None:
    """What asks for an answer, and so for money, is not."""
    assert [is_idempotent(method) for method in ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH")] == [
        *[True] * 4,
        *[False] * 2,
    ]
