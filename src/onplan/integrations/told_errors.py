"""Errors that say in their text what to do, for frameworks which show nothing else of an error.

They put the text into errors and logs of their own. Each of these errors is still one of onplan's, and may be
one of the framework's as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from onplan.errors import OnplanError
from onplan.integrations.hints import Words, in_words

# The framework's classes that an error of a class of onplan's is to be of, too. A function of a module, so
# that errors can be pickled.
TheirBases: TypeAlias = Callable[[type[OnplanError]], tuple[type, ...]]


def no_bases(kind: type[OnplanError]) -> tuple[type, ...]:
    """For frameworks that have no errors of their own for failures of models."""
    return ()


@contextmanager
def telling(words: Words, their_bases: TheirBases = no_bases) -> Iterator[None]:
    """Raise what ``told`` makes of an OnplanError, from the same place."""
    try:
        yield
    except OnplanError as error:
        raise told(error, words, their_bases).with_traceback(error.__traceback__) from error.__cause__


def told(error: OnplanError, words: Words, their_bases: TheirBases = no_bases) -> OnplanError:
    """The same error: ``str`` of it ends with the hint, in the framework's words."""
    if isinstance(error, _Told):
        return error
    state = {**vars(error), "hint": in_words(error.hint, words)}
    return _restored(their_bases, type(error), error.args, state)


def _restored(
    their_bases: TheirBases, kind: type[OnplanError], arguments: tuple[Any, ...], state: dict[str, Any]
) -> OnplanError:
    told_class = _class(their_bases, kind)
    error = told_class.__new__(told_class, *arguments)
    vars(error).update(state)
    return error


def _class(their_bases: TheirBases, kind: type[OnplanError]) -> type[OnplanError]:
    """The class for errors of ``kind``, which ``except`` finds by either name; always the same one."""
    if (their_bases, kind) not in _made:
        made = type(
            kind.__name__,
            (_Told, kind, *their_bases(kind)),
            {"__doc__": kind.__doc__, "__module__": kind.__module__, "_made_of": (their_bases, kind)},
        )
        _made.setdefault((their_bases, kind), made)
    return _made[their_bases, kind]


_made: dict[tuple[TheirBases, type[OnplanError]], type[OnplanError]] = {}


if TYPE_CHECKING:
    _Base = OnplanError
else:
    _Base = object


class _Told(_Base):
    """What makes an error of onplan's one that tells its hint."""

    _made_of: tuple[TheirBases, type[OnplanError]]

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    @property
    def __notes__(self) -> list[str]:
        """Without the hint, which would be told twice."""
        return [note for note in super().__notes__ if note != self.hint]

    @__notes__.setter
    def __notes__(self, notes: list[str]) -> None:
        self._other_notes = notes

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (*self._made_of, self.args, vars(self))
