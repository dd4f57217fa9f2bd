"""Write docs/parameters.md: what becomes of each field of a request at each backend.

.venv/bin/python tools/parameters.py          # print the page
.venv/bin/python tools/parameters.py --write  # and write it
"""

from __future__ import annotations

import sys
from pathlib import Path

from onplan.backends import ROWS, Backend, ParameterSupport
from onplan.types import CompletionRequest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "parameters.md"

WORDS = {
    ParameterSupport.FORWARD: "sent",
    ParameterSupport.EMULATE: "emulated",
    ParameterSupport.EMULATE_IF_REFUSED: "sent or emulated",
    ParameterSupport.DROP: "left out",
    ParameterSupport.RAISE: "an error",
    ParameterSupport.WITH_TOOLS: "sent with tools",
}
# Kinds of tools that have a row of their own.
TOOLS = {"CustomTool": "custom_tools", "HostedTool": "hosted_tools"}
APIS = {"chat": "Chat Completions", "responses": "Responses"}

HEAD = """\
# Parameters

What becomes of each field of a request. This page is written by `tools/parameters.py` from the table in
[backends.py](../src/onplan/backends.py), and a test sends each field to each backend.

"""

FOOT = """
- **sent**: the field is in the request, under the name that the API has for it.
- **sent with tools**: it is in a request that has tools; without tools it is left out.
- **emulated**: onplan carries it out, and lists it in `response.emulated_parameters`.
- **sent or emulated**: it is sent. If the server refuses it, as OpenAI's does for models that reason, the
  request is sent again without it, and it is emulated. The client remembers this of the model.
- **an error**: an `InvalidRequestError` before anything is sent, for nothing could stand for it.
- **left out**: the backend would refuse the request, so the field is not sent, and is listed in
  `response.ignored_parameters`. With `Client(unsupported="raise")` it is an `InvalidRequestError` instead,
  before anything is sent.

`HostedTool` is a tool of `tools` that the backend runs itself, such as [web search](search.md): its name
and options are sent as they are. A `CustomTool` is one that the model calls with free text
([tools.md](tools.md#custom-tools)). The fields of `extra_body` are sent as they are, too, and objects in it
are merged with those of the request; they are for what this version does not know.

On the command line, `onplan ask` says on stderr what was left out or emulated.

`stop`, emulated, ends the answer before the first of the texts. What may be the beginning of one is held
back until it is known. The connection is closed, and the finish reason is `stop`. `max_tokens`, emulated,
ends the answer after **about** so many tokens, with the finish reason `length`: onplan estimates them by
the characters of the text and of tool calls' arguments (four Latin letters to a token, two Greek or
Cyrillic ones, one Chinese one), for only the backend can count them, and it cannot see the tokens of hidden
reasoning. A tool call that is not finished by then is no part of the answer. An answer that onplan ended
has a `usage` of zeros, unless its end had arrived as well.

A `reasoning_effort` that the model does not offer is changed to the nearest one that it does, and then
listed in `emulated_parameters`. With `unsupported="raise"` that, too, is an error. What a model offers is
known from its backend's catalogue if that was read, else from the list that is built in.
"""


def column_of(backend: Backend) -> str:
    """The title of a backend's column."""
    if backend.is_compatible:
        return f"compatible servers, {APIS[backend.api]}"
    several = sum(row.name == backend.name and not row.is_compatible for row in ROWS) > 1
    return f"`{backend.name}`, {APIS[backend.api]}" if several else f"`{backend.name}`"


def cell(parameter: str, backend: Backend) -> str:
    """What becomes of a parameter."""
    parameter = TOOLS.get(parameter, parameter)
    return WORDS[backend.parameter_support.get(parameter, ParameterSupport.FORWARD)]


def page() -> str:
    """The text of the page."""
    fields = CompletionRequest.__struct_fields__
    names = [row for name in fields for row in ([name, *TOOLS] if name == "tools" else [name])]
    rows = [
        ["parameter", *map(column_of, ROWS)],
        ["---"] * (len(ROWS) + 1),
        *([f"`{name}`", *(cell(name, backend) for backend in ROWS)] for name in names),
    ]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) + FOOT


def main() -> None:
    """Print or write the page."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
