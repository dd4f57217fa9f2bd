"""Conversations that are compacted: what is asked for, what is sent then, what a failure and a file leave."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import onplan
from onplan import Image, Message
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Options, Scenario, Turn
from onplan.stores import open_store
from onplan.turn.compactor import SUMMARISE

from ..conftest import eventually, issued

if TYPE_CHECKING:
    from tests.conversation.conftest import Side

TRIGGER = {"type": "compaction_trigger"}
PIXEL = Path(__file__).parent.parent / "pixel.png"


def posts(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests for answers, over HTTP and WebSocket."""
    rows = emulator.journal()
    return [row for row in rows if row["method"] == "POST" and row["path"].endswith("/responses")]


def kinds(row: dict[str, Any]) -> list[str]:
    """What the input of a request consists of: the roles of messages, the types of other items."""
    return [item.get("role") or item["type"] for item in row["body"]["input"]]


def compactions(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests for a compaction."""
    return [row for row in posts(emulator) if row["body"]["input"][-1] == TRIGGER]


@pytest.fixture
def emulating(point_at: Callable[[Emulator], None]) -> Iterator[Callable[..., Emulator]]:
    """Runs an emulator with a scenario, at which the default profile is signed in."""
    running: list[Emulator] = []

    def run(**scenario: Any) -> Emulator:
        emulator = Emulator(Options(scenario=Scenario(**scenario)))
        running.append(emulator)
        emulator.__enter__()
        point_at(emulator)
        settings = load_settings()
        open_store(settings.store).save(issued(emulator.issue_tokens(), settings.issuer), None)
        return emulator

    yield run
    for emulator in running:
        emulator.__exit__(None, None, None)


def test_a_conversation_is_compacted_when_asked(signed_in: Emulator, side: Side) -> None:
    """The trigger stands last; then the user's messages and the compaction are sent, and all is kept."""
    talk = side.client(reasoning_summary="none").conversation("Be brief.", max_tokens=50, stop="zzz")
    for text in ("one", "two"):
        side.do(talk.say(text))
    before = talk.messages
    usage = side.do(talk.compact())
    answer = side.do(talk.say("three"))

    (asked,) = compactions(signed_in)
    assert usage.total_tokens > 0
    assert kinds(asked)[-1] == "compaction_trigger"
    assert asked["body"]["input"][-1] == TRIGGER
    assert asked["headers"]["x-codex-beta-features"] == "remote_compaction_v2"
    metadata = json.loads(asked["headers"]["x-codex-turn-metadata"])
    assert metadata["request_kind"] == "compaction"
    assert metadata["compaction"] == {
        "trigger": "manual",
        "reason": "user_requested",
        "implementation": "responses_compaction_v2",
        "phase": "standalone_turn",
        "strategy": "memento",
    }
    assert (
        asked["body"]["client_metadata"]["x-codex-turn-metadata"] == asked["headers"]["x-codex-turn-metadata"]
    )
    assert asked["body"]["prompt_cache_key"] == talk.session_id
    assert kinds(posts(signed_in)[-1]) == ["developer", "user", "user", "compaction", "user"]
    assert posts(signed_in)[-1]["headers"]["x-codex-beta-features"] == "remote_compaction_v2"
    assert answer.text == "You said: three"
    assert talk.messages[: len(before)] == before
    assert (len(talk.messages), talk.compacted) == (len(before) + 2, len(before))


def test_a_second_compaction_takes_the_place_of_the_first(signed_in: Emulator, side: Side) -> None:
    """It is made of what is sent, and covers all; what the user said is kept beside it."""
    talk = side.client(reasoning_summary="none").conversation()
    for text in ("one", "two"):
        side.do(talk.say(text))
        side.do(talk.compact())
    side.do(talk.say("three"))

    first, second = compactions(signed_in)
    assert kinds(second)[:3] == ["user", "compaction", "user"]
    (sent,) = (item for item in posts(signed_in)[-1]["body"]["input"] if item["type"] == "compaction")
    assert sent["encrypted_content"] != second["body"]["input"][1]["encrypted_content"]
    assert kinds(posts(signed_in)[-1]) == ["user", "user", "compaction", "user"]
    assert kinds(first)[0] == "user"


def test_there_has_to_be_something_to_compact(signed_in: Emulator, side: Side) -> None:
    """Nothing is asked for otherwise, neither at the beginning nor twice in a row."""
    talk = side.client().conversation("Be brief.")
    with pytest.raises(onplan.InvalidRequestError, match="nothing to compact"):
        side.do(talk.compact())
    side.do(talk.say("one"))
    side.do(talk.compact())
    with pytest.raises(onplan.InvalidRequestError, match="nothing to compact"):
        side.do(talk.compact())
    assert len(compactions(signed_in)) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("compaction_missing", "sent 0 compactions"),
        ("compaction_twice", "sent 2 compactions"),
        ("compaction_empty", "nothing in it"),
        ("server_error_500", "server had an error"),
        ("cut_mid_event", "broke"),
    ],
)
def test_after_a_failure_the_history_is_as_it_was(
    signed_in: Emulator, side: Side, fault: str, words: str
) -> None:
    """Exactly one compaction is expected. The conversation goes on, and it can be tried again."""
    talk = side.client().conversation()
    side.do(talk.say("one"))
    before = talk.messages
    signed_in.arm(fault)
    with pytest.raises(onplan.OnplanError, match=words):
        side.do(talk.compact())

    assert (talk.messages, talk.compacted) == (before, 0)
    assert side.do(talk.say("two")).text == "You said: two"
    assert "compaction" not in kinds(posts(signed_in)[-1])
    side.do(talk.compact())
    assert talk.compacted == 4


def test_one_is_made_when_the_window_fills(emulating: Callable[..., Emulator], side: Side) -> None:
    """At the share of the window that was chosen, before the answer; never without the choice."""
    emulator = emulating(models=(model("gpt-5.5", 10_000),))
    for compact in (None, "auto"):
        talk = side.client(reasoning_summary="none").conversation(compact=compact, compact_at=0.2)
        for number in range(3):
            answer = side.do(talk.say(f"{number} " + "x" * 2_000))
            assert answer.text.startswith(f"You said: {number} ")
        assert talk.compacted == (4 if compact else 0)

    (asked,) = compactions(emulator)
    assert kinds(asked) == [*["user", "reasoning", "assistant"] * 2, "compaction_trigger"]
    metadata = json.loads(asked["headers"]["x-codex-turn-metadata"])["compaction"]
    assert (metadata["trigger"], metadata["reason"]) == ("auto", "context_limit")


def model(slug: str, window: int, family: str = "2911") -> dict[str, Any]:
    """A model of the catalogue."""
    return {
        "slug": slug,
        "display_name": slug,
        "visibility": "list",
        "context_window": window,
        "comp_hash": family,
    }


def test_a_refusal_for_length_is_answered_by_one_compaction(signed_in: Emulator, side: Side) -> None:
    """And the question is asked again, in a stream as well. Without the choice it is the error."""
    for fault in ("context_length_exceeded", "response_failed_context_length_exceeded"):
        talk = side.client().conversation(compact="auto")
        side.do(talk.say("one"))
        signed_in.arm(fault)
        chunks = side.read(talk.stream("two"))
        assert chunks[-1].response.text == "You said: two"
        assert talk.compacted == 2
        assert [message.text for message in talk.messages if message.role == "user"] == ["one", "two"]

        signed_in.arm(fault, 3)
        with pytest.raises(onplan.ContextLengthError):
            side.do(talk.say("three"))
        signed_in.disarm()
        assert [message.text for message in talk.messages if message.role == "user"] == ["one", "two"]
        other = side.client().conversation()
        side.do(other.say("one"))
        signed_in.arm(fault)
        with pytest.raises(onplan.ContextLengthError):
            side.do(other.say("two"))
        assert other.compacted == 0


def test_an_answer_that_is_repaired_is_no_part_of_a_compaction(signed_in: Emulator, side: Side) -> None:
    """What the model was told of it is not in the history, and nothing that covers it."""
    talk = side.client(reasoning_summary="none").conversation(compact="auto")
    side.do(talk.say("one"))
    signed_in.play(Turn(text="no number"), Turn(fault="context_length_exceeded"))
    answer = side.do(talk.say("two", response_format=int, repairs=1))

    assert isinstance(answer.parsed, int)
    assert answer.repairs == 1
    assert [message.role.value for message in talk.messages] == ["user", "assistant"] * 2
    assert talk.compacted == 3
    assert kinds(posts(signed_in)[-1])[:3] == ["user", "user", "compaction"]
    assert kinds(posts(signed_in)[-1])[-2:] == ["assistant", "user"]


def test_a_run_is_compacted_between_its_turns(emulating: Callable[..., Emulator], side: Side) -> None:
    """The calls that are still to be answered stay with their results, and the history is whole."""
    turns = [Turn(tool_calls=[Call("look", {})]) for _ in range(3)]
    emulator = emulating(models=(model("gpt-5.5", 4_000),), turns=[*turns, Turn(text="Done.")])

    def look() -> str:
        """Look."""
        return "x" * 4_000

    talk = side.client(reasoning_summary="none").conversation(compact="auto", compact_at=0.6)
    response = side.do(talk.run("Look three times.", tools=[look]))

    assert response.text == "Done."
    assert len(response.steps) == 4
    assert [message.role.value for message in talk.messages] == [
        "user",
        *["assistant", "tool"] * 3,
        "assistant",
    ]
    assert response.messages == talk.messages
    assert compactions(emulator)
    after = kinds(posts(emulator)[-1])
    assert after[:2] == ["user", "compaction"]
    assert after[-2:] == ["function_call", "function_call_output"]
    assert response.history_repairs == []


def test_undo_and_branch_go_back_beyond_a_compaction(signed_in: Emulator, side: Side) -> None:
    """What is left of the history is sent whole where the compaction would cover more than that."""
    talk = side.client(reasoning_summary="none").conversation()
    for text in ("one", "two"):
        side.do(talk.say(text))
    side.do(talk.compact())
    side.do(talk.say("three"))
    branch = talk.branch(at=1)
    side.do(branch.say("other"))
    assert "compaction" not in kinds(posts(signed_in)[-1])
    same = talk.branch()
    side.do(same.say("same"))
    assert kinds(posts(signed_in)[-1])[:3] == ["user", "user", "compaction"]

    side.do(talk.undo())
    assert talk.compacted == 4
    side.do(talk.undo())
    assert talk.compacted == 0
    side.do(talk.say("again"))
    assert "compaction" not in kinds(posts(signed_in)[-1])
    assert [message.text for message in talk.messages if message.role == "user"] == ["one", "again"]


def test_another_family_of_models_gets_everything(signed_in: Emulator, side: Side) -> None:
    """A compaction is used by the models that can read it, and again when one of them is back."""
    talk = side.client(model="gpt-6-sol", reasoning_summary="none").conversation()
    side.do(talk.say("one"))
    side.do(talk.compact())
    seen = {}
    for name in ("gpt-6-luna", "gpt-5.5", "gpt-6-sol"):
        side.do(talk.say("more", model=name))
        seen[name] = "compaction" in kinds(posts(signed_in)[-1])

    assert seen == {"gpt-6-luna": True, "gpt-5.5": False, "gpt-6-sol": True}


def test_a_compaction_that_is_refused_is_not_sent_again(signed_in: Emulator, side: Side) -> None:
    """That models of one family read it is a guess: everything is sent then, in the same turn."""
    talk = side.client(reasoning_summary="none").conversation()
    side.do(talk.say("one"))
    side.do(talk.compact())
    signed_in.arm("encrypted_content_refused")
    assert side.do(talk.say("two")).text == "You said: two"
    assert "compaction" not in kinds(posts(signed_in)[-1])
    side.do(talk.say("three"))
    assert "compaction" not in kinds(posts(signed_in)[-1])


def test_an_earlier_one_that_is_refused_is_left_out_of_the_next(signed_in: Emulator, side: Side) -> None:
    """It is then made of the whole history."""
    talk = side.client(reasoning_summary="none").conversation()
    for text in ("one", "two"):
        side.do(talk.say(text))
        if text == "one":
            side.do(talk.compact())
    signed_in.arm("encrypted_content_refused")  # without reasoning, and then without the compaction
    signed_in.arm("encrypted_content_refused")
    side.do(talk.compact())
    assert talk.compacted == 4
    made = compactions(signed_in)
    assert ["compaction" in kinds(row) for row in made] == [False, True, True, False]
    assert side.do(talk.say("three")).text == "You said: three"
    assert kinds(posts(signed_in)[-1]) == ["user", "user", "compaction", "user"]


def test_without_the_choice_the_error_says_what_to_do(signed_in: Emulator, side: Side) -> None:
    """Before the first compaction and after it."""
    talk = side.client().conversation()
    for _ in range(2):
        side.do(talk.say("one"))
        signed_in.arm("context_length_exceeded")
        with pytest.raises(onplan.ContextLengthError) as caught:
            side.do(talk.say("two"))
        assert '`compact="auto"`' in caught.value.hint
        side.do(talk.compact())


def test_it_is_kept_in_the_file(signed_in: Emulator, side: Side, tmp_path: Path) -> None:
    """With the whole history, in a format of a later version; another account is sent everything."""
    path, client = tmp_path / "talk.jsonl", side.client(reasoning_summary="none")
    talk = side.do(client.conversation.open(path, "Be brief."))
    side.do(talk.say("one"))
    assert json.loads(path.read_text().splitlines()[0])["version"] == 1
    side.do(talk.compact())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["version"] == 2
    assert [line.get("role") or line["type"] for line in lines[1:]] == [
        "system",
        "user",
        "assistant",
        "compaction",
    ]

    for name in ("talk.jsonl", "copy.jsonl"):
        again = side.do(client.conversation.load(tmp_path / name)) if name == "copy.jsonl" else talk
        side.do(again.save(tmp_path / "copy.jsonl"))
        side.do(again.say("two"))
        assert again.compacted == 3
        assert kinds(posts(signed_in)[-1]) == ["developer", "user", "compaction", "user"]

    text = path.read_text().replace(lines[-1]["account"], "0" * 16)
    (tmp_path / "theirs.jsonl").write_text(text)
    theirs = side.do(client.conversation.load(tmp_path / "theirs.jsonl"))
    side.do(theirs.say("three"))
    assert "compaction" not in kinds(posts(signed_in)[-1])


def test_a_program_that_is_killed_while_compacting_loses_nothing(
    signed_in: Emulator, side: Side, tmp_path: Path
) -> None:
    """What the file holds at that moment is a whole conversation that goes on, compacted or not."""
    path, client = tmp_path / "talk.jsonl", side.client(reasoning_summary="none")
    talk = side.do(client.conversation.open(path, compact="auto"))
    side.do(talk.say("one"))
    states: list[bytes] = []
    with watched(path, states):
        signed_in.arm("context_length_exceeded")
        side.do(talk.say("two"))
        side.do(talk.undo())
    assert any(b"compaction" in state for state in states)
    assert any(b"compaction" not in state for state in states)
    cut = [state[:size] for state in states for size in (len(state), len(state) - 1, len(state) - 40)]

    for number, state in enumerate(dict.fromkeys(cut)):
        killed = tmp_path / f"{number}.jsonl"
        killed.write_bytes(state)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", onplan.ConversationFileWarning)
            left = side.do(client.conversation.open(killed))
        assert left.messages[0] == Message.user("one")
        assert side.do(left.say("go on")).text == "You said: go on"


@contextmanager
def watched(path: Path, states: list[bytes]) -> Iterator[None]:
    """Adds to ``states`` what the file holds after each change that is made to it."""
    sync, replace = os.fsync, os.replace

    def synced(file: int) -> None:
        sync(file)
        states.append(path.read_bytes())

    def replaced(*arguments: Any, **options: Any) -> None:
        replace(*arguments, **options)
        states.append(path.read_bytes())

    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", synced)
    patch.setattr(os, "replace", replaced)
    try:
        yield
    finally:
        patch.undo()


def test_backends_that_do_not_compact_say_so(monkeypatch: pytest.MonkeyPatch, side: Side) -> None:
    """When the conversation begins, and when it is asked for. A saved compaction does no harm there."""
    monkeypatch.setenv("ONPLAN_BACKEND", "openai")
    client = side.client(api_key="sk-x", transport="sse")
    with pytest.raises(
        onplan.InvalidRequestError, match="openai does not compact conversations; openai-codex"
    ):
        client.conversation(compact="auto")
    talk = client.conversation(messages=[Message.user("hi"), Message.assistant("ho")])
    with pytest.raises(onplan.InvalidRequestError, match="does not compact") as caught:
        side.do(talk.compact())
    assert '`compact="summary"`' in caught.value.hint


@pytest.fixture(params=["openai-codex", "chatgpt-plan", "openai"])
def backend(
    request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> tuple[Emulator, str]:
    """An emulator, and the path of requests to the backend that the environment names."""
    monkeypatch.setenv("ONPLAN_BACKEND", request.param)
    if request.param == "openai":
        monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
        monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
        return emulator, "/chat/completions"
    settings = load_settings()
    tokens = emulator.issue_plan_tokens() if settings.issuer.registers else emulator.issue_tokens()
    open_store(settings.store).save(issued(tokens, settings.issuer), None)
    return emulator, "/responses"


def said(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The roles and texts of a request's messages, in either API."""
    items = row["body"].get("messages") or row["body"]["input"]
    found = []
    for item in items:
        if item.get("role"):
            content = item.get("content") or ""
            parts = content if isinstance(content, list) else [{"text": content}]
            found.append((item["role"], "".join(part["text"] for part in parts)))
    return found


def test_a_summary_is_for_every_backend(backend: tuple[Emulator, str], side: Side, tmp_path: Path) -> None:
    """It is asked for like anything else, and stands in place of what it covers, in the file, too."""
    emulator, path = backend
    client = side.client(transport="sse", reasoning_summary="none")
    talk = side.do(client.conversation.open(tmp_path / "talk.jsonl", "Be brief.", compact="summary"))
    side.do(talk.say("one"))
    emulator.play(Turn(text="It began with one."))
    usage = side.do(talk.compact())
    asked = [row for row in emulator.journal() if row["path"].endswith(path)][-1]
    assert usage.total_tokens > 0
    assert said(asked)[-1] == ("user", SUMMARISE)
    assert said(asked)[-3:-1] == [("user", "one"), ("assistant", "You said: one")]

    again = side.do(client.conversation.load(tmp_path / "talk.jsonl"))
    for one in (talk, again):
        assert one.compacted == 3
        assert side.do(one.say("two")).text == "You said: two"
        row = [row for row in emulator.journal() if row["path"].endswith(path)][-1]
        assert said(row)[1:] == [("user", SUMMARISE), ("assistant", "It began with one."), ("user", "two")]
        assert said(row)[0][1] == "Be brief."
        assert [message.text for message in one.messages if message.role == "user"] == ["one", "two"]


def test_a_summary_is_written_when_the_window_is_full(signed_in: Emulator, side: Side) -> None:
    """The roles alternate, also in the middle of a run; and the calls of the run are whole."""

    def look() -> str:
        """Look."""
        return "x"

    talk = side.client(reasoning_summary="none").conversation(compact="summary")
    side.do(talk.say("one"))
    calls = [Turn(tool_calls=[Call("look", {})]) for _ in range(2)]
    signed_in.play(*calls, Turn(fault="context_length_exceeded"), Turn(text="So far."), Turn(text="Done."))
    response = side.do(talk.run("two", tools=[look]))

    assert response.text == "Done."
    assert len(response.steps) == 3
    last = posts(signed_in)[-1]
    assert said(last) == [("user", SUMMARISE), ("assistant", "So far."), ("user", "Go on.")]
    assert kinds(last)[-2:] == ["function_call", "function_call_output"]
    assert posts(signed_in)[-2]["body"]["tool_choice"] == "none"
    assert talk.compacted == 5
    assert response.messages == talk.messages


@pytest.mark.parametrize(
    "turn", [Turn(text=" \n"), Turn(text="x", fault="incomplete_max_output_tokens")], ids=["empty", "cut off"]
)
def test_what_is_no_whole_summary_is_not_used(signed_in: Emulator, side: Side, turn: Turn) -> None:
    """The history is as it was, and the conversation goes on."""
    talk = side.client().conversation(compact="summary")
    side.do(talk.say("one"))
    signed_in.play(turn)
    with pytest.raises(onplan.UnexpectedReplyError, match="did not write a whole summary"):
        side.do(talk.compact())
    assert talk.compacted == 0
    assert side.do(talk.say("two")).text == "You said: two"


@pytest.mark.parametrize(
    "options",
    [
        {"compact": "yes"},
        {"compact": True},
        {"compact": ["auto"]},
        *({"compact": "auto", "compact_at": at} for at in (0, 1.5, -1, "half", True, None, float("nan"))),
    ],
)
def test_choices_that_there_are_not_are_refused(options: dict[str, Any], side: Side) -> None:
    """Where they are made, and by name."""
    with pytest.raises(onplan.InvalidRequestError, match=r"compact(_at)? is "):
        side.client().conversation(**options)


def test_a_turn_has_to_end_before(signed_in: Emulator, side: Side) -> None:
    """A compaction is a turn: one at a time."""
    talk = side.client().conversation()
    side.do(talk.say("one"))
    stream = talk.stream("two")
    chunk = side.do(anext(stream)) if side.is_async else next(stream)
    assert chunk.type
    with pytest.raises(onplan.InvalidRequestError, match="has not ended yet"):
        side.do(talk.compact())
    side.do(stream.close())
    side.do(talk.compact())
    assert talk.compacted == 2


async def test_a_compaction_can_be_cancelled(signed_in: Emulator) -> None:
    """The history is as it was, and the next turn has room."""
    async with onplan.AsyncClient(model="gpt-5.5", transport="sse") as client:
        talk = client.conversation()
        await talk.say("one")
        signed_in.arm("stall")
        asking = asyncio.ensure_future(talk.compact())
        await asyncio.to_thread(eventually, lambda: compactions(signed_in))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        signed_in.disarm()
        assert talk.compacted == 0
        assert (await talk.say("two")).text == "You said: two"


def test_images_stay_with_what_the_user_said(signed_in: Emulator, side: Side) -> None:
    """They are not in the compaction's place."""
    talk = side.client(reasoning_summary="none").conversation()
    side.do(talk.say(["Look:", Image(path=str(PIXEL))]))
    side.do(talk.compact())
    side.do(talk.say("And?"))
    sent = posts(signed_in)[-1]["body"]["input"]
    assert [part["type"] for part in sent[0]["content"]] == ["input_text", "input_image"]
    assert sent[1]["type"] == "compaction"
