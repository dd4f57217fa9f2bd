"""What both halves of HTTP through httpx2 do alike: limits, failures, encodings, steps of an exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpcore2
import httpx2

from onplan.errors import DisconnectError, IdleTimeoutError, TransportError
from onplan.transports.base import Timeouts
from onplan.transports.connection_errors import unreachable
from onplan.transports.deadline import Deadline
from onplan.transports.decompression import DamagedBodyError, Decompressor, Unknown, decompressor_for


def failure_of(error: Exception, origin: str) -> TransportError:
    """What an exception of httpx2 or httpcore2 means. Its request, which holds the token, stays behind."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
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
            return IdleTimeoutError(f"{origin} stopped listening.")
        case httpx2.TimeoutException() | httpcore2.TimeoutException() | TimeoutError():
            return IdleTimeoutError(f"{origin} stopped answering.")
        case _:
            return DisconnectError(f"The connection to {origin} broke: {reason}.")


# Those of httpx2 come from clients of the user's own, those of httpcore2 from the pools of httpx2_pools.py.
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
    """The limits of the steps: ``each``, or the usual ones; and none is longer than what is ``left``."""
    usual = (timeouts.idle, timeouts.connect, timeouts.write) if each is None else (each, each, each)
    idle, connect, write = (step if left is None else min(step, left) for step in usual)
    return httpx2.Timeout(idle, connect=connect, write=write)


def decompressor_of(response: httpx2.Response) -> Decompressor | None:
    """What decodes this body; None if it is not compressed, was read already, or the library has to do it."""
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
    """Follows an exchange by httpcore2's reports: the head of an answer has a deadline of its own."""

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
