"""Runs of tools in a conversation, for both clients: what is kept, written and taken back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

from .test_conversations import posts, roles

if TYPE_CHECKING:
    from tests.conversation.conftest import Side

CALLS = Turn(tool_calls=[Call("look", {"place": "a"}), Call("look", {"place": "b"})])


def look(place: str) -> str:
    """What is at a place."""
    if place == "b":
        raise ValueError("too dark")
    return f"a bird at {place}"


def chunks_of(side: Side, stream: Any) -> list[Any]:
    async def read() -> list[Any]:
        return [chunk async for chunk in stream]

    return list(side.do(read())) if side.is_async else list(stream)


def test_a_run_is_an_exchange(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """Its calls and results are in the history and in the file, and one ``undo`` takes them all back."""
    path = tmp_path / "talk.jsonl"
    talk = side.do(side.client().conversation.open(path, "Be brief."))
    signed_in.play(CALLS, Turn(text="A bird."))
    answer = side.do(talk.run("What is there?", tools=[look]))

    assert answer.text == "A bird."
    assert talk.messages == answer.messages
    assert roles(talk) == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert side.do(side.client().conversation.load(path)).messages == talk.messages
    assert {row["body"]["prompt_cache_key"] for row in posts(signed_in)} == {talk.session_id}
    side.do(talk.undo())
    assert roles(talk) == ["system"]


def test_a_run_streams(signed_in: Emulator, side: Side) -> None:
    """The chunks are those of the client's run; tools of the conversation need not be given again."""
    talk = side.client().conversation(tools=[onplan.tool(look)])
    signed_in.play(CALLS, Turn(text="A bird."))
    chunks = chunks_of(side, talk.run_stream("What is there?"))

    kinds = [chunk.type for chunk in chunks]
    assert [kind for kind in kinds if kind in ("turn_done", "tool_done", "done")] == [
        "turn_done",
        "tool_done",
        "tool_done",
        "done",
    ]
    assert talk.messages == chunks[-1].response.messages


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_that_fails(signed_in: Emulator, side: Side, tmp_path: Path, keep: bool) -> None:
    """Leaves the history as it was, or with all that was done; the file is the same."""
    path = tmp_path / "talk.jsonl"
    talk = side.do(side.client().conversation.open(path, keep_partial=keep))
    signed_in.play(CALLS, Turn(fault="overloaded_503"))
    with pytest.raises(onplan.OverloadedError):
        side.do(talk.run("What is there?", tools=[look]))
    assert roles(talk) == (["user", "assistant", "tool", "tool"] if keep else [])
    signed_in.play(CALLS)
    with pytest.raises(onplan.RunLimitError):
        side.do(talk.run("And now?", tools=[look], max_turns=1))

    assert roles(talk)[-2:] == (["user", "assistant"] if keep else [])
    assert side.do(side.client().conversation.load(path)).messages == talk.messages
    if keep:
        signed_in.play(Turn(text="A bird."))
        assert side.do(talk.run(tools=[look])).text == "A bird."
        assert roles(talk)[-4:] == ["assistant", "tool", "tool", "assistant"]
    with pytest.raises(onplan.InvalidRequestError, match="nothing to resume"):
        side.do(talk.run(tools=[look]))


@pytest.mark.parametrize("wrong", [{"tools": []}, {"tools": [look], "max_turns": 0}, {"tools": [5]}])
def test_a_run_that_cannot_be(signed_in: Emulator, side: Side, wrong: dict[str, Any]) -> None:
    """Nothing is sent, and the next turn is free."""
    talk = side.client().conversation()
    with pytest.raises(onplan.InvalidRequestError):
        side.do(talk.run("hi", **wrong))

    assert (talk.messages, posts(signed_in)) == ([], [])
    assert side.do(talk.say("hi")).text == "You said: hi"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_program_killed_in_a_tool_goes_on(signed_in: Emulator, tmp_path: Path) -> None:
    """The results of earlier rounds are there; the calls of the last one are carried out."""
    path = tmp_path / "talk.jsonl"
    child = (
        "import os, signal, sys, onplan\n"
        "done = []\n"
        "def look(place: str) -> str:\n"
        "    if done: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(place)\n"
        "    return place\n"
        "talk = onplan.Client(model='gpt-5.5').conversation.open(sys.argv[1])\n"
        "talk.run('What is there?', tools=[look])\n"
    )
    once = Turn(tool_calls=[Call("look", {"place": "a"})])
    signed_in.play(once, once)
    killed = subprocess.run([sys.executable, "-c", child, path], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    signed_in.play(Turn(text="A bird."))
    with onplan.Client(model="gpt-5.5") as client:
        talk = client.conversation.open(path)
        assert roles(talk) == ["user", "assistant", "tool", "assistant"]
        answer = talk.run(tools=[look])

    assert answer.text == "A bird."
    assert answer.history_repairs == []
    assert roles(talk) == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
