"""A prompt for terminals that cannot be drawn on (``TERM=dumb``), such as those inside of editors."""

from __future__ import annotations


class LinePrompt:
    """Reads lines as the terminal edits them."""

    def read(self, text: str = "") -> str:
        """What is typed next; a line that ends with a backslash goes on. ``text`` if only Enter is typed.

        Raises EOFError when Ctrl-D was typed.
        """
        if text:
            print(f"(Enter sends this again: {text})")  # noqa: T201 - to the terminal, as input() does
        lines = [input("> ")]
        while lines[-1].endswith("\\"):
            lines.append(input("  "))
        typed = "\n".join(line.removesuffix("\\") for line in lines)
        return typed if typed.strip() else text
