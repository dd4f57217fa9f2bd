"""What a check is, and what one examination has found so far. Knows nothing of what is examined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from onplan.config.settings import Settings
from onplan.stores import CredentialStore, Record


class NotExaminedError(Exception):
    """A check is skipped: ``str(error)`` says why.

    Attributes:
        because: the check that is to blame, if one is; what depends on this one is then skipped as well.
    """

    def __init__(self, reason: str, because: str | None = None) -> None:
        super().__init__(reason)
        self.because = because


@dataclass(frozen=True)
class Result:
    """What one check has found.

    Attributes:
        name: the check's.
        state: ``ok``, ``problem`` or ``skipped``.
        message: one sentence or more, without any secret.
        fix: for a problem, the next thing to do.
        seconds: how long it took.
        exit_code: what the problem's error class stands for; 0 if it is none.
    """

    name: str
    state: str
    message: str
    fix: str | None
    seconds: float
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON shape: ``name``, ``state``, ``message``, ``fix`` if there is one, ``seconds``."""
        fix = {"fix": self.fix} if self.fix else {}
        return {
            "name": self.name,
            "state": self.state,
            "message": self.message,
            **fix,
            "seconds": self.seconds,
        }


@dataclass
class Examination:
    """What is examined, and what later checks need of earlier ones.

    Attributes:
        settings: of ``configuration``.
        proxied: the parties that are reached through a proxy; of ``proxy``.
        ahead: by host, how many seconds this machine's clock is ahead of it.
        store: of ``store``.
        record: what is stored; of ``store``, and once more, under the lock, of ``lock``.
        failed: every check that found a problem, or was skipped for one: the name of the one to blame.
    """

    profile: str | None
    backend: str | None
    store_spec: str | None
    offline: bool = field(kw_only=True)
    request: bool = field(kw_only=True)
    settings: Settings = field(init=False)
    proxied: frozenset[str] = frozenset()
    ahead: dict[str, float] = field(default_factory=dict)
    store: CredentialStore = field(init=False)
    record: Record | None = None
    failed: dict[str, str] = field(default_factory=dict)

    def require(self, *names: str) -> None:
        """Raise NotExaminedError if there is a problem with one of the checks ``names``."""
        for name in names:
            if name in self.failed:
                culprit = self.failed[name]
                raise NotExaminedError(f"Not examined, because of the problem with {culprit}.", culprit)


@dataclass(frozen=True)
class Check:
    """One row.

    Attributes:
        carry_out: returns what it found, when all is well; raises an OnplanError that tells the problem, or
            NotExaminedError.
        after: the checks without which there is no sense in this one.
        online: whether it talks to others.
        seconds: how long it may take.
    """

    name: str
    carry_out: Callable[[Examination], str]
    after: tuple[str, ...] = ()
    online: bool = False
    seconds: float = 15.0
