"""Draws docs/demo.svg: what `onplan demo` prints on a terminal. Run by `make picture`."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def main() -> None:
    """Run the demo on a pseudo-terminal and export its screen."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "onplan", "demo"], stdout=theirs, stdin=subprocess.DEVNULL
    ) as demo:
        os.close(theirs)
        printed = bytearray()
        try:
            while data := os.read(ours, 65_536):
                printed += data
        except OSError:  # the terminal's other end is closed
            pass
    if demo.returncode:
        sys.exit(demo.returncode)
    text = printed.decode().replace("\r\n", "\n").strip()
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:43655", text)  # the same picture every time
    console = Console(record=True, width=100, file=open(os.devnull, "w"))
    console.print(Text.from_ansi(f"$ onplan demo\n{text}"))
    svg = console.export_svg(title="onplan demo", unique_id="demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # loads no font over the network
    Path(__file__).with_name("demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
