"""Tells the model, in another turn, that its answer does not fit the ``response_format``."""

from __future__ import annotations

import msgspec

from onplan.errors import InvalidRequestError, OutputError
from onplan.structured.references import WRAPPED
from onplan.types import (
    CompletionRequest,
    CompletionResponse,
    FinishReason,
    Message,
    Usage,
    output_of,
    read_by,
)


def require_repairs(repairs: object, request: CompletionRequest) -> None:
    """Raise InvalidRequestError if ``repairs`` is no number of turns, or ``request`` says nothing to fit."""
    if not isinstance(repairs, int) or repairs < 0:
        raise InvalidRequestError(
            f"repairs={repairs!r} is not a number of turns.", hint="Write `repairs=1`, or leave it out."
        )
    if repairs and request.response_format is None:
        raise InvalidRequestError(
            "There is nothing that an answer could be repaired to fit: the request has no response_format.",
            hint="Give it one, or leave out `repairs=`.",
        )


def correction(request: CompletionRequest, response: CompletionResponse) -> CompletionRequest | None:
    """The request that tells the model what does not fit; None if the answer fits, or is not meant to.

    A refusal, an answer that was cut off and one that calls tools would not become another by that.
    """
    if response.finish_reason is not FinishReason.STOP:
        return None
    try:
        _ = response.parsed
    except OutputError as error:
        if type(error) is not OutputError:
            return None
        told = Message.user(_told(response, error))
        return msgspec.structs.replace(request, messages=[*request.messages, response.message, told])
    return None


def _told(response: CompletionResponse, error: OutputError) -> str:
    output = output_of(response)
    start = f"$.{WRAPPED}" if output and output.wrapped else "$"  # as the model has written it
    path = start + error.path.removeprefix("$")
    where = "" if path == "$" else f" at {path}"
    return (
        f"That answer cannot be used{where}: {error.problem}. "
        "Answer again with the whole JSON that the schema asks for, corrected, and nothing else."
    )


def repaired(earlier: CompletionResponse, latest: CompletionResponse) -> CompletionResponse:
    """``latest`` as the answer after one more repair, with the usage of all answers so far."""
    response = msgspec.structs.replace(
        latest, usage=_sum(earlier.usage, latest.usage), repairs=earlier.repairs + 1
    )
    read_by(response, output_of(latest))
    return response


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(*(getattr(one, name) + getattr(other, name) for name in Usage.__struct_fields__))
