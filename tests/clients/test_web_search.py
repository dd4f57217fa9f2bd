"""The hosted web search, by both clients over every transport: what it did, what it cites, what goes back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan import ToolChoice
from onplan.emulator import Emulator, Turn

from .exact import Answer, Exact

SEARCH = onplan.web_search(allowed_domains=["birds.example"])
ASKED: dict[str, Any] = {"model": "gpt-5.5", "tools": [SEARCH]}
CITED = "Insects ([birds.example](https://birds.example/wren))."


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    rows = [row for row in emulator.journal() if row["path"].endswith("/responses") and row["status"] != 101]
    return [row["body"] for row in rows]


def test_a_model_that_is_made_to_searches(signed_in: Emulator, driver: Any) -> None:
    """What it searched for can be read, and the links in its text are the citations, marked as links."""
    chunks = driver().chunks("What do wrens eat?", tool_choice=ToolChoice("web_search"), **ASKED)
    response = chunks[-1].response

    assert response.searches == [onplan.SearchAction("search", ["What do wrens eat?"], status="completed")]
    first = response.citations[0]
    assert (first.url, first.source) == ("https://birds.example/wren", "link")
    for found in response.citations:
        assert response.text[found.start : found.end] == f"[{found.title}]({found.url})"
    assert [chunk.part for chunk in chunks if chunk.type == "part_done"] == response.message.content
    assert bodies(signed_in)[0]["tools"] == [
        {
            "type": "web_search",
            "external_web_access": True,
            "filters": {"allowed_domains": ["birds.example"]},
        }
    ]


def test_a_model_without_the_hosted_search_says_what_it_can_use(signed_in: Emulator, driver: Any) -> None:
    """The function that searches, or another model."""
    with pytest.raises(onplan.InvalidRequestError, match="'web_search' is not supported") as caught:
        driver().complete("What do wrens eat?", model="gpt-6.2-sol", tools=[SEARCH])
    assert "client.search.tool()" in caught.value.hint
    assert "supports_web_search" in caught.value.hint


def test_annotations_of_the_server_come_before_links(signed_in: Emulator, driver: Any) -> None:
    """They say so, and where in the text."""
    signed_in.play(Turn(searches=["wrens", "food of wrens"], text=CITED, fault="annotated_links"))
    response = driver().complete("What do wrens eat?", **ASKED)

    link = "[birds.example](https://birds.example/wren)"
    (found,) = response.citations
    assert (found.source, response.text[found.start : found.end]) == ("annotation", link)
    assert [search.queries for search in response.searches] == [["wrens"], ["food of wrens"]]


def test_the_next_turn_gives_searches_and_annotations_back(signed_in: Emulator, driver: Any) -> None:
    """Whole, and in their order."""
    signed_in.play(Turn(searches=["wrens"], text=CITED, fault="annotated_links"))
    asker = driver()
    first = asker.complete("What do wrens eat?", **ASKED)
    asker.complete([onplan.Message.user("What do wrens eat?"), first.message, "Sure?"], **ASKED)

    _, thought, call, said, _ = bodies(signed_in)[-1]["input"]
    assert thought["type"] == "reasoning"
    assert call.pop("id").startswith("ws_")
    assert call == {
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "wrens", "queries": ["wrens"]},
    }
    (part,) = said["content"]
    assert (part["text"], part["annotations"][0]["url"]) == (CITED, "https://birds.example/wren")


def test_a_warm_websocket_goes_on_after_a_search(signed_in: Emulator) -> None:
    """The next message over it has only what is new: the server still has the search."""
    signed_in.play(Turn(searches=["wrens"], text=CITED, fault="annotated_links"))

    async def talk() -> None:
        async with onplan.AsyncClient(transport="websocket") as client:
            conversation = client.conversation(**ASKED)
            await conversation.say("What do wrens eat?")
            await conversation.say("Sure?")

    asyncio.run(talk())
    last = [row["body"] for row in signed_in.journal() if row.get("transport") == "websocket"][-1]
    assert [item["role"] for item in last["input"]] == ["user"]


def test_a_conversation_is_saved_and_loaded_with_its_searches(signed_in: Emulator, tmp_path: Path) -> None:
    """What the file holds goes to the server as if it had never been closed."""
    signed_in.play(Turn(searches=["wrens"], text=CITED, fault="annotated_links"))
    path = tmp_path / "talk.jsonl"
    with onplan.Client() as client:
        talk = client.conversation(**ASKED)
        talk.say("What do wrens eat?")
        talk.save(path)
        loaded = client.conversation.load(path)
        assert loaded.messages == talk.messages
        loaded.say("Sure?")
        talk.say("Sure?")
    assert bodies(signed_in)[-1]["input"] == bodies(signed_in)[-2]["input"]


def test_the_list_of_sources_of_a_search_does_not_go_back(signed_in: Emulator) -> None:
    """The official client leaves it out as well. The program can read it."""
    action = {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a.example"}]}
    call = onplan.HostedToolCall("web_search", {"id": "ws_1", "status": "completed", "action": action})
    with onplan.Client(model="gpt-5.5") as client:
        client.complete(["q", onplan.Message.assistant(call, "a"), onplan.Message.user("r")])
    sent = bodies(signed_in)[-1]["input"][1]
    assert sent["action"] == {"type": "search", "query": "q"}
    assert "sources" in action


INNER = {"url": "https://a.example", "title": "A", "start_index": 3, "end_index": 5}
ANNOTATIONS = [{"type": "url_citation", "url_citation": INNER}]


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    value = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    return f"data: {json.dumps(value)}\n\n".encode()


STREAMED = [
    chunk({"content": "By"}),
    chunk({"annotations": ANNOTATIONS}),
    chunk({"content": " us."}, "stop"),
    b"data: [DONE]\n\n",
]
WHOLE = [
    json.dumps(
        {
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "By us.", "annotations": ANNOTATIONS},
                    "finish_reason": "stop",
                }
            ]
        }
    ).encode()
]


@pytest.mark.parametrize("driver", ["sync", "async"], indirect=True)
@pytest.mark.parametrize("pieces", [STREAMED, WHOLE], ids=["stream", "whole"])
def test_chat_completions_cite_in_their_own_shape(driver: Any, network: Any, pieces: list[bytes]) -> None:
    """Annotations are those of the other API afterwards, and are not sent where servers refuse them."""
    kind = "text/event-stream" if pieces is STREAMED else "application/json"
    server = Exact(lambda body: Answer(pieces, content_type=kind))
    server.port = network.serve(server.handle)
    asker = driver(backend="openai", base_url=server.url, api_key="k")
    response = asker.complete("Who?", model="m")

    assert response.citations == [onplan.Citation("https://a.example", "A", 3, 5, "annotation")]
    search = onplan.HostedToolCall("web_search", {"id": "ws_1"})
    history = [
        onplan.Message.user("Who?"),
        onplan.Message.assistant(search, *response.message.content),
        "Why?",
    ]
    asker.complete(history, model="m")
    assert server.bodies[-1]["messages"][1] == {"role": "assistant", "content": "By us."}


def test_a_model_that_takes_no_hosted_search_says_so(signed_in: Emulator) -> None:
    """The catalogue tells before."""
    with onplan.Client() as client:
        known = {model.id: model.supports_web_search for model in client.list_models()}
        assert (known["gpt-5.5"], known["gpt-6.2-sol"]) == (True, False)
        with pytest.raises(onplan.InvalidRequestError, match="web_search"):
            client.complete("q", model="gpt-6.2-sol", tools=[SEARCH])
