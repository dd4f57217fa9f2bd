"""The keywords of ``run`` and ``run_stream``, and the loop that they start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

import msgspec

from onplan.errors import InvalidRequestError
from onplan.tools.loop import Loop, OnToolError, Rules, run
from onplan.tools.toolbox import ToolLike, toolbox_of
from onplan.types import (
    AnswerFields,
    CompletionRequest,
    Prompt,
    RequestFields,
    ResponseFormat,
    ToolCall,
    as_request,
)

# Whether a call may be carried out: True, False, or the reason why not, which the model is told.
Approval: TypeAlias = Callable[[ToolCall], bool | str]
AsyncApproval: TypeAlias = Callable[[ToolCall], Awaitable[bool | str]]


class _RunFields(AnswerFields, total=False):
    """The options of a run that are the same for both clients.

    Attributes:
        tools: functions, or what ``onplan.tool`` made of them.
        max_turns: how many times the model is asked at most; 20 if it is not given.
        token_budget: no further calls are carried out once the turns have used so many tokens. A turn whose
            usage the backend did not tell counts by an estimate, as with ``onplan.estimate_tokens``.
        on_tool_error: what happens when a function raises: ``tell``, the usual way, tells the model the
            class and the message of the exception; ``raise`` ends the run with it; a function of the call and
            the exception returns what the model is told.
        repairs: how often the model is told that its answer does not fit the ``response_format``. A stream
            has the chunks of all these answers.
    """

    tools: Iterable[ToolLike]
    max_turns: int
    token_budget: int | None
    on_tool_error: OnToolError
    repairs: int


class RunFields(_RunFields, total=False):
    """``RunOptions`` without ``response_format``, which some signatures name apart."""

    approve: Approval | None


class RunOptions(RunFields, total=False):
    """The keywords of ``Client.run``: its own, and the fields of ``CompletionRequest``.

    Attributes:
        approve: called before each call of a function; returns True, False, or the reason why the call is
            declined, which the model is told.
    """

    response_format: ResponseFormat | None


class AsyncRunFields(_RunFields, total=False):
    """``AsyncRunOptions`` without ``response_format``, which some signatures name apart."""

    approve: Approval | AsyncApproval | None


class AsyncRunOptions(AsyncRunFields, total=False):
    """The keywords of ``AsyncClient.run``: its own, and the fields of ``CompletionRequest``.

    Attributes:
        approve: called before each call of a function, on a thread if it is not asynchronous; returns True,
            False, or the reason why the call is declined, which the model is told.
    """

    response_format: ResponseFormat | None


_RULES = ("max_turns", "token_budget", "on_tool_error")
_OWN = ("tools", "approve", "repairs", *_RULES)


def started(
    request: Prompt | CompletionRequest | None,
    options: RunOptions | AsyncRunOptions,
    defaults: Mapping[str, Any],
) -> Loop:
    """The loop for a request and the keywords beside it.

    Raises:
        InvalidRequestError: there are no tools, or one of the keywords cannot be used.
    """
    given = cast("dict[str, Any]", options)
    fields = {name: value for name, value in given.items() if name not in _OWN}
    _require_known(fields)
    asked = as_request(request, cast("RequestFields", fields), defaults)
    tools = given.get("tools", asked.tools)
    if tools is None or tools == []:
        raise InvalidRequestError(
            "There are no tools to run.", hint="Give it functions, `tools=[…]`, or call `complete`."
        )
    approve = given.get("approve")
    if approve is not None and not callable(approve):
        raise InvalidRequestError(
            "approve cannot be called: it is no function.", hint="Give it a function of the call."
        )
    rules = Rules(approved=approve is not None, **{name: given[name] for name in _RULES if name in given})
    toolbox = toolbox_of(tools)
    asked = msgspec.structs.replace(asked, tools=toolbox.offered)
    return run(asked, toolbox.functions, rules)


def _require_known(names: Iterable[str]) -> None:
    """Raise for a misspelt option of ``run``; those of a request are checked with it."""
    from difflib import get_close_matches

    for name in names:
        if name not in RequestFields.__optional_keys__ and (near := get_close_matches(name, _OWN, n=1)):
            raise InvalidRequestError(f"run has no option {name!r}.", hint=f"Did you mean `{near[0]}`?")
