"""The request id with which a reset credit is being spent, on disk until the outcome is known.

The backend spends one credit for one id. So the id is written before anything is sent, and if no answer came,
the next ``onplan usage --reset`` asks with the same one, in whatever process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from onplan.config.file_reading import read_file
from onplan.config.private_files import locked_for_change, write_private_file
from onplan.config.settings import Settings
from onplan.errors import ConfigurationError
from onplan.field_types import prepare


class PendingReset(msgspec.Struct, frozen=True):
    """A reset credit that is being spent.

    Attributes:
        account_id: whose it is.
        request_id: a UUID, the same in every try.
        credit_id: which one it is; None leaves the choice to the backend.
    """

    account_id: str | None
    request_id: str
    credit_id: str | None = None


prepare(dict[str, PendingReset])


class PendingResetFile:
    """``reset-credit.json`` in the configuration folder. An id that cannot be kept there must not be used.

    Args:
        settings: whose profile, store, backend and base URL are the key.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / "reset-credit.json"
        self._key = settings.key

    def load(self, account_id: str | None) -> PendingReset | None:
        """What is being spent for this account; None if nothing is. Raises ConfigurationError."""
        found = _read(self._path).get(self._key)
        return found if found and found.account_id == account_id else None

    def begin(self, account_id: str | None, make: Callable[[], PendingReset]) -> PendingReset:
        """What is being spent for this account, made and kept if nothing is; for all processes the same.

        Raises:
            ConfigurationError: it cannot be kept.
        """
        try:
            with locked_for_change(self._path):
                pending = self.load(account_id)
                if pending is None:
                    pending = make()
                    self._write({**_read(self._path), self._key: pending})
                return pending
        except OSError as error:
            raise ConfigurationError(
                f"{self._path} cannot be written ({error.strerror}), and without it a failure could spend a "
                "second credit.",
                hint="Make the folder writable, or set ONPLAN_HOME to one that is.",
            ) from None

    def end(self) -> None:
        """The outcome is known. Raises ConfigurationError, OSError."""
        with locked_for_change(self._path):
            self._write({key: value for key, value in _read(self._path).items() if key != self._key})

    def _write(self, pending: dict[str, PendingReset]) -> None:
        write_private_file(self._path, msgspec.json.encode(pending))


def _read(path: Path) -> dict[str, PendingReset]:
    try:
        return msgspec.json.decode(read_file(path), type=dict[str, PendingReset])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeError, RecursionError):
        raise ConfigurationError(
            f"{path} cannot be read: it says whether a reset credit is being spent.",
            hint="Delete the file once `onplan usage` shows what became of it.",
        ) from None
