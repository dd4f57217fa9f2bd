"""``with_structured_output``: what is asked of the model, and how its answer becomes a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass
from typing_extensions import is_typeddict  # that of Python 3.11 does not know those of this package

from onplan.errors import InvalidRequestError, OutputError
from onplan.integrations.arguments import several
from onplan.integrations.langchain.tools import tool_dicts
from onplan.structured.output_format import OutputFormat, output_format

METHODS = ("json_schema", "function_calling", "json_mode")


def structured_output(
    model: Any, schema: Any, method: str, *, include_raw: bool, strict: bool | None, bound: dict[str, Any]
) -> Any:
    """The model that answers with a value of ``schema``.

    Args:
        model: asks.
        schema: a pydantic class, another class, a TypedDict or a JSON schema.
        method: one of ``METHODS``.
        include_raw: whether the result is a dict with ``raw``, ``parsed`` and ``parsing_error``.
        strict: as for ``bind_tools``.
        bound: further arguments of the requests; ``tools`` among them.

    Raises InvalidRequestError for arguments that cannot be used.
    """
    if method not in METHODS:
        raise InvalidRequestError(
            f"There is no method {method!r} of structured output.", hint=f"Use one of: {', '.join(METHODS)}."
        )
    if strict is not None and method == "json_mode":
        raise InvalidRequestError('strict says nothing with method="json_mode".', hint="Leave it out.")
    if schema is None and method != "json_mode":
        raise InvalidRequestError(f"method={method!r} needs a schema.", hint="Give it a pydantic class.")
    asking, parser = _MAKERS[method](model, schema, strict, bound)
    if not include_raw:
        return asking | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=asking) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")


def _by_schema(model: Any, schema: Any, strict: bool | None, bound: dict[str, Any]) -> tuple[Any, Any]:
    named, parser = _read_here(schema, strict) if _is_read_here(schema) else _read_there(schema, strict)
    is_known = not _is_read_here(schema) or _is_pydantic(schema)
    asking = model.bind(
        response_format={"type": "json_schema", "json_schema": named},
        ls_structured_output_format={
            "kwargs": {"method": "json_schema", "strict": strict},
            "schema": schema if is_known else {"title": named["name"], **named["schema"]},
        },
        **_with_tools(bound, strict),
    )
    return asking, parser


def _read_here(schema: Any, strict: bool | None) -> tuple[dict[str, Any], Any]:
    """The schema to send, and onplan's reader of the answer."""
    given = output_format(schema)
    if strict and not given.strict:
        raise InvalidRequestError(
            f"{given.name} cannot be strict: its schema is not in the subset that services take.",
            hint="Leave out strict=True.",
        )
    is_strict = given.strict if strict is None else strict
    parser = RunnableLambda(_reader(given)).with_types(output_type=schema)
    return {"name": given.name, "schema": given.schema, "strict": is_strict}, parser


def _read_there(schema: Any, strict: bool | None) -> tuple[dict[str, Any], Any]:
    """The schema to send, and LangChain's reader of the answer."""
    plain = _plain_schema(schema)
    named = {"name": output_format(plain).name, "schema": plain}
    parser = _WholePydantic(pydantic_object=schema) if _is_pydantic(schema) else _WholeJSON()
    return named if strict is None else {**named, "strict": strict}, parser


def _by_call(model: Any, schema: Any, strict: bool | None, bound: dict[str, Any]) -> tuple[Any, Any]:
    [offered] = tool_dicts([schema], strict)
    if "function" not in offered:
        raise InvalidRequestError("The schema is a tool of another kind.", hint="Give it a pydantic class.")
    if "tool_choice" in bound:
        raise InvalidRequestError("tool_choice is the schema here.", hint="Leave it out.")
    asking = model.bind_tools(
        [schema, *several("tools", bound.get("tools") or (), "a list of tools")],
        tool_choice=(name := offered["function"]["name"]),
        strict=strict,
        ls_structured_output_format={
            "kwargs": {"method": "function_calling", "strict": strict},
            "schema": schema,
        },
        **{"parallel_tool_calls": False, **{key: bound[key] for key in bound if key != "tools"}},
    )
    if _is_pydantic(schema):
        return asking, _WholePydanticCall(tools=[schema], first_tool_only=True)
    return asking, _WholeCall(key_name=name, first_tool_only=True)


def _by_any_json(model: Any, schema: Any, strict: None, bound: dict[str, Any]) -> tuple[Any, Any]:
    asking = model.bind(
        response_format={"type": "json_object"},
        ls_structured_output_format={"kwargs": {"method": "json_mode"}, "schema": schema},
        **_with_tools(bound, strict),
    )
    return asking, _WholePydantic(pydantic_object=schema) if _is_pydantic(schema) else _WholeJSON()


_MAKERS: Mapping[str, Callable[..., tuple[Any, Any]]] = {
    "json_schema": _by_schema,
    "function_calling": _by_call,
    "json_mode": _by_any_json,
}


def _plain_schema(schema: Any) -> dict[str, Any]:
    """A TypedDict, a class of pydantic 1, or a schema, perhaps in a wrapper, as a JSON schema."""
    try:
        return dict(convert_to_json_schema(schema))
    except ValueError:
        if not isinstance(schema, Mapping):
            raise
        return dict(schema)  # without a title, which nothing but LangChain asks for


def _with_tools(bound: dict[str, Any], strict: bool | None) -> dict[str, Any]:
    tools = bound.get("tools")
    return {**bound, "tools": tool_dicts(tools, strict)} if tools else bound


def _is_pydantic(schema: Any) -> bool:
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def _is_read_here(schema: Any) -> bool:
    """Whether onplan reads the answer: into every type but a TypedDict and those of pydantic 1.

    Of a TypedDict LangChain reads more than Python does, such as descriptions; and its values are dicts,
    which may be handed out while they arrive.
    """
    is_old = _is_pydantic(schema) and not hasattr(schema, "model_validate")
    return not isinstance(schema, Mapping) and not is_typeddict(schema) and not is_old


def _reader(given: OutputFormat) -> Callable[[Any], Any]:
    def read(message: Any) -> Any:
        require_whole(message)
        if message.tool_calls:
            return None  # the program carries them out, and asks again
        try:
            return given.parse(message.text if isinstance(message.text, str) else message.text())
        except OutputError as error:
            raise OutputParserException(f"{error.message} {error.hint}", llm_output=error.text) from error

    return read


def require_whole(message: Any) -> None:
    """Raise LangChain's error if the model declined, or its answer was cut off: neither has a value.

    Raises ModelRefusalError, OutputParserException.
    """
    finish = message.response_metadata.get("finish_reason")
    refusal = message.additional_kwargs.get("refusal")
    if refusal is not None or finish == "content_filter":
        told = f"The model declined to answer, or its answer was filtered: {refusal or message.text}"
        if hasattr(exceptions, "ModelRefusalError"):  # langchain-core 1.7.5
            raise exceptions.ModelRefusalError(told, raw_message=message)
        raise OutputParserException(told)
    if finish == "length":
        raise OutputParserException(
            "The answer was cut off, so there is no whole value in it. Allow more max_tokens.",
            llm_output=str(message.text),
        )


class _Whole:
    """Refuses answers that are cut off: LangChain completes their JSON."""

    def parse_result(self, result: Any, *, partial: bool = False) -> Any:
        """As LangChain's. Raises as ``require_whole``."""
        require_whole(result[0].message)
        return super().parse_result(result, partial=partial)  # type: ignore[misc] # of the class beside this


class _WholeJSON(_Whole, JsonOutputParser):
    pass


class _WholePydantic(_Whole, PydanticOutputParser):
    pass


class _WholeCall(_Whole, JsonOutputKeyToolsParser):
    pass


class _WholePydanticCall(_Whole, PydanticToolsParser):
    pass
