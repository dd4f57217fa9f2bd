"""The models that were listed last, for requests that name no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from onplan.errors import OnplanError
from onplan.types import APIKey, Credential, ModelInfo

# Seconds for which a catalogue decides the default model. New models appear every few weeks.
LASTS = 3600.0


@dataclass(frozen=True, slots=True)
class Listing:
    """The models, best first.

    Attributes:
        problem: why they are the built-in ones, if they are.
    """

    models: Sequence[ModelInfo]
    problem: OnplanError | None = None


def account_of(credential: Credential) -> str:
    """Tells accounts apart, and plans of one account: each may be offered other models.

    A digest, because it is also written to disk: nothing can be learned from it.
    """
    if isinstance(credential, APIKey):
        facts = f"key {credential.access_token}"
    else:
        facts = f"{credential.account_id or credential.client_id} {credential.plan}"
    return sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()


class CatalogueCache:
    """The last listing that came from the backend, and how the last attempt to get one ended.

    Attributes:
        attempts: how many attempts have ended.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self._outcome: Listing | OnplanError | None = None
        self._models: Sequence[ModelInfo] = ()
        self._until: dict[str | None, float] = {}  # by the account whose models they are

    def ended(self, outcome: Listing | OnplanError, now: float, account: str | None = None) -> None:
        """An attempt has ended. Built-in models are not kept: the next request asks again.

        ``account``: whose models they are, as ``account_of`` tells; None where nothing was listed.
        """
        self._outcome = outcome
        if isinstance(outcome, Listing) and outcome.problem is None:
            self._models, self._until = outcome.models, {account: now + LASTS}
        self.attempts += 1

    def outcome_since(self, attempts: int) -> Listing | None:
        """The outcome of the latest attempt if one has ended since ``attempts`` were counted, else None.

        If several turns want the catalogue at once, one asks for it and the others use its outcome.

        Raises:
            OnplanError: the attempt failed.
        """
        if self.attempts == attempts:
            return None
        if isinstance(self._outcome, OnplanError):
            raise self._outcome
        return self._outcome

    def models(self, now: float, account: str) -> Sequence[ModelInfo]:
        """The models that the backend listed for ``account``, if that was not long ago; else nothing."""
        return self._models if account in self._until and now < self._until[account] else ()

    def named(self, model: str) -> ModelInfo | None:
        """What was last listed of ``model``, however long ago and for whichever account."""
        return next((known for known in self._models if known.id == model), None)

    def forget(self) -> None:
        """The default model is not available after all: ask for the catalogue again."""
        self._until = {}
