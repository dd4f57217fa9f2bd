"""Makes text of a model harmless at a terminal: no character of it is a command there.

Escape sequences set the clipboard (OSC 52) or the title, hide text behind links (OSC 8), move the cursor and
ask for replies that look typed. All of them begin with a control character (ECMA-48), and those are shown as
symbols instead. So are the two characters that turn the direction of what follows them (UAX #9, RLO and
LRO), by which a command can look like another one.
"""

from __future__ import annotations

_SYMBOLS: dict[int, str | None] = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): None,
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys((*range(0x80, 0xA0), 0x202D, 0x202E), "\N{REPLACEMENT CHARACTER}"),
}


def harmless(text: str) -> str:
    """``text`` with symbols in place of control characters; line ends and tabs stay."""
    return text if text.isprintable() else text.translate(_SYMBOLS)
