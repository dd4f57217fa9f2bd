"""`onplan ask --search`: the search that the model takes, and what it cites, below the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import onplan
from onplan.cli.search import citation_lines
from onplan.client_parts import takes_hosted_search
from onplan.emulator import Call, Emulator, Turn

from .terminal import ONPLAN, Terminal

WREN = "https://birds.example/wren"


def test_a_model_with_the_hosted_search_gets_that(signed_in: Emulator) -> None:
    """It is made to search. At a terminal the pages that it names are listed, on stderr."""
    terminal = Terminal(*ONPLAN, "ask", "--search", "-m", "gpt-5.5", "What does the wren eat?")
    terminal.read_until(WREN)
    out, _ = terminal.process.communicate(timeout=60)

    assert out.startswith("Found: [The wren](https://birds.example/wren)")
    assert "Links in the answer:\n  1. The wren https://birds.example/wren" in terminal.screen
    body = [row["body"] for row in signed_in.journal() if row["path"].endswith("/responses")][-1]
    assert (body["tools"][0]["type"], body["tool_choice"]) == ("web_search", {"type": "web_search"})


def test_another_model_gets_a_tool(signed_in: Emulator, run_cli: Callable[..., Any]) -> None:
    """The answer after the search is printed; in a pipe, nothing else is."""
    signed_in.play(
        Turn(tool_calls=[Call("search_web", {"search_query": [{"q": "the wren"}]})]),
        Turn(text=f"[Insects]({WREN})"),
    )
    done = run_cli("ask", "--search", "What does the wren eat?")

    assert (done.returncode, done.stdout, done.stderr) == (0, f"[Insects]({WREN})\n", "")
    assert [row["status"] for row in signed_in.journal() if row["path"].endswith("/alpha/search")] == [200]
    bodies = [row["body"] for row in signed_in.journal() if row["path"].endswith("/responses")]
    assert [body["tool_choice"] for body in bodies if body.get("generate") is not False] == [
        {"type": "function", "name": "search_web"},
        "auto",
    ]


def test_the_small_model_searches(signed_in: Emulator, run_cli: Callable[..., Any]) -> None:
    """It calls the tool with arguments that the tool takes, so that a first try at an emulator succeeds."""
    done = run_cli("ask", "--search", "What does the wren eat?")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("search_web returned:")
    assert [row["status"] for row in signed_in.journal() if row["path"].endswith("/alpha/search")] == [200]


def test_json_has_the_calls_in_it(signed_in: Emulator, run_cli: Callable[..., Any]) -> None:
    """Each line is a chunk of the run, and the last one its whole answer."""
    signed_in.play(
        Turn(tool_calls=[Call("search_web", {"search_query": [{"q": "the wren"}]})]), Turn(text="Insects.")
    )
    done = run_cli("ask", "--json", "--search", "What does the wren eat?")

    chunks = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [chunk["type"] for chunk in chunks].count("tool_done") == 1
    assert chunks[-1]["type"] == "done"


def test_which_models_take_the_hosted_search(signed_in: Emulator) -> None:
    """The catalogue says it, else the built-in list; one that is not known gets the tool."""
    with onplan.Client() as client:
        models = ("gpt-5.5", "gpt-6.2-sol", "gpt-7", None)
        assert [takes_hosted_search(client, model) for model in models] == [True, False, False, False]
    with onplan.Client(backend="openai", api_key="sk-a") as client:
        assert takes_hosted_search(client, "m")


def cited(url: str, title: str, source: Any = "annotation") -> onplan.Citation:
    return onplan.Citation(url, title, None, None, source)


def test_each_page_is_listed_once_and_nothing_in_it_is_obeyed() -> None:
    """Neither line breaks nor escape sequences of a title reach the terminal."""
    pages = [cited("https://a.example", "A\n\x1b[31mB\x9b"), cited("https://a.example", "again")]
    assert citation_lines(pages) == ["Sources:", "  1. A ␛[31mB� https://a.example"]
    assert citation_lines([cited("https://b.example", "", "link")])[0] == "Links in the answer:"
    assert citation_lines([]) == []
