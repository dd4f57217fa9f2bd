"""Citations: which pages an answer names as its sources, from annotations or from the links in its text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from onplan.types.parts import WEB_SEARCH, ContentPart, HostedToolCall, Text


class Citation(msgspec.Struct, frozen=True):
    """A page that an answer names as a source.

    Attributes:
        url: its address.
        title: as the server or the model calls it; may be empty.
        start: where the passage begins in ``CompletionResponse.text``, in characters, so that
            ``response.text[start:end]`` is the passage; for a ``link``, the link in Markdown. None if the
            server does not say, or names a place outside of the text.
        end: the end of the passage.
        source: ``annotation`` if the server says so; ``link`` if it is a Markdown link that the model wrote,
            which is no proof that the model has read the page.
    """

    url: str
    title: str
    start: int | None
    end: int | None
    source: Literal["annotation", "link"]


class SearchAction(msgspec.Struct, frozen=True):
    """What the model did on the web, in one call of the hosted tool.

    Attributes:
        action: ``search``, ``open_page``, ``find_in_page``, or another word of the server's; empty if it does
            not say.
        queries: what was searched for.
        url: the page that was opened.
        pattern: what was looked for in it.
        status: ``completed``, ``failed``, or another word of the server's.
    """

    action: str = ""
    queries: list[str] = []
    url: str | None = None
    pattern: str | None = None
    status: str | None = None


def citations_of(parts: Iterable[ContentPart]) -> list[Citation]:
    """The citations in the texts among ``parts``, in order; their places are those in the joined text.

    Markdown links count only where no text has annotations that name a URL.
    """
    texts = [part for part in parts if isinstance(part, Text)]
    found: list[Citation] = []
    offset = 0
    for text in texts:
        for annotation in text.annotations:
            found += _annotated(annotation, offset, len(text.text))
        offset += len(text.text)
    return found or _linked("".join(text.text for text in texts))


def _annotated(annotation: dict[str, Any], offset: int, length: int) -> list[Citation]:
    url, title = annotation.get("url"), annotation.get("title")
    if annotation.get("type") != "url_citation" or not isinstance(url, str) or not url:
        return []
    title = title if isinstance(title, str) else ""
    start, end = annotation.get("start_index"), annotation.get("end_index")
    if type(start) is int and type(end) is int and 0 <= start <= end <= length:
        return [Citation(url, title, offset + start, offset + end, "annotation")]
    return [Citation(url, title, None, None, "annotation")]


def _linked(text: str) -> list[Citation]:
    if "](" not in text:
        return []
    from onplan.types.markdown_links import links_in

    return [Citation(link.url, link.title, link.start, link.end, "link") for link in links_in(text)]


def searches_in(parts: Iterable[ContentPart]) -> list[SearchAction]:
    """What the hosted web search did, in order."""
    calls = [part for part in parts if isinstance(part, HostedToolCall) and part.name == WEB_SEARCH]
    return [_search(call.fields) for call in calls]


def _search(fields: dict[str, Any]) -> SearchAction:
    given = fields.get("action")
    action: dict[str, Any] = given if isinstance(given, dict) else {}
    listed = action.get("queries")
    queries = [query for query in listed if isinstance(query, str)] if isinstance(listed, list) else []
    query = _string(action.get("query"))
    return SearchAction(
        action=_string(action.get("type")) or "",
        queries=queries or ([query] if query else []),
        url=_string(action.get("url")),
        pattern=_string(action.get("pattern")),
        status=_string(fields.get("status")),
    )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def annotations_from(given: Any) -> tuple[dict[str, Any], ...]:
    """Annotations of either API as those of the Responses API; anything but objects is left out.

    Chat Completions has ``{"type": "url_citation", "url_citation": {"url": …}}``, the other API
    ``{"type": "url_citation", "url": …}``.
    """
    if not isinstance(given, list | tuple):
        return ()
    return tuple(_flat(each) for each in given if isinstance(each, dict))


def _flat(annotation: dict[str, Any]) -> dict[str, Any]:
    inner = annotation.get("url_citation")
    return {"type": "url_citation", **inner} if isinstance(inner, dict) else annotation
