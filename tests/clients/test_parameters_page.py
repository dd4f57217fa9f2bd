"""docs/parameters.md says what becomes of each parameter at each backend; each one is sent there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores.memory import MemoryStore

from ..conftest import issued

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "parameters.md").read_text()

TOOL = onplan.ToolDefinition("weather", parameters={"type": "object", "properties": {}})
# A value for each field, and what is given beside it.
GIVEN: dict[str, Any] = {
    "messages": "one two three",
    "model": "gpt-5.5",
    "tools": [TOOL],
    "tool_choice": "none",
    "parallel_tool_calls": False,
    "temperature": 1.0,
    "top_p": 0.5,
    "max_tokens": 50,
    "stop": "zzz",
    "reasoning_effort": "low",
    "reasoning_summary": "concise",
    "verbosity": "low",
    "service_tier": "priority",
    "response_format": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "session_id": "a-session",
    "metadata": {"a": "b"},
    "CustomTool": [onplan.CustomTool("exec")],
    "HostedTool": [onplan.HostedTool("web_search")],
    "extra_body": {},
}
KINDS_OF_TOOLS = {"CustomTool": "custom", "HostedTool": "web_search"}
SAMPLING = ("temperature", "top_p", "stop")
# Where a field may be in a body, for either API, if not under its own name.
PLACES: dict[str, tuple[str, ...]] = {
    "messages": ("messages", "input"),
    "max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens"),
    "reasoning_effort": ("reasoning_effort", "reasoning.effort"),
    "reasoning_summary": ("reasoning.summary",),
    "verbosity": ("verbosity", "text.verbosity"),
    "response_format": ("response_format", "text.format"),
    "session_id": ("prompt_cache_key",),
    **dict.fromkeys(KINDS_OF_TOOLS, ("tools",)),
    "extra_body": ("verbosity", "text.verbosity"),
}


def table() -> Iterator[tuple[str, str, str]]:
    """The cells of the page's table: the column, the parameter, what becomes of it."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    head, _, *rows = lines
    for name, *cells in rows:
        yield from ((column, name.strip("`"), cell) for column, cell in zip(head[1:], cells, strict=True))


CELLS = list(table())


def test_the_page_is_what_the_table_says() -> None:
    """`tools/parameters.py --write` writes it anew; it has a row for every field of a request."""
    written = subprocess.run(
        [sys.executable, ROOT / "tools" / "parameters.py"],
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert written.stdout == PAGE
    names = {*onplan.CompletionRequest.__struct_fields__, *KINDS_OF_TOOLS}
    assert {name for _, name, _ in CELLS} == names == set(GIVEN)


class Forwarding(httpx2.HTTPTransport):
    """Carries what is meant for a service at its own address to the emulator."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__()
        self._port = int(emulator.issuer.rpartition(":")[2])

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return super().handle_request(request)


def client_for(column: str, emulator: Emulator, http: httpx2.Client, **more: Any) -> onplan.Client:
    """A client of the backend in a column."""
    api: Any = "responses" if column.endswith("Responses") else "chat"
    match column.partition(",")[0].strip("`"):
        case "compatible servers":
            url = emulator.urls["openai_base_url"]
            return onplan.Client(backend="openai", api=api, base_url=url, api_key="sk-any", **more)
        case "openai":
            return onplan.Client(backend="openai", api=api, api_key="sk-any", http_client=http, **more)
        case name:
            tokens = emulator.issue_plan_tokens() if name == "chatgpt-plan" else emulator.issue_tokens()
            record = issued(tokens, load_settings(backend=name).issuer)
            return onplan.Client(backend=name, store=MemoryStore(record=record), **more)


@pytest.fixture
def http(emulator: Emulator) -> Iterator[httpx2.Client]:
    """The way to the platform's own address."""
    with httpx2.Client(transport=Forwarding(emulator)) as client:
        yield client


def given(name: str, column: str) -> dict[str, Any]:
    """The keyword that gives a parameter."""
    if name in KINDS_OF_TOOLS:
        return {"tools": GIVEN[name]}
    if name == "extra_body":  # servers refuse what they do not know, so here it is what they do
        return {name: {"text": {"verbosity": "low"}} if is_responses(column) else {"verbosity": "low"}}
    return {name: GIVEN[name]}


def is_responses(column: str) -> bool:
    return not column.endswith("Chat Completions")


def field_at(body: Any, path: str) -> Any:
    for key in path.split("."):
        body = body.get(key) if isinstance(body, dict) else None
    return body


def is_in(body: dict[str, Any], name: str) -> bool:
    return any(field_at(body, path) is not None for path in PLACES.get(name, (name,)))


def asked(emulator: Emulator) -> list[dict[str, Any]]:
    return [row["body"] for row in emulator.journal() if row["method"] == "POST" and "model" in row["body"]]


@pytest.mark.parametrize("column", dict.fromkeys(column for column, _, _ in CELLS))
def test_each_parameter_is_found_where_the_page_says(
    emulator: Emulator, http: httpx2.Client, column: str
) -> None:
    """In the request, in one of the two lists of the answer, or in the error; nowhere else."""
    said = {name: cell for where, name, cell in CELLS if where == column}
    with (
        client_for(column, emulator, http) as client,
        client_for(column, emulator, http, unsupported="raise") as raising,
    ):
        for name, cell in said.items():
            for tools in ([], [TOOL]):
                fields = {"messages": "hi", "model": "gpt-5.5", "tools": tools, **given(name, column)}
                if cell == "an error":
                    with pytest.raises(onplan.InvalidRequestError, match=GIVEN[name][0].name):
                        client.complete(**fields)
                    continue
                if cell.startswith("sent") and name in SAMPLING:
                    fields["model"] = "gpt-4.1"  # models that reason refuse it, and that is told the program
                is_sent = cell in ("sent", "sent or emulated") or (cell == "sent with tools" and bool(tools))
                answer = client.complete(**fields)
                body = asked(emulator)[-1]
                where = f"{name} at {column}"

                if is_sent:
                    assert is_in(body, name), where
                elif name != "session_id" or column.startswith("compatible"):
                    assert str(GIVEN[name]) not in str(body), where
                assert answer.ignored_parameters == ([] if is_sent or cell == "emulated" else [name]), where
                assert answer.emulated_parameters == ([name] if cell == "emulated" else []), where

                if name in KINDS_OF_TOOLS:
                    assert [tool["type"] for tool in body["tools"]] == [KINDS_OF_TOOLS[name]], where
                if cell == "sent or emulated":
                    emulated = client.complete(**{**fields, "model": "gpt-5.5"})
                    assert (emulated.emulated_parameters, emulated.ignored_parameters) == ([name], []), where
                    assert name not in asked(emulator)[-1], where
                count = len(asked(emulator))
                if answer.ignored_parameters:
                    with pytest.raises(onplan.InvalidRequestError, match=name):
                        raising.complete(**fields)
                else:
                    raising.complete(**fields)
                assert len(asked(emulator)) == count + (not answer.ignored_parameters), where
