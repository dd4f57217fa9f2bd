"""What a search found."""

from __future__ import annotations

from typing import Any

import msgspec

from onplan.errors import UnexpectedReplyError
from onplan.types import Limits


class SearchResult(msgspec.Struct, frozen=True):
    """A page that was found or opened.

    Attributes:
        ref_id: its name in this search session, such as ``turn0search0``.
        url: its address; empty if the backend does not say.
        title: as the page calls itself; may be empty.
    """

    ref_id: str
    url: str = ""
    title: str = ""


class SearchResponse(msgspec.Struct, frozen=True):
    """What a search found, or what stands on a page.

    Attributes:
        text: what a model would read. It also says what failed: a page that cannot be fetched, a reference
            that is not known.
        results: the pages that the text is about.
        session_id: under which the references are known; give it to ``open``, ``click`` and ``find``.
        request_id: the backend's identifier of the request, if it gave one.
        limits: what the plan has left, as far as that came with the answer.
    """

    text: str
    results: list[SearchResult]
    session_id: str
    request_id: str | None = None
    limits: Limits | None = None


def read_reply(value: Any, session_id: str, request_id: str | None, limits: Limits | None) -> SearchResponse:
    """What a reply says. Results that cannot be read are left out.

    Raises UnexpectedReplyError if the reply has no text.
    """
    text = value.get("output") if isinstance(value, dict) else None
    if not isinstance(text, str):
        error = UnexpectedReplyError("The backend answered a search without a text.")
        error.request_id = request_id
        raise error
    listed = value.get("results")
    rows = listed if isinstance(listed, list) else []
    results = [found for row in rows if (found := _result(row)) is not None]
    return SearchResponse(text, results, session_id, request_id, limits)


def _result(row: Any) -> SearchResult | None:
    fields = row if isinstance(row, dict) else {}
    ref_id, url, title = (fields.get(name) for name in ("ref_id", "url", "title"))
    if not isinstance(ref_id, str):
        return None
    return SearchResult(ref_id, url if isinstance(url, str) else "", title if isinstance(title, str) else "")
