"""Tools of MCP servers, of sessions as both versions of the mcp package have them."""

from __future__ import annotations

import asyncio
import base64
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import onplan

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Block(SimpleNamespace):
    """A content block: a model of pydantic."""

    def model_dump(self, **options: Any) -> dict[str, Any]:
        assert options == {"mode": "json", "by_alias": True, "exclude_none": True}
        return dict(vars(self))


def listed(name: str, **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"name": name, "description": "Wind.", "input_schema": SCHEMA, **fields})


class Session:
    """A session: each name of a tool is answered with the result of that name."""

    def __init__(self, *pages: list[SimpleNamespace], **results: SimpleNamespace) -> None:
        self._pages, self._results = pages, results
        self.called: list[tuple[str, Any]] = []

    async def list_tools(self, *, cursor: str | None = None) -> SimpleNamespace:
        return self._page(cursor)

    def _page(self, cursor: str | None) -> SimpleNamespace:
        number = int(cursor or 0)
        after = str(number + 1) if number + 1 < len(self._pages) else None
        return SimpleNamespace(tools=self._pages[number], next_cursor=after)

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> SimpleNamespace:
        self.called.append((name, arguments))
        return self._results[name.partition(".")[0]]


def made(session: Any, **options: Any) -> list[onplan.FunctionTool]:
    return asyncio.run(onplan.mcp_tools(session, **options))


def result(*content: Any, **fields: Any) -> SimpleNamespace:
    return SimpleNamespace(content=content, **{"is_error": False, "structured_content": None, **fields})


def test_tools_have_the_names_that_models_may_call() -> None:
    """Refused characters are replaced, long names cut and told apart, and a prefix stands before them."""
    long = ["x" * 80 + "a", "x" * 80 + "b"]
    tools = made(Session([listed("wind.speed/now"), listed(long[0]), listed(long[1])]), prefix="w_")
    names = [tool.name for tool in tools]
    assert names[0] == "w_wind_speed_now"
    assert len({*names}) == 3
    assert {len(name) for name in names[1:]} == {64}


def test_long_names_are_cut_so_that_they_differ() -> None:
    """At 64 characters, with eight that tell them apart; a name of 64 stays."""
    names = [tool.name for tool in made(Session([listed("x" * length) for length in (64, 65, 66)]))]

    assert names[0] == "x" * 64
    assert [(len(name), name[:56]) for name in names[1:]] == [(64, "x" * 55 + "_")] * 2
    assert len(set(names)) == 3


def test_two_tools_with_one_name_are_refused() -> None:
    """Calls could not be told apart."""
    with pytest.raises(onplan.InvalidRequestError, match="would be called a_b"):
        made(Session([listed("a.b"), listed("a/b")]))


def test_a_tool_is_described_as_the_server_says() -> None:
    """In the names of both versions of the package; without a description by its title."""
    old = SimpleNamespace(name="old", description=None, title="Old wind", inputSchema=SCHEMA)
    new, other = made(Session([listed("new"), old]))
    assert (new.description, other.description) == ("Wind.", "Old wind")
    assert new.parameters["properties"] == other.parameters["properties"] == SCHEMA["properties"]


def test_all_pages_are_read() -> None:
    """By their cursors, given as the session takes them."""

    class Paginated:
        def __init__(self, cursor: str) -> None:
            self.cursor = cursor

    class Sealed(Session):
        async def list_tools(self, *, params: Any = None) -> SimpleNamespace:  # type: ignore[override]
            return self._page(params and params.cursor)

    pages = [listed("a")], [listed("b")], [listed("c")]
    assert [tool.name for tool in made(Session(*pages))] == ["a", "b", "c"]
    module = ModuleType("session_of_mcp")
    module.types = SimpleNamespace(PaginatedRequestParams=Paginated)  # type: ignore[attr-defined]
    Sealed.__module__ = module.__name__
    sys.modules[module.__name__] = module
    try:
        assert [tool.name for tool in made(Sealed(*pages))] == ["a", "b", "c"]
    finally:
        del sys.modules[module.__name__]


def test_a_list_without_an_end_is_refused() -> None:
    """A server that hands out the same cursor for ever does not hold the program up."""

    class Endless(Session):
        async def list_tools(self, *, cursor: str | None = None) -> SimpleNamespace:
            return SimpleNamespace(tools=[], next_cursor="again")

    with pytest.raises(onplan.InvalidRequestError, match="more than 1000 pages"):
        made(Endless())


def test_calls_go_to_the_server_and_its_content_comes_back() -> None:
    """Text and images as such, other blocks and structured content as JSON."""
    image = Block(type="image", data=base64.b64encode(b"\x89PNG").decode())
    link = Block(type="resource_link", uri="file:///a")
    session = Session(
        [listed("all.of"), listed("only")],
        all=result(Block(type="text", text="windy"), image, link),
        only=result(structured_content={"speed": 5}),
    )
    both, only = made(session)
    assert asyncio.run(both(city="Oslo")) == [
        onplan.Text("windy"),
        onplan.Image(data=b"\x89PNG"),
        onplan.Text('{"type":"resource_link","uri":"file:///a"}'),
    ]
    assert asyncio.run(only(city="Oslo")) == [onplan.Text('{"speed":5}')]
    assert session.called == [("all.of", {"city": "Oslo"}), ("only", {"city": "Oslo"})]


@pytest.mark.parametrize("kind", ["mime_type", "mimeType"])
def test_bytes_are_told_as_what_they_are(kind: str) -> None:
    """An image in a resource is one; sounds and other bytes are counted, for a model could not read them."""
    data = base64.b64encode(b"\x89PNG").decode()
    picture = SimpleNamespace(uri="file:///a.png", blob=data, **{kind: "image/png"})
    archive = SimpleNamespace(uri="file:///a.zip", blob="AAAA" * 1000)
    sound = Block(type="audio", mimeType="audio/wav", data="AAAA" * 1000)

    class Resource(Block):
        def model_dump(self, **options: Any) -> dict[str, Any]:
            return {**super().model_dump(**options), "resource": dict(vars(self.resource))}

    blocks = [Resource(type="resource", resource=each) for each in (picture, archive)]
    (tool,) = made(Session([listed("all")], all=result(*blocks, sound)))
    image, packed, heard = asyncio.run(tool(city="Oslo"))

    assert image == onplan.Image(data=b"\x89PNG")
    assert "file:///a.zip" in packed.text
    for told in (packed.text, heard.text):
        assert "3000 bytes, which are not shown to the model" in told
        assert "AAAA" not in told


@pytest.mark.parametrize("name", ["structured_content", "structuredContent"])
def test_a_result_without_content_is_its_json(name: str) -> None:
    """In the name of either version."""
    found = SimpleNamespace(content=[], **{name: {"speed": 5}})
    (tool,) = made(Session([listed("wind")], wind=found))

    assert asyncio.run(tool(city="Oslo")) == [onplan.Text('{"speed":5}')]


@pytest.mark.parametrize("name", ["is_error", "isError"])
def test_an_error_of_the_server_is_an_error_of_the_tool(name: str) -> None:
    """The model is told its text."""
    failed = SimpleNamespace(content=[Block(type="text", text="No such city.")], **{name: True})
    (tool,) = made(Session([listed("wind")], wind=failed))
    with pytest.raises(onplan.ToolError, match="No such city"):
        asyncio.run(tool(city="Oslo"))
