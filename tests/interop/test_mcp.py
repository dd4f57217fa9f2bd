"""Tools of a real MCP server, over pipes and over HTTP, called by models through ``onplan.mcp_tools``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

from ..conftest import eventually

mcp = pytest.importorskip("mcp")

pytestmark = pytest.mark.interop

SERVER = Path(__file__).with_name("mcp_server.py")
PIXEL = (Path(__file__).parent.parent / "pixel.png").read_bytes()

Connect = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def over_pipes(folder: Path) -> AsyncIterator[Any]:
    """A session of the package's older kind, over stdin and stdout of a server that it starts."""
    parameters = mcp.StdioServerParameters(command=sys.executable, args=[str(SERVER), str(folder)])
    async with mcp.stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        yield session


@pytest.fixture
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connect]:
    """Connects to a server."""
    if request.param == "stdio":
        yield lambda: over_pipes(tmp_path)
        return
    command = [sys.executable, SERVER, tmp_path, "http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        yield lambda: mcp.Client(f"http://127.0.0.1:{port}/mcp")
        process.kill()


BOTH = pytest.mark.parametrize("connect", ["stdio", "streamable HTTP"], indirect=True)


def outputs(emulator: Emulator) -> list[Any]:
    """The results of tools that the model was sent last."""
    rows = [row for row in emulator.journal() if row["path"].endswith("/responses")]
    items = rows[-1]["body"]["input"]
    return [item["output"] for item in items if item.get("type") == "function_call_output"]


async def asked(connect: Connect, emulator: Emulator, *calls: Call) -> onplan.RunResponse:
    """The answer after these calls."""
    emulator.play(Turn(tool_calls=calls), Turn(text="Well."))
    async with connect() as session, onplan.AsyncClient(model="gpt-5.5", transport="sse") as client:
        tools = await onplan.mcp_tools(session, prefix="birds_")
        return await client.run("How many?", tools=tools)


@pytest.mark.stranger("mcp, {connect}", "tools succeed, fail and return images")
@BOTH
def test_what_tools_return_is_told(connect: Connect, signed_in: Emulator) -> None:
    """Text, the server's own default of an argument, an error, and an image, each as what it is."""
    calls = [
        Call("birds_count", {"species": "wrens"}),
        Call("birds_fail", {"species": "owls"}),
        Call("birds_picture"),
    ]
    answer = asyncio.run(asked(connect, signed_in, *calls))

    assert [run.outcome for run in answer.steps[0].calls] == ["returned", "raised", "returned"]
    counted, failed, pictured = outputs(signed_in)
    assert answer.text == "Well."
    assert "seven wrens with 2 wings" in str(counted)
    assert "owls are not counted" in str(failed)
    text, image = answer.steps[0].calls[2].result.content
    assert (text.text, image.data) == ("a wren", PIXEL)
    assert [part["type"] for part in pictured] == ["input_text", "input_image"]


@pytest.mark.stranger("mcp, {connect}", "wrong arguments are told, without a call")
@BOTH
def test_wrong_arguments_do_not_reach_the_server(connect: Connect, signed_in: Emulator) -> None:
    """By the schema that the server gave."""
    call = Call("birds_count", {"species": "wrens", "wings": "two"})
    answer = asyncio.run(asked(connect, signed_in, call))

    assert answer.steps[0].calls[0].outcome == "wrong_arguments"


@pytest.mark.stranger("mcp, {connect}", "a slow tool is cancelled")
@BOTH
def test_a_slow_call_is_cancelled_at_the_server(
    connect: Connect, signed_in: Emulator, tmp_path: Path
) -> None:
    """Cancelling the task of the run ends the tool there; the session can be used after it."""

    async def leave() -> str:
        signed_in.play(Turn(tool_calls=[Call("slow")]))
        async with connect() as session, onplan.AsyncClient(model="gpt-5.5", transport="sse") as client:
            tools = await onplan.mcp_tools(session)
            asking = asyncio.create_task(client.run("How many?", tools=tools))
            await asyncio.to_thread(eventually, (tmp_path / "begun").exists)
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            await asyncio.to_thread(eventually, (tmp_path / "ended").exists)
            signed_in.play(Turn(tool_calls=[Call("count", {"species": "wrens"})]), Turn(text="Well."))
            return (await client.run("How many?", tools=tools)).steps[0].calls[0].outcome

    assert asyncio.run(leave()) == "returned"


@pytest.mark.stranger("mcp, {connect}", "a server that dies is an error of its tool")
@pytest.mark.parametrize("connect", ["stdio"], indirect=True)
def test_a_server_that_dies_is_an_error_of_its_tool(connect: Connect, signed_in: Emulator) -> None:
    """The model is told, and answers without it."""
    answer = asyncio.run(asked(connect, signed_in, Call("birds_die")))

    assert (answer.text, answer.steps[0].calls[0].outcome) == ("Well.", "raised")


@pytest.mark.stranger("mcp, {connect}", "a server that dies ends the session")
@pytest.mark.parametrize("connect", ["streamable HTTP"], indirect=True)
def test_a_server_that_dies_ends_a_session_over_http(connect: Connect, signed_in: Emulator) -> None:
    """The package (2.3) cancels what runs within its ``async with``; the run does not hold that up."""
    with pytest.raises(BaseExceptionGroup) as raised:
        asyncio.run(asked(connect, signed_in, Call("birds_die")))

    (reason,) = raised.value.exceptions
    assert type(reason).__module__.partition(".")[0] == "httpx2"
    assert signed_in.turns_left == 1
