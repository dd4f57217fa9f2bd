"""Header lines of HTTP/1.1: the quick look at all of them finds what a look at each character would."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from onplan.header_lines import are_names, has_lines

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
VALUE = re.compile(rb"[\t -~\x80-\xff]*")


@given(st.lists(st.binary(max_size=3) | st.sampled_from([b"host", b"x-a", b"a\nb", b""])))
@example([b"a", b""])
@example([b"\n"])
def test_names(names: list[bytes]) -> None:
    """Each is a token."""
    assert are_names(names) == all(map(TOKEN.fullmatch, names))


@given(st.lists(st.binary(max_size=3) | st.sampled_from([b"a\r\nb: c", b"a\tb", b"\x7f", b"\n", b"\r"])))
def test_lines(values: list[bytes]) -> None:
    """None holds a control character."""
    data = b"".join(b"x: %b\r\n" % value for value in values)
    assert has_lines(data, len(values)) == all(map(VALUE.fullmatch, values))


def test_every_character() -> None:
    """Only the tab of the controls may stand in a line, and only some characters in a name."""
    for code in range(256):
        each = bytes([code])
        assert has_lines(b"x: " + each + b"\r\n", 1) == bool(VALUE.fullmatch(each))
        assert are_names([b"x" + each]) == bool(TOKEN.fullmatch(b"x" + each))
