"""How an emulator is run and what it plays: options of the command, and the scenario file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from onplan.emulator.allowance import Limit, check_limits
from onplan.emulator.faults.register import Faults
from onplan.emulator.script import Turn, check_turns
from onplan.emulator.web import PAGES, Page

REUSE_POLICIES = ("refuse", "revoke-family")
# Ten days, as in the recordings of the official client.
ACCESS_TOKEN_LIFETIME = 864_000.0


class ArmedFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault to be armed from the start."""

    name: str
    times: int = 1
    seconds: float | None = None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model says, and how fast. `padding` is the length of each of `deltas` pieces."""

    text: str | None = None
    deltas: int | None = None
    interval: float = 0.0
    padding: int = 6


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who the account is and how the services behave, as data.

    `turns`: what the model does, one turn for each request; after the last one it is the small model again.
    `answers`: texts by what the user said last; all other questions get `answer`.
    `limits`: the usage windows of the plan, one or two, which fill as tokens are used.
    `reset_credits`: how many there are to spend.
    `pages`: the web that searches find.
    `annotations`: whether links in the model's text are annotated. On the Codex backend they were not.
    `context_window`: tokens that fit every model, in place of what the catalogue says.
    Without `api_keys` the platform takes every key that begins with `sk-`.
    """

    turns: Sequence[Turn] = ()
    faults: tuple[ArmedFault, ...] = ()
    answer: Answer = Answer()
    answers: dict[str, str] = {}
    limits: Sequence[Limit] | None = None
    plan: str = "plus"
    account_id: str = "acct-emulated-0001"
    user_id: str = "user-emulated-0001"
    email: str = "person@example.com"
    models: tuple[dict[str, Any], ...] | None = None
    reuse: str | None = None
    access_token_lifetime: float | None = None
    reset_credits: int = 0
    input_tokens: int | None = None
    context_window: int | None = None
    api_keys: tuple[str, ...] | None = None
    compress: bool = False
    workspaces: tuple[str, ...] = ("Personal", "Team")
    earliest_refresh_at: float | str | None = None
    pages: Sequence[Page] = PAGES
    annotations: bool = False

    @classmethod
    def from_file(cls, path: Path | str) -> Scenario:
        """Read a JSON file; ValueError with a sentence when it cannot be one."""
        try:
            scenario = msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except OSError as error:
            raise ValueError(f"The scenario {path} cannot be read: {error.strerror}.") from error
        except msgspec.ValidationError as error:
            raise ValueError(f"The scenario {path} is not valid: {error}.") from error
        except msgspec.DecodeError as error:
            raise ValueError(f"The scenario {path} is not JSON: {error}.") from error
        scenario.check(str(path))
        return scenario

    def check(self, where: str) -> None:
        """ValueError with a sentence when a value cannot be used."""
        complaints = (
            (self.reuse not in (None, *REUSE_POLICIES), f"reuse must be one of {', '.join(REUSE_POLICIES)}"),
            (self.answer.deltas is not None and self.answer.deltas < 1, "answer.deltas must be at least 1"),
            (self.answer.padding < 1, "answer.padding must be at least 1"),
            (self.answer.interval < 0, "answer.interval must not be negative"),
            (
                self.context_window is not None and self.context_window < 1,
                "context_window must be at least 1",
            ),
            (self.reset_credits < 0, "reset_credits must not be negative"),
            (any("slug" not in model for model in self.models or ()), "each of models needs a slug"),
        )
        for wrong, sentence in complaints:
            if wrong:
                raise ValueError(f"The scenario {where} is not valid: {sentence}.")
        try:
            check_turns(self.turns)
            check_limits(self.limits or ())
        except ValueError as error:
            raise ValueError(f"The scenario {where} is not valid: {error}") from None
        trial = Faults()
        for fault in self.faults:
            trial.arm(fault.name, fault.times, fault.seconds)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run an emulator."""

    host: str = "127.0.0.1"
    port: int = 0
    ready_file: Path | None = None
    reuse: str = "refuse"
    access_token_lifetime: float = ACCESS_TOKEN_LIFETIME
    interactive: bool = False
    scenario: Scenario = field(default_factory=Scenario)
    public_url: str | None = None  # the address by which clients reach it, through a proxy or container
    codex_home: Path | None = None
    codex_auth: bool = False

    def __post_init__(self) -> None:
        if self.reuse not in REUSE_POLICIES:
            raise ValueError(f"reuse must be one of {', '.join(REUSE_POLICIES)}, not {self.reuse!r}.")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(f"public_url must be an http or https URL, not {self.public_url!r}.")
            object.__setattr__(self, "public_url", self.public_url.rstrip("/"))
        self.scenario.check("given")
