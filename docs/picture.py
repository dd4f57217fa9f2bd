"""Draws what commands show at a terminal: docs/demo.svg, usage.svg, ask.svg, batch.svg and chat.svg.

Run by `make picture`. The commands are run against the emulator, at a pseudo-terminal with a screen.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs
from pyte.screens import Char
from rich.color import ColorParseError
from rich.console import Console
from rich.style import Style
from rich.text import Text
from tests.cli.screens import CTRL_D, ScreenTerminal, at_screen

from onplan.emulator import Emulator, Limit, Options, Scenario, Turn
from onplan.errors import UsageLimitError

WIDTH = 100
CHAT_LINES = 32  # of the terminal, which its chat fills

# The states of a plan, and the faults with which the emulator plays them.
STATES = {
    "fresh": "usage_fresh",
    "half used": "",
    "only a weekly window": "usage_only_week",
    "used up": "usage_exhausted",
    "no windows": "usage_nulls",
    "odd values": "usage_odd",
    "credits only": "usage_credits_only",
}
LIMITS = [Limit(300, 1000, used=515, resets_in=9_000), Limit(10_080, 1000, used=716, resets_in=262_000)]

THINKING = "The question wants three kinds, and what each of them sings."
BIRDS = """\
Three birds that sing:

| bird | sings |
|---|---|
| **wren** | loudly, for so small a bird |
| **robin** | also in winter |
| **blackbird** | at dusk, from the roof |

To hear the first of them:

```python
play("wren.ogg", volume=0.5)
```
"""
SINGS = "The *blackbird*: it sings from a high place, and its notes are low."


def main() -> None:
    """Draw them all."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"ONPLAN_HOME": home, "COLUMNS": str(WIDTH), "TZ": "UTC"}
        os.environ["ONPLAN_STORE"] = "env:TOKEN"
        draw("demo", demo())
        draw("usage", usage_in_every_state())
        draw("ask", asked())
        draw("batch", batch(Path(home)))
        draw("chat", chat())


@contextmanager
def services(**scenario: object) -> Iterator[Emulator]:
    """An emulator at which the commands are signed in."""
    with Emulator(Options(scenario=Scenario(**scenario))) as emulator:  # type: ignore[arg-type]
        os.environ["ONPLAN_ISSUER"] = emulator.issuer
        os.environ["ONPLAN_CODEX_BASE_URL"] = emulator.codex_base_url
        os.environ["TOKEN"] = emulator.issue_tokens()["access_token"]
        yield emulator


def demo() -> Text:
    """The demo, at the same address every time."""
    text = shown_by("demo")
    text.plain = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:43655", text.plain)
    return text


def usage_in_every_state() -> Text:
    """What `onplan usage` prints in each state."""
    shown = []
    with services(limits=LIMITS, reset_credits=1) as emulator:
        for state, fault in STATES.items():
            if fault:
                emulator.arm(fault)
            shown.append(shown_by("usage", comment=state))
    return Text("\n\n").join(shown)


def asked() -> Text:
    """An answer in Markdown below its thinking, and the same conversation's next one, by a schema."""
    turns = [Turn(thinking=THINKING, text=BIRDS), Turn(text='{"name": "wren", "wingspan_cm": 15}')]
    with services(turns=turns):
        shown = [shown_by("ask", "--thinking", "Three birds that sing, as a table")]
        shown.append(shown_by("ask", "-c", "--schema", "docs/bird.schema.json", "The smallest of them"))
    return Text("\n\n").join(shown)


def batch(folder: Path) -> Text:
    """A file of requests that meets the usage limit, and is asked again when it has reset."""
    lines = [
        {"custom_id": f"bird-{n}", "method": "POST", "url": "/v1/responses", "body": {"input": f"Bird {n}?"}}
        for n in range(200)
    ]
    (folder / "birds.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    os.chdir(folder)
    command = ("batch", "birds.jsonl", "answers.jsonl", "--model", "gpt-5.5")
    with services(limits=[Limit(300, 4_000, resets_in=9_000)]) as emulator:
        shown = [shown_by(*command, ends=UsageLimitError.exit_code)]
        emulator.set_limits()
        return Text("\n\n").join([*shown, shown_by(*command, comment="once it has reset")])


def chat() -> Text:
    """Two questions, and what the plan has left."""
    turns = [Turn(thinking=THINKING, text=BIRDS), Turn(text=SINGS)]
    limits = [structs.replace(each, tokens=100_000, used=each.used * 100) for each in LIMITS]
    with (
        services(turns=turns, limits=limits) as emulator,
        at_screen("chat", columns=WIDTH, lines=CHAT_LINES) as terminal,
    ):
        for typed in ("Three birds that sing, as a table", "Which one at dusk?", "/usage"):
            terminal.until(is_waiting)
            terminal.type(f"{typed}\r")
            terminal.until(lambda shown, typed=typed: typed in shown and not is_waiting(shown))
        terminal.until(is_waiting)
        text = picture_of(terminal)
        terminal.type(CTRL_D)
        terminal.end()
        assert emulator.turns_left == 0
    return Text("$ onplan chat\n") + text


def is_waiting(shown: str) -> bool:
    """Whether the chat waits at its prompt."""
    return shown.endswith("/help")


def shown_by(*arguments: str, comment: str = "", ends: int = 0) -> Text:
    """A command and what it shows at the terminal in the end. Ends this program unless it ends as told."""
    with at_screen(*arguments, columns=WIDTH, lines=50) as terminal:
        status = terminal.end()
    if status != ends:
        sys.exit(f"onplan {' '.join(arguments)} ended with {status}:\n{terminal.scrolled}")
    words = [f'"{word}"' if " " in word else word for word in arguments]
    typed = f"$ onplan {' '.join(words)}{comment and f'  # {comment}'}\n"
    return Text(typed) + picture_of(terminal)


def picture_of(terminal: ScreenTerminal) -> Text:
    """Everything on the screen, with its colours."""
    text = Text()
    for line in terminal.cells:
        for cell in line:
            text.append(cell.data, style_of(cell))
        text.append("\n")
    lines = text.split("\n")
    for line in lines:
        line.rstrip()
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join(lines)


def style_of(cell: Char) -> Style:
    """How a character looks."""
    return Style(
        color=colour(cell.fg),
        bgcolor=colour(cell.bg),
        bold=cell.bold or None,
        dim=cell.blink or None,
        italic=cell.italics or None,
        underline=cell.underscore or None,
        reverse=cell.reverse or None,
    )


def colour(name: str) -> str | None:
    """A colour by the name that rich has for it."""
    if name == "default":
        return None
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    name = name.replace("bright", "bright_").replace("brown", "yellow")
    try:
        Style(color=name)
    except ColorParseError:
        return None
    return name


def draw(name: str, text: Text) -> None:
    """Export a screen with ``text`` as docs/NAME.svg."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere)
        console.print(text)
        svg = console.export_svg(title=f"onplan {name}", unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # loads no font over the network
    Path(__file__).with_name(f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
