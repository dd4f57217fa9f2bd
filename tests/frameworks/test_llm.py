"""The plug-in of ``llm`` on its command line: prompts, conversations, tools, attachments, options."""

# ruff: noqa: F811 - fixtures are imported, and then named as arguments
from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import llm
import pytest

from onplan.backends import OPENAI_CODEX
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Turn

from .llm_plugin import ARGUMENTS, LOOKED, MODEL, asked, registered, type_, user_folder  # noqa: F401

PIXEL = Path(__file__).parents[1] / "pixel.png"
FUNCTION = 'def weather(city: str) -> str:\n    "The weather."\n    return f"rain in {city}"\n'


def test_a_prompt(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """Answered as it streams and whole, with a system prompt, by the alias, and logged with its usage."""
    assert type_("-m", MODEL, "one two", "-s", "Be brief").stdout == "You said: one two\n"
    assert type_("-m", "onplan", "--no-stream", "three").stdout == "You said: three\n"
    assert type_("-m", MODEL, "-R", "four", "-u").stderr.startswith("Token usage: ")

    first, default, _ = asked(signed_in)
    assert first["model"] == "gpt-5.5"
    assert default["model"] == OPENAI_CODEX.fallback_models[0].id
    [system] = [item for item in first["input"] if item["role"] != "user"]
    assert system["content"][0]["text"] == "Be brief"
    row = json.loads(type_("logs", "-m", MODEL, "-n", "0", "--json").stdout)[0]
    assert row["resolved_model"] == "gpt-5.5"
    assert row["input_tokens"] > 0 < row["output_tokens"]
    assert json.loads(row["token_details"])["output_tokens_details"]["reasoning_tokens"] > 0
    assert row["response_json"]["finish_reason"] == "stop"
    assert row["response_json"]["limits"]["windows"][0]["used_percent"] > 0


@pytest.mark.parametrize("options", [[], ["--async"]])
def test_the_default_model(
    type_: Callable[..., Any], signed_in: Emulator, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """It is the best one that is listed, which is kept for a day, or the one that onplan's settings name."""
    type_("-m", "onplan", "one", *options)
    assert (load_settings().home / "models.json").exists()
    monkeypatch.setenv("ONPLAN_MODEL", "gpt-5.5")
    type_("-m", "onplan", "one", *options)
    assert [body["model"] for body in asked(signed_in)] == [OPENAI_CODEX.fallback_models[0].id, "gpt-5.5"]


def test_a_conversation_goes_on(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``-c`` gives the sealed reasoning back, and finds the beginning in the prompt cache."""
    type_("-m", MODEL, "one two", "-s", "Be brief", "-a", PIXEL)
    type_("-c", "and three")
    type_("-c", "and four")

    bodies = asked(signed_in)
    assert len({body["prompt_cache_key"] for body in bodies}) == 1
    for before, after in pairwise(bodies):
        assert after["input"][: len(before["input"])] == before["input"]
    sealed = [item["encrypted_content"] for item in bodies[2]["input"] if item["type"] == "reasoning"]
    assert len(sealed) == len(set(sealed)) == 2
    rows = json.loads(type_("logs", "-n", "0", "--json").stdout)
    cached = [json.loads(row["token_details"]).get("input_tokens_details") for row in rows]
    assert cached[0] is None
    assert 0 < cached[1]["cached_tokens"] < cached[2]["cached_tokens"]


def test_tools(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """A function of the person's is called; its result and the thinking before it go back."""
    signed_in.play(LOOKED, Turn(text="Take a coat."))
    done = type_("-m", MODEL, "A coat?", "--functions", FUNCTION, "--td")
    type_("-c", "Sure?")

    assert done.stdout.rstrip().endswith("Take a coat.")
    assert "rain in Oslo" in done.stderr
    first, second, third = asked(signed_in)
    assert first["tools"][0]["name"] == "weather"
    assert [item["type"] for item in second["input"]] == [
        "message",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert second["input"][2]["arguments"] == ARGUMENTS
    assert second["input"][3]["output"] == "rain in Oslo"
    assert third["input"][:4] == second["input"]
    assert json.loads(type_("logs", "-n", "0", "--json").stdout)[0]["tool_calls"][0]["name"] == "weather"


def test_schemas(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``--schema`` is a strict JSON schema, and the answer fits it."""
    answer = type_("-m", MODEL, "--schema", "name, wingspan int", "A bird").stdout

    assert {name: type(value) for name, value in json.loads(answer).items()} == {"name": str, "wingspan": int}
    assert asked(signed_in)[0]["text"]["format"]["strict"] is True


def test_a_schema_of_no_object(signed_in: Emulator) -> None:
    """The backend takes objects only, so one is made around it; the answer is what was asked for."""
    signed_in.play(Turn(text='{"value": ["wren", "é"]}'))
    response = llm.get_model(MODEL).prompt("Birds", schema={"type": "array", "items": {"type": "string"}})

    assert response.text() == '["wren", "é"]'


def test_attachments(type_: Callable[..., Any], signed_in: Emulator, tmp_path: Path) -> None:
    """Images and PDFs, by path, from stdin and by URL; other kinds are refused before anything is sent."""
    pdf = tmp_path / "a.pdf"
    pdf.write_bytes(b"%PDF-1.4\n%%EOF\n")
    type_("-m", MODEL, "What?", "-a", PIXEL, "-a", pdf, "-o", "image_detail", "low")
    type_("-m", MODEL, "What?", "--at", "https://example.com/a.png", "image/png")
    sent = [
        [part for part in body["input"][0]["content"] if part["type"] != "input_text"]
        for body in asked(signed_in)
    ]
    image, file = sent[0]

    assert image["image_url"] == "data:image/png;base64," + base64.b64encode(PIXEL.read_bytes()).decode()
    assert image["detail"] == "low"
    assert file["file_data"].startswith("data:application/pdf;base64,")
    assert sent[1] == [{"type": "input_image", "image_url": "https://example.com/a.png"}]
    (tmp_path / "a.mp3").write_bytes(b"ID3")
    refused = type_("-m", MODEL, "What?", "-a", tmp_path / "a.mp3", fails=True)
    assert "does not support attachments of type 'audio/mpeg'" in refused.stderr
    assert len(asked(signed_in)) == 2


def test_templates_fragments_and_kept_options(
    type_: Callable[..., Any], signed_in: Emulator, tmp_path: Path
) -> None:
    """What ``llm`` does around a model: templates, fragments, defaults for options."""
    (tmp_path / "long.txt").write_text("a long text")
    type_("-m", MODEL, "-s", "Translate", "-o", "verbosity", "low", "--save", "french")
    type_("models", "options", "set", MODEL, "reasoning_effort", "low")
    type_("-t", "french", "hello", "-f", tmp_path / "long.txt")

    [body] = asked(signed_in)
    assert body["text"]["verbosity"] == "low"
    assert body["reasoning"]["effort"] == "low"
    assert [item["content"][0]["text"] for item in body["input"]] == ["Translate", "a long text\nhello"]


def test_chat(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``llm chat`` keeps the conversation."""
    done = type_("chat", "-m", MODEL, typed="one\ntwo\nquit\n")

    assert "You said: one" in done.stdout
    assert "You said: two" in done.stdout
    first, second = asked(signed_in)
    assert second["input"][0] == first["input"][0]
    assert first["prompt_cache_key"] == second["prompt_cache_key"]


def test_options(type_: Callable[..., Any], signed_in: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Options go where they belong; what a plan does not take is said and logged."""
    options = {
        "reasoning_effort": "high",
        "reasoning_summary": "detailed",
        "verbosity": "low",
        "service_tier": "fast",
        "temperature": 0.2,
        "prompt_cache_key": "big",
        "tool_choice": "auto",
        "parallel_tool_calls": 0,
        "extra_body": '{"text": {"verbosity": "high"}}',
        "web_search": 1,
        "web_search_live": 0,
        "web_search_context_size": "low",
    }
    type_("-m", MODEL, "x", *(part for name, value in options.items() for part in ("-o", name, value)))

    [body] = asked(signed_in)
    assert body["reasoning"] == {"effort": "high", "summary": "detailed"}
    assert body["text"] == {"verbosity": "high"}
    assert (body["service_tier"], body["prompt_cache_key"]) == ("priority", "big")
    assert body["parallel_tool_calls"] is False
    assert body["tools"] == [
        {"type": "web_search", "external_web_access": False, "search_context_size": "low"}
    ]
    assert "temperature" not in body
    assert caplog.messages == ["openai-codex does not take temperature: left out."]
    row = json.loads(type_("logs", "--json").stdout)[0]
    assert row["response_json"]["ignored_parameters"] == ["temperature"]
    refused = type_("-m", MODEL, "x", "-o", "extra_body", "[]", fails=True)
    assert "not a JSON object" in refused.stderr


def test_an_answer_that_is_cut_off(
    type_: Callable[..., Any], signed_in: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """It is what was asked for, and the person is told."""
    signed_in.play(Turn(text="one two three four five six seven eight nine ten " * 9))
    said = type_("-m", MODEL, "x", "-o", "max_output_tokens", 5).stdout
    stopped = type_("-m", MODEL, "one two three", "-o", "stop", " two").stdout

    assert 0 < len(said) < 60
    assert "max_output_tokens" in caplog.text
    assert stopped == "You said: one\n"


def test_web_search(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """``-T WebSearch`` is the tool of the backend: its calls are logged, and given back as they came."""
    signed_in.play(Turn(searches=["wrens"], text="Insects."), Turn(text="Yes."))
    type_("-m", MODEL, "-T", "WebSearch(include_sources=true)", "What do wrens eat?")
    type_("-c", "Sure?")

    first, second = asked(signed_in)
    assert first["tools"] == [{"type": "web_search"}] == second["tools"]
    assert first["include"] == ["reasoning.encrypted_content", "web_search_call.action.sources"]
    [search] = [item for item in second["input"] if item["type"] == "web_search_call"]
    assert search["action"]["query"] == "wrens"
    logged = json.loads(type_("logs", "-n", "0", "--json").stdout)[0]["response_json"]
    assert logged["searches"][0]["queries"] == ["wrens"]


def test_searching_with_any_model(type_: Callable[..., Any], signed_in: Emulator) -> None:
    """Models that do not take that tool say what to type instead: functions, which share a session."""
    refused = type_("-m", "onplan/gpt-6-sol", "-T", "WebSearch", "x", fails=True).stderr
    assert "Use `-T OnplanSearch` instead" in refused
    signed_in.play(
        Turn(tool_calls=[Call("OnplanSearch_search", {"query": "wrens"})]),
        Turn(tool_calls=[Call("OnplanSearch_open", {"page": "turn0search0"})]),
        Turn(tool_calls=[Call("OnplanSearch_find", {"page": "turn0search0", "text": "insects"})]),
        Turn(text="Insects."),
    )
    type_("-m", "onplan/gpt-6-sol", "-T", "OnplanSearch", "What do wrens eat?")

    found, opened, passage = [item["output"] for item in asked(signed_in)[-1]["input"] if "output" in item]
    assert "turn0search0" in found
    assert "insects" in opened
    assert "insects" in passage
    sessions = {row["body"]["id"] for row in signed_in.journal() if row["path"].endswith("/alpha/search")}
    assert len(sessions) == 1
