"""The steps that a turn asks the client to carry out, and the outcome that each returns to the turn.

=============== ===================================== =====================================
step            the client does                       outcome
=============== ===================================== =====================================
``Prepare``     reads files, builds the call          ``Call``
``ListModels``  has the catalogue listed, once        ``Listing``
``Authorize``   asks for a fresh token                ``Credential``
``Refresh``     has one refused token replaced        ``OAuthCredentials``
``Send``        opens the request                     ``Head``
``Join``        finds or opens a WebSocket            ``Joined``, maybe None
``SendMessage`` sends one over the WebSocket          None
``ReadBody``    reads the whole body                  ``bytes``
``ReadEvents``  reads and hands out until it is whole None
``Sleep``       waits                                 None
``Emit``        hands chunks to the program           None
=============== ===================================== =====================================
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

from onplan.errors import OnplanError
from onplan.flow import Request
from onplan.responses.continuation import Continuation, Create
from onplan.types import CompletionRequest, StreamChunk

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepare:
    """Read the local files of this request, and make it ready to send to ``model`` (``flows.prepare``)."""

    request: CompletionRequest
    model: str


@dataclass(frozen=True, slots=True)
class ListModels:
    """Carry out the flow ``flows.listing``, unless another task or thread has ended one in the meantime.

    ``attempts``: how many had ended when it was decided that one is needed.
    """

    attempts: int


@dataclass(frozen=True, slots=True)
class Authorize:
    """Get a credential whose access token is fresh."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """The backend refused this access token: replace it.

    ``again``: it was itself a replacement.
    """

    access_token: str = field(repr=False)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Open this request, within ``timeout`` seconds if given. What was open before is closed first."""

    request: Request
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The answer's status and headers (names in lower case)."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Join:
    """Check out a WebSocket of this session: one that ``create`` can continue on, else an idle or a new one.

    What was open before is closed first.

    Attributes:
        fresh: a new one, opened with ``request``, whatever there is.
        fitting: only one that ``create`` can continue on; otherwise the outcome is None, and none is opened.
    """

    request: Request
    session_id: str
    create: Create
    fresh: bool = False
    fitting: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """A WebSocket that is open, or the refusal to open one, whose body is still to be read.

    Attributes:
        head: of the answer to the upgrade.
        seen: what the connection has seen; None if it was refused.
        warm: it had been open before.
    """

    head: Head
    seen: Continuation | None = None
    warm: bool = False


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send this text over the WebSocket."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReadBody:
    """Read the open answer's whole body, within ``timeout`` seconds if given."""

    timeout: float | None = None


class Incoming(Protocol):
    """Turns what is read into chunks.

    Attributes:
        finished: nothing more is to be read.
        grace: seconds after the last chunk for which the end of a whole answer is awaited; then it counts as
            reached. None while the answer is not whole.
    """

    finished: bool
    grace: float | None

    def take(self, payloads: Sequence[bytes] | None) -> Sequence[StreamChunk]:
        """The chunks for the program after one read: the event payloads it completed, or None at the end.

        Raises OnplanError, which counts as the failure of the step.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """Read the open answer until ``incoming`` is finished, and hand its chunks to the program.

    One step for a whole answer: nearly all of a turn's time is spent here. Within the ``grace`` of
    ``incoming`` reading is limited in time.
    """

    incoming: Incoming


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait before trying again, because of ``error``."""

    seconds: float
    error: OnplanError


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand these chunks to the program."""

    chunks: Sequence[StreamChunk]


Action: TypeAlias = (
    Prepare | ListModels | Authorize | Refresh | Send | Join | SendMessage | ReadBody | ReadEvents | Sleep
)
Step: TypeAlias = Action | Emit
Flow: TypeAlias = Generator[Step, Any, T]

Now: TypeAlias = Callable[[], float]
