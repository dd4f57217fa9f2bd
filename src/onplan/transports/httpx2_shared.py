"""What ``httpx2_sync.py`` and ``httpx2_async.py`` share: limits, failures, compressed bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpcore2
import httpx2

from onplan.errors import TransportError
from onplan.transports.base import Timeouts
from onplan.transports.connection_errors import broken, stopped_answering, stopped_listening, unreachable
from onplan.transports.deadline import Deadline
from onplan.transports.decompression import DamagedBodyError, Decompressor, Unknown, decompressor_for


def failure_of(error: Exception, origin: str) -> TransportError:
    """What an exception of httpx2 or httpcore2 means, without its request, which holds the token."""
    match error:
        case (
            httpx2.ConnectError()
            | httpx2.ConnectTimeout()
            | httpx2.ProxyError()
            | httpx2.UnsupportedProtocol()
            | httpcore2.ConnectError()
            | httpcore2.ConnectTimeout()
        ):
            return unreachable(origin, error)
        case (
            httpx2.LocalProtocolError() | httpcore2.LocalProtocolError()
        ):  # its text may hold the header that it complains about
            return TransportError(f"The request to {origin} could not be written.")
        case httpx2.WriteTimeout() | httpcore2.WriteTimeout():
            return stopped_listening(origin)
        case httpx2.TimeoutException() | httpcore2.TimeoutException() | TimeoutError():
            return stopped_answering(origin)
        case _:
            return broken(origin, error)


# What a request fails with: httpx2's in a client of the user's own, httpcore2's in that of httpx2_pools.py.
ERRORS = (
    httpx2.TransportError,
    httpx2.StreamError,
    httpx2.DecodingError,
    DamagedBodyError,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)


def timeout_of(timeouts: Timeouts, each: float | None, left: float | None = None) -> httpx2.Timeout:
    """Limits for httpx2, in seconds.

    Args:
        timeouts: those of the transport.
        each: for every step of this request, instead; but connecting gets no more than usual.
        left: of the turn as a whole; no step gets more.
    """
    usual = (timeouts.idle, timeouts.connect, timeouts.write)
    if each is not None:
        usual = (each, min(each, timeouts.connect), each)
    idle, connect, write = (step if left is None else min(step, left) for step in usual)
    return httpx2.Timeout(idle, connect=connect, write=write)


def decompressor_of(response: httpx2.Response) -> Decompressor | None:
    """What decodes this body; None if it is not compressed, was read already, or is left to httpx2."""
    if response.is_stream_consumed:
        return None
    encoding = response.headers.get("content-encoding", "")
    decompressor = decompressor_for(encoding)
    if decompressor is None and response.status_code < 400:  # of a refusal it is the status that counts
        accepted = response.request.headers.get("accept-encoding", "").lower()
        known = {"", "identity", *(name.partition(";")[0].strip() for name in accepted.split(","))}
        if any(name.strip().lower() not in known for name in encoding.split(",")):
            return Unknown(encoding)
    return decompressor


class Progress:
    """Sets the deadlines of an exchange as httpcore2 reports its steps; the head of the answer has its own.

    Args:
        deadline: of the exchange.
        idle: seconds for the head of the answer, once the request is sent.
        before_sending: called when there is a connection; what it raises keeps the request from being sent.
        trace: gets every report as well.
    """

    def __init__(
        self,
        deadline: Deadline,
        idle: float,
        before_sending: Callable[[], object] | None = None,
        trace: Callable[..., None] | None = None,
    ) -> None:
        self._deadline, self._idle = deadline, idle
        self._before_sending, self._trace = before_sending, trace

    def report(self, event: str, info: Mapping[str, Any]) -> None:
        """httpcore2's ``trace`` extension. Nothing is sent when the deadline is over."""
        if self._trace:
            self._trace(event, info)
        step = event.partition(".")[2]
        if step == "send_request_headers.started":
            if self._before_sending:
                self._before_sending()
            try:
                self._deadline.left()
            except TimeoutError:
                raise httpcore2.ConnectTimeout("connecting took too long") from None
        elif step in ("send_request_body.complete", "send_request_body.failed"):
            self.waits_for_head(self._idle)
        elif step.startswith("receive_response_headers.") and not step.endswith("started"):
            self.waits_for_head(None)

    def waits_for_head(self, seconds: float | None) -> None:
        """The request is sent, or, with None, the head of the answer is there."""
        if seconds is None:
            self._deadline.begin_step(None)
        else:
            self._deadline.begin_head(seconds)
