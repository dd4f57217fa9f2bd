"""What all turns of one client have in common: the backend, the time limits, what earlier turns found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from onplan.backends import BACKENDS, Backend
from onplan.errors import InvalidRequestError, LimitError
from onplan.turn.amendments import Remembered
from onplan.turn.catalogue_cache import CatalogueCache
from onplan.turn.compactor import Compactor
from onplan.turn.fallback import Fallback
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import Flow
from onplan.types import CompletionRequest, CompletionResponse, Limits

if TYPE_CHECKING:
    from onplan.tools.loop import CarryOut
    from onplan.tools.record import RunResponse, ToolRun


T = TypeVar("T")
Turn: TypeAlias = "Callable[[CompletionRequest, Context], Flow[CompletionResponse]]"


class RunRecorder(Protocol):
    """Records what one run of tools does (``telemetry.runs``). No method raises."""

    def asking(self, request: CompletionRequest, /) -> AbstractContextManager[None]:
        """Within it, a completion is begun that belongs to the run."""
        ...

    def observed(self, step: CarryOut, /) -> CarryOut:
        """The same calls, which are recorded when they are carried out."""
        ...

    def called(self, run: ToolRun, /) -> None:
        """A call has its result, or could not be carried out."""
        ...

    def answered(self, response: RunResponse[Any], /) -> None:
        """The run has its answer."""
        ...

    def end(self, error: BaseException | None, /) -> None:
        """The run is over; ``error``: what ended it, if it did not come to its end."""
        ...


class Recorder(Protocol):
    """Records what a client does (``telemetry.recorder``). No method raises."""

    def observed(self, turn: Turn, /) -> Turn:
        """The same turns, recorded below the span that is current now."""
        ...

    def observed_flow(self, name: str, flow: Flow[T], operation: str | None = None, /) -> Flow[T]:
        """The same flow, recorded under this name below the span that is current now.

        ``operation``: what OpenTelemetry calls it, if it gives the ``Usage`` of tokens.
        """
        ...

    def run(self, context: Context, /) -> RunRecorder:
        """A run of tools begins."""
        ...

    def limits(self, told: Limits, /) -> None:
        """The backend has said what the plan has left."""
        ...

    def waiting_for_credentials(self) -> AbstractContextManager[None]:
        """Within it, credentials are read from their store, and refreshed if they have to be."""
        ...

    def refreshing(self) -> AbstractContextManager[None]:
        """Within it, a token is refreshed at the issuer."""
        ...


class Budget(Protocol):
    """Decides before each completion whether it may be asked for (``plan.budget``).

    Attributes:
        ended: how many have ended.
    """

    ended: int

    def admit(self, context: Context, /) -> Flow[object]:
        """Let one pass; ``settle`` wants what is returned. Raises LimitError if none may."""
        ...

    def settle(self, ticket: object, told: Limits | None, /) -> None:
        """One has ended; ``told``: what the plan has left, by its answer."""
        ...

    def check(self, told: Limits, ended: int, /) -> LimitError | None:
        """Why none may be asked for when this is left; None if one may.

        ``ended``: how many had ended when it was asked what is left.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """Decided when a client is made; only ``fallback``, ``amendments`` and ``catalogue`` change afterwards.

    Attributes:
        backend: the row.
        base_url: where its API is.
        now: Unix seconds.
        model: for requests that name none; None for the first model of the catalogue.
        defaults: fields of requests that do not say them, by name; without the model.
        policy: how often a turn is tried, and how long it may wait.
        resume: whether an answer that broke off is asked for again after the program has seen some of it.
        raise_unsupported: whether a parameter that the backend does not support is an error.
        fallback: which sessions go over SSE; None where WebSocket is not spoken.
        amendments: the changes of a request that earlier requests needed.
        catalogue: the models that were listed last.
        budget: what the client may use of the plan; None if the program sets no bound.
        recorder: records what is done; None if the program does not want that.
        compactor: decides when the conversation is compacted whose turns these are; None outside of one.
    """

    backend: Backend
    base_url: str
    now: Callable[[], float]
    model: str | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    resume: bool = False
    raise_unsupported: bool = False
    fallback: Fallback | None = None
    amendments: Remembered = field(default_factory=Remembered)
    catalogue: CatalogueCache = field(default_factory=CatalogueCache)
    budget: Budget | None = None
    recorder: Recorder | None = None
    compactor: Compactor | None = None

    def compacted_by(self, compactor: Compactor) -> Context:
        """The same for one conversation.

        Raises InvalidRequestError if it is to be compacted and the backend does not do that.
        """
        if compactor.at is not None:
            require_compaction(self.backend, compactor)
        return replace(self, compactor=compactor)


def require_compaction(backend: Backend, compactor: Compactor) -> None:
    """Raise InvalidRequestError if ``backend`` is to compact a conversation and does not do that."""
    if backend.compaction is None and not compactor.summarises:
        known = " and ".join(name for name, row in BACKENDS.items() if row.compaction)
        raise InvalidRequestError(
            f"{backend.name} does not compact conversations; {known} does.",
            hint='With `compact="summary"` a model writes a summary instead, at any backend.',
        )
