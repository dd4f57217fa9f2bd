"""What a completion notes of its answer, hands out of it, and makes of its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from onplan.backends import COMPATIBLE, OPENAI_CODEX
from onplan.chat import request as chat
from onplan.errors import (
    DisconnectError,
    IdleTimeoutError,
    InvalidRequestError,
    LimitError,
    SignInAgainError,
    StreamTruncatedError,
)
from onplan.responses.continuation import Continuation
from onplan.responses.request import prepare
from onplan.turn.context import Context
from onplan.turn.fallback import Fallback
from onplan.turn.flows import asked
from onplan.turn.steps import Flow, Head, Join, Joined, ReadEvents, Send, Sleep
from onplan.types import APIKey, CompletionRequest, FinishReason, Limits, Message, Text, ToolCall, Usage

from .driven import (
    COMPLETED,
    END,
    FIRST,
    STREAM,
    Clock,
    Turn,
    context,
    delta,
    failed,
    item,
    joined,
    payloads,
    refused,
)

URL = "https://example.org"
CREATED = {"type": "response.created", "response": {"id": "resp_1"}}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
CALLED = {"type": "response.output_item.done", "output_index": 0, "item": CALL}
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def asking(messages: Any = "Hi", *, common: dict[str, Any] | None = None, **parameters: Any) -> Turn:
    """A completion that is authorized."""
    clock = Clock()
    request = CompletionRequest(messages=messages, **parameters)
    call = prepare(request, OPENAI_CODEX, URL, "gpt-5.5")
    turn = Turn(asked(call, context(clock, **(common or {}))), clock)
    turn.tell(FIRST)
    return turn


@dataclass
class Told:
    """A budget that lets everything pass, and notes what it is told at the end of each."""

    left: list[Limits | None] = field(default_factory=list)

    def admit(self, context: Context, /) -> Flow[object]:
        return None
        yield

    def settle(self, ticket: object, told: Limits | None, /) -> None:
        self.left.append(told)

    def check(self, told: Limits, /) -> LimitError | None:
        return None

    @property
    def used(self) -> list[float | None]:
        """The per cent that each answer said of the first window."""
        return [left and left.windows[0].used_percent for left in self.left]


def used(percent: int) -> dict[str, str]:
    return {"x-codex-primary-used-percent": str(percent), "x-codex-primary-window-minutes": "300"}


class TestWhatIsLeft:
    """A budget is told what the answer says is left of the plan."""

    def test_in_the_head_of_the_answer(self) -> None:
        """Over HTTP."""
        budget = Told()
        asking(common={"budget": budget}).tell(Head(200, used(40)), payloads(item("Hi"), COMPLETED))

        assert budget.used == [40]

    def test_where_it_failed(self) -> None:
        """Whatever becomes of the answer, its headers count."""
        budget = Told()
        with pytest.raises(InvalidRequestError):
            asking(common={"budget": budget}).tell(
                Head(200, used(40)), payloads(item("Hi"), failed("invalid_prompt"))
            )

        assert budget.used == [40]

    @pytest.mark.parametrize(("warm", "told"), [(False, [40]), (True, [None])], ids=["new", "warm"])
    def test_in_the_head_of_a_websocket(self, warm: bool, told: list[float | None]) -> None:
        """What a warm one was opened with is no news."""
        budget = Told()
        turn = asking(common={"budget": budget, "fallback": Fallback()})
        socket = Joined(Head(101, used(40)), Continuation(), *([True] if warm else []))
        turn.tell(socket, None, payloads(item("Hi"), COMPLETED))

        assert budget.used == told

    def test_a_chat_answer_says_nothing(self) -> None:
        """Its headers are another service's."""
        budget, clock = Told(), Clock()
        call = chat.prepare(CompletionRequest(messages="Hi"), COMPATIBLE, URL, "m")
        turn = Turn(asked(call, context(clock, budget=budget)), clock)
        whole = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
        turn.tell(APIKey("k"), Head(200, used(40)), payloads(whole), END)

        assert (turn.ended, budget.left) == (True, [None])


@pytest.mark.parametrize(
    ("headers", "expected"), [({"x-request-id": "req-1"}, "req-1"), ({}, None)], ids=["named", "unnamed"]
)
def test_the_id_of_the_request(headers: dict[str, str], expected: str | None) -> None:
    """That of the answer's head; where it has none, the id that was sent. Answer and error have it."""
    turn = asking()
    expected = expected or turn.step.request.headers["x-client-request-id"]
    turn.tell(Head(200, headers), payloads(item("Hi"), COMPLETED))
    assert turn.result.request_id == expected

    turn = asking()
    expected = headers.get("x-request-id") or turn.step.request.headers["x-client-request-id"]
    turn.tell(Head(200, headers), payloads(item("Hi")))
    with pytest.raises(StreamTruncatedError) as caught:
        turn.tell(END)
    assert caught.value.request_id == expected


def test_the_token_is_in_no_error() -> None:
    """A server may repeat what it was sent."""
    turn = asking()
    with pytest.raises(InvalidRequestError) as caught:
        turn.tell(*refused(400, {"detail": "Bearer secret-1 asks too much."}))
    assert "secret-1" not in str(caught.value)

    turn = asking()
    with pytest.raises(SignInAgainError) as ended:
        turn.tell(
            *refused(403, {"error": {"code": "subscription_sharing_invalid_user", "message": "secret-1"}})
        )
    assert "secret-1" not in str(ended.value)


class TestAnAnswerThatOnplanEnds:
    """The backend knows no stop texts and no length: the answer is cut here, and reading ends."""

    def test_before_a_stop_text(self) -> None:
        """The connection is closed at once; how many tokens it took is not known."""
        turn = asking(stop=["END"])
        turn.tell(STREAM, payloads(delta("Hello EN"), delta("D more")))
        assert turn.step.incoming.grace == 0.0
        turn.tell(END)

        assert (turn.ended, turn.text) == (True, "Hello ")
        assert turn.result.message.content == [Text("Hello ")]
        assert (turn.result.finish_reason, turn.result.usage) == (FinishReason.STOP, Usage())
        assert turn.emitted[-1].response is turn.result

    def test_after_so_many_tokens(self) -> None:
        """The finish reason says that the length was reached."""
        turn = asking(max_tokens=1)
        turn.tell(STREAM, payloads(delta("Hello")), END)

        assert (turn.text, turn.result.finish_reason) == ("Hell", FinishReason.LENGTH)

    def test_one_that_was_whole_in_the_same_read(self) -> None:
        """Its end says how many tokens it took."""
        counted = {"input_tokens": 3, "output_tokens": 7, "total_tokens": 10}
        whole = {"type": "response.completed", "response": {"id": "r", "output": [], "usage": counted}}
        turn = asking(stop=["END"])
        turn.tell(STREAM, payloads(item("Hello END"), whole), END)

        assert turn.result.message.content == [Text("Hello ")]
        assert (turn.result.usage.prompt_tokens, turn.result.usage.completion_tokens) == (3, 7)

    def test_where_no_end_was_found(self) -> None:
        """The answer is the server's, to its last chunk."""
        turn = asking(stop=["END"])
        turn.tell(STREAM, payloads(delta("Hello")), payloads(item("Hello"), COMPLETED))

        assert (turn.text, turn.result.response_id) == ("Hello", "resp_1")

    @pytest.mark.parametrize("stop", [None, ["END"]], ids=["the server's end", "an end of ours"])
    def test_its_value_is_read(self, stop: list[str] | None) -> None:
        """``parsed`` reads what is left of the text."""
        turn = asking(stop=stop, response_format=NUMBER)
        said = '{"n": 1}' if stop is None else '{"n": 1}END'
        turn.tell(STREAM, payloads(item(said), COMPLETED), END) if stop else turn.tell(
            STREAM, payloads(item(said), COMPLETED)
        )

        assert turn.result.parsed == {"n": 1}


def test_a_tool_call_is_not_asked_for_again() -> None:
    """The program may be running it, so an answer that breaks after it is not resumed; after text it is."""
    for event, resumed in ((item("Hi"), True), (CALLED, False)):
        turn = asking(common={"resume": True})
        turn.tell(STREAM, payloads(event))
        if resumed:
            assert isinstance(turn.tell(DisconnectError("x")), Sleep)
        else:
            with pytest.raises(StreamTruncatedError) as caught:
                turn.tell(DisconnectError("x"))
            assert [ToolCall] == [type(part) for part in caught.value.parts]


class TestWebSockets:
    @pytest.fixture
    def fallback(self) -> Fallback:
        return Fallback()

    def test_chat_completions_go_over_http(self, fallback: Fallback) -> None:
        """That API is not spoken over WebSockets."""
        clock = Clock()
        call = chat.prepare(CompletionRequest(messages="Hi"), COMPATIBLE, URL, "m")
        turn = Turn(asked(call, context(clock, fallback=fallback)), clock)

        assert isinstance(turn.tell(APIKey("k")), Send)

    @pytest.mark.parametrize(
        ("outcomes", "replaced"),
        [
            ((DisconnectError("x"),), True),
            ((None, DisconnectError("x")), True),
            ((None, [], DisconnectError("x")), True),
            ((IdleTimeoutError("x"),), False),
            ((None, IdleTimeoutError("x")), False),
            ((None, payloads(CREATED), DisconnectError("x")), False),
            ((None, payloads(CREATED), [], DisconnectError("x")), False),
        ],
        ids=[
            "closed before the request",
            "closed after it",
            "closed after an empty read",
            "cannot be written to",
            "silent",
            "it had answered",
            "it had answered, then nothing",
        ],
    )
    def test_a_warm_connection(self, fallback: Fallback, outcomes: tuple[Any, ...], replaced: bool) -> None:
        """One that was closed unheard is replaced at once; any other failure is one of the turn."""
        turn = asking(common={"fallback": fallback})
        step = turn.tell(joined(warm=True), *outcomes)

        assert (type(step), getattr(step, "fresh", False)) == ((Join, True) if replaced else (Sleep, False))

    @pytest.mark.parametrize(
        "message",
        ["Previous response with id 'resp_0' not found.", "previous_response resp_0 was not found"],
    )
    def test_an_earlier_response_that_is_forgotten_in_words(self, fallback: Fallback, message: str) -> None:
        """Without a code the sentence tells: a new connection is opened, and all is said."""
        turn = asking(common={"fallback": fallback})
        error = {"type": "error", "status": 400, "error": {"message": message}}
        step = turn.tell(joined(warm=True), None, payloads(error))

        assert (type(step), step.fresh) == (Join, True)

    def test_another_refusal_opens_no_connection(self, fallback: Fallback) -> None:
        """What is wrong with the request would be wrong on any."""
        turn = asking(common={"fallback": fallback})
        error = {"type": "error", "status": 400, "error": {"message": "There is no previous response."}}

        with pytest.raises(InvalidRequestError):
            turn.tell(joined(warm=True), None, payloads(error))

    def test_where_falling_back_is_not_wanted_one_that_is_over_twice_is_told(self) -> None:
        """The second one is new: it cannot have been too old."""
        turn = asking(common={"fallback": Fallback(allowed=False)})
        over = payloads(
            {"type": "error", "status": 400, "error": {"code": "websocket_connection_limit_reached"}}
        )
        turn.tell(joined(), None, over)

        with pytest.raises(InvalidRequestError):
            turn.tell(joined(), None, over)

    def test_a_failure_of_the_model_breaks_nothing(self, fallback: Fallback) -> None:
        """Only connections that break are counted against WebSockets."""
        turn = asking(common={"fallback": fallback})
        session = turn.step.session_id
        for _ in range(2):
            assert isinstance(turn.tell(joined(), None, payloads(failed("server_error"))), Sleep)
            turn.tell(None, FIRST)

        assert isinstance(turn.step, Join)
        assert not fallback.applies(session)

    def test_an_upgrade_may_be_refused_for_the_sign_in(self, fallback: Fallback) -> None:
        """Not for the token: then HTTP may still be allowed."""
        turn = asking(common={"fallback": fallback})
        body = {"error": {"code": "subscription_sharing_invalid_user", "message": "Whose?"}}
        head, content = refused(403, body)

        assert isinstance(turn.tell(Joined(head), content), Send)

    @pytest.mark.parametrize(
        ("events", "reason"),
        [
            ([item("Hello"), COMPLETED], FinishReason.STOP),
            ([CALLED, COMPLETED], FinishReason.TOOL_CALLS),
            (
                [
                    item("Hello"),
                    {
                        "type": "response.incomplete",
                        "response": {"id": "r", "incomplete_details": {"reason": "max_output_tokens"}},
                    },
                ],
                FinishReason.LENGTH,
            ),
        ],
        ids=["an answer", "a call", "cut off"],
    )
    def test_what_can_be_continued_from(self, fallback: Fallback, events: Any, reason: FinishReason) -> None:
        """An answer that is whole: what was cut off the program may leave out of its history."""
        turn, socket = asking(common={"fallback": fallback}), joined()
        turn.tell(socket, None, payloads(*events))
        assert turn.result.finish_reason is reason
        said: list[Message] = [Message.user("Hi"), turn.result.message]
        said.append(Message.tool("c", "1") if reason is FinishReason.TOOL_CALLS else Message.user("And?"))
        following = prepare(CompletionRequest(messages=said), OPENAI_CODEX, URL, "gpt-5.5")

        assert socket.seen is not None
        assert socket.seen.fits(following.create()) is (reason is not FinishReason.LENGTH)

    def test_not_from_one_that_was_resumed(self, fallback: Fallback) -> None:
        """The server has seen its parts as separate messages, and the program has one."""
        turn, socket = asking(common={"fallback": fallback, "resume": True}), joined()
        turn.tell(joined(), None, payloads(item("One")), DisconnectError("x"), None, FIRST)
        turn.tell(socket, None, payloads(item("Two"), COMPLETED))
        assert turn.ended
        assert socket.seen is not None
        for answer in (["One", "Two"], ["One", "One", "Two"]):
            said = [Message.user("Hi"), *map(Message.assistant, answer), Message.user("And?")]
            following = prepare(CompletionRequest(messages=said), OPENAI_CODEX, URL, "gpt-5.5")
            assert not socket.seen.fits(following.create())


def test_what_a_chat_answer_may_wait_for() -> None:
    """Once there is a finish reason, the usage is awaited for a while; before it, the server decides."""
    clock = Clock()
    call = chat.prepare(CompletionRequest(messages="Hi"), COMPATIBLE, URL, "m")
    turn = Turn(asked(call, context(clock)), clock)
    turn.tell(APIKey("k"), STREAM)
    choice: dict[str, Any] = {"index": 0, "delta": {"content": "Hi"}}
    assert isinstance(turn.tell(payloads({"choices": [choice]})), ReadEvents)
    assert turn.step.incoming.grace is None

    turn.tell(payloads({"choices": [{**choice, "delta": {}, "finish_reason": "stop"}]}))
    assert turn.step.incoming.grace > 0
