"""What a model or a server says is shown without what would control the terminal."""

from __future__ import annotations

import pytest

from onplan.cli.control_characters import harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain ünicode 🙂", "plain ünicode 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("a line\r\n", "a line\n"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("\x00\x07\x08\x1f", "␀␇␈␟"),
        ("\x7f", "␡"),
        ("\x80\x9b\x9f", "���"),
        ("\u202eevil\u202d", "�evil�"),
        ("soft\u00adhyphen", "soft\u00adhyphen"),
    ],
)
def test_control_characters_become_symbols(text: str, shown: str) -> None:
    """Line ends and tabs stay; a carriage return, which would overwrite the line, is left out."""
    assert harmless(text) == shown


def test_no_control_character_is_left() -> None:
    """Of all that there are in the first 256."""
    shown = harmless("".join(map(chr, range(256))))
    assert {each for each in shown if ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0} == {"\n", "\t"}
