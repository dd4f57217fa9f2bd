"""``onplan ask --search``: the search that a model takes, and the citations below its answer."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from onplan.cli.control_characters import harmless
from onplan.cli.talk import say
from onplan.client_parts import takes_hosted_search

if TYPE_CHECKING:
    from onplan.client import Client
    from onplan.tools.function import FunctionTool
    from onplan.types import Citation, HostedTool


def tool_for(client: Client, model: str | None) -> HostedTool | FunctionTool:
    """The hosted search where the model takes that, and else a function. Raises an OnplanError."""
    from onplan.types import web_search

    return web_search() if takes_hosted_search(client, model) else client.search.tool()


def print_citations(citations: Iterable[Citation]) -> None:
    """Print each cited page once, on stderr, if a person reads there."""
    if sys.stderr.isatty() and (lines := citation_lines(citations)):
        say("\n".join(["", *lines]))


def citation_lines(citations: Iterable[Citation]) -> list[str]:
    """The cited pages, numbered; none if there are none. The heading says who names them."""
    first: dict[str, Citation] = {}
    for citation in citations:
        first.setdefault(citation.url, citation)
    pages = list(first.values())
    if not pages:
        return []
    heading = "Sources" if pages[0].source == "annotation" else "Links in the answer"
    named = (" ".join(filter(None, (_on_one_line(page.title), _on_one_line(page.url)))) for page in pages)
    return [f"{heading}:", *(f"  {number}. {name}" for number, name in enumerate(named, 1))]


def _on_one_line(text: str) -> str:
    return harmless(" ".join(text.split()))
