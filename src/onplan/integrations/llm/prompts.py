"""What ``llm`` asks, as a request of onplan: the history with its parts, tools, schema and options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any

import httpx2
import llm
from llm.parts import AttachmentPart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

import onplan
from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import named_values, several, wrong_kind
from onplan.integrations.llm.kept import arguments_to_send, restored
from onplan.types import ContentPart, Tool


def completion_request(prompt: Any, model: str | None) -> onplan.CompletionRequest:
    """The request for an ``llm.Prompt``.

    Raises:
        InvalidRequestError: it holds what cannot be sent, or an attachment that cannot be read.
    """
    history = _history(prompt)
    options = prompt.options
    fields = {name: value for name in _SAME_NAME if (value := getattr(options, name)) is not None}
    return onplan.CompletionRequest(
        messages=list(_messages(history, options.image_detail)),
        model=model,
        max_tokens=options.max_output_tokens,
        service_tier=_TIERS.get(options.service_tier, options.service_tier),
        session_id=options.prompt_cache_key,
        tools=_tools(prompt),
        response_format=prompt.schema or None,
        extra_body=_extra_body(prompt),
        **fields,
    )


# Options whose names are those of the request.
_SAME_NAME = (
    "parallel_tool_calls",
    "reasoning_effort",
    "reasoning_summary",
    "stop",
    "temperature",
    "tool_choice",
    "top_p",
    "verbosity",
)
_TIERS = {"fast": "priority"}  # what the official client calls it


def _history(prompt: Any) -> list[Any]:
    """The messages; a system prompt that was given beside a whole history stands before it."""
    messages = list(prompt.messages)
    for index, message in enumerate(messages):
        if not isinstance(message, Message):
            raise wrong_kind(f"messages[{index}]", message, "an `llm.parts.Message`")
    said = {_text_of(message) for message in messages if message.role == "system"}
    if prompt.system and prompt.system not in said:
        messages.insert(0, Message("system", [TextPart(prompt.system)]))
    return messages


def _text_of(message: Any) -> str:
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return text.encode(
        errors="replace"
    ).decode()  # what cannot be encoded is refused where the request is made


# --- the history ------------------------------------------------------------------------------------


def _messages(history: Iterable[Any], detail: str | None) -> Iterator[onplan.Message]:
    calls = _CallIds()
    for message in history:
        content: list[ContentPart] = []
        for part in several("parts", message.parts, "a list of parts"):
            content.extend(_parts(part, message.role, calls, detail))
        if content:
            yield onplan.Message(message.role, content)


class _CallIds:
    """Ids of calls. In the history of another model some may have none, and results only their names."""

    def __init__(self) -> None:
        self._made = 0
        self._waiting: list[tuple[str, str]] = []

    def of_call(self, part: Any) -> str:
        if part.tool_call_id:
            return str(part.tool_call_id)
        self._made += 1
        made = f"call_{self._made}"
        self._waiting.append((part.name, made))
        return made

    def of_result(self, part: Any) -> str:
        if part.tool_call_id:
            return str(part.tool_call_id)
        found = next((each for each in self._waiting if each[0] == part.name), None)
        if found is None:
            return ""  # such results are left out, and that is reported
        self._waiting.remove(found)
        return found[1]


def _parts(part: Any, role: str, calls: _CallIds, detail: str | None) -> Iterator[ContentPart]:
    """One part of a message, or none if it is of no use to the backend."""
    match part:
        case TextPart(text=text) if text:
            yield restored(part, text=text) or onplan.Text(text)
        case ReasoningPart() if thought := _thinking(part):
            yield thought
        case ToolCallPart(server_executed=True):
            if call := restored(part):
                yield call
        case ToolCallPart(name=name):
            call_id = calls.of_call(part)
            arguments = arguments_to_send(part, call_id)
            kept = restored(part, id=call_id, name=name, arguments=arguments)
            yield kept or onplan.ToolCall(call_id, name, arguments)
        case ToolResultPart(server_executed=False):
            yield _result(part, calls.of_result(part), detail)
        case AttachmentPart(attachment=llm.Attachment() as attachment) if role != "assistant":
            yield _attached(attachment, detail)


def _thinking(part: Any) -> ContentPart | None:
    """Sealed reasoning, also of another plug-in for OpenAI's models. What has no seal is of no use."""
    if kept := restored(part, text=part.text):
        return kept
    theirs = named_values("provider_metadata", part.provider_metadata).get("openai")
    sealed = theirs.get("encrypted_content") if isinstance(theirs, dict) else None
    return onplan.Thinking(part.text, sealed) if isinstance(sealed, str) and sealed else None


def _result(part: Any, call_id: str, detail: str | None) -> ContentPart:
    given = several("ToolResultPart.attachments", part.attachments, "a list of attachments")
    attached = [_attached(each, detail) for each in given]
    content: Any = [part.output, *attached] if attached else part.output
    return onplan.ToolResult(call_id, content, is_error=part.exception is not None)


def _attached(attachment: Any, detail: str | None) -> onplan.Image | onplan.File:
    kind = _type_of(attachment)
    source: dict[str, Any]
    if attachment.content:
        source = {"data": attachment.content}
    elif attachment.path:
        source = {"path": attachment.path}
    else:
        source = {"url": attachment.url}
    if kind.startswith("image/"):
        return onplan.Image(**source, mime_type=kind, detail=detail)
    return onplan.File(**source, mime_type=kind)


def _type_of(attachment: Any) -> str:
    """``llm`` looks into the content, or asks the server of the URL. Raises InvalidRequestError."""
    try:
        return attachment.resolve_type() or ""
    except (OSError, ValueError, httpx2.HTTPError) as error:
        where = attachment.path or attachment.url or "without a name"
        raise InvalidRequestError(
            f"The type of the attachment {where} cannot be found out: {error}.",
            hint="Say it: `--at PATH_OR_URL image/png`, or `llm.Attachment(type=…)`.",
        ) from None


# --- tools ------------------------------------------------------------------------------------------


def _tools(prompt: Any) -> list[Tool]:
    tools = [_tool(tool, prompt.model) for tool in prompt.tools]
    options = prompt.options
    if options.web_search and not any(tool.name == "web_search" for tool in tools):
        search = onplan.web_search(live=options.web_search_live, context_size=options.web_search_context_size)
        tools.append(search)
    return tools


def _tool(tool: Any, model: Any) -> Tool:
    if isinstance(tool, llm.ServerSideTool):
        spec = dict(tool.tool_spec(model))
        return onplan.HostedTool(str(spec.pop("type", tool.name)), spec)
    schema = tool.input_schema or {"type": "object", "properties": {}}
    if not isinstance(description := tool.description or "", str):
        raise wrong_kind("description", description, "a string")
    return onplan.ToolDefinition(tool.name, cleandoc(description), schema)


def _extra_body(prompt: Any) -> dict[str, Any]:
    """The further fields that the person gives, and those that tools of the backend need."""
    fields: dict[str, Any] = dict(prompt.options.extra_body or {})
    for tool in prompt.tools:
        if isinstance(tool, llm.ServerSideTool):
            tool.prepare_request(prompt.model, fields)
    return fields
