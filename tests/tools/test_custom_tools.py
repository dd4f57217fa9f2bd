"""Functions as custom tools: how they are described, and what they are called with."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest

import onplan
from onplan.tools.loop import Answered, CarryOut, Loop, Rules, run
from onplan.tools.toolbox import toolbox_of

DIGITS = onplan.Grammar("regex", r"\d+")


def sql(query: str, limit: int = 3) -> str:
    """Run a query.

    Args:
        query: one statement of SQLite.
    """
    return f"{query} limit {limit}"


def test_a_function_is_described_by_its_docstring() -> None:
    """There is no schema, so what is said of the parameter is said of the tool."""
    made = onplan.tool(sql, format=DIGITS)
    assert isinstance(made, onplan.CustomTool)
    assert (made.name, made.format) == ("sql", DIGITS)
    assert made.description == "Run a query.\n\nIts input: one statement of SQLite."
    assert onplan.tool(sql, format="text", description="Ask.").description == "Ask."


def test_it_can_be_called_and_copied_and_sent() -> None:
    """As the function itself; other processes get its description alone."""
    made = onplan.tool(sql, format="text")
    assert (made("a"), made("a", limit=1)) == ("a limit 3", "a limit 1")
    assert copy.copy(made) is copy.deepcopy(made) is made
    assert pickle.loads(pickle.dumps(made)) == onplan.CustomTool("sql", made.description)
    assert msgspec.json.decode(msgspec.json.encode(made), type=onplan.CustomTool).name == "sql"


def test_a_decorator_makes_one() -> None:
    """With a format in OpenAI's shape, too; and a tool may be made of a tool."""

    @onplan.tool(format={"type": "grammar", "syntax": "regex", "definition": r"\d+"})
    def count(number: Annotated[str, "digits alone"]) -> str:
        """Count."""
        return number

    assert count.format == DIGITS
    assert count.description == "Count.\n\nIts input: digits alone"
    renamed = onplan.tool(count, name="counted")
    assert isinstance(renamed, onplan.CustomFunctionTool)
    assert (renamed.name, renamed.format, renamed.description) == ("counted", DIGITS, count.description)
    assert isinstance(onplan.tool(onplan.tool(sql), format="text"), onplan.CustomFunctionTool)
    assert isinstance(onplan.tool(count, parameters={"type": "object"}), onplan.FunctionTool)


class Shell:
    """A shell."""

    def run(self, command: str) -> str:
        return command

    def __call__(self, command, *, again=1):  # type: ignore[no-untyped-def]
        return command


def by_name(*, code: str) -> str:
    return code


CALLABLE: dict[str, Callable[..., Any]] = {
    "a function": sql,
    "a method": Shell().run,
    "an object, without annotations": Shell(),
    "a partial": functools.partial(sql, limit=5),
    "by keyword alone": by_name,
    "without its annotation": lambda said: said,
}


@pytest.mark.parametrize("function", CALLABLE.values(), ids=CALLABLE)
def test_the_text_is_the_first_argument(function: Callable[..., Any]) -> None:
    """As the model wrote it: nothing is parsed, stripped or repaired."""
    made = onplan.tool(function, name="it", format="text")
    given = made.reader.read(' {"a": 1}\n')
    assert made(*given.positional, **given.named).startswith(' {"a": 1}\n')


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (lambda: "", {}, "must be called with one text"),
        (lambda a, b: "", {}, "must be called with one text"),
        (sql, {"parameters": {"type": "object"}}, "either parameters or a format"),
        (sql, {"format": "json"}, "The format of the tool it is 'json'"),
        (sql, {"format": 5}, "The format of the tool it is of the type int"),
        (sql, {"format": {"type": "grammar"}}, r"The format of the tool it\.syntax is missing"),
        (5, {}, "A tool is a function, and not of the type int"),
    ],
)
def test_what_cannot_be_one_is_refused(function: Any, options: Any, says: str) -> None:
    """When it is made, with a hint."""
    with pytest.raises(onplan.InvalidRequestError, match=says) as raised:
        onplan.tool(function, **{"name": "it", "format": "text", **options})
    assert raised.value.hint


def test_a_parameter_of_another_type_is_refused() -> None:
    """It would get a text all the same."""

    def count(number: int) -> int:
        return number

    with pytest.raises(onplan.InvalidRequestError, match="must be called with one text"):
        onplan.tool(count, format="text")


def test_a_tool_without_a_function_cannot_be_run() -> None:
    """As with a ToolDefinition, also where it is a dict."""
    for given in (onplan.CustomTool("sql"), {"type": "custom", "name": "sql"}):
        with pytest.raises(onplan.InvalidRequestError, match="The tool sql has no function"):
            toolbox_of([given])


def look(city: str) -> str:
    return city


def asked(call: onplan.ToolCall) -> Loop:
    """The loop of a run after the model has made this call."""
    toolbox = toolbox_of([onplan.tool(sql, format="text"), look])
    request = onplan.CompletionRequest(messages="hi", tools=toolbox.offered)
    loop = run(request, toolbox.functions, Rules())
    next(loop)
    message = onplan.Message.assistant(call)
    usage, reason = onplan.Usage(), onplan.FinishReason.TOOL_CALLS
    response = onplan.CompletionResponse(message=message, usage=usage, finish_reason=reason, model="m")
    loop.send(Answered(response))
    return loop


def test_a_call_is_carried_out_with_its_text() -> None:
    """Empty texts and texts that look like JSON, too."""
    for text in ("", "{}", '{"query": "a"}', " a\n"):
        step = asked(onplan.ToolCall("1", "sql", text, is_custom=True)).send(None)
        assert isinstance(step, CarryOut)
        assert step.calls[0].arguments.positional == (text,)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            onplan.ToolCall("1", "sql", '{"query": "a"}'),
            "The tool sql is called with free text, and not JSON.",
        ),
        (onplan.ToolCall("1", "look", '{"city": "a"}', is_custom=True), "called with JSON arguments"),
    ],
)
def test_a_call_of_the_other_kind_is_told_to_the_model(call: onplan.ToolCall, says: str) -> None:
    """JSON would be taken for a text, or a text for JSON."""
    step: Any = asked(call).send(None)
    run = step.chunk.run
    assert (run.outcome, run.result.is_error) == ("wrong_arguments", True)
    assert says in run.result.content
