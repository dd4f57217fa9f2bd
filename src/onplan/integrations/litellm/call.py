"""One call of LiteLLM's: what it gives, and what it gets."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

import litellm
from msgspec import structs

from onplan.dialects.conversation_names import beginning_of, named_by_client, session_name
from onplan.dialects.openai_chat.kept_turns import KeptTurns, TurnOwner
from onplan.dialects.openai_chat.parameters import fitted
from onplan.dialects.openai_chat.request import read_request
from onplan.dialects.openai_errors import ParameterError
from onplan.errors import LimitError, OnplanError
from onplan.forking import no_fork
from onplan.integrations.litellm.answer import Chunks, fill
from onplan.integrations.litellm.errors import as_litellms, at_first_read
from onplan.integrations.litellm.request import body_of
from onplan.transports.total_timeout import TotalTimeout
from onplan.turn.context import Context
from onplan.turn.flows import completion
from onplan.turn.steps import Flow
from onplan.types import CompletionResponse, Done, Message, Role, StreamChunk, as_request

_UNSAID = 600  # seconds: the timeout of a call that names none; with the router it is litellm.request_timeout
_MOST_LIMITED = 2048  # names of calls
_LIMITED_FOR = 60  # seconds: LiteLLM repeats calls within these


class Given(TypedDict, total=False):
    """What LiteLLM hands to a provider, as far as it matters here."""

    model: str
    messages: list[Any]
    api_base: str | None
    optional_params: dict[str, Any]
    litellm_params: dict[str, Any] | None
    timeout: Any
    model_response: Any


class Memory:
    """What is known from one call to the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = KeptTurns()
        self._limited: OrderedDict[str, tuple[float, OnplanError]] = OrderedDict()  # and when

    def restored(self, owner: TurnOwner, messages: Iterable[Message]) -> list[Message]:
        """``messages`` with what the model thought before it called tools."""
        with no_fork(), self._lock:
            return self._kept.restored(owner, messages, time.monotonic())

    def answered(self, owner: TurnOwner, response: CompletionResponse) -> None:
        """Keep what LiteLLM's caller may not send back."""
        with no_fork(), self._lock:
            if "thinking" in response.ignored_parameters:
                self._kept.forget(owner)
            self._kept.keep(owner, response.message, time.monotonic())

    def failed(self, call: CallName, error: OnplanError) -> None:
        """Keep in mind that a call has met a limit at which it is of no use to ask again, if it has."""
        if isinstance(error, LimitError) and not error.retryable:
            with no_fork(), self._lock:
                kept = copy(error)  # without its traceback, which would keep the whole request
                for name in filter(None, (call.id, call.trace)):
                    self._limited[name] = time.monotonic(), kept
                while len(self._limited) > _MOST_LIMITED:
                    self._limited.popitem(last=False)

    def require_unlimited(self, call: CallName) -> None:
        """Raise the error of a call that LiteLLM makes again although it has met such a limit."""
        name = call.trace if call.is_repeated else call.id
        met_at, error = self._limited.get(name, (0.0, None))
        if error is not None and time.monotonic() - met_at < _LIMITED_FOR:
            raise copy(error)  # several threads may raise it


class CallName(NamedTuple):
    """By which a call is known again when LiteLLM repeats it.

    Attributes:
        id: the same in what ``num_retries`` repeats.
        trace: the same in what LiteLLM's router repeats.
        is_repeated: whether the router repeats it.
    """

    id: str
    trace: str
    is_repeated: bool


class Call:
    """One call of LiteLLM's.

    Args:
        given: by LiteLLM.
        memory: of the provider.

    Attributes:
        timeout: until the answer is whole, or its first chunk is there; None if the caller gave none.
    """

    def __init__(self, given: Given, memory: Memory) -> None:
        self._given, self._memory = given, memory
        self._model = given["model"]
        parameters = given.get("litellm_params") or {}
        found = parameters.get("metadata")
        metadata = found if isinstance(found, dict) else {}  # LiteLLM's own, in which a caller's is
        self._name = CallName(
            str(parameters.get("litellm_call_id") or ""),
            str(parameters.get("litellm_trace_id") or ""),
            bool(metadata.get("attempted_retries")),
        )
        self._is_proxied = bool(parameters.get("proxy_server_request"))
        # The proxy's caller, by its key's hash; empty in a program.
        self._caller = str(metadata.get("user_api_key_hash") or "")
        self._owner = TurnOwner("", "", "", "")
        self._chunks = Chunks(self._model)
        self._has_begun = False  # whether some of the answer was handed out
        seconds = given.get("timeout")
        is_given = isinstance(seconds, int | float) and seconds not in (_UNSAID, litellm.request_timeout)
        self.timeout = TotalTimeout(seconds) if is_given else None

    @contextmanager
    def telling_errors(self, *, at_first: bool = False) -> Iterator[None]:
        """Within it, an OnplanError is told as LiteLLM's own.

        ``at_first``: whether it is raised by the first read of a stream, if nothing of it was read.
        """
        try:
            yield
        except OnplanError as error:
            self._memory.failed(self._name, error)
            told = as_litellms(error, self._model)
            raise (at_first_read(told) if at_first and not self._has_begun else told) from error

    def begin(self, context: Context) -> Flow[CompletionResponse]:
        """The turn that answers. Raises OnplanError."""
        self._memory.require_unlimited(self._name)
        if self._is_proxied:
            context.backend.require_servable()
        if self._given.get("api_base"):
            raise ParameterError("This provider asks your plan: leave out api_base.", param="api_base")
        body = body_of(self._model, self._given["messages"], self._given["optional_params"])
        try:
            parsed = read_request(body)
        except RecursionError:
            raise ParameterError("The request is nested too deeply.") from None
        fit = fitted(parsed, context.backend, strict=context.raise_unsupported)
        self._fit, request = fit, fit.request
        name = named_by_client(request.session_id, {})
        session_id = session_name(self._caller, name, beginning_of(request.messages))
        self._owner = TurnOwner(self._caller, session_id, "", request.model or "")
        has_history = any(message.role is Role.ASSISTANT for message in request.messages)
        asked = structs.replace(
            request,
            messages=self._memory.restored(self._owner, request.messages),
            session_id=session_id if context.backend.sends("session_id") else None,
        )
        # A WebSocket is worth opening for a conversation alone.
        fallback = context.fallback if name is not None or has_history else None
        return completion(as_request(asked, {}, context.defaults), replace(context, fallback=fallback))

    def whole(self, response: CompletionResponse) -> Any:
        """The answer, as LiteLLM's ``ModelResponse``."""
        self._memory.answered(self._owner, response)
        return fill(self._given["model_response"], response, self._model, self._ignored_by(response))

    def _ignored_by(self, response: CompletionResponse) -> list[str]:
        """The parameters that were left out, as the caller named them."""
        return list(dict.fromkeys((*self._fit.ignored, *self._fit.named(response.ignored_parameters))))

    def chunks_of(self, chunk: StreamChunk) -> Iterator[Any]:
        """LiteLLM's chunks for one of onplan's."""
        self._has_begun = True
        if self.timeout:
            self.timeout.lift()
        if not isinstance(chunk, Done):
            return self._chunks.of(chunk, [])
        self._memory.answered(self._owner, chunk.response)  # before the caller sees the end, and asks again
        return self._chunks.of(chunk, self._ignored_by(chunk.response))
