"""Searches of ``AsyncClient``. searches.py is the same, without waiting."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Unpack

from onplan.search import request
from onplan.search.reply import SearchResponse, SearchResult
from onplan.search.request import Commands, SearchOptions
from onplan.search.tool import DEFAULT_NAME, result_text, search_tool
from onplan.tools.function import FunctionTool
from onplan.turn.context import Context
from onplan.turn.steps import Flow


class AsyncSearch:
    """Searches the web without a model, on the plan: ``await client.search("capital of France")``.

    Each method raises:

    - ConfigurationError: the backend has no search; only openai-codex has.
    - InvalidRequestError: an argument cannot be used.
    - RateLimitError: searches have a limit of their own, which ``client.limits()`` does not show.
    - SignInAgainError: this sign-in does not permit searches. Nothing is signed out.
    - OnplanError: it failed otherwise.

    A page that cannot be fetched, and other failures on the web, raise nothing: ``text`` says so.
    """

    def __init__(
        self, context: Context, run: Callable[[Flow[SearchResponse]], Awaitable[SearchResponse]]
    ) -> None:
        self._context, self._run = context, run

    async def __call__(
        self,
        queries: str | Iterable[str],
        *,
        recency: int | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchResponse:
        """Search for a text, or for several at once.

        Args:
            queries: what to search for; about four at most.
            recency: only pages of the last ``recency`` days.
            options: as ``onplan.SearchOptions`` describes.
        """
        return await self.run(request.queries_for(queries, recency), **options)

    async def open(
        self, page: str | SearchResult, *, line: int | None = None, **options: Unpack[SearchOptions]
    ) -> SearchResponse:
        """Read a page: one of the ``results`` (with its ``session_id``), or a URL; from ``line`` on."""
        return await self.run(request.opening(page, line), **options)

    async def click(
        self, page: str | SearchResult, link: int, **options: Unpack[SearchOptions]
    ) -> SearchResponse:
        """Read the page that a link leads to, by its number on a page that was opened in this session."""
        return await self.run(request.clicking(page, link), **options)

    async def find(
        self, page: str | SearchResult, text: str, **options: Unpack[SearchOptions]
    ) -> SearchResponse:
        """Find ``text`` on a page that was opened in this session."""
        return await self.run(request.finding(page, text), **options)

    async def run(self, commands: Commands, **options: Unpack[SearchOptions]) -> SearchResponse:
        """Carry out commands in the backend's own words: ``{"weather": [{"location": "Oslo"}]}``."""
        return await self._run(request.searched(commands, options, self._context))

    def tool(self, *, name: str = DEFAULT_NAME, **options: Unpack[SearchOptions]) -> FunctionTool:
        """Searching and reading pages as a tool: ``client.run("…", tools=[client.search.tool()])``.

        All calls of one tool share a session. It is for models that do not take ``onplan.web_search()``. If
        a search fails, the model is told so, as of any function.
        """
        session_id = request.session_of(options)

        async def search(**commands: Any) -> str:
            wanted: SearchOptions = {**options, "session_id": session_id}
            return result_text(await self.run(commands, **wanted))

        return search_tool(search, name)
