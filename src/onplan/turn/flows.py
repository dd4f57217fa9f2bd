"""The turns of a client as flows: a completion, the preparation for one, the compaction of a conversation.

A turn is a flow: it yields steps (steps.py) and is sent their outcomes; the two clients carry the steps out
and decide nothing. Failures are thrown in at the step that failed. Knows nothing of sockets, files or event
loops; what time it is comes in as ``Context.now``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import cast

from msgspec import structs

from onplan.answers.catalogue import advice_on_models
from onplan.errors import (
    ContextLengthError,
    EncryptedReasoningError,
    InvalidRequestError,
    ModelNotAvailableError,
    OnplanError,
)
from onplan.parameters import offered_effort
from onplan.request.encodable import encodable
from onplan.responses.request import CompactionTrigger, ResponsesCall
from onplan.responses.request import prepare as prepare_responses
from onplan.turn.amendments import Call
from onplan.turn.attempts import persist
from onplan.turn.compactor import SUMMARISE, Compactor, Target, compaction_of, summary_of, target_of
from onplan.turn.completion import Completion
from onplan.turn.context import Context, Turn, require_compaction
from onplan.turn.models import another_default_model, catalogue, default_model, known_model
from onplan.turn.refused_fields import advice_on_search
from onplan.turn.repair import correction, repaired, require_repairs
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import Authorize, Flow, ListModels, Prepare
from onplan.types import CompletionRequest, CompletionResponse, Credential, Message, Usage

_ONCE = RetryPolicy(attempts=1)
_ADVICE_SECONDS = 10.0  # what an error may wait for its hint


# --- completions ------------------------------------------------------------------------------------


def completion(request: CompletionRequest, context: Context, repairs: int = 0) -> Flow[CompletionResponse]:
    """An answer that fits the request, if the model can be brought to it.

    Args:
        request: the request.
        context: what all turns of the client have in common.
        repairs: how often the model is told that its answer does not fit the ``response_format``.
    """
    # Decided here and not with the first step, which may come when something else is going on.
    ask = context.recorder.observed(turn) if context.recorder else turn
    return _completion(ask, request, context, repairs)


def _completion(
    ask: Turn, request: CompletionRequest, context: Context, repairs: int
) -> Flow[CompletionResponse]:
    require_repairs(repairs, request)
    if context.compactor:
        context.compactor.length = len(request.messages)
    response = yield from ask(request, context)
    while response.repairs < repairs:
        corrected = correction(request, response)
        if corrected is None:
            break
        request = corrected
        response = repaired(response, (yield from ask(request, context)))
    return response


def turn(request: CompletionRequest, context: Context) -> Flow[CompletionResponse]:
    """One turn. Emits chunks, the last of which is the one ``Done``, or raises an OnplanError."""
    model = request.model or context.model
    if model:
        return (yield from _answered(request, model, context))
    model = yield from default_model(context)
    try:
        return (yield from _answered(request, model, context))
    except ModelNotAvailableError:
        latest = yield from another_default_model(model, context)
        if latest is None:
            raise
        return (yield from _answered(request, latest, context))


_MAKE_ROOM = (
    'With `compact="auto"` the conversation makes room for itself (`"summary"` where the backend cannot); or '
    "choose a model with a larger window: `onplan models`."
)


def _answered(request: CompletionRequest, model: str, context: Context) -> Flow[CompletionResponse]:
    """The answer of ``model``; the conversation is compacted first where that is due."""
    compactor = context.compactor
    if compactor is None:
        return (yield from asked((yield Prepare(request, model)), context))
    if compactor.is_idle:
        try:
            return (yield from asked((yield from _prepared(request, model, context)), context))
        except ContextLengthError as error:
            error.hint = _MAKE_ROOM
            raise
    target = yield from _target(model, context)
    if compactor.is_due(request.messages, target):
        yield from _compact(request, model, target, context, "auto")
    while True:
        asking = yield from _shown(request, model, target, context)
        earlier = compactor.encrypted(target)
        try:
            response = yield from completed(asking, context)
        except ContextLengthError as error:
            if not compactor.covers(request.messages, target):
                raise
            if asking.seen or compactor.at is None:
                error.hint = _MAKE_ROOM
                raise
            yield from _compact(request, model, target, context, "auto")
        except EncryptedReasoningError:
            if asking.seen or earlier is None:
                raise
            compactor.refuse(earlier)
        else:
            compactor.answered(request.messages, target, response.usage)
            return response


def asked(call: Call, context: Context) -> Flow[CompletionResponse]:
    """Ask until there is an answer.

    Once a chunk was emitted, and the program has seen it, nothing is asked again, unless it is to resume. It
    goes over a WebSocket where there is a fallback that does not say otherwise. What a server refuses of it
    although the program did not ask for it is left out, and remembered for later requests.
    """
    return (yield from completed(Completion(call, context), context))


def completed(asking: Completion, context: Context) -> Flow[CompletionResponse]:
    """Carry ``asking`` out within the budget; its errors tell what helps."""
    budget = context.budget
    ticket = (yield from budget.admit(context)) if budget else None
    try:
        return cast("CompletionResponse", (yield from persist(asking, context)))
    except ModelNotAvailableError as error:
        models = list(context.backend.fallback_models)
        with suppress(OnplanError):
            models = yield from catalogue(context, _ONCE, _ADVICE_SECONDS)
        error.hint = advice_on_models(asking.model, models, context.backend)
        raise
    except InvalidRequestError as error:
        error.hint = advice_on_search(error, context.backend) or error.hint
        raise
    finally:
        if budget:
            budget.settle(ticket, asking.limits)


def preparation(request: CompletionRequest, context: Context) -> Flow[None]:
    """Open a WebSocket and let the backend read ``request``, so that the next request can be shorter.

    The model does not answer it. Where SSE is to be used, nothing is done.

    Raises:
        InvalidRequestError: the request has no session_id, by which the next one would be recognised.
    """
    if request.session_id is None:
        raise InvalidRequestError(
            "A request to prepare for needs a session_id.", hint="Give both requests the same session_id."
        )
    if context.fallback is None:
        return
    model = request.model or context.model or (yield from default_model(context))
    call = yield Prepare(request, model)
    yield from persist(Completion(call, context, generate=False), context)


def prepare(request: CompletionRequest, context: Context, model: str) -> Call:
    """Make a request ready to send, for the API that the row says. Its files must have been read.

    Raises:
        InvalidRequestError: it cannot be expressed in this API, or has an unsupported parameter where that is
            an error.
    """
    build = _preparation_for(context.backend.api)
    raising = context.raise_unsupported
    effort = _effort_of(request, context, model)
    if is_changed := effort != request.reasoning_effort:
        request = structs.replace(request, reasoning_effort=effort)
    with encodable():
        call = build(request, context.backend, context.base_url, model, raise_unsupported=raising)
    if not is_changed:
        return call
    emulated = (*call.reports.emulated, "reasoning_effort")
    return structs.replace(call, reports=replace(call.reports, emulated=emulated))


def _effort_of(request: CompletionRequest, context: Context, model: str) -> str | None:
    """The effort to ask for: one that the model offers, as far as that is known without asking."""
    if request.reasoning_effort is None:
        return None
    known = known_model(model, context)
    if known is None:
        return request.reasoning_effort
    return offered_effort(request.reasoning_effort, known, raising=context.raise_unsupported)


def _preparation_for(api: str) -> Callable[..., Call]:
    """What builds a call to ``api``. A program on the plan does not load the other."""
    if api == "chat":
        from onplan.chat.request import prepare as prepare_chat

        return prepare_chat
    return prepare_responses


# --- compaction -------------------------------------------------------------------------------------


def compaction(request: CompletionRequest, context: Context) -> Flow[Usage]:
    """Compact a conversation (``context.compactor``), and return the usage of that.

    Raises:
        InvalidRequestError: the backend compacts no conversations, or nothing of this one was answered yet.
        UnexpectedReplyError: the answer is not one compaction, or no summary.
    """
    compactor = cast("Compactor", context.compactor)
    require_compaction(context.backend, compactor)
    compactor.length = len(request.messages)
    model = request.model or context.model or (yield from default_model(context))
    target = yield from _target(model, context)
    return (yield from _compact(request, model, target, context, "manual"))


def _compact(
    request: CompletionRequest, model: str, target: Target, context: Context, trigger: CompactionTrigger
) -> Flow[Usage]:
    flow = _compacted(request, model, target, context, trigger)
    return context.recorder.observed_flow("compact", flow, "compact") if context.recorder else flow


def _compacted(
    request: CompletionRequest, model: str, target: Target, context: Context, trigger: CompactionTrigger
) -> Flow[Usage]:
    compactor = cast("Compactor", context.compactor)
    covers = compactor.covers(request.messages, target)
    if not covers:
        raise InvalidRequestError(
            "There is nothing to compact: nothing new has been answered yet.", hint="Say something."
        )
    # The bounds on an answer's length and form do not apply to a compaction, and it calls no tools.
    choice = "none" if compactor.summarises and request.tools else None
    request = structs.replace(
        request,
        messages=request.messages[:covers],
        stop=[],
        max_tokens=None,
        response_format=None,
        tool_choice=choice,
    )
    alone = replace(context, fallback=None, resume=False)  # recorded over HTTP
    while True:
        earlier = compactor.encrypted(target)
        asking = yield from _shown(request, model, target, alone, trigger)
        try:
            response = yield from completed(asking, alone)
        except EncryptedReasoningError:
            if earlier is None:
                raise
            compactor.refuse(earlier)
        else:
            break
    if compactor.summarises:
        compactor.add(summary_of(response, covers))
    else:
        compactor.add(compaction_of(asking.compactions, response.finish_reason, covers, target))
    return response.usage


def _shown(
    request: CompletionRequest,
    model: str,
    target: Target,
    context: Context,
    trigger: CompactionTrigger | None = None,
) -> Flow[Completion]:
    """The request with what is sent of the conversation; with ``trigger``, to have it compacted."""
    compactor = cast("Compactor", context.compactor)
    shown = compactor.shown(request.messages, target)
    if trigger and compactor.summarises:
        shown.append(Message.user(SUMMARISE))
    call = yield from _prepared(structs.replace(request, messages=shown), model, context)
    if trigger and not compactor.summarises:
        call = cast("ResponsesCall", call).compacting(trigger)
    return Completion(call, context, silent=trigger is not None)


def _prepared(request: CompletionRequest, model: str, context: Context) -> Flow[Call]:
    """A turn of a conversation, which says that its client knows compactions.

    It does so from the first one on: a WebSocket that this opens serves the later ones, too.
    """
    call: Call = yield Prepare(request, model)
    headers = context.backend.compaction
    return structs.replace(call, headers=headers) if headers and isinstance(call, ResponsesCall) else call


def _target(model: str, context: Context) -> Flow[Target]:
    """The account and model that are asked. Lists the catalogue once, for the model's context window."""
    credential: Credential = yield Authorize()
    if not context.catalogue.attempts:
        with suppress(OnplanError):
            yield ListModels(0)
    target = target_of(credential, model, known_model(model, context))
    return (
        target if context.backend.compaction else replace(target, family="")
    )  # no compaction has this family
