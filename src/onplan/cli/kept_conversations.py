"""The conversations that `ask` and `chat` keep: a private file for each, by profile.

A conversation with one account is never sent to another one by ``-c``, unless both belong to one profile.
"""

from __future__ import annotations

import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onplan.config.settings import Settings
from onplan.errors import ConfigurationError

_MOST_ASKED = 100  # conversations of `ask`; those of `chat` are kept until their owner removes them
_ASKED = "ask-"


class KeptConversations:
    """The files of a profile, in the configuration folder.

    Raises ConfigurationError if there is no such folder.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.home / "conversations" / settings.profile

    def new(self, *, asked: bool) -> Path:
        """The path of a file that is not there yet."""
        moment = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
        return self.folder / f"{_ASKED if asked else ''}{moment}-{secrets.token_hex(4)}.jsonl"

    def last(self) -> Path | None:
        """The file that was written last."""
        return max(self._files(), default=(0.0, None), key=lambda file: file[0])[1]

    def require_last(self) -> Path:
        """The same. Raises ConfigurationError if there is none."""
        path = self.last()
        if path is None:
            raise ConfigurationError(
                "There is no conversation to go on with yet.", hint="Leave out `-c`, which begins one."
            )
        return path

    def forget_old(self) -> None:
        """Remove what `ask` kept before its last hundred conversations."""
        asked = sorted((file for file in self._files() if file[1].name.startswith(_ASKED)), reverse=True)
        for _, path in asked[_MOST_ASKED:]:
            with suppress(OSError):
                path.unlink()

    def _files(self) -> Iterator[tuple[float, Path]]:
        """When each was written, and its path."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl") and not entry.name.startswith("."):
                    with suppress(OSError):
                        yield entry.stat().st_mtime, Path(entry.path)


@contextmanager
def warnings_told(tell: Callable[[str], object]) -> Iterator[None]:
    """Have ``tell`` say what is missing from a conversation, instead of issuing a Python warning."""
    from onplan.conversation.saved_file import ConversationFileWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConversationFileWarning)
        yield
    for warning in caught:
        tell(str(warning.message))
