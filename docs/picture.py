"""Draws what commands print at a terminal: docs/demo.svg and docs/usage.svg. Run by `make picture`."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100

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


def main() -> None:
    """Draw both."""
    demo = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:43655", printed_by("demo"))  # the same picture every time
    draw("demo", f"$ onplan demo\n{demo}")
    draw("usage", usage_in_every_state())


def usage_in_every_state() -> str:
    """What `onplan usage` prints in each state, against the emulator."""
    from onplan.emulator import Emulator, Limit, Options, Scenario

    limits = [Limit(300, 1000, used=515, resets_in=9_000), Limit(10_080, 1000, used=716, resets_in=262_000)]
    shown = []
    with (
        tempfile.TemporaryDirectory() as home,
        Emulator(Options(scenario=Scenario(limits=limits, reset_credits=1))) as emulator,
    ):
        os.environ.update(
            ONPLAN_HOME=home, ONPLAN_ISSUER=emulator.issuer, ONPLAN_CODEX_BASE_URL=emulator.codex_base_url
        )
        os.environ["TOKEN"] = emulator.issue_tokens()["access_token"]
        for state, fault in STATES.items():
            if fault:
                emulator.arm(fault)
            shown.append(f"$ onplan usage  # {state}\n{printed_by('usage', '--store', 'env:TOKEN')}")
    return "\n\n".join(shown)


def printed_by(*arguments: str) -> str:
    """What a command prints at a pseudo-terminal. Ends this program if the command fails."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    command = [sys.executable, "-m", "onplan", *arguments]
    with subprocess.Popen(command, stdout=theirs, stdin=subprocess.DEVNULL) as process:
        os.close(theirs)
        printed = bytearray()
        try:
            while data := os.read(ours, 65_536):
                printed += data
        except OSError:  # the terminal's other end is closed
            pass
    if process.returncode:
        sys.exit(process.returncode)
    return printed.decode().replace("\r\n", "\n").strip()


def draw(name: str, text: str) -> None:
    """Export a screen with ``text`` as docs/NAME.svg."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"))
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title=f"onplan {name}", unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # loads no font over the network
    Path(__file__).with_name(f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
