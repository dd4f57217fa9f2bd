"""The web search of the plan as tools of ``llm``: for models that do not take ``-T WebSearch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llm

if TYPE_CHECKING:
    from onplan.search.searches import Search


class OnplanSearch(llm.Toolbox):
    """Search the web and read its pages, on your ChatGPT plan.

    Args:
        profile: whose sign-in is used; without it, the profile in use.
    """

    def __init__(self, profile: str | None = None) -> None:
        self._profile = profile
        self._session_id: str | None = None

    def search(self, query: str) -> str:
        """Search the web.

        Each page that is found has a reference such as turn0search0, by which it can be opened. Cite the
        pages that you use as Markdown links: [title](url).
        """
        return self._told("__call__", query)

    def open(self, page: str) -> str:
        """Read a page of the web, by its reference or its URL."""
        return self._told("open", page)

    def find(self, page: str, text: str) -> str:
        """Find a text on a page that was opened, by its reference or its URL."""
        return self._told("find", page, text)

    def _told(self, method: str, *arguments: str) -> str:
        """What the model is told; of an OnplanError, ``llm`` tells it. References hold within one session."""
        from onplan.integrations.llm.clients import CLIENTS
        from onplan.search.tool import result_text

        search: Search = CLIENTS.client(self._profile).search
        options: Any = {} if self._session_id is None else {"session_id": self._session_id}
        reply = getattr(search, method)(*arguments, **options)
        self._session_id = reply.session_id
        return result_text(reply)
