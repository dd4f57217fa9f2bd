"""Write docs/comparison.md: three programs, each written with onplan and with two other libraries.

.venv/bin/python tools/comparison.py          # print the page
.venv/bin/python tools/comparison.py --write  # and write it
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "docs" / "comparison"
PAGE = ROOT / "docs" / "comparison.md"

# The libraries: in the order of the page, with the ends of their programs' names.
LIBRARIES = {"onplan": "onplan", "pydantic-ai": "pydantic_ai", "openai SDK": "openai"}

HEAD = """\
# Side by side

Three programs that people write for a plan, each with onplan, with
[pydantic-ai](https://ai.pydantic.dev) {pydantic_ai} and with the
[openai SDK](https://github.com/openai/openai-python) {openai}. We wrote all of them, so judge for yourself:
each is shown whole, uses what its library's documentation offers for the task, and is run by a test against
the [emulator](emulator.md), which plays the Codex backend. This page is written by `tools/comparison.py`; the
lines are counted without comments, docstrings and empty lines.

The libraries have different aims. pydantic-ai is a framework for agents on the models of many companies, and
signs in with a plan by itself. The SDK is the reference for all of OpenAI's APIs, made for API keys: here
onplan gives it the plan's token, and the variable `OPENAI_BASE_URL` has the address
`https://chatgpt.com/backend-api/codex`. That backend only streams and keeps nothing, so `responses.parse`
cannot be used, and `store=False` and `instructions` have to be sent. onplan is for one thing: programs that
run on a plan.

"""

# Of each task: what is written about it, and the rows of its table besides the number of lines.
TASKS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "agent": (
        """\
## An agent with three tools, one of which fails

The functions are those of [trip.py](comparison/trip.py). The model calls all three in one turn.

{table}

onplan tells the model of an exception, unless you want something else
([tools.md](tools.md#what-functions-return)). pydantic-ai ends the run with it, unless a hook does otherwise.
With the SDK the loop is yours: this one carries out the calls one after the other, and has no limit of turns.
""",
        {
            "the model is told of the failure": ("yes", "yes", "yes"),
            "its encrypted reasoning is sent back": ("yes", "yes", "yes"),
        },
    ),
    "extraction": (
        """\
## 200 typed extractions

While two hundred notes are read, eight at a time, the plan's usage limit is reached; it resets two seconds
later. In a second run the server also refuses the token before its time.

{table}

`on_limit="wait"` asks the plan when it answers again, and nothing else meanwhile
([batch.md](batch.md#at-a-usage-limit)). The other two programs read the time in the error. Both libraries
first take a usage limit for a rate limit and repeat each request twice (`max_retries`); onplan does not. A
token that has aged is refreshed with all three. The SDK asks for the token before each request, but has no
way to say that it was refused, so that program ends with an `AuthenticationError`.
""",
        {
            "the usage limit is reached": ("200 of 200", "200 of 200", "200 of 200"),
            "and the token is refused": ("200 of 200", "200 of 200", "the rest is lost"),
        },
    ),
    "chat": (
        """\
## A chat that is killed, and goes on

The program is ended with SIGKILL while an answer is awaited. When it is started again, it answers what was
said last.

{table}

onplan adds a line for each message to a file that only you can read, and sends the conversation's
`session_id`, by which the backend finds it in its cache ([conversations.md](conversations.md)). The other two
programs write the whole history at each turn.

Two commands do this without a program: [`onplan chat -c`](terminal.md), and `llm chat -c` of
[llm](https://llm.datasette.io) {llm} with the plugin llm-chatgpt-plan. `llm` writes an exchange down when it
is complete, so what was said last has to be said again, and it does not send the reasoning back.
""",
        {
            "the model knows the whole chat": ("yes", "yes", "yes"),
            "its encrypted reasoning is sent back, too": ("yes", "yes", "yes"),
        },
    ),
}

PROGRAM = """\
**{library}**: [{name}](comparison/{name})

```py
{code}```
"""


def lines_of(code: str) -> int:
    """Lines of code: without comments, docstrings and empty lines."""
    docstrings = {
        line
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    used = {token.start[0] for token in tokens if token.type not in skipped and token.string}
    return len(used - docstrings)


def table(codes: dict[str, str], outcomes: dict[str, tuple[str, ...]]) -> str:
    """How long each program is, and what becomes of its task."""
    counts = tuple(str(lines_of(code)) for code in codes.values())
    rows = [("", *LIBRARIES), ("---", *["---"] * len(LIBRARIES)), ("lines of code", *counts)]
    rows += [(row, *cells) for row, cells in outcomes.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def section(task: str) -> str:
    """One task: what it is, the table, and the programs."""
    text, outcomes = TASKS[task]
    names = {library: f"{task}_with_{end}.py" for library, end in LIBRARIES.items()}
    codes = {library: (PROGRAMS / name).read_text() for library, name in names.items()}
    shown = [
        PROGRAM.format(library=library, name=name, code=codes[library]) for library, name in names.items()
    ]
    shown_table = table(codes, outcomes)
    return "\n".join([text.format(table=shown_table, llm=pinned("siwc-peer.txt", "llm")), *shown])


def pinned(requirements: str, name: str) -> str:
    """The version of a package that the tests run."""
    found = re.search(rf"^{name}==(\S+)", (ROOT / "requirements" / requirements).read_text(), re.MULTILINE)
    if found is None:
        sys.exit(f"requirements/{requirements} does not have {name}.")
    return found[1]


def page() -> str:
    """The text of the page."""
    head = HEAD.format(
        pydantic_ai=pinned("strangers.txt", "pydantic-ai-slim"), openai=pinned("bench.txt", "openai")
    )
    return head + "\n".join(section(task) for task in TASKS)


if __name__ == "__main__":
    text = page()
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(text)
    else:
        sys.stdout.write(text)
