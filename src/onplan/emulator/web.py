"""The web that searches find: a few pages, found by their words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of the web.

    Attributes:
        url: its address.
        title: as searches show it.
        text: what stands on it, in lines. Its links are written as in Markdown.
    """

    url: str
    title: str
    text: str = ""

    @property
    def lines(self) -> list[str]:
        """The text in lines."""
        return self.text.split("\n")

    @property
    def links(self) -> list[str]:
        """Where its links lead, in order."""
        return [link[2] for link in LINK.finditer(self.text)]


LINK = re.compile(r"\[([^\]\n]*)\]\((https?://[^)\s]+)\)")

PAGES = (
    Page(
        "https://birds.example/wren",
        "The wren",
        "The wren is a small brown bird.\nIt eats insects and spiders.\nSee [birds](https://birds.example/).",
    ),
    Page("https://birds.example/", "Birds", "Birds of the garden: the wren, the robin, the blackbird."),
    Page("https://atlas.example/france", "France", "The capital of France is Paris."),
)


def found(query: str, pages: Sequence[Page]) -> list[Page]:
    """The pages with one of the query's words of more than three letters, those with most of them first.

    A final s does not count.
    """
    words = {word for word in _words(query) if len(word) > 3}
    hits = [(len(words & _words(f"{page.title} {page.text}")), page) for page in pages]
    return [page for count, page in sorted(hits, key=lambda hit: -hit[0]) if count]


def _words(text: str) -> set[str]:
    return {word.removesuffix("s") for word in re.findall(r"\w+", text.lower())}


def linked(pages: Iterable[Page]) -> str:
    """A sentence that names pages as Markdown links, as the model does."""
    return ", ".join(f"[{page.title}]({page.url})" for page in pages)


def annotations_of(text: str) -> Iterator[dict[str, Any]]:
    """The annotations for the Markdown links of a text, as the platform makes them."""
    for link in LINK.finditer(text):
        place = {"start_index": link.start(), "end_index": link.end()}
        yield {"type": "url_citation", **place, "url": link[2], "title": link[1]}
