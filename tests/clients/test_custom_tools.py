"""Custom tools by both clients, over every transport and in both APIs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

from .test_parameters_page import Forwarding

SELECT = onplan.Grammar("regex", r"SELECT \w+")
PATCH = '*** Begin Patch\n{"not": json'


def sql(query: str) -> str:
    """Run a query."""
    return f"rows of {query}"


def look(city: str) -> str:
    """Look at a city."""
    return f"a view of {city}"


TOOLS: list[Any] = [onplan.tool(sql, format=SELECT), onplan.tool(look)]


def sent(emulator: Emulator) -> list[dict[str, Any]]:
    return [row["body"] for row in emulator.journal() if row["method"] == "POST" and "model" in row["body"]]


def test_the_model_calls_and_is_told(signed_in: Emulator, driver: Any) -> None:
    """With a text that fits the grammar; functions stand beside it."""
    answer = driver().run("Well?", tools=TOOLS, model="gpt-5.5")
    assert answer.text == "sql returned: rows of SELECT a\nlook returned: a view of text"
    assert [(run.call.is_custom, run.outcome) for run in answer.steps[0].calls] == [
        (True, "returned"),
        (False, "returned"),
    ]
    assert answer.history_repairs == []


def test_a_text_that_is_no_json_stays_as_it_is(signed_in: Emulator, driver: Any) -> None:
    """In the chunks, in the conversation, and in what is sent back."""
    signed_in.play(Turn(tool_calls=[Call("apply_patch", PATCH)]), Turn(text="Done."))
    patch = onplan.CustomTool("apply_patch", "Change files.")
    chunks = driver().chunks("Change it.", tools=[patch], model="gpt-5.5")
    pieces = [chunk.arguments_delta for chunk in chunks if chunk.type == "tool_call_delta"]
    assert "".join(pieces) == PATCH
    message = chunks[-1].response.message
    (call,) = message.tool_calls
    assert (call.arguments, call.is_custom, call.parse_arguments()) == (PATCH, True, PATCH)
    history = [onplan.Message.user("Change it."), message, onplan.Message.tool(call.id, "changed")]
    assert driver().complete(history, tools=[patch], model="gpt-5.5").history_repairs == []
    if not any(row.get("transport") for row in signed_in.journal()):
        kinds = {item["type"]: item for item in sent(signed_in)[-1]["input"]}
        assert kinds["custom_tool_call"]["input"] == PATCH
        assert kinds["custom_tool_call_output"]["output"] == "changed"


def test_a_history_is_repaired(signed_in: Emulator, driver: Any) -> None:
    """A call without a result gets one of its kind; the other kind is refused."""
    call = onplan.ToolCall("call_1", "sql", "SELECT a", is_custom=True)
    history = [onplan.Message.user("?"), onplan.Message.assistant(call), onplan.Message.user("Well?")]
    answer = driver().complete(history, model="gpt-5.5")
    assert answer.text == "You said: Well?"
    assert answer.history_repairs == ["The call call_1 to sql had no result; one was sent that says so."]


def test_one_tool_can_be_chosen(signed_in: Emulator, driver: Any) -> None:
    """By its name, as any other."""
    fields = {"tools": TOOLS, "tool_choice": onplan.ToolChoice("sql"), "model": "gpt-5.5"}
    (call,) = driver().complete("?", **fields).tool_calls
    assert (call.name, call.arguments) == ("sql", "SELECT a")


@pytest.mark.parametrize(
    "fault", ["arguments_only_in_done", "arguments_only_in_item", "interleaved_tool_calls"]
)
@pytest.mark.parametrize("driver", ["sync"], indirect=True)
def test_a_server_may_send_it_in_other_ways(signed_in: Emulator, driver: Any, fault: str) -> None:
    """The text is whole all the same."""
    signed_in.arm(fault)
    calls = driver().complete("?", tools=TOOLS, model="gpt-5.5").tool_calls
    assert [(call.name, call.arguments) for call in calls] == [
        ("sql", "SELECT a"),
        ("look", '{"city":"text"}'),
    ]


@pytest.fixture
def platform(emulator: Emulator) -> Iterator[onplan.Client]:
    """A client of the platform's Chat Completions."""
    with (
        httpx2.Client(transport=Forwarding(emulator)) as http,
        onplan.Client(backend="openai", api="chat", api_key="sk-any", http_client=http) as client,
    ):
        yield client


def test_chat_completions_have_them(emulator: Emulator, platform: onplan.Client) -> None:
    """In their own shapes."""
    answer = platform.run("?", tools=TOOLS, model="gpt-5.5")
    assert answer.text == "sql returned: rows of SELECT a\nlook returned: a view of text"
    fields: dict[str, Any] = {"tools": TOOLS, "tool_choice": onplan.ToolChoice("sql"), "model": "gpt-5.5"}
    (call,) = platform.complete("?", **fields).tool_calls
    assert (call.arguments, call.is_custom) == ("SELECT a", True)
    assert sent(emulator)[-1]["tool_choice"] == {"type": "custom", "custom": {"name": "sql"}}


def test_a_compatible_server_is_not_offered_any(emulator: Emulator) -> None:
    """Over Chat Completions; what was called earlier is sent as a function's."""
    url = emulator.urls["openai_base_url"]
    call = onplan.ToolCall("call_1", "sql", "SELECT a", is_custom=True)
    history = ["?", onplan.Message.assistant(call), onplan.Message.tool("call_1", "rows"), "Well?"]
    with onplan.Client(backend="openai", base_url=url, api_key="sk-any") as client:
        with pytest.raises(onplan.InvalidRequestError, match="not known to take custom tools"):
            client.complete("?", tools=TOOLS, model="m")
        assert sent(emulator) == []
        answer = client.complete(history, model="gpt-5.5")
    assert answer.history_repairs == ["The call call_1 to the custom tool sql was sent as a function's."]
    (called,) = sent(emulator)[-1]["messages"][1]["tool_calls"]
    assert called["function"] == {"name": "sql", "arguments": '{"input":"SELECT a"}'}


@pytest.mark.parametrize("driver", ["sync"], indirect=True)
def test_a_saved_conversation_goes_on(signed_in: Emulator, driver: Any, tmp_path: Path) -> None:
    """Its tools and its calls are what they were."""
    path = tmp_path / "talk.jsonl"
    with driver().client() as client:
        talk = client.conversation(tools=[onplan.CustomTool("sql", format=SELECT)], model="gpt-5.5")
        (call,) = talk.say("?").tool_calls
        talk.save(path)
    with driver().client() as client:
        talk = client.conversation.load(path)
        assert talk.messages[-1].tool_calls == [call]
        assert talk.say(onplan.Message.tool(call.id, "7")).text == "sql returned: 7"
    assert sent(signed_in)[-1]["tools"][0]["format"]["definition"] == SELECT.definition


@pytest.mark.parametrize("driver", ["sync"], indirect=True)
def test_dicts_of_the_api_are_understood(signed_in: Emulator, driver: Any) -> None:
    """Items of the Responses API, and messages of Chat Completions."""
    items = [
        {"role": "user", "content": "?"},
        {
            "type": "custom_tool_call",
            "id": "ctc",
            "call_id": "c",
            "name": "sql",
            "input": PATCH,
            "status": "completed",
        },
        {"type": "custom_tool_call_output", "call_id": "c", "output": "7"},
    ]
    custom = {"name": "sql", "input": PATCH}
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": custom}]},
        {"role": "tool", "tool_call_id": "c", "content": "7"},
    ]
    for given in (items, messages):
        assert driver().complete(given, model="gpt-5.5").text == "sql returned: 7"
    first, second = sent(signed_in)
    assert first["input"] == second["input"]
    with pytest.raises(
        onplan.InvalidRequestError, match=r"messages\[0\]\.tool_calls\[0\]\.function is missing"
    ):
        driver().complete([{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}])
