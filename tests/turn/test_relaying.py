"""A turn whose answer is handed on: the backend's events in, a client's bytes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from onplan.backends import OPENAI_CODEX
from onplan.dialects.openai_responses.call import Destination, Relayed, relay_call
from onplan.dialects.openai_responses.request import read_request
from onplan.dialects.openai_responses.stored import Before
from onplan.errors import ModelNotAvailableError, ServerError, StreamTruncatedError
from onplan.turn.amendments import Call
from onplan.turn.catalogue_cache import Listing
from onplan.turn.fallback import Fallback
from onplan.turn.relaying import prepare_relay, relay
from onplan.turn.steps import Authorize, Head, Join, ListModels, ReadEvents, Refresh, Send, SendMessage
from onplan.types import ModelInfo

from ..dialects.openai_responses.streams import TEXT, USAGE, encoded, whole_stream
from .driven import END, FIRST, SECOND, STREAM, Clock, Turn, context, joined, refused, token

ADDRESS = "https://example.org"
EVENTS = encoded(whole_stream())


class Client:
    """What one client asks, and what is known of the answer."""

    def __init__(self, **body: Any) -> None:
        self.asked = read_request(json.dumps({"input": "Hi", **body}).encode(), OPENAI_CODEX)
        self.relayed = Relayed()
        self.models: list[str] = []

    def build(self, model: str) -> Call:
        """The request for ``model``."""
        self.models.append(model)
        to = Destination(OPENAI_CODEX, ADDRESS, model, "session-1")
        return relay_call(self.asked, Before(), to, self.relayed, framed=False)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def turn(client: Client) -> Turn:
    """The turn of a request that names its model."""
    return begun(relay, client, "gpt-5.5")


def begun(
    flow: Callable[..., Any], client: Client, asked: str | None, clock: Clock | None = None, **fields: Any
) -> Turn:
    clock = clock or Clock()
    return Turn(flow(client.build, asked, context(clock, **fields)), clock)


def is_handed_on(emitted: list[bytes], count: int = len(EVENTS)) -> bool:
    """Whether these are the first ``count`` events. Those that open and end the response get more fields."""
    own = [piece for piece in emitted if b'"response":{' not in piece]
    theirs = [event for event in EVENTS[:count] if b'"response":{' not in event]
    return len(emitted) == count and own == theirs


# --- the answer ---


def test_the_events_are_handed_on(turn: Turn, client: Client) -> None:
    """The client gets each event that the backend sends, and the turn itself returns nothing."""
    assert turn.step == Authorize()
    assert token(turn.tell(FIRST)) == "Bearer secret-1"
    assert isinstance(turn.tell(STREAM), ReadEvents)
    turn.tell(EVENTS[:9], EVENTS[9:])

    assert turn.ended
    assert turn.result is None
    assert is_handed_on(turn.emitted)
    assert client.relayed.stream is not None
    assert client.relayed.stream.usage is not None
    assert client.relayed.stream.usage.total_tokens == USAGE["total_tokens"]


def test_no_answer_is_assembled(turn: Turn, client: Client) -> None:
    """What programs would read of it is made when it is asked for, from what was handed on."""
    turn.tell(FIRST, STREAM, EVENTS)

    stream = client.relayed.stream
    assert stream is not None
    assert stream._answer is None
    assert stream.response is not None
    assert stream.response.text == TEXT


@pytest.mark.parametrize("piece", [1, 2, 7])
def test_any_grouping_of_the_events_gives_the_same(turn: Turn, piece: int) -> None:
    """However many come in one read."""
    turn.tell(FIRST, STREAM, *(EVENTS[at : at + piece] for at in range(0, len(EVENTS), piece)))

    assert turn.ended
    assert is_handed_on(turn.emitted)


# --- the model ---


@pytest.mark.parametrize(
    ("asked", "own", "model"),
    [("gpt-5.5", "mine", "gpt-5.5"), ("gpt-5.5", None, "gpt-5.5"), (None, "mine", "mine")],
)
def test_a_named_model_needs_no_catalogue(
    client: Client, asked: str | None, own: str | None, model: str
) -> None:
    """The one that the request names counts, then the service's own."""
    for flow in (relay, prepare_relay):
        turn = begun(flow, client, asked, model=own, fallback=Fallback())
        assert turn.step == Authorize()
        assert isinstance(turn.tell(FIRST), Join)
    assert client.models == [model, model]


@pytest.mark.parametrize("flow", [relay, prepare_relay])
def test_else_the_first_one_of_the_catalogue_is_asked(client: Client, flow: Callable[..., Any]) -> None:
    """The catalogue is asked for with the same credentials."""
    turn = begun(flow, client, None, fallback=Fallback())
    assert turn.step == Authorize()
    assert isinstance(turn.tell(FIRST), ListModels)
    assert client.models == []
    turn.tell(Listing([ModelInfo(name, name, "openai-codex") for name in ("gpt-9", "gpt-5.5")]))

    assert client.models == ["gpt-9"]


# --- what goes wrong ---


def test_a_refused_token_is_replaced(turn: Turn) -> None:
    """The same request goes out with another one; the client sees nothing of it."""
    first = turn.tell(FIRST)
    assert turn.tell(Head(401, {}), b"") == Refresh("secret-1")
    second = turn.tell(SECOND)
    assert isinstance(first, Send)
    assert isinstance(second, Send)
    assert (token(second), second.request.body) == ("Bearer secret-2", first.request.body)
    turn.tell(STREAM, EVENTS)

    assert is_handed_on(turn.emitted)


def test_a_failure_that_may_pass_is_tried_again(turn: Turn, client: Client) -> None:
    """Each attempt has a stream of its own, and the client gets that of the last one."""
    turn.tell(FIRST, Head(503, {}), b"")
    turn.tell(None, FIRST, STREAM, END)
    first = client.relayed.stream
    assert turn.emitted == []
    turn.tell(None, FIRST, STREAM, EVENTS)

    assert turn.ended
    assert is_handed_on(turn.emitted)
    assert client.relayed.stream is not first


def test_what_the_client_has_seen_is_not_asked_for_again(turn: Turn) -> None:
    """A stream that breaks off after its beginning fails."""
    turn.tell(FIRST, STREAM, EVENTS[:9])
    with pytest.raises(StreamTruncatedError):
        turn.tell(END)

    assert is_handed_on(turn.emitted, 9)


def test_a_refused_model_is_answered_with_those_that_there_are(turn: Turn) -> None:
    """The catalogue is asked for once, briefly; what it lists stands in the hint."""
    turn.tell(FIRST, *refused(404, {"error": {"code": "model_not_found", "message": "No such model."}}))
    assert turn.tell(FIRST).timeout == 10
    listed = json.dumps({"models": [{"slug": "gpt-10", "visibility": "list"}]}).encode()
    with pytest.raises(ModelNotAvailableError) as caught:
        turn.tell(Head(200, {}), listed)

    assert "gpt-10" in caught.value.hint


def test_it_is_not_tried_for_ever(turn: Turn) -> None:
    """The last failure is the client's to hear."""
    turn.tell(FIRST, Head(500, {}), b"", None, FIRST, Head(500, {}), b"", None, FIRST, Head(500, {}))
    with pytest.raises(ServerError):
        turn.tell(b"")


# --- over a WebSocket ---


def test_a_prepared_conversation_is_gone_on_from() -> None:
    """The backend reads its beginning and answers nothing; the turn then sends only what is new."""
    fallback, clock, connection = Fallback(), Clock(), joined(warm=True)
    items = [{"role": role, "content": role} for role in ("developer", "user")]
    preparing = begun(prepare_relay, Client(input=items[:1]), "gpt-5.5", clock, fallback=fallback)
    preparing.tell(FIRST)
    said = preparing.tell(connection)
    assert isinstance(said, SendMessage)
    message = json.loads(said.data)
    assert (message["generate"], [each["role"] for each in message["input"]]) == (False, ["developer"])
    response = {"id": "resp_9", "model": "gpt-5.5", "object": "response", "created_at": 1_790_000_000}
    whole = {**response, "status": "completed", "output": [], "usage": {**USAGE, "output_tokens": 0}}
    preparing.tell(
        None,
        encoded(
            [
                {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
                {"type": "response.completed", "response": whole},
            ]
        ),
    )
    assert (preparing.ended, preparing.result, preparing.emitted) == (True, None, [])

    turn = begun(relay, Client(input=items), "gpt-5.5", clock, fallback=fallback)
    turn.tell(FIRST)
    message = json.loads(turn.tell(connection).data)
    assert "generate" not in message
    assert message["previous_response_id"] == "resp_9"
    assert [each["role"] for each in message["input"]] == ["user"]
    turn.tell(None, EVENTS)
    assert is_handed_on(turn.emitted)


def test_nothing_is_prepared_over_http(client: Client) -> None:
    """Where the session goes over HTTP, the backend is not asked beforehand."""
    fallback = Fallback()
    fallback.refused("session-1", 426)
    turn = begun(prepare_relay, client, "gpt-5.5", fallback=fallback)
    turn.tell(FIRST)

    assert (turn.ended, turn.emitted) == (True, [])


def test_a_preparation_is_tried_again(client: Client) -> None:
    """A failure that may pass is none of it, either."""
    turn = begun(prepare_relay, client, "gpt-5.5", fallback=Fallback())
    turn.tell(FIRST, joined(), None, END)
    assert not turn.ended
    turn.tell(None, FIRST)

    assert isinstance(turn.step, Join)
