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
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from onplan.errors import OnplanError
from onplan.flow import Request
from onplan.responses.continuation import Continuation, Create
from onplan.types import CompletionRequest, StreamChunk

T = TypeVar("T")


class Prepare(msgspec.Struct, frozen=True):
    """Read the local files of this request, and make it ready to send to ``model`` (``flows.prepare``)."""

    request: CompletionRequest
    model: str


class ListModels(msgspec.Struct, frozen=True):
    """Carry out the flow ``models.listing``, unless another task or thread has ended one in the meantime.

    ``attempts``: how many had ended when it was decided that one is needed.
    """

    attempts: int


class Authorize(msgspec.Struct, frozen=True):
    """Get a credential whose access token is fresh."""


class Refresh(msgspec.Struct, frozen=True):
    """The backend refused this access token: replace it.

    ``again``: it was itself a replacement.
    """

    access_token: str
    again: bool = False

    def __repr__(self) -> str:
        """Without the token."""
        return f"Refresh(again={self.again!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """As ``__repr__``, which rich would not ask."""
        return [("again", self.again)]


class Send(msgspec.Struct, frozen=True):
    """Open this request, within ``timeout`` seconds if given. What was open before is closed first."""

    request: Request
    timeout: float | None = None


class Head(msgspec.Struct, frozen=True):
    """The answer's status and headers (names in lower case)."""

    status: int
    headers: Mapping[str, str]


class Join(msgspec.Struct, frozen=True):
    """Check out a WebSocket of this session: one that ``create`` can continue on, else an idle or a new one.

    What was open before is closed first.

    Attributes:
        fresh: a new one, opened with ``request``, whatever there is.
        fitting: only one that ``create`` can continue on; otherwise the outcome is None, and none is opened.
    """

    request: Request
    session_id: str
    create: Create
    fresh: bool
    fitting: bool


class Joined(msgspec.Struct, frozen=True):
    """A WebSocket that is open, or the refusal to open one, whose body is still to be read.

    Attributes:
        head: of the answer to the upgrade.
        seen: what the connection has seen; None if it was refused.
        warm: it had been open before.
    """

    head: Head
    seen: Continuation | None = None
    warm: bool = False


class SendMessage(msgspec.Struct, frozen=True):
    """Send this text over the WebSocket."""

    data: bytes

    def __repr__(self) -> str:
        """Without the text."""
        return "SendMessage()"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """As ``__repr__``, which rich would not ask."""
        return []


class ReadBody(msgspec.Struct, frozen=True):
    """Read the open answer's whole body, within ``timeout`` seconds if given.

    ``maximum_size``: bytes that it may have, instead of the transport's own limit.
    """

    timeout: float | None = None
    maximum_size: int | None = None


class Incoming(Protocol):
    """Turns what is read into chunks."""

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be read."""
        ...

    @property
    def grace(self) -> float | None:
        """How many seconds after the last chunk the end of a whole answer is waited for.

        Then it counts as reached. None while the answer is not whole.
        """
        ...

    @property
    def limits_in_events(self) -> Mapping[str, str]:
        """What the events have said so far of what the plan has left, as headers."""
        ...

    def take(self, payloads: Sequence[bytes] | None) -> Sequence[StreamChunk]:
        """The chunks for the program after one read: the event payloads it completed, or None at the end.

        Raises OnplanError, which counts as the failure of the step.
        """
        ...


class ReadEvents(msgspec.Struct, frozen=True):
    """Read the open answer until ``incoming`` is finished, and hand its chunks to the program.

    One step for a whole answer: nearly all of a turn's time is spent here. Within the ``grace`` of
    ``incoming`` reading is limited in time.
    """

    incoming: Incoming


class Sleep(msgspec.Struct, frozen=True):
    """Wait before trying again, because of ``error``."""

    seconds: float
    error: OnplanError


class Emit(msgspec.Struct, frozen=True):
    """Hand these chunks to the program."""

    chunks: Sequence[StreamChunk]


Action: TypeAlias = (
    Prepare | ListModels | Authorize | Refresh | Send | Join | SendMessage | ReadBody | ReadEvents | Sleep
)
Step: TypeAlias = Action | Emit
Flow: TypeAlias = Generator[Step, Any, T]

Now: TypeAlias = Callable[[], float]
