"""Hands a stream of the Responses API on to a client: the events as they came, but for what clients need.

The bytes of an event go out unchanged unless it opens or ends the response, or lacks something that clients
need. Nothing is handed on before the backend has begun to answer: until then a failure has an HTTP status of
its own, and the request can be sent again.

Streams nearly always come as usual, and ``usual_stream`` hands them on. From the first event on that is not
as usual, ``careful_relay`` does, which gets what came before as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onplan.dialects.openai_errors import error_fields
from onplan.dialects.openai_responses.careful_relay import CarefulRelay
from onplan.dialects.openai_responses.event_writer import is_text, place_of
from onplan.dialects.openai_responses.usual_stream import UsualStream
from onplan.dialects.served import limit_headers, reported_parameters, reported_repairs
from onplan.errors import OnplanError
from onplan.responses.continuation import TURN_STATE
from onplan.types import CompletionResponse, ContentPart, FinishReason, ToolCall, Usage


class RelayStream(CarefulRelay):
    """Takes the payloads of one stream and returns what the client gets: bytes.

    What programs read of the answer (``response``, ``parts``) is made when it is asked for.
    """

    _usual: UsualStream | None = None  # as long as the stream is as usual
    _is_careful = False
    _answer: CompletionResponse | None = None

    @property
    def model(self) -> str:
        """The model that answers."""
        return self._model

    @property
    def usage(self) -> Usage | None:
        """The tokens that the answer took, once it is complete."""
        if self._usual is not None:
            return self._usual.usage
        return self._answer.usage if self._answer else None

    @property
    def response(self) -> CompletionResponse | None:
        """The answer for programs, once it is complete."""
        usual = self._usual
        if self._answer is None and usual is not None and usual.usage is not None:
            parts = usual.parts
            called = any(type(part) is ToolCall for part in parts)
            reason = FinishReason.TOOL_CALLS if called else FinishReason.STOP
            self._answer = self.answer_of(parts, usual.usage, reason)
        return self._answer

    @response.setter
    def response(self, response: CompletionResponse | None) -> None:
        self._answer = response

    @property
    def parts(self) -> list[ContentPart]:
        """The finished parts, in order."""
        return super().parts if self._usual is None else self._usual.parts

    @property
    def ids(self) -> set[str]:
        """The ids of the response and of its items."""
        return super().ids if self._usual is None else self._usual.ids

    def headers(self) -> dict[str, str]:
        """What the reply says beside its body: what the plan has left, what became of the request."""
        headers = limit_headers({**self.limit_headers, **self._limits})
        if not self._options.is_codex:
            headers.pop(TURN_STATE, None)
        headers |= reported_parameters(self._reports.ignored, self._reports.emulated)
        return headers | reported_repairs(self._repairs) if self._repairs else headers

    def feed(self, payloads: Sequence[bytes]) -> list[Any]:
        """What the client gets for ``payloads``: framed events, or bare payloads."""
        if self._is_careful or self._options.cut_at:
            return super().feed(payloads)
        if self.finished:
            return []
        usual, at = self._usual, 0
        if usual is None:
            usual = self._usual = UsualStream(self._model, self.began_at, self.earlier, self._options)
        while (at := usual.take(payloads, at)) < len(payloads):
            if not self._take_own(usual, payloads[at]):
                told = usual.taken()
                self._read_carefully()
                return [*told, *super().feed(payloads[at:])]
            at += 1
        self._model, self._response_id = usual.model, usual.response_id
        self.final, self.finished = usual.final, usual.final is not None
        return usual.taken()

    def failure_events(self, error: OnplanError) -> bytes:
        """The events that end a stream which fails after it has begun: an ``error``, and ``response.failed``.

        Clients differ in which of the two they look at (docs/protocol.md). The first has its fields twice:
        flat, as in OpenAI's reference, and under ``error``, for only an event with that makes OpenAI's Python
        SDK raise. Programs that look at neither event (llm 0.36) would take the end for a success.
        """
        self._read_carefully()
        told = error_fields(error)
        fields = {"code": told["code"], "message": told["message"], "param": told["param"], "error": told}
        self._writer.write({"type": "error", **fields})
        return b"".join([*self._writer.taken(), self.failed_event(error)])

    def failed_event(self, error: OnplanError) -> bytes:
        """The event ``response.failed``."""
        self._read_carefully()
        told = error_fields(error)
        failed = {"code": told["code"], "message": told["message"]}
        output = [item.done for item in self._items if item.done is not None]
        response = self._response({}, status="failed", error=failed, output=output)
        self._writer.write({"type": "response.failed", "response": response})
        return b"".join(self._writer.taken())

    def _take_own(self, usual: UsualStream, payload: bytes) -> bool:
        """Take an event of the Codex backend's own, if it is one that says something to onplan as well."""
        place = place_of(payload)
        if place is None or place.type not in ("codex.rate_limits", "response.metadata"):
            return False
        if not is_text(payload):
            return False
        super(CarefulRelay, self).feed((payload,))
        if self.failure is not None:  # it is found again by reading carefully
            self.failure, self.finished = None, False
            return False
        return usual.take_own(place, payload)

    def _read_carefully(self) -> None:
        """Read everything again that came until now; from now on, ``careful_relay`` hands on the stream."""
        usual, self._usual, self._is_careful = self._usual, None, True
        if usual is None:
            return
        self.final, self.finished = None, False
        super().feed(list(usual.payloads()))
        if usual.begun:  # the client has got that already
            self._writer.go_on_after(usual.writer)
