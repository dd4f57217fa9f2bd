"""Reads what a docstring says of a function and of its parameters: Google's, NumPy's and reST's styles."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Docstring:
    """What a docstring says.

    Attributes:
        description: the text before the first section.
        parameters: what it says of each parameter, by its name.
    """

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_docstring(text: str | None) -> Docstring:
    """Read a docstring, indented or not. Without one, everything is empty."""
    lines = inspect.cleandoc(text or "").splitlines()
    sections = list(_sections(lines))
    parameters: dict[str, str] = {}
    for section in sections:
        parameters |= section.entries()
    end = sections[0].start if sections else len(lines)
    return Docstring("\n".join(lines[:end]).strip(), parameters)


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of a docstring: the line on which it begins, and the reader of its entries, if it has any."""

    start: int
    lines: Sequence[str]
    read: Callable[[Sequence[str]], Iterator[tuple[str, str]]] | None

    def entries(self) -> dict[str, str]:
        return dict(self.read(self.lines)) if self.read else {}


_OF_PARAMETERS = frozenset(
    {"args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters"}
)
_OTHERS = frozenset(
    {
        "attributes",
        "example",
        "examples",
        "note",
        "notes",
        "raises",
        "references",
        "return",
        "returns",
        "see also",
        "todo",
        "warning",
        "warnings",
        "warns",
        "yield",
        "yields",
    }
)
_UNDERLINE = re.compile(r"-{3,}\s*")
# `:param city: …`, `:param str city: …`, `:returns: …`
_FIELD = re.compile(r":(?P<kind>\w+)(?:\s+(?P<about>[^:]*?))?\s*:(?:\s+(?P<text>.*)|$)")
_FIELDS_OF_PARAMETERS = frozenset({"param", "parameter", "arg", "argument", "key", "keyword"})
_OTHER_FIELDS = frozenset(
    {
        "except",
        "exception",
        "raise",
        "raises",
        "return",
        "returns",
        "rtype",
        "type",
        "yield",
        "yields",
        "ytype",
    }
)
# `city: …`, `city (str, optional): …`
_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\(.*?\))?\s*:(?:\s+(?P<text>.*)|\s*$)")


def _sections(lines: Sequence[str]) -> Iterator[_Section]:
    starts = [(number, *found) for number in range(len(lines)) if (found := _header(lines, number))]
    ends = [start for start, _, _ in starts[1:]] + [len(lines)]
    for (start, length, read), end in zip(starts, ends, strict=False):
        yield _Section(start, lines[start + length : end], read)


def _header(
    lines: Sequence[str], number: int
) -> tuple[int, Callable[[Sequence[str]], Iterator[tuple[str, str]]] | None] | None:
    """How many lines the header has that begins on this line, and the reader of its section."""
    line = lines[number]
    found = _FIELD.match(line)
    if found and found["kind"] in _FIELDS_OF_PARAMETERS | _OTHER_FIELDS:
        return 0, _fields
    if not line or line[0].isspace():
        return None
    title = line.rstrip().removesuffix(":").lower()
    if title not in _OF_PARAMETERS | _OTHERS:
        return None
    following = lines[number + 1] if number + 1 < len(lines) else ""
    if _UNDERLINE.fullmatch(following):
        return 2, _numpy if title in _OF_PARAMETERS else None
    if line.rstrip().endswith(":"):
        return 1, _google if title in _OF_PARAMETERS else None
    return None


def _google(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Indented entries, `name (type): text`, whose texts go on where the indentation is deeper."""
    depth = min((_indentation(line) for line in lines if line.strip()), default=0)
    for head, rest in _entries(lines, depth):
        if found := _ENTRY.fullmatch(head):
            yield found["name"], _joined([found["text"] or "", *rest])


def _numpy(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Entries `name : type`, or several names with commas, with indented texts below."""
    for head, rest in _entries(lines, 0):
        for name in head.partition(":")[0].split(","):
            if (name := name.strip().lstrip("*")).isidentifier():
                yield name, _joined(rest)


def _fields(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """One field list entry, `:param type name: text`; its text ends before an empty line."""
    found = _FIELD.match(lines[0])
    about = (found and found["about"]) or ""
    if found and found["kind"] in _FIELDS_OF_PARAMETERS and about:
        rest = list(lines[1:])
        empty = next((number for number, line in enumerate(rest) if not line.strip()), len(rest))
        yield about.split()[-1].lstrip("*"), _joined([found["text"] or "", *rest[:empty]])


def _entries(lines: Sequence[str], depth: int) -> Iterator[tuple[str, list[str]]]:
    """Each line that is indented by ``depth``, with the deeper ones after it."""
    head: str | None = None
    rest: list[str] = []
    for line in lines:
        if line.strip() and _indentation(line) <= depth:
            if head is not None:
                yield head, rest
            head, rest = line.strip(), []
        elif head is not None:
            rest.append(line)
    if head is not None:
        yield head, rest


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _joined(lines: Sequence[str]) -> str:
    """The lines as one paragraph."""
    return " ".join(" ".join(lines).split())
