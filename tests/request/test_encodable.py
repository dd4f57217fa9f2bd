"""Text that cannot be encoded is told as what it is."""

from __future__ import annotations

import msgspec
import pytest

from onplan.errors import InvalidRequestError
from onplan.request.encodable import encodable


def test_half_a_character() -> None:
    """The error says so, and how to avoid it; other errors are left alone."""
    with pytest.raises(InvalidRequestError, match="half of a character") as caught, encodable():
        msgspec.json.encode({"prompt": "\ud83d"})
    assert 'errors="replace"' in caught.value.hint
    with pytest.raises(TypeError), encodable():
        msgspec.json.encode(object())
