"""The sessions of `alpha/search`: the references under which pages were shown."""

from __future__ import annotations

from dataclasses import dataclass, field

from onplan.emulator.tokens.ledger import Bounded
from onplan.emulator.web import Page


@dataclass
class Session:
    """One `id`. `pages`: by their references; `turn`: how many requests there were before this one."""

    turn: int = -1
    pages: dict[str, Page] = field(default_factory=dict)

    def name(self, kind: str, page: Page) -> str:
        """A new reference to a page."""
        number = sum(ref_id.startswith(f"turn{self.turn}{kind}") for ref_id in self.pages)
        ref_id = f"turn{self.turn}{kind}{number}"
        self.pages[ref_id] = page
        return ref_id


class Searches:
    """All sessions, by their ids."""

    def __init__(self) -> None:
        self._sessions: Bounded[Session] = Bounded()

    def session(self, session_id: str) -> Session:
        """The session of this id, which may be a new one."""
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = Session()
        return session
