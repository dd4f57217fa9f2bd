"""A turn whose answer is handed on as it came, to a client that speaks the backend's own API."""

from __future__ import annotations

from collections.abc import Callable

from onplan.turn.amendments import Call
from onplan.turn.attempts import persist
from onplan.turn.completion import Completion
from onplan.turn.context import Context
from onplan.turn.flows import completed
from onplan.turn.models import default_model
from onplan.turn.steps import Flow


class _Relaying(Completion):
    """A request whose answer is handed on. No program reads it, so that it need not be assembled."""

    returns_answer = False


def relay(build: Callable[[str], Call], model: str | None, context: Context) -> Flow[None]:
    """Ask ``model``, or the default one, with the call that ``build`` makes; emit what its stream gives.

    A refused token, failures that may pass, a warm WebSocket: all as in every other turn.
    """
    model = model or context.model or (yield from default_model(context))
    yield from completed(_Relaying(build(model), context), context)


def prepare_relay(build: Callable[[str], Call], model: str | None, context: Context) -> Flow[None]:
    """Let the backend read the beginning of a conversation over a WebSocket; nothing is emitted."""
    model = model or context.model or (yield from default_model(context))
    yield from persist(Completion(build(model), context, generate=False), context)
