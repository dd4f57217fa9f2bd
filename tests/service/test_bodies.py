"""Where bodies are read: small ones at once, large ones on another thread."""

from __future__ import annotations

import threading

import pytest

from onplan.service.bodies import read_body

LARGE = 256 * 1024


@pytest.mark.parametrize(("size", "is_here"), [(0, True), (LARGE, True), (LARGE + 1, False)])
async def test_a_large_body_keeps_nobody_waiting(size: int, *, is_here: bool) -> None:
    """It is the whole body that is read, and what comes of it that is returned."""

    def read(body: bytes) -> tuple[int, int]:
        return len(body), threading.get_ident()

    length, thread = await read_body(read, b"x" * size)
    assert length == size
    assert (thread == threading.get_ident()) is is_here


@pytest.mark.parametrize("size", [1, LARGE + 1])
async def test_what_is_wrong_with_a_body_is_raised(size: int) -> None:
    """Wherever it was read."""

    def read(body: bytes) -> object:
        raise ValueError(str(len(body)))

    with pytest.raises(ValueError, match=str(size)):
        await read_body(read, b"x" * size)
