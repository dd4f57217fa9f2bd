"""Which pages an answer cites, and what was searched for."""

from __future__ import annotations

from typing import Any

import pytest

import onplan
from onplan import Citation, HostedToolCall, Message, SearchAction, Text, ToolCall
from onplan.types.web_search import domains_from

PAGE = "https://a.example"
TEXT = "By [a](https://a.example)."


def cited(start: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"type": "url_citation", "start_index": start, "end_index": end, "url": PAGE, **more}


def answer(*parts: onplan.ContentPart) -> onplan.CompletionResponse:
    message, reason = Message.assistant(*parts), onplan.FinishReason.STOP
    return onplan.CompletionResponse(message, onplan.Usage(), reason, "gpt-5.5")


def test_annotations_are_places_in_the_whole_text() -> None:
    """Also in the second part; the links of the text then do not count."""
    response = answer(Text("Hello. "), ToolCall("c", "f", "{}"), Text(TEXT, None, [cited(3, 25, title="A")]))
    assert response.citations == [Citation(PAGE, "A", 10, 32, "annotation")]
    assert response.text[10:32] == "[a](https://a.example)"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        *((None, 3), (0, None), (3, 2), (-1, 2), (0, 27), (27, 27), ("0", "1")),
        *((True, 2), (0, True), (0.0, 1), (0, 1.0)),
    ],
)
def test_a_place_that_there_is_not_is_none(start: Any, end: Any) -> None:
    """The page is named all the same, and a title that is no text is empty."""
    response = answer(Text(TEXT, None, [cited(start, end, title=5)]))
    assert response.citations == [Citation(PAGE, "", None, None, "annotation")]


@pytest.mark.parametrize(("start", "end"), [(0, 26), (0, 0), (26, 26), (25, 26)])
def test_a_place_may_be_at_either_end(start: int, end: int) -> None:
    """It may be empty, too."""
    response = answer(Text(TEXT, None, [cited(start, end)]))
    assert response.citations == [Citation(PAGE, "", start, end, "annotation")]


@pytest.mark.parametrize(
    "annotations",
    [[], [{"type": "file_citation", "file_id": "f", "index": 3}], [{"type": "url_citation", "url": 5}], [{}]],
)
def test_without_annotations_of_pages_links_count(annotations: list[dict[str, Any]]) -> None:
    """They say that they are only links."""
    (citation,) = answer(Text("So. "), Text(TEXT, None, annotations)).citations
    assert citation == Citation(PAGE, "a", 7, 29, "link")


def test_an_answer_without_either_cites_nothing() -> None:
    """Nor does one that calls tools."""
    assert answer(ToolCall("c", "f", "{}")).citations == answer(Text("a](b")).citations == []
    assert answer().searches == []


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        (
            {"status": "completed", "action": {"type": "search", "query": "q", "queries": ["q", 5, "r"]}},
            SearchAction("search", ["q", "r"], status="completed"),
        ),
        ({"action": {"type": "search", "query": "q"}}, SearchAction("search", ["q"])),
        ({"action": {"type": "open_page", "url": PAGE}}, SearchAction("open_page", url=PAGE)),
        (
            {"action": {"type": "find_in_page", "url": PAGE, "pattern": "p"}},
            SearchAction("find_in_page", url=PAGE, pattern="p"),
        ),
        ({"action": {"type": "sparkle", "query": 5, "queries": "q", "url": []}}, SearchAction("sparkle")),
        ({"action": "search"}, SearchAction()),
        ({}, SearchAction()),
    ],
)
def test_what_was_searched_for(fields: dict[str, Any], action: SearchAction) -> None:
    """Each call of the hosted search, whatever the server says of it; no other tool's."""
    response = answer(HostedToolCall("web_search", fields), HostedToolCall("sparkle", fields), Text("a"))
    assert response.searches == [action]
    assert (SearchAction().action, SearchAction().queries) == ("", [])


def test_parts_with_dicts_in_them_can_stand_in_sets() -> None:
    """As other parts do."""
    text, call = Text("a", None, [cited(0, 1)]), HostedToolCall("web_search", {"id": "ws_1"})
    assert len({text, Text("a"), call, HostedToolCall("web_search", {"id": "ws_1"})}) == 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Text("a", None, "b"), "Text.annotations are not a list of JSON objects"),
        (lambda: Text("a", None, [5]), "Text.annotations are not a list of JSON objects"),
        (lambda: Text("a", None, [{"a": object()}]), "Text.annotations are not a list of JSON objects"),
        (lambda: HostedToolCall("web_search", [5]), "HostedToolCall.fields is a dict"),
        (lambda: HostedToolCall("web_search", {"a": {"b": object()}}), "HostedToolCall.fields is a dict"),
        (lambda: HostedToolCall(5), "HostedToolCall.name is a string"),
        (lambda: onplan.web_search(live="no"), "live has a wrong value"),
        (lambda: onplan.web_search(context_size="big"), "context_size has a wrong value"),
        (
            lambda: onplan.web_search(allowed_domains=["https://a.example"]),
            "allowed_domains has a wrong value",
        ),
        (lambda: onplan.web_search(allowed_domains=5), "allowed_domains has a wrong value"),
        (lambda: onplan.web_search(location={"planet": "Mars"}), "location has a wrong value"),
        (lambda: onplan.web_search(location={"city": 5}), "location has a wrong value"),
        (lambda: onplan.web_search(location="Rome"), "location has a wrong value"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(make: Any, says: str) -> None:
    """With a sentence that names the field."""
    with pytest.raises(onplan.InvalidRequestError, match=says):
        make()


def test_the_hosted_tool_says_what_it_was_told() -> None:
    """In the backend's words; without arguments only that pages may be fetched."""
    assert onplan.web_search() == onplan.HostedTool("web_search", {"external_web_access": True})
    assert onplan.web_search(live=None).options == {}
    for size in ("low", "medium", "high"):
        options = onplan.web_search(live=None, context_size=size).options
        assert options == {"search_context_size": size}
    full = onplan.web_search(
        live=False, allowed_domains="a.example", location={"country": "NO"}, context_size="low"
    )
    assert full.options == {
        "external_web_access": False,
        "filters": {"allowed_domains": ["a.example"]},
        "search_context_size": "low",
        "user_location": {"type": "approximate", "country": "NO"},
    }


@pytest.mark.parametrize(
    "domain",
    ["a.example", "b\u00fccher.example", "localhost", "x" * 253],
    ids=lambda each: each[:20],
)
def test_what_a_domain_is(domain: str) -> None:
    """A name, of any script."""
    for given in (domain, [domain], iter([domain])):
        options = onplan.web_search(allowed_domains=given).options
        assert options["filters"] == {"allowed_domains": [domain]}


@pytest.mark.parametrize(
    "domain",
    ["", " ", "a b", "a/b", "a:80", "me@a", "a?", "a#", "a\n", "a\0", "a\x1f", "x" * 254, 5, None, b"a"],
    ids=lambda each: repr(each)[:20],
)
def test_what_no_domain_is(domain: Any) -> None:
    """Anything else that an address may have, and whatever is too long for one."""
    with pytest.raises(onplan.InvalidRequestError, match="allowed_domains has a wrong value") as caught:
        onplan.web_search(allowed_domains=["a.example", domain])
    assert "without https:// and paths" in caught.value.hint


@pytest.mark.parametrize("domains", [None, [], ()])
def test_without_domains_every_page_may_be_used(domains: Any) -> None:
    """Nothing is sent of them."""
    assert "filters" not in onplan.web_search(allowed_domains=domains).options
    assert domains_from(domains, "allowed_domains") == []


def test_items_of_a_search_are_read_from_dicts() -> None:
    """Output items as the openai SDK gives them back; annotations of either API stay with their text."""
    call = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    said = {"type": "output_text", "text": "a", "annotations": [cited(0, 1)], "logprobs": []}
    item = {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": [said]}
    chat = {
        "role": "assistant",
        "content": "a",
        "annotations": [
            {"type": "url_citation", "url_citation": {"url": PAGE, "start_index": 0, "end_index": 1}}
        ],
    }
    messages = onplan.CompletionRequest(messages=["q", call, item, chat]).messages
    fields = {name: value for name, value in call.items() if name != "type"}
    text = Text("a", None, [cited(0, 1)])
    assert messages[1].content == [HostedToolCall("web_search", fields), text]
    assert messages[2].content == [text]
