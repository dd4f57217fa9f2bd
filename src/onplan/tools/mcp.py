"""The tools of MCP servers (Model Context Protocol) as tools of a run, by sessions of the ``mcp`` package.

Nothing of that package is imported: a session is whatever has its ``list_tools`` and ``call_tool``. Version 1
writes names in camelCase, version 2 in snake_case.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from onplan.errors import InvalidRequestError
from onplan.tools.function import FunctionTool, tool
from onplan.tools.results import ToolError
from onplan.types import Image, Text

_LONGEST_NAME = 64
_MOST_PAGES = 1_000
_REFUSED = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST = 8  # characters that tell long names apart


class MCPSession(Protocol):
    """What is used of a ``ClientSession`` or ``Client`` of the ``mcp`` package."""

    def list_tools(self) -> Awaitable[Any]:
        """The first page of the server's tools."""

    def call_tool(self, name: str, arguments: dict[str, Any]) -> Awaitable[Any]:
        """The result of calling a tool."""


async def mcp_tools(session: MCPSession, *, prefix: str = "") -> list[FunctionTool]:
    """The tools of an MCP server, for ``AsyncClient.run``: a session belongs to its event loop.

    Their names are the server's, with ``_`` for characters that models' APIs refuse; long ones are cut.
    A result has the text and the images of the server's, and everything else as JSON; of sounds and other
    bytes it says how many there are. One that the server marks as an error is told to the model as an error.

    Args:
        session: initialized.
        prefix: before each name, such as ``github_``, to tell several servers apart.

    Raises:
        InvalidRequestError: two tools would have the same name, or the list of them has no end.
    """
    tools: dict[str, FunctionTool] = {}
    page = await session.list_tools()
    for _ in range(_MOST_PAGES):
        for listed in page.tools:
            name = _name(f"{prefix}{listed.name}")
            if name in tools:
                raise InvalidRequestError(
                    f"Two tools of the MCP server would be called {name}.",
                    hint="Make them yourself: `tool(function, name=…, parameters=…)`.",
                )
            tools[name] = _tool(session, listed, name)
        cursor = _either(page, "next_cursor", "nextCursor")
        if cursor is None:
            return list(tools.values())
        page = await _next_page(session, cursor)
    raise InvalidRequestError(
        f"The MCP server's list of tools has more than {_MOST_PAGES} pages.",
        hint="Report this to the authors of the server.",
    )


def _tool(session: MCPSession, listed: Any, name: str) -> FunctionTool:
    async def call(**arguments: Any) -> list[Any]:
        return _content(await session.call_tool(listed.name, arguments))

    schema = _either(listed, "input_schema", "inputSchema")
    text = listed.description or getattr(listed, "title", None) or ""
    return tool(call, name=name, description=text, parameters=schema)


def _either(value: Any, *names: str) -> Any:
    """The attribute that it has, by its names in the versions of the package."""
    return next((getattr(value, name) for name in names if hasattr(value, name)), None)


def _name(given: str) -> str:
    name = _REFUSED.sub("_", given)
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(given.encode()).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST_NAME - _DIGEST - 1]}_{digest}"


async def _next_page(session: Any, cursor: str) -> Any:
    listing: Callable[..., Awaitable[Any]] = session.list_tools
    if "cursor" in inspect.signature(listing).parameters:
        return await listing(cursor=cursor)
    types = sys.modules[type(session).__module__].types
    return await listing(params=types.PaginatedRequestParams(cursor=cursor))


def _content(result: Any) -> list[Text | Image]:
    """The parts of a result. Raises ToolError with them if the server says that it is an error."""
    parts = [_part(block) for block in result.content]
    structured = _either(result, "structured_content", "structuredContent")
    if not parts:
        parts = [Text(_json(structured) if structured is not None else "")]
    if _either(result, "is_error", "isError"):
        raise ToolError([*parts])
    return parts


def _part(block: Any) -> Text | Image:
    if block.type == "text":
        return Text(block.text)
    if block.type == "image":
        return Image(data=base64.b64decode(block.data))
    resource = getattr(block, "resource", None)  # which stands in the result itself
    blob, kind = getattr(resource, "blob", None), _either(resource, "mime_type", "mimeType")
    if blob and (kind or "").startswith("image/"):
        return Image(data=base64.b64decode(blob))
    return Text(_json(_without_data(block.model_dump(mode="json", by_alias=True, exclude_none=True))))


def _without_data(fields: dict[str, Any]) -> dict[str, Any]:
    """``fields`` without sounds and other bytes, which to a model would be a long text without meaning."""
    told = {
        name: f"{len(value) * 3 // 4} bytes, which are not shown to the model"
        for name, value in fields.items()
        if name in ("data", "blob") and isinstance(value, str)
    }
    inner = {name: _without_data(value) for name, value in fields.items() if isinstance(value, dict)}
    return {**fields, **inner, **told}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
