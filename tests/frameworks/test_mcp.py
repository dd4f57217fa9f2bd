"""Tools of a server of the mcp package, in its first and its second version, called by models."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from mcp.types import AudioContent, BlobResourceContents, EmbeddedResource

import onplan
from onplan.emulator import Call, Emulator, Turn

from .asking import asked

try:
    from mcp.server.mcpserver import Image, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    TELLS_THE_SERVER = True
except ImportError:  # the first version
    from mcp.server.fastmcp import FastMCP as MCPServer
    from mcp.server.fastmcp import Image
    from mcp.server.fastmcp.exceptions import ToolError

    TELLS_THE_SERVER = False  # when a task that waits for a call is cancelled

PIXEL = (Path(__file__).parents[1] / "pixel.png").read_bytes()
LONG = "count.of." + "x" * 70


class Birds:
    """A server, and what happens to its slow tool."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.server = MCPServer("birds", log_level="CRITICAL")
        self.server.tool(name=LONG)(self.count)
        for function in (self.fail, self.wing, self.slow):
            self.server.tool()(function)
        for function in (self.picture, self.sounds):
            self.server.tool(structured_output=False)(function)

    def count(self, species: str, wings: int = 2) -> str:
        """How many there are."""
        return f"seven {species} with {wings} wings"

    def fail(self, species: str) -> str:
        """It never works."""
        raise ToolError(f"{species} are not counted")

    def picture(self) -> list[str | Image]:
        """A picture of one."""
        return ["a wren", Image(data=PIXEL, format="png")]

    def wing(self) -> dict[str, int]:
        """How wide it is."""
        return {"span": 5}

    def sounds(self) -> list[AudioContent | EmbeddedResource]:
        """What cannot be told to a model, and an image that is a resource."""
        sound = base64.b64encode(bytes(3000)).decode()
        drawn = base64.b64encode(PIXEL).decode()
        resource = BlobResourceContents(uri="file:///a.png", blob=drawn, mimeType="image/png")
        return [
            AudioContent(type="audio", data=sound, mimeType="audio/wav"),
            EmbeddedResource(type="resource", resource=resource),
        ]

    async def slow(self) -> str:
        """It takes too long."""
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended.set()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """A session with it, in this process."""
        try:
            from mcp import Client
        except ImportError:  # the first version
            from mcp.shared.memory import create_connected_server_and_client_session as connected

            async with connected(self.server) as session:
                yield session
        else:
            async with Client(self.server) as client:
                yield client


async def run(*calls: Call, emulator: Emulator) -> onplan.RunResponse:
    """The answer after these calls."""
    emulator.play(Turn(tool_calls=calls), Turn(text="Well."))
    async with Birds().session() as session, onplan.AsyncClient(model="gpt-5.5", transport="sse") as client:
        return await client.run("How many?", tools=await onplan.mcp_tools(session, prefix="birds_"))


def test_what_tools_return_is_told(signed_in: Emulator) -> None:
    """Texts, errors, images and structured content, each as what it is; of other bytes how many there are."""
    calls = [
        Call("birds_fail", {"species": "owls"}),
        Call("birds_picture"),
        Call("birds_wing"),
        Call("birds_sounds"),
    ]
    answer = asyncio.run(run(*calls, emulator=signed_in))
    failed, picture, wing, sounds = answer.steps[0].calls

    assert answer.text == "Well."
    assert [failed.outcome, picture.outcome, wing.outcome, sounds.outcome] == ["raised", *["returned"] * 3]
    assert "owls are not counted" in str(failed.result.content)
    assert picture.result.content == [onplan.Text("a wren"), onplan.Image(data=PIXEL)]
    assert '"span":5' in wing.result.content[0].text.replace(" ", "")
    heard, drawn = sounds.result.content
    assert "3000 bytes, which are not shown to the model" in heard.text
    assert drawn == onplan.Image(data=PIXEL)


def test_names_and_arguments(signed_in: Emulator) -> None:
    """Models are given a name that they may call, and the server its own; arguments are checked."""

    async def names() -> list[str]:
        async with Birds().session() as session:
            return [tool.name for tool in await onplan.mcp_tools(session, prefix="birds_")]

    name = asyncio.run(names())[0]
    calls = Call(name, {"species": "wrens"}), Call(name, {"species": "wrens", "wings": "two"})
    answer = asyncio.run(run(*calls, emulator=signed_in))

    assert name.startswith("birds_count_of_xxx")
    assert len(name) == 64
    counted, wrong = answer.steps[0].calls
    assert "seven wrens with 2 wings" in str(counted.result.content)
    assert wrong.outcome == "wrong_arguments"
    offered = asked(signed_in)[0]["body"]["tools"][0]
    assert (offered["name"], offered["description"]) == (name, "How many there are.")


def test_a_call_that_is_cancelled(signed_in: Emulator) -> None:
    """It ends at the server, if the package tells it, and the session goes on."""

    async def leave() -> str:
        birds = Birds()
        signed_in.play(Turn(tool_calls=[Call("slow")]))
        async with birds.session() as session, onplan.AsyncClient(model="gpt-5.5", transport="sse") as client:
            tools = await onplan.mcp_tools(session)
            asking = asyncio.create_task(client.run("How many?", tools=tools))
            await birds.begun.wait()
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            if TELLS_THE_SERVER:
                await birds.ended.wait()
            signed_in.play(Turn(tool_calls=[Call("wing")]), Turn(text="Well."))
            return (await client.run("How wide?", tools=tools)).steps[0].calls[0].outcome

    assert asyncio.run(leave()) == "returned"


def test_tools_of_two_servers_with_one_name(signed_in: Emulator) -> None:
    """A prefix tells them apart; without one the run is refused before anything is sent."""

    async def both(*prefixes: str) -> list[str]:
        async with (
            Birds().session() as one,
            Birds().session() as other,
            onplan.AsyncClient(model="gpt-5.5", transport="sse") as client,
        ):
            tools = [
                tool
                for session, prefix in zip((one, other), prefixes, strict=True)
                for tool in await onplan.mcp_tools(session, prefix=prefix)
            ]
            with suppress(onplan.InvalidRequestError):
                await client.run("How many?", tools=tools)
        return [tool["name"] for row in asked(signed_in) for tool in row["body"]["tools"]]

    assert asyncio.run(both("", "")) == []
    signed_in.play(Turn(text="Well."))
    names = asyncio.run(both("a_", "b_"))
    assert len({*names}) == len(names) == 12
