"""When WebSocket is given up for SSE."""

from __future__ import annotations

import pytest

from onplan.turn.fallback import BREAKS, LARGEST_MESSAGE, Fallback


@pytest.fixture
def fallback():
    return Fallback()


def test_nothing_falls_back_by_itself(fallback):
    """A session that nothing happened to goes over WebSocket."""
    assert not fallback.applies("s")


def test_a_refusal_concerns_its_session(fallback):
    """That session goes over SSE from now on; others try."""
    assert fallback.refused("s", 403)
    assert fallback.applies("s")
    assert not fallback.applies("t")


def test_a_service_without_websocket_concerns_all(fallback):
    """426 says that there is none, and later refusals do not take that back."""
    fallback.refused("s", 426)
    fallback.refused("t", 500)
    assert fallback.applies("u")


def test_refusals_in_a_row_concern_all(fallback):
    """After three, something on the way lets no WebSocket through, unless one worked in between."""
    for session in ("s", "t"):
        fallback.refused(session)
    fallback.worked("w")
    for session in ("x", "y"):
        fallback.refused(session)
    assert not fallback.applies("u")
    fallback.refused("z")
    assert fallback.applies("u")


def test_breaks_in_a_row_concern_their_session(fallback):
    """Two are too many, without an answer between them."""
    fallback.broke("s")
    fallback.worked("s")
    fallback.broke("s")
    assert not fallback.applies("s")
    fallback.broke("s")
    assert fallback.applies("s")
    assert not fallback.applies("t")


def test_it_may_be_forbidden():
    """Then every session goes over WebSocket, whatever happens."""
    fallback = Fallback(allowed=False)
    assert not fallback.refused("s", 426)
    for _ in range(BREAKS):
        fallback.broke("s")
    assert not fallback.applies("s")


def test_it_does_not_remember_every_session(fallback):
    """The thousand that broke last are, so that a client of many sessions does not grow."""
    for n in range(1_000):
        fallback.broke(f"s{n}")
    for n in range(1_000):
        fallback.broke(f"s{(n + 1) % 1_000}")  # s0 is the last one
    fallback.broke("one more")
    assert [fallback.applies(f"s{n}") for n in (1, 2, 0)] == [False, True, True]


@pytest.mark.parametrize(
    ("refused", "taken", "not_taken"),
    [
        ([], LARGEST_MESSAGE, LARGEST_MESSAGE + 1),
        ([1_000], 999, 1_000),
        ([1_000, 5_000], 999, 1_000),
        ([5_000, 1_000], 999, 1_000),
        ([1], 0, 1),
    ],
)
def test_what_is_too_large(refused: list[int], taken: int, not_taken: int) -> None:
    """The smallest message that was refused for its size is the first that goes over SSE."""
    fallback = Fallback()
    for size in refused:
        fallback.too_large(size)

    assert (fallback.takes(taken), fallback.takes(not_taken)) == (True, False)
    assert not fallback.applies("any session")


def test_websocket_alone_has_no_other_limit() -> None:
    """Where nothing may fall back, a refusal for size says nothing of later messages."""
    fallback = Fallback(allowed=False)
    fallback.too_large(10)

    assert fallback.takes(LARGEST_MESSAGE)
    assert not fallback.takes(LARGEST_MESSAGE + 1)
