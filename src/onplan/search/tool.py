"""Web search as a function that a model may call, for models that do not take the hosted search."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from onplan.search.reply import SearchResponse
from onplan.tools.function import FunctionTool, tool

DEFAULT_NAME = "search_web"
_MOST = 100  # addresses that are added to the text
_URL = re.compile(r"https?://[^\s()<>\[\]\"']+")

_DESCRIPTION = (
    "Search the web and read its pages. Each page that is found has a reference such as turn0search0, by "
    "which open, click and find name it in this and later calls; open takes a URL, too. Several commands may "
    "stand in one call, and at most four searches. The result also says what failed. Cite the pages that you "
    "use as Markdown links: [title](url)."
)


def _array(description: str, required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    item = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "array", "description": description, "items": item}


_REFERENCE = {"type": "string", "description": "the reference of a page"}
_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "search_query": _array(
            "searches",
            ("q",),
            q={"type": "string", "description": "what to search for"},
            recency={"type": "integer", "description": "only pages of the last so many days"},
            domains={
                "type": "array",
                "items": {"type": "string"},
                "description": "only pages of these domains",
            },
        ),
        "open": _array(
            "pages to read",
            ("ref_id",),
            ref_id={"type": "string", "description": "the reference of a page, or a URL"},
            lineno={"type": "integer", "description": "the line to begin at"},
        ),
        "click": _array(
            "links to follow",
            ("ref_id", "id"),
            ref_id=_REFERENCE,
            id={"type": "integer", "description": "the number of the link on that page"},
        ),
        "find": _array(
            "texts to find on a page",
            ("ref_id", "pattern"),
            ref_id=_REFERENCE,
            pattern={"type": "string", "description": "the text"},
        ),
    },
}


def search_tool(function: Callable[..., Any], name: str) -> FunctionTool:
    """The tool that calls ``function`` with commands by name. Raises InvalidRequestError for its ``name``."""
    return tool(function, name=name, description=_DESCRIPTION, parameters=_PARAMETERS)


def result_text(found: SearchResponse) -> str:
    """The text of a search for the model, with the addresses of results that the text does not name."""
    shown = set(_URL.findall(found.text))
    missing = [result for result in found.results[:_MOST] if result.url and result.url not in shown]
    lines = [f"[{result.ref_id}] {result.title} {result.url}" for result in missing]
    return "\n".join([found.text, "", *lines]) if lines else found.text
