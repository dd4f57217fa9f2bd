"""The data of an examination: its checks, their results, and what later checks need of earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from onplan.config.settings import Settings
from onplan.stores import CredentialStore, Record


class NotExaminedError(Exception):
    """A check is skipped; ``str(error)`` says why.

    Attributes:
        because: the check whose problem is the cause, if there is one. Checks that depend on this one are
            skipped as well then.
    """

    def __init__(self, reason: str, because: str | None = None) -> None:
        super().__init__(reason)
        self.because = because


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Attributes:
        name: of the check.
        state: ``ok``, ``problem`` or ``skipped``.
        message: one or more sentences, without secrets.
        fix: for a problem, the next thing to do.
        seconds: how long it took.
        exit_code: of the problem's error class; 0 without a problem.
    """

    name: str
    state: str
    message: str
    fix: str | None
    seconds: float
    exit_code: int

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON: ``name``, ``state``, ``message``, ``fix`` for a problem, ``seconds``."""
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
    """What is examined, and what the checks have found so far.

    Attributes:
        settings: set by the check ``configuration``.
        proxied: the parties that are reached through a proxy; set by ``proxy``.
        ahead: by host, how many seconds this machine's clock is ahead of the host's.
        store: set by ``store``.
        record: what is stored; set by ``store``, and again by ``lock``, which reads it under the lock.
        failed: the checks that found a problem or were skipped because of one, each with the name of the
            check that found it.
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
                raise NotExaminedError(f"Not examined because of the problem with {culprit}.", culprit)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: as the command line shows it.
        carry_out: returns a sentence if all is well; raises an OnplanError or NotExaminedError.
        after: the checks on which this one depends.
        online: whether it uses the network.
        seconds: its time limit.
    """

    name: str
    carry_out: Callable[[Examination], str]
    after: tuple[str, ...] = ()
    online: bool = False
    seconds: float = 15.0
