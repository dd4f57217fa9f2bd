"""Conversations that are saved, loaded and opened, for both clients; and programs that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import onplan
from onplan import ConversationFileError, ConversationFileWarning, Message, ToolDefinition
from onplan.emulator import Call, Emulator, Turn

from ..conftest import eventually
from .test_conversations import posts, roles

if TYPE_CHECKING:
    from tests.conversation.conftest import Side

LOOK = ToolDefinition("look", "Looks.", {"type": "object", "properties": {"a": {"type": "string"}}})


def test_a_saved_conversation_goes_on(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """With its history, settings and session, in another client; its file stays as it is."""
    path = tmp_path / "talk.jsonl"
    talk = side.client().conversation("You know birds. " * 300, reasoning_effort="low", tools=[LOOK])
    signed_in.play(Turn(text="one"), Turn(text="two"))
    side.do(talk.say("1"))
    side.do(talk.save(path))
    before = path.read_bytes()
    again = side.do(side.client().conversation.load(path))
    answer = side.do(again.say("2"))

    assert again.messages[:3] == talk.messages
    assert again.session_id == talk.session_id
    first, second = (row["body"] for row in posts(signed_in))
    for field in ("tools", "reasoning", "prompt_cache_key"):
        assert first[field] == second[field]
    assert answer.usage.cache_read_tokens > answer.usage.prompt_tokens * 0.9
    assert path.read_bytes() == before


def test_settings_can_be_given_again(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """Those that are given replace the saved ones, and a type must be: the program is warned of it."""
    path = tmp_path / "talk.jsonl"
    talk = side.client().conversation(reasoning_effort="low", verbosity="low", response_format=int)
    side.do(talk.save(path))
    with pytest.warns(ConversationFileWarning, match="response_format of the conversation could not be"):
        again = side.do(side.client().conversation.load(path, reasoning_effort="high"))
    side.do(again.say("hi"))
    again = side.do(side.client().conversation.load(path, response_format=int))

    assert side.do(again.say("hi")).parsed == 0
    body = posts(signed_in)[0]["body"]
    assert (body["reasoning"]["effort"], body["text"]) == ("high", {"verbosity": "low"})


def test_an_open_conversation_is_written_as_it_grows(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """What was said before it is sent, the answer when it is whole; the second time it goes on there."""
    path = tmp_path / "talk.jsonl"
    talk = side.do(side.client().conversation.open(path, "Be brief.", verbosity="low"))
    assert len(path.read_bytes().splitlines()) == 2
    side.do(talk.say("one"))
    side.read(talk.stream("two"))
    assert side.do(side.client().conversation.load(path)).messages == talk.messages
    again = side.do(side.client().conversation.open(path, "Be long.", messages=["other"]))
    side.do(again.undo())
    side.do(again.say("three"))

    assert roles(again) == ["system", "user", "assistant", "user", "assistant"]
    assert again.session_id == talk.session_id
    assert side.do(side.client().conversation.load(path)).messages == again.messages
    with pytest.raises(ConversationFileError, match="was changed by another program"):
        side.do(talk.say("four"))
    assert len(posts(signed_in)) == 3


def test_an_open_conversation_can_be_saved(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """Elsewhere, and where it is kept, after which it goes on being written; a branch is not."""
    path, other = tmp_path / "talk.jsonl", tmp_path / "other.jsonl"
    image = onplan.Image(path=Path(__file__).parent.parent / "pixel.png")
    talk = side.do(side.client().conversation.open(path))
    side.do(talk.say(image))
    side.do(talk.save(other, attachments="inside"))
    side.do(talk.save(path, attachments="inside"))
    side.do(talk.branch().say("else"))
    side.do(talk.say("two"))

    assert side.do(side.client().conversation.load(path)).messages[2:] == talk.messages[2:]
    for saved in (path, other):
        part = json.loads(saved.read_bytes().splitlines()[1])["content"][0]
        assert set(part) == {"type", "data"}
    with pytest.raises(onplan.InvalidRequestError, match="neither path nor inside"):
        side.do(talk.save(other, attachments="outside"))


def test_saving_replaces_only_the_same_conversation(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """As it was earlier, also before it was loaded; or an empty file. Others need ``overwrite``."""
    path, empty, notes = tmp_path / "talk.jsonl", tmp_path / "empty.jsonl", tmp_path / "notes.md"
    empty.touch()
    notes.write_text("my notes\n")
    talk = side.client().conversation()
    side.do(talk.save(path))
    side.do(talk.say("one"))
    side.do(talk.save(path))
    again = side.do(side.client().conversation.load(path))
    side.do(again.say("two"))
    side.do(again.save(path))
    side.do(again.save(empty))
    before = path.read_bytes()
    other = again.branch()
    for talk, file in ((other, path), (other, empty), (again, notes)):
        with pytest.raises(ConversationFileError, match="is not a copy of this conversation") as caught:
            side.do(talk.save(file))
        assert "overwrite=True" in caught.value.hint

    assert path.read_bytes() == empty.read_bytes() == before
    assert notes.read_text() == "my notes\n"
    for file in (path, notes):
        side.do(other.save(file, overwrite=True))
        assert side.do(side.client().conversation.load(file)).session_id == other.session_id


def test_an_image_that_cannot_be_read_is_not_said(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """Nothing is sent, the file is as it was, and the next turn is free."""
    path = tmp_path / "talk.jsonl"
    talk = side.do(side.client().conversation.open(path))
    before = path.read_bytes()
    with pytest.raises(onplan.InvalidRequestError, match=r"gone\.png cannot be read"):
        side.do(talk.say(onplan.Image(path="gone.png")))

    assert (path.read_bytes(), talk.messages, posts(signed_in)) == (before, [], [])
    assert side.do(talk.say("hi")).text == "You said: hi"


def test_messages_do_not_replace_a_saved_history(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """Loading has no ``messages``."""
    side.do(side.client().conversation().save(tmp_path / "talk.jsonl"))
    with pytest.raises(onplan.InvalidRequestError, match="messages"):
        side.do(side.client().conversation.load(tmp_path / "talk.jsonl", messages="hi"))


def test_an_answer_that_cannot_be_written_is_not_lost(signed_in: Emulator, tmp_path: Path) -> None:
    """It is in the history, the error says so, and the next turn writes it."""
    path = tmp_path / "talk.jsonl"
    with onplan.Client(model="gpt-5.5") as client:
        talk = client.conversation.open(path)
        with talk.stream("one") as stream:
            next(stream)
            path.rename(tmp_path / "away")
            with pytest.raises(ConversationFileError) as caught:
                stream.read()
        assert "`talk.messages`" in caught.value.hint
        assert talk.messages[-1].text == "You said: one"
        (tmp_path / "away").rename(path)
        talk.say("two")

        assert client.conversation.load(path).messages == talk.messages


CHILD = """
import asyncio, sys, onplan
path, how = sys.argv[1:]
async def main():
    async with onplan.AsyncClient(model="gpt-5.5", retry=1) as client:
        talk = await client.conversation.open(path, "Be brief.")
        await talk.say("two")
if how == "async":
    asyncio.run(main())
with onplan.Client(model="gpt-5.5", retry=1) as client:
    talk = client.conversation.open(path, "Be brief.")
    if how == "say":
        talk.say("two")
    for chunk in talk.stream("two"):
        pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("how", ["say", "stream", "async"])
def test_a_killed_program_goes_on(signed_in: Emulator, tmp_path: Path, how: str) -> None:
    """Killed in the middle of a turn: what was said is there, and the answer is asked for again."""
    path = tmp_path / "talk.jsonl"
    with onplan.Client(model="gpt-5.5", retry=1) as client:
        client.conversation.open(path, "Be brief.").say("one")
        signed_in.arm("stall")
        with subprocess.Popen([sys.executable, "-c", CHILD, str(path), how]) as child:
            eventually(lambda: len(posts(signed_in)) == 2 or child.poll() is not None)
            os.kill(child.pid, signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        signed_in.disarm()
        talk = client.conversation.open(path)

        assert roles(talk) == ["system", "user", "assistant", "user"]
        assert talk.awaits_answer
        assert talk.resume().text == "You said: two"
        assert client.conversation.load(path).messages == talk.messages
        assert [row["body"]["prompt_cache_key"] for row in posts(signed_in)] == [talk.session_id] * 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_program_killed_between_calls_and_results_goes_on(signed_in: Emulator, tmp_path: Path) -> None:
    """The call is there without a result; it is made valid, and something else may be said."""
    path = tmp_path / "talk.jsonl"
    signed_in.play(Turn(tool_calls=[Call("look", {"a": "x"})]), Turn(text="Never mind."))
    child = (
        "import os, signal, sys, onplan\n"
        "schema = {'type': 'object', 'properties': {'a': {'type': 'string'}}}\n"
        "look = onplan.ToolDefinition('look', '', schema)\n"
        "talk = onplan.Client(model='gpt-5.5').conversation.open(sys.argv[1], tools=[look])\n"
        "assert talk.say('What is there?').tool_calls\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", child, path], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    with onplan.Client() as client:
        talk = client.conversation.open(path)
        assert talk.awaits_answer
        answer: Any = talk.say("Never mind.")

    assert (answer.text, len(answer.history_repairs)) == ("Never mind.", 1)
    assert talk.messages[2] == Message.user("Never mind.")
