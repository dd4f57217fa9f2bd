"""Conversations over sockets, for both clients: what is sent, what is kept, what a failure leaves."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import onplan
from onplan import Message, Text, Thinking, ToolDefinition
from onplan.emulator import Call, Emulator, Turn

from ..conftest import eventually

if TYPE_CHECKING:
    from tests.conversation.conftest import Side

LOOK = ToolDefinition("look", "Looks.", {"type": "object", "properties": {"a": {"type": "string"}}})


def posts(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests for answers, over HTTP and WebSocket."""
    rows = emulator.journal()
    return [row for row in rows if row["method"] == "POST" and row["path"].endswith("/responses")]


def roles(talk: Any) -> list[str]:
    return [message.role.value for message in talk.messages]


def test_what_was_said_is_kept(signed_in: Emulator, side: Side) -> None:
    """Each turn sends all that came before it, and both sides of it are in the history."""
    talk = side.client().conversation("Be brief.", reasoning_effort="low")
    answers = [side.do(talk.say(text)) for text in ("one", "two")]

    assert [answer.text for answer in answers] == ["You said: one", "You said: two"]
    assert roles(talk) == ["system", "user", "assistant", "user", "assistant"]
    assert talk.messages[2] == answers[0].message
    assert [row["body"]["reasoning"]["effort"] for row in posts(signed_in)] == ["low", "low"]
    thinking = [part for part in talk.messages[2].content if isinstance(part, Thinking)]
    assert thinking[0].encrypted
    if not posts(signed_in)[1]["body"].get("previous_response_id"):
        kinds = [item["type"] for item in posts(signed_in)[1]["body"]["input"]]
        assert kinds == ["message", "message", "reasoning", "message", "message"]
        assert posts(signed_in)[1]["body"]["input"][2]["encrypted_content"] == thinking[0].encrypted


def test_a_conversation_has_one_session(signed_in: Emulator, side: Side) -> None:
    """So that its prompt is found in the cache, or continued over a WebSocket; a branch has its own."""
    talk = side.client().conversation("You know a lot about birds. " * 300)
    answers = [side.do(talk.say(text)) for text in ("one", "two", "three")]
    branch = talk.branch()
    side.do(branch.say("four"))

    keys = [row["body"]["prompt_cache_key"] for row in posts(signed_in)]
    assert keys == [talk.session_id] * 3 + [branch.session_id]
    assert branch.session_id != talk.session_id
    assert answers[0].usage.cache_read_tokens == 0
    assert all(answer.usage.cache_read_tokens > answer.usage.prompt_tokens * 0.9 for answer in answers[1:])
    over = {row.get("transport", "http") for row in posts(signed_in)}
    if over == {"websocket"}:
        before = [row["body"].get("previous_response_id") for row in posts(signed_in)]
        assert before == [None, answers[0].response_id, answers[1].response_id, None]
    else:
        assert [row["headers"]["session-id"] for row in posts(signed_in)] == keys


def test_a_stream_is_a_turn(signed_in: Emulator, side: Side) -> None:
    """Its answer is in the history with its last chunk; before that the history is as it was."""
    talk = side.client().conversation()
    stream = talk.stream("one two")
    assert talk.messages == []
    assert posts(signed_in) == []
    chunks = side.read(stream)

    assert chunks[-1].type == "done"
    assert talk.messages == [Message.user("one two"), stream.response.message]


def test_settings_of_one_turn_do_not_stay(signed_in: Emulator, side: Side) -> None:
    """A keyword of ``say`` is for that turn; those of the conversation come before the client's."""
    talk = side.client(reasoning_effort="low", verbosity="low").conversation(reasoning_effort="medium")
    side.do(talk.say("one", reasoning_effort="high"))
    side.do(talk.say("two"))

    bodies = [row["body"] for row in posts(signed_in)]
    assert [body["reasoning"]["effort"] for body in bodies] == ["high", "medium"]
    assert [body["text"]["verbosity"] for body in bodies] == ["low", "low"]


def test_an_answer_has_the_type_that_was_asked_for(signed_in: Emulator, side: Side) -> None:
    """Structured output works in a conversation as outside of one."""
    talk = side.client().conversation()

    assert side.do(talk.say("How many?", response_format=int, repairs=1)).parsed == 0
    assert side.do(talk.say("And now?")).text == "You said: And now?"


def test_a_turn_that_fails_leaves_the_history(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """What was said is taken back with it, in the file, too; the next turn knows nothing of it."""
    talk = side.do(side.client().conversation.open(tmp_path / "talk.jsonl"))
    side.do(talk.say("one"))
    before, file = talk.messages, (tmp_path / "talk.jsonl").read_bytes()

    signed_in.arm("overloaded_503")
    with pytest.raises(onplan.OverloadedError):
        side.do(talk.say("two"))
    signed_in.arm("response_failed_after_text")
    with pytest.raises(onplan.ServerError):
        side.read(talk.stream("three"))
    side.read(talk.stream("four four four"), until="text")
    with pytest.raises(onplan.InvalidRequestError):
        side.do(talk.say("five", modle="x"))

    assert talk.messages == before
    assert (tmp_path / "talk.jsonl").read_bytes() == file
    assert side.do(talk.say("six")).text == "You said: six"
    assert len(talk.messages) == 4


def test_what_came_of_an_answer_can_be_kept(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """With what was said; a call that came is answered for when the conversation goes on."""
    path = tmp_path / "talk.jsonl"
    talk = side.do(side.client().conversation.open(path, keep_partial=True, reasoning_effort="low"))
    signed_in.play(Turn(text="one two three", fault="response_failed_after_text"))
    with pytest.raises(onplan.ServerError):
        side.read(talk.stream("count"))
    said = talk.messages[1].text
    assert "one two three".startswith(said)
    assert said

    chunks = side.read(talk.stream("a b c d"), until="text")
    came = chunks[-1].text
    assert talk.messages[-1].text == came
    assert roles(talk) == ["user", "assistant"] * 2
    assert side.do(side.client().conversation.load(path)).messages == talk.messages
    assert side.do(talk.say("go on")).text == "You said: go on"


def test_without_anything_to_keep_the_turn_is_undone(signed_in: Emulator, side: Side) -> None:
    """An error before the answer has begun leaves the history as it was, whatever is to be kept."""
    talk = side.client().conversation(keep_partial=True)
    signed_in.arm("overloaded_503")
    with pytest.raises(onplan.OverloadedError):
        side.do(talk.say("one"))

    assert talk.messages == []


def test_tools_are_called_by_hand(signed_in: Emulator, side: Side) -> None:
    """A tool's result is said like anything else, and belongs to the exchange of its call."""
    talk = side.client().conversation("Be brief.", tools=[LOOK])
    signed_in.play(Turn(text="Yes."), Turn(tool_calls=[Call("look", {"a": "x"})]), Turn(text="A bird."))
    side.do(talk.say("Are you there?"))
    (call,) = side.do(talk.say("What is there?")).tool_calls
    assert talk.awaits_answer
    answer = side.do(talk.say(Message.tool(call.id, "a bird")))

    assert answer.text == "A bird."
    assert answer.history_repairs == []
    assert not talk.awaits_answer
    side.do(talk.undo())
    assert roles(talk) == ["system", "user", "assistant"]


def test_calls_without_results_are_made_valid(signed_in: Emulator, side: Side) -> None:
    """The conversation goes on; the model is told that the call was interrupted."""
    talk = side.client().conversation(tools=[LOOK])
    signed_in.play(Turn(tool_calls=[Call("look", {"a": "x"})]), Turn(text="Nothing."))
    side.do(talk.say("What is there?"))
    answer = side.do(talk.resume())

    assert answer.text == "Nothing."
    assert len(answer.history_repairs) == 1
    assert roles(talk) == ["user", "assistant", "assistant"]


def test_branches_go_their_own_ways(signed_in: Emulator, side: Side) -> None:
    """What is said in one is not in the other; ``at`` counts exchanges."""
    talk = side.client().conversation("Be brief.", verbosity="low")
    for text in ("one", "two", "three"):
        side.do(talk.say(text))
    branches = [talk.branch(), talk.branch(at=1), talk.branch(at=-1)]
    for branch in branches:
        side.do(branch.say("else"))
    side.do(talk.undo())

    said = [[m.text for m in branch.messages if m.role == "user"] for branch in (talk, *branches)]
    assert said == [["one", "two"], ["one", "two", "three", "else"], ["one", "else"], ["one", "two", "else"]]
    assert posts(signed_in)[-1]["body"]["text"]["verbosity"] == "low"
    assert len({branch.session_id for branch in (talk, *branches)}) == 4
    with pytest.raises(onplan.InvalidRequestError, match="has 2 in all"):
        talk.branch(at=3)


def test_nothing_to_resume_is_an_error(signed_in: Emulator, side: Side) -> None:
    """Where everything is answered, and nothing is sent."""
    talk = side.client().conversation()
    with pytest.raises(onplan.InvalidRequestError, match="nothing to resume"):
        side.do(talk.resume())
    with pytest.raises(onplan.InvalidRequestError, match="nothing to resume"):
        talk.stream()
    assert posts(signed_in) == []


def test_a_conversation_may_begin_with_a_history(signed_in: Emulator, side: Side) -> None:
    """In any of the shapes of a request; and what it awaits can be streamed."""
    history = [{"role": "user", "content": "hi"}, Message.assistant("ho"), "and?"]
    talk = side.client().conversation("Be brief.", messages=history, session_id="mine")
    assert roles(talk) == ["system", "user", "assistant", "user"]
    assert talk.awaits_answer
    stream = talk.stream()
    side.read(stream)

    assert talk.messages[-1] == stream.response.message
    assert posts(signed_in)[0]["body"]["prompt_cache_key"] == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"system": 5}, "system is a string"),
        ({"modle": "x"}, "modle"),
        ({"temperature": "high"}, "temperature"),
        ({"messages": 5}, "messages has the wrong type"),
    ],
)
def test_what_is_wrong_is_refused_at_once(side: Side, options: dict[str, Any], words: str) -> None:
    """When the conversation is made, and not with its first turn."""
    with pytest.raises(onplan.InvalidRequestError, match=words):
        side.client().conversation(**options)


@pytest.mark.parametrize("wrong", [{"messages": "hi"}, {"modle": "x"}, {"temperature": "high"}])
def test_a_wrong_field_of_a_turn_is_refused(signed_in: Emulator, side: Side, wrong: dict[str, Any]) -> None:
    """Before anything is sent, also by a stream that was not read yet; the next turn is free."""
    talk = side.client().conversation()
    with pytest.raises(onplan.InvalidRequestError):
        side.do(talk.say("hi", **wrong))
    with pytest.raises(onplan.InvalidRequestError):
        talk.stream("hi", **wrong)

    assert posts(signed_in) == []
    assert side.do(talk.say("hi")).text == "You said: hi"


def test_one_turn_at_a_time(signed_in: Emulator) -> None:
    """While an answer is read, the others are refused, and undoing, too; afterwards all goes on."""
    with onplan.Client(model="gpt-5.5") as client:
        talk = client.conversation()
        with talk.stream("one") as stream:
            next(stream)
            for act in (lambda: talk.say("two"), talk.undo, lambda: next(talk.stream("three"))):
                with pytest.raises(onplan.InvalidRequestError, match="has not ended yet"):
                    act()
            assert talk.branch().say("four").text == "You said: four"
            stream.read()
        assert talk.say("five").text == "You said: five"
        assert [m.text for m in talk.messages if m.role == "user"] == ["one", "five"]


def test_a_stream_that_waits_says_what_was_said_since(signed_in: Emulator) -> None:
    """Its turn begins with its first chunk, after what the history has by then."""
    with onplan.Client(model="gpt-5.5") as client:
        talk = client.conversation()
        with talk.stream("two") as stream:
            talk.say("one")
            stream.read()

        assert [m.text for m in talk.messages if m.role == "user"] == ["one", "two"]


async def test_a_turn_that_is_cancelled_leaves_the_history(signed_in: Emulator, tmp_path: Path) -> None:
    """Wherever it was: the history and its file are as before, and the next turn is free."""
    async with onplan.AsyncClient(model="gpt-5.5") as client:
        talk = await client.conversation.open(tmp_path / "talk.jsonl")
        await talk.say("one")
        before = talk.messages
        for _ in range(2):
            signed_in.arm("stall")
            asked = len(posts(signed_in))
            turn = asyncio.ensure_future(talk.say("two"))
            await asyncio.to_thread(eventually, lambda asked=asked: len(posts(signed_in)) > asked)
            turn.cancel()
            with pytest.raises(asyncio.CancelledError):
                await turn
        early = asyncio.ensure_future(talk.say("three"))
        await asyncio.sleep(0)
        early.cancel()
        with pytest.raises(asyncio.CancelledError):
            await early

        assert talk.messages == before
        assert (await client.conversation.load(tmp_path / "talk.jsonl")).messages == before
        assert (await talk.say("four")).text == "You said: four"


def test_threads_have_conversations_of_one_client(signed_in: Emulator) -> None:
    """A conversation of its own for each; they share the client."""
    said: dict[int, list[str]] = {}
    with onplan.Client(model="gpt-5.5") as client:

        def talk_of(number: int) -> None:
            talk = client.conversation()
            for turn in range(3):
                talk.say(f"{number} {turn}")
            said[number] = [message.text for message in talk.messages]

        threads = [threading.Thread(target=talk_of, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert said == {
        number: [words for turn in range(3) for words in (f"{number} {turn}", f"You said: {number} {turn}")]
        for number in range(4)
    }


def test_parts_are_said_together(signed_in: Emulator, side: Side) -> None:
    """Strings and images in a row are one message, as in ``complete``."""
    talk = side.client().conversation()
    image = onplan.Image(path=Path(__file__).parent.parent / "pixel.png")
    side.do(talk.say(["What is this?", image]))

    assert talk.messages[0].content == [Text("What is this?"), image]
    item = posts(signed_in)[0]["body"]["input"][-1]
    assert [part["type"] for part in item["content"]] == ["input_text", "input_image"]


@pytest.mark.parametrize(("chosen", "ignored"), [(None, []), ("mine", ["session_id"])])
def test_only_a_session_id_that_was_chosen_is_reported(
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    side: Side,
    tmp_path: Path,
    chosen: str | None,
    ignored: list[str],
) -> None:
    """A compatible server takes none, and only one that the program gave is reported as left out."""
    address, file = emulator.urls["openai_base_url"], tmp_path / "talk.jsonl"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    client = side.client(backend="openai", base_url=address, transport="auto")
    fields = {"session_id": chosen} if chosen else {}

    talk = side.do(client.conversation.open(file, **fields))
    first = side.do(talk.say("hi"))
    again = side.do(client.conversation.open(file, **fields))
    second = side.do(again.say("and?"))

    assert [first.ignored_parameters, second.ignored_parameters] == [ignored, ignored]
    assert again.session_id == talk.session_id
