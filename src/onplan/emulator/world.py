"""The emulator's state while it runs, which all handlers share behind one lock."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

from onplan.emulator.allowance import Allowance
from onplan.emulator.catalogue import CATALOGUE, etag
from onplan.emulator.faults.register import Faults
from onplan.emulator.journal import Journal
from onplan.emulator.keys import Keys
from onplan.emulator.options import Options
from onplan.emulator.reset_credits import ResetCredits
from onplan.emulator.script import Script
from onplan.emulator.sealing import Seals
from onplan.emulator.searches import Searches
from onplan.emulator.tokens.ledger import Bounded, DeviceSignIn, Ledger
from onplan.emulator.tokens.registry import Registry


class PromptCache:
    """The prompts sent so far. A prefix is cached if the same session-id sent it (docs/protocol.md)."""

    def __init__(self) -> None:
        self._seen: Bounded[tuple[int, str, int]] = Bounded()

    def cached_tokens(self, session: str, items: list[bytes], tokens: int) -> int:
        """How many tokens of this prompt the session sent before; remembers the prompt."""
        count, digest, before = self._seen.get(session, (0, "", 0))
        hit = 0 < count <= len(items) and _digest(items[:count]) == digest
        self._seen[session] = (len(items), _digest(items), tokens)
        return min(before, tokens) if hit else 0


class World:
    """All state of one emulator: options, tokens, journal, armed faults, turns to play, limits, caches."""

    def __init__(self, options: Options, base_url: str) -> None:
        scenario = options.scenario
        lifetime = scenario.access_token_lifetime
        self.lock = threading.RLock()
        self.options = options
        self.scenario = scenario
        self.base_url = base_url
        self.journal = Journal()
        self.faults = Faults()
        self.script = Script(scenario.turns)
        self.allowance = Allowance(scenario.limits)
        self.reset_credits = ResetCredits(scenario.reset_credits, self.allowance.reset)
        self.seals = Seals()
        self.prompt_cache = PromptCache()
        self.searches = Searches()
        self.devices: Bounded[DeviceSignIn] = Bounded()
        self.pages: Bounded[str] = Bounded()
        self.stalls: set[Callable[[], None]] = set()
        self.catalogue: tuple[dict[str, Any], ...] = scenario.models or CATALOGUE
        self.catalogue_etag = etag(self.catalogue)
        self.keys = Keys()
        self.ledger = Ledger(
            scenario,
            self.keys,
            issuer=base_url,
            lifetime=options.access_token_lifetime if lifetime is None else lifetime,
            reuse=scenario.reuse or options.reuse,
        )
        self.registry = Registry(
            scenario,
            self.keys,
            issuer=base_url,
            lifetime=self.ledger.lifetime,
            reuse=self.ledger.reuse,
        )
        for fault in scenario.faults:
            self.faults.arm(fault.name, fault.times, fault.seconds)

    def release_stalled(self) -> None:
        """End the streams that stall."""
        for release in tuple(self.stalls):
            release()

    @property
    def ledgers(self) -> tuple[Ledger, ...]:
        """The ledgers of both sign-in services."""
        return self.ledger, self.registry

    def model(self, slug: object) -> dict[str, Any] | None:
        """The catalogue's entry for a model."""
        return next((model for model in self.catalogue if model["slug"] == slug), None)

    def compaction_family(self, slug: str) -> str:
        """What a compacted conversation is sealed for beside the account: that models share is a guess."""
        return f"compaction {(self.model(slug) or {}).get('comp_hash', slug)}"

    def context_window(self, slug: str) -> int | None:
        """How many tokens fit a model."""
        return self.scenario.context_window or (self.model(slug) or {}).get("context_window")


def _digest(items: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join(items)).hexdigest()
