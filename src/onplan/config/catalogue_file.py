"""The model catalogue on disk, so that not every command without a model asks for it first."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from onplan.config.file_reading import read_file
from onplan.config.private_files import locked_for_change, write_private_file
from onplan.config.settings import Settings
from onplan.errors import ConfigurationError, OnplanError
from onplan.field_types import prepare
from onplan.turn.catalogue_cache import CatalogueCache, Listing
from onplan.types import ModelInfo

# Seconds for which a catalogue on disk decides the default model. `onplan models` always lists anew.
LASTS = 24 * 3600.0


# Seconds to wait for another command that changes the file; after that it is left as it is.
PATIENCE = 0.5


class _Kept(msgspec.Struct):
    """What one profile's backend listed for ``account``, and when (Unix seconds)."""

    listed_at: float
    account: str
    models: list[ModelInfo]


prepare(dict[str, _Kept])


class CatalogueFile(CatalogueCache):
    """A ``CatalogueCache`` that is also kept in ``models.json`` in the configuration folder.

    It is a cache: a file that cannot be read counts as empty, and one that cannot be written is left alone.

    Args:
        settings: whose profile, store, backend and base URL are the key.
        patience: seconds to wait for another command that changes the file.
    """

    def __init__(self, settings: Settings, patience: float = PATIENCE) -> None:
        super().__init__()
        self._patience = patience
        self._path = settings.folder and settings.folder / "models.json"
        self._key = settings.key

    def ended(self, outcome: Listing | OnplanError, now: float, account: str | None = None) -> None:
        """An attempt has ended. What the backend listed is written, in place of another account's models."""
        super().ended(outcome, now, account)
        if account is not None and isinstance(outcome, Listing) and outcome.problem is None:
            self._change(_Kept(now, account, list(outcome.models)))

    def models(self, now: float, account: str) -> Sequence[ModelInfo]:
        """The models that the backend listed for ``account`` within a day; else nothing."""
        found = super().models(now, account)
        if found or self._path is None:
            return found
        kept = _read(self._path).get(self._key)
        return kept.models if kept and kept.account == account and 0 <= now - kept.listed_at < LASTS else ()

    def forget(self) -> None:
        """Ask for the catalogue again: the default model is gone, or there was another sign-in."""
        super().forget()
        self._change(None)

    def _change(self, kept: _Kept | None) -> None:
        if self._path is None:
            return
        if kept is None and self._key not in _read(self._path):
            return
        # Under a lock, so that a command that wrote at the same time does not bring back what was forgotten.
        with suppress(OSError, ConfigurationError), locked_for_change(self._path, self._patience):
            before = _read(self._path)
            after = {key: value for key, value in before.items() if key != self._key}
            if kept:
                after[self._key] = kept
            if after != before:
                write_private_file(self._path, msgspec.json.encode(after))


def last_listed(settings: Settings) -> Sequence[ModelInfo]:
    """The models that the backend of ``settings`` listed last, however long ago and for whichever account."""
    kept = _read(settings.folder / "models.json").get(settings.key) if settings.folder else None
    return kept.models if kept else ()


def _read(path: Path) -> dict[str, _Kept]:
    try:
        return msgspec.json.decode(read_file(path), type=dict[str, _Kept])
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
