"""Text that cannot be sent is an error of the request, before anything is sent."""

from __future__ import annotations

import msgspec
import pytest

from onplan.errors import InvalidRequestError
from onplan.request.encodable import encodable


def test_half_a_character_is_told() -> None:
    """With what may have caused it."""
    with pytest.raises(InvalidRequestError, match="half of a character") as caught, encodable():
        msgspec.json.encode("\ud83d")
    assert "errors=" in str(caught.value.hint)


def test_anything_else_passes() -> None:
    """Other errors are other errors."""
    with encodable():
        msgspec.json.encode("é")
    with pytest.raises(KeyError), encodable():
        raise KeyError
