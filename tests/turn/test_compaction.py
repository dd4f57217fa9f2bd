"""A conversation that is compacted, step by step: when, what is sent for it, and what follows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from onplan.backends import COMPATIBLE, OPENAI_CODEX, Backend
from onplan.errors import (
    ConnectError,
    ContextLengthError,
    EncryptedReasoningError,
    InvalidRequestError,
    UnexpectedReplyError,
)
from onplan.turn.catalogue_cache import Listing
from onplan.turn.compactor import SUMMARISE, Compactor
from onplan.turn.flows import compaction, completion
from onplan.turn.flows import prepare as prepare_in
from onplan.turn.steps import Authorize, ListModels, Prepare, ReadEvents, Send
from onplan.types import Compaction, CompletionRequest, Message, ToolDefinition

from .driven import COMPLETED, FIRST, STREAM, Clock, Turn, context, delta, item, payloads, refused

U, A = Message.user("hi"), Message.assistant("ho")
ASKED = [U, A, Message.user("And?")]
SEALED = {"type": "compaction", "id": "cmp_1", "encrypted_content": "sealed"}
COMPACTED = {"type": "response.output_item.done", "output_index": 0, "item": SEALED}
USED = {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34}
ENDED = {"type": "response.completed", "response": {"id": "r", "output": [], "usage": USED}}
TOO_LONG = refused(400, {"error": {"code": "context_length_exceeded", "message": "Too long."}})
UNREADABLE = refused(400, {"error": {"code": "invalid_encrypted_content", "message": "Not ours."}})


class Talk:
    """One conversation, and the turn that is asked in it."""

    def __init__(
        self,
        at: float | None = None,
        *made: Compaction,
        summarises: bool = False,
        backend: Backend = OPENAI_CODEX,
    ) -> None:
        self.clock, self.compactor = Clock(), Compactor(at, summarises=summarises)
        for one in made:
            self.compactor.add(one)
        common = replace(context(self.clock, model="gpt-5.5"), backend=backend)
        self.context = common.compacted_by(self.compactor)

    def asks(self, messages: Any = ASKED, **fields: Any) -> Turn:
        return Turn(completion(CompletionRequest(messages=messages, **fields), self.context), self.clock)

    def compacts(self, messages: Any = ASKED, **fields: Any) -> Turn:
        return Turn(compaction(CompletionRequest(messages=messages, **fields), self.context), self.clock)

    def sent(self, turn: Turn) -> dict[str, Any]:
        """Carry out the steps up to the request, and give its body."""
        while not isinstance(turn.step, Send):
            match turn.step:
                case Prepare(request, model):
                    turn.tell(prepare_in(request, self.context, model))
                case Authorize():
                    turn.tell(FIRST)
                case ListModels():
                    turn.tell(ConnectError("x"))  # what is built in will do
                case step:
                    raise AssertionError(step)
        body: dict[str, Any] = json.loads(turn.step.request.body)
        return body


def said(body: dict[str, Any]) -> list[str]:
    """The types and roles of what was sent."""
    return [item.get("role") or item["type"] for item in body["input"]]


def readable() -> Compaction:
    """A compaction of ``U`` and ``A`` that the model of these conversations can read."""
    talk = Talk()
    turn = talk.compacts()
    talk.sent(turn)
    turn.tell(STREAM, payloads(COMPACTED, ENDED))
    (made,) = talk.compactor.compactions
    return made


def test_a_conversation_that_is_not_compacted_is_asked_as_it_is() -> None:
    """Neither token nor catalogue is asked for before; but its client says that it knows compactions."""
    talk = Talk()
    turn = talk.asks()
    assert isinstance(turn.step, Prepare)
    assert said(talk.sent(turn)) == ["user", "assistant", "user"]
    assert OPENAI_CODEX.compaction is not None
    assert turn.step.request.headers.items() >= OPENAI_CODEX.compaction.items()

    with pytest.raises(ContextLengthError) as caught:
        turn.tell(*TOO_LONG)
    assert 'compact="auto"' in str(caught.value.hint)


def test_the_catalogue_is_asked_for_once() -> None:
    """It says how much fits the model now; without it, what is built in counts."""
    talk = Talk(0.9)
    turn = talk.asks()
    assert isinstance(turn.step, Authorize)
    assert turn.tell(FIRST) == ListModels(0)
    talk.context.catalogue.ended(ConnectError("x"), 0.0)
    assert isinstance(turn.tell(ConnectError("x")), Prepare)

    assert isinstance(talk.asks().tell(FIRST), Prepare)


def test_what_was_compacted_is_sent_in_its_place() -> None:
    """The answer is the program's as ever."""
    talk = Talk(None, readable())
    turn = talk.asks()
    body = talk.sent(turn)
    assert said(body) == ["user", "compaction", "user"]
    turn.tell(STREAM, payloads(item("Well."), COMPLETED))

    assert (turn.ended, turn.text) == (True, "Well.")


def test_it_is_compacted_when_it_is_due() -> None:
    """The model compacts it first; nothing of that reaches the program, and then it is asked."""
    talk = Talk(0.1)
    long = [Message.user("x" * 2_000_000), *ASKED[1:]]
    turn = talk.asks(long, stop=["END"], max_tokens=5, response_format={"type": "object"})
    body = talk.sent(turn)
    assert said(body) == ["user", "assistant", "compaction_trigger"]
    assert "text" not in body
    turn.tell(STREAM, payloads(COMPACTED, ENDED))
    assert turn.emitted == []
    (made,) = talk.compactor.compactions
    assert (made.covers, made.encrypted, made.id) == (2, "sealed", "cmp_1")

    body = talk.sent(turn)
    assert said(body) == ["user", "compaction", "user"]
    assert "text" in body


def test_a_conversation_that_no_longer_fits_makes_room() -> None:
    """Whenever it is to be compacted at all; then it is asked again."""
    talk = Talk(0.99)
    turn = talk.asks()
    assert said(talk.sent(turn)) == ["user", "assistant", "user"]
    turn.tell(*TOO_LONG)
    assert said(talk.sent(turn))[-1] == "compaction_trigger"
    turn.tell(STREAM, payloads(COMPACTED, ENDED))
    assert said(talk.sent(turn)) == ["user", "compaction", "user"]
    turn.tell(STREAM, payloads(item("Well."), COMPLETED))

    assert (turn.ended, turn.text) == (True, "Well.")


def test_where_it_cannot_make_room_the_error_is_told() -> None:
    """Nothing was answered yet; or it is compacted only when asked for, which the hint says."""
    for at, made, messages, advised in (
        (0.99, (), [U], False),
        (None, (readable(),), [*ASKED, A, U], True),
    ):
        talk = Talk(at, *made)
        turn = talk.asks(messages)
        talk.sent(turn)
        with pytest.raises(ContextLengthError) as caught:
            turn.tell(*TOO_LONG)
        assert ('compact="auto"' in str(caught.value.hint)) is advised


def test_a_compaction_that_the_backend_cannot_read_is_left_out() -> None:
    """It is asked again with the messages themselves; a refusal without one is an error."""
    talk = Talk(None, readable())
    turn = talk.asks()
    talk.sent(turn)
    turn.tell(*UNREADABLE)
    assert said(talk.sent(turn)) == ["user", "assistant", "user"]

    with pytest.raises(EncryptedReasoningError):
        turn.tell(*UNREADABLE)


def test_what_the_program_has_seen_is_not_asked_for_again() -> None:
    """A failure after the first chunk is told, whatever it is."""
    talk = Talk(0.99, readable())
    for code, kind in (
        ("context_length_exceeded", ContextLengthError),
        ("invalid_encrypted_content", EncryptedReasoningError),
    ):
        turn = talk.asks([*ASKED, A, U])
        talk.sent(turn)
        error = {"code": code, "message": "x"}
        turn.tell(STREAM, payloads(delta("He")))
        assert isinstance(turn.step, ReadEvents)
        with pytest.raises(kind):
            turn.tell(payloads({"type": "response.failed", "response": {"error": error}}))


def test_a_program_may_ask_for_it() -> None:
    """It gives what that used; a second time, there is nothing new to compact."""
    talk = Talk()
    turn = talk.compacts()
    assert said(talk.sent(turn))[-1] == "compaction_trigger"
    turn.tell(STREAM, payloads(COMPACTED, ENDED))
    assert (turn.ended, turn.result.total_tokens) == (True, 34)

    with pytest.raises(InvalidRequestError, match="nothing to compact"):
        talk.compacts().tell(FIRST, ConnectError("x"))


def test_an_earlier_one_that_is_refused_is_left_out_of_the_next() -> None:
    """The conversation is compacted from its messages; a refusal without one is an error."""
    talk = Talk(None, readable())
    turn = talk.compacts([*ASKED, A])
    assert said(talk.sent(turn)) == ["user", "compaction", "user", "assistant", "compaction_trigger"]
    turn.tell(*UNREADABLE)
    assert said(talk.sent(turn)) == ["user", "assistant", "user", "assistant", "compaction_trigger"]
    with pytest.raises(EncryptedReasoningError):
        turn.tell(*UNREADABLE)


def test_an_answer_without_a_compaction_is_an_error() -> None:
    """The conversation is as it was."""
    talk = Talk()
    turn = talk.compacts()
    talk.sent(turn)
    with pytest.raises(UnexpectedReplyError, match="sent 0 compactions"):
        turn.tell(STREAM, payloads(item("Well."), ENDED))
    assert talk.compactor.compactions == ()


def test_a_backend_that_compacts_nothing() -> None:
    """It is said when the conversation begins if it is to be compacted, else when that is asked for."""
    with pytest.raises(InvalidRequestError, match="does not compact conversations"):
        Talk(0.9, backend=COMPATIBLE)
    with pytest.raises(InvalidRequestError, match="does not compact conversations"):
        Talk(backend=COMPATIBLE).compacts()


def test_a_model_may_write_a_summary() -> None:
    """At any backend: it is asked for one in place of an answer, and calls no tools for it."""
    talk = Talk(summarises=True)
    turn = talk.compacts(tools=[ToolDefinition("look")])
    body = talk.sent(turn)
    assert said(body) == ["user", "assistant", "user"]
    assert body["input"][-1]["content"][0]["text"] == SUMMARISE
    assert body["tool_choice"] == "none"
    turn.tell(STREAM, payloads(item("All of it."), ENDED))
    assert turn.emitted == []
    (made,) = talk.compactor.compactions
    assert (made.covers, made.summary) == (2, "All of it.")

    body = talk.sent(talk.asks())
    assert [entry["content"][0]["text"] for entry in body["input"]] == [SUMMARISE, "All of it.", "And?"]


def test_the_default_model_compacts() -> None:
    """Where neither request nor client names one."""
    talk = Talk()
    talk.context = replace(talk.context, model=None)
    turn = talk.compacts()
    assert isinstance(turn.step, Authorize)
    assert turn.tell(FIRST) == ListModels(0)
    turn.tell(Listing(OPENAI_CODEX.fallback_models))

    assert talk.sent(turn)["model"] == OPENAI_CODEX.fallback_models[0].id
