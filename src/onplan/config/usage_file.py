"""What a plan had left lately, on disk: for the forecast of ``onplan usage``, and for ``onplan status``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from onplan.config.catalogue_file import PATIENCE
from onplan.config.file_reading import read_file
from onplan.config.private_files import locked_for_change, write_private_file
from onplan.config.settings import Settings
from onplan.errors import ConfigurationError
from onplan.field_types import prepare
from onplan.types import Limits

_LASTS = 24 * 3600.0  # seconds
_APART = 60.0  # of two readings in less time the later one is kept
_MOST = 100


class _Kept(msgspec.Struct):
    """Readings of one account, the oldest first."""

    account_id: str | None
    readings: list[Limits]


prepare(dict[str, _Kept])


class UsageFile:
    """The readings of a day, in ``usage.json`` in the configuration folder.

    It is a cache: a file that cannot be read counts as empty, and one that cannot be written is left alone.

    Args:
        settings: whose profile, store, backend and base URL are the key.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.folder and settings.folder / "usage.json"
        self._key = settings.key

    def readings(self, account_id: str | None) -> list[Limits]:
        """What is kept of this account, the oldest first."""
        kept = _read(self._path).get(self._key) if self._path else None
        return kept.readings if kept and kept.account_id == account_id else []

    def add(self, account_id: str | None, limits: Limits) -> list[Limits]:
        """Keep a reading. Returns all that are kept of this account, with it."""
        kept = [*_before(self.readings(account_id), limits), limits][-_MOST:]
        self._change(_Kept(account_id, kept))
        return kept

    def forget(self) -> None:
        """Another account may have signed in."""
        self._change(None)

    def _change(self, kept: _Kept | None) -> None:
        if self._path is None or (kept is None and self._key not in _read(self._path)):
            return
        with suppress(OSError, ConfigurationError), locked_for_change(self._path, PATIENCE):
            others = {key: value for key, value in _read(self._path).items() if key != self._key}
            write_private_file(
                self._path, msgspec.json.encode({**others, **({self._key: kept} if kept else {})})
            )


def _before(readings: list[Limits], limits: Limits) -> list[Limits]:
    """The readings that are kept beside a new one."""
    now, before = limits.read_at or 0.0, list(readings)
    if len(before) > 1 and (before[-1].read_at or 0.0) - (before[-2].read_at or 0.0) < _APART:
        del before[-1]
    return [each for each in before if each.read_at is not None and 0 <= now - each.read_at < _LASTS]


def _read(path: Path) -> dict[str, _Kept]:
    try:
        return msgspec.json.decode(read_file(path), type=dict[str, _Kept])
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
