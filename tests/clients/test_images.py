"""Images over real sockets: made and edited by both clients, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import gzip
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

import onplan
from onplan.config.settings import load_settings
from onplan.emulator import Call, Emulator, Limit, Options, Scenario, Turn
from onplan.stores import open_store
from onplan.turn.side_request import SideRequest, post

from ..conftest import eventually, issued, over_http, source_locals

BOTH = pytest.mark.parametrize("driver", ["sync", "async"], indirect=True)
PLANS = pytest.mark.parametrize("driver", ["plan-sync", "plan-async"], indirect=True)
PNG = (Path(__file__).parent.parent / "pixel.png").read_bytes()


def ask(driver: Any, act: Callable[[Any], Any], **options: Any) -> Any:
    """What ``act`` gets from ``client.images``, of either client."""
    client = driver(**options).client()
    if isinstance(client, onplan.Client):
        with client:
            return act(client.images)

    async def acting() -> Any:
        async with client:
            return await act(client.images)

    return asyncio.run(acting())


def posts(emulator: Emulator) -> list[dict[str, Any]]:
    return [row for row in emulator.journal() if "/images/" in row["path"]]


@BOTH
def test_an_image_is_made(signed_in: Emulator, driver: Any) -> None:
    """It is what the service made of the wish: other than asked for, and told apart."""
    made = ask(driver, lambda images: images.generate("a red fox", size=(2160, 3040), quality="high"))

    assert (made.requested.size, made.requested.quality) == ("2160x3040", "high")
    assert (made.reported.size, made.reported.quality) == ("1024x1536", "medium")
    assert (made.size, made.mime_type, made.data[:4]) == ((1024, 1536), "image/png", b"\x89PNG")
    [row] = posts(signed_in)
    assert row["path"] == "/backend-api/codex/images/generations"
    assert row["body"] == {
        "prompt": "a red fox",
        "model": "gpt-image-2",
        "size": "2160x3040",
        "quality": "high",
        "background": "opaque",
    }
    assert row["headers"]["x-codex-image-turn-id"].count("-") == 4
    assert row["headers"]["originator"] == "onplan"
    assert not {"session-id", "content-encoding", "x-client-request-id"} & set(row["headers"])
    assert made.request_id


@BOTH
def test_an_image_is_edited(signed_in: Emulator, driver: Any, tmp_path: Path) -> None:
    """From files, bytes and what was made before, in their order."""
    path = tmp_path / "pixel.png"
    path.write_bytes(PNG)
    first = ask(driver, lambda images: images.generate("a fox"))

    made = ask(driver, lambda images: images.edit("make it blue", [path, PNG, first]))

    assert made.size == (1024, 1024)
    row = posts(signed_in)[-1]
    assert row["path"] == "/backend-api/codex/images/edits"
    sent = [image["image_url"] for image in row["body"]["images"]]
    assert sent[0] == sent[1] == f"data:image/png;base64,{b64encode(PNG).decode()}"
    assert len(sent) == 3
    assert len(sent[2]) < 300
    assert "characters" in sent[2]


@BOTH
@pytest.mark.parametrize(
    ("fault", "kind", "count", "words"),
    [
        ("images_forbidden", onplan.NotIncludedError, 1, "not allowed to use image generation"),
        ("images_refused", onplan.ContentPolicyError, 1, "safety system"),
        ("images_rate_limited", onplan.RateLimitError, 1, "limit of its own"),
        ("images_404", onplan.UnexpectedReplyError, 1, "address"),
        ("images_500", onplan.ServerError, 5, "Internal server error"),
        ("images_cut", onplan.DisconnectError, 5, "broke"),
        ("images_empty", onplan.UnexpectedReplyError, 1, "no image data"),
        ("images_url", onplan.UnexpectedReplyError, 1, "the address of an image"),
        ("images_bad_base64", onplan.UnexpectedReplyError, 1, "base64"),
        ("images_not_an_image", onplan.UnexpectedReplyError, 1, "no image of a known format"),
        ("images_list", onplan.UnexpectedReplyError, 1, "no list of images"),
    ],
)
def test_failures(
    signed_in: Emulator, driver: Any, fault: str, kind: type[onplan.OnplanError], count: int, words: str
) -> None:
    """Each is told as what it is, and repeated only where that helps."""
    signed_in.arm(fault, times=9)
    retry = onplan.RetryPolicy(wait_initial=0.001)

    with pytest.raises(kind, match=words):
        ask(driver, lambda images: images.generate("a fox"), retry=retry)

    assert len(posts(signed_in)) == count


@BOTH
@pytest.mark.parametrize("fault", ["images_500", "images_cut", "images_odd"])
def test_failures_that_pass(signed_in: Emulator, driver: Any, fault: str) -> None:
    """After one of them, or with fields that make no sense, there is an image."""
    signed_in.arm(fault)

    made = ask(driver, lambda images: images.generate("a fox"), retry=onplan.RetryPolicy(wait_initial=0.001))

    assert made.size == (1024, 1024)


@BOTH
def test_a_refused_token_is_refreshed_once(signed_in: Emulator, driver: Any) -> None:
    """And the request repeated with the new one."""
    signed_in.expire_access_tokens()

    assert ask(driver, lambda images: images.generate("a fox")).size
    paths = [row["path"].rpartition("/")[2] for row in signed_in.journal()]
    assert paths == ["generations", "token", "generations"]


@BOTH
def test_a_refusal_for_good_does_not_sign_out(signed_in: Emulator, driver: Any) -> None:
    """Two requests and one refresh; afterwards turns are answered as before."""
    signed_in.arm("images_unauthorized", times=9)

    with pytest.raises(onplan.SignInAgainError) as caught:
        ask(driver, lambda images: images.generate("a fox"))

    assert "does not cover image generation" in caught.value.hint
    assert [row["path"].rpartition("/")[2] for row in signed_in.journal()].count("token") == 1
    assert len(posts(signed_in)) == 2
    assert driver().complete("hi").text == "You said: hi"


@BOTH
def test_the_free_plan_is_not_asked(point_at: Callable[[Emulator], None], driver: Any) -> None:
    """Its token says so, and the service would refuse it."""
    with Emulator(Options(scenario=Scenario(plan="free"))) as emulator:
        point_at(emulator)
        settings = load_settings()
        open_store(settings.store).save(issued(emulator.issue_tokens(), settings.issuer), None)
        with pytest.raises(onplan.NotIncludedError, match="free plan does not include") as caught:
            ask(driver, lambda images: images.generate("a fox"))

        assert "onplan login" in caught.value.hint
        assert emulator.journal() == []


@over_http
def test_an_image_that_takes_too_long(signed_in: Emulator, driver: Any) -> None:
    """It is not asked for again: the service may still be busy with the first one."""
    signed_in.arm("images_slow", seconds=600)

    with pytest.raises(onplan.IdleTimeoutError) as caught:
        ask(driver, lambda images: images.generate("a fox", timeout=1))

    assert "`timeout=`" in caught.value.hint
    assert len(posts(signed_in)) == 1


@pytest.mark.parametrize("driver", ["async", "async-httpx2"], indirect=True)
def test_a_task_that_is_cancelled_leaves_the_service(signed_in: Emulator, driver: Any) -> None:
    """The connection is closed at once, and the client can be used again."""
    client = driver().client()
    signed_in.arm("images_slow", seconds=600)

    async def leave() -> Any:
        async with client:
            asking = asyncio.ensure_future(client.images.generate("a fox"))
            await asyncio.to_thread(eventually, lambda: posts(signed_in))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            return await client.images.generate("another fox")

    assert asyncio.run(leave()).size
    assert eventually(lambda: posts(signed_in)[0]["ended"]) == "client_left"


@BOTH
def test_the_usage_limit_is_the_plans(signed_in: Emulator, driver: Any) -> None:
    """Images use the plan, so they end where turns do."""
    signed_in.set_limits(Limit(300, 4_000))

    assert ask(driver, lambda images: images.generate("a fox")).size
    with pytest.raises(onplan.UsageLimitError, match="5-hour"):
        ask(driver, lambda images: images.generate("a fox"))


@BOTH
def test_an_edit_without_images_says_where_they_go(signed_in: Emulator, driver: Any) -> None:
    """Also one that has them under another name."""
    for act in (lambda images: images.edit("make it blue"), lambda images: images.edit("blue", image=PNG)):
        with pytest.raises(onplan.InvalidRequestError, match="1 to 5 images") as caught:
            ask(driver, act)
        assert "`images=" in caught.value.hint
    assert posts(signed_in) == []


@PLANS
def test_where_no_images_are_made(signed_in: Emulator, driver: Any) -> None:
    """The other plan route has none: nothing is sent, and the error says what has."""
    for act in (
        lambda images: images.generate("a fox"),
        lambda images: images.edit("make it blue", PNG),
    ):
        with pytest.raises(onplan.ConfigurationError, match="chatgpt-plan makes no images") as caught:
            ask(driver, act)
        assert "openai-codex" in caught.value.hint
    assert signed_in.journal() == []


@BOTH
def test_a_compatible_server_is_not_asked(driver: Any) -> None:
    """How it makes images is not known."""
    options = {"backend": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "sk-x"}

    with pytest.raises(onplan.ConfigurationError, match="Servers other than OpenAI's"):
        ask(driver, lambda images: images.generate("a fox"), **options)


@BOTH
@pytest.mark.parametrize("prompt", ["", "  ", None, 5, b"fox", "\ud83d"])
def test_a_prompt_that_is_none(signed_in: Emulator, driver: Any, prompt: Any) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(onplan.InvalidRequestError):
        ask(driver, lambda images: images.generate(prompt))
    assert signed_in.journal() == []


# --- what a server may send -----------------------------------------------------------------------------

SIZE = 40 * 1024 * 1024
WHOLE = gzip.compress(b'"' + b"a" * SIZE + b'"', 1)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n"
    b"content-length: %d\r\n\r\n" % len(WHOLE)
)


@over_http
@pytest.mark.parametrize("most", [SIZE + 2, SIZE + 1])
def test_how_much_is_read(signed_in: Emulator, network: Any, driver: Any, most: int) -> None:
    """An image may be larger than other answers, up to a limit that also holds for what is compressed."""

    async def answer(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER + WHOLE)
        await writer.drain()
        await reader.read()

    client = driver(base_url=f"http://127.0.0.1:{network.serve(answer)}").client()
    request = SideRequest.json("Image generation", "images/generations", {}, maximum_size=most)

    def read() -> Any:
        if isinstance(client, onplan.Client):
            with client:
                return client._run(post(request, client._context))

        async def reading() -> Any:
            async with client:
                return await client._run(post(request, client._context))

        return asyncio.run(reading())

    if most > SIZE + 1:
        assert len(read().value) == SIZE
    else:
        with pytest.raises(onplan.UnexpectedReplyError, match="more than 41,943,041 bytes"):
            read()


# --- a tool -------------------------------------------------------------------------------------------


@BOTH
def test_the_model_draws(signed_in: Emulator, driver: Any, tmp_path: Path) -> None:
    """It sees what it made, changes it, and is told where it was saved."""
    calls = [
        {"prompt": "a fox"},
        {"prompt": "make it blue", "last_images": 1, "transparent_background": True},
        {"prompt": "again", "last_images": 5},
    ]
    signed_in.play(*[Turn(tool_calls=[Call("generate_image", call)]) for call in calls], Turn(text="done"))
    client = driver().client()
    tools = [client.images.tool(tmp_path, size="1024x1024")]
    if isinstance(client, onplan.Client):
        with client:
            answer = client.run("Draw a fox", tools=tools)
    else:

        async def run() -> Any:
            async with client:
                return await client.run("Draw a fox", tools=tools)

        answer = asyncio.run(run())

    results = [run.result for step in answer.steps for run in step.calls]
    assert [part.type for part in results[0].content] == ["image", "text"]
    assert results[0].content[1].text == (
        f"The image (image/png, 1024x1024 pixels, saved as {tmp_path / 'image.png'})."
    )
    assert results[2].content == "There are 2 images to begin with, and not 5."
    assert [row["path"].rpartition("/")[2] for row in posts(signed_in)] == ["generations", "edits"]
    assert posts(signed_in)[1]["body"]["background"] == "transparent"
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["image-2.png", "image.png"]


# --- with an API key ----------------------------------------------------------------------------------


class Detour(httpx2.HTTPTransport):
    """Takes requests for the platform to the emulator."""

    port: int

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return super().handle_request(request)


class AsyncDetour(httpx2.AsyncHTTPTransport):
    """The same for an ``AsyncClient``."""

    port: int

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        return await super().handle_async_request(request)


def check_platform(emulator: Emulator, made: onplan.ImageResponse, edited: onplan.ImageResponse) -> None:
    assert len({image.data for image in made.images}) == 2
    assert made.usage
    assert made.usage.total_tokens == 4_012
    assert (edited.reported.format, edited.size) == ("png", (1024, 1024))
    first, second = (row["body"] for row in posts(emulator))
    assert first == {"prompt": "a fox", "model": "gpt-image-2", "n": 2}
    assert len(second["images"]) == 2


def test_with_an_api_key(emulator: Emulator) -> None:
    """The platform has the same endpoints, makes several images, and counts their tokens."""
    detour = Detour()
    detour.port = urlsplit(emulator.issuer).port or 0
    with (
        httpx2.Client(transport=detour) as http,
        onplan.Client(backend="openai", api_key="sk-any", http_client=http) as client,
    ):
        made = client.images.generate("a fox", n=2)
        check_platform(emulator, made, client.images.edit("blue", made.images))


async def test_with_an_api_key_async(emulator: Emulator) -> None:
    """The same for the asynchronous client."""
    detour = AsyncDetour()
    detour.port = urlsplit(emulator.issuer).port or 0
    async with (
        httpx2.AsyncClient(transport=detour) as http,
        onplan.AsyncClient(backend="openai", api_key="sk-any", http_client=http) as client,
    ):
        made = await client.images.generate("a fox", n=2)
        check_platform(emulator, made, await client.images.edit("blue", made.images))


@BOTH
@pytest.mark.parametrize("fault", ["images_500", "images_unauthorized", "images_cut", "images_empty"])
def test_no_token_in_a_traceback(signed_in: Emulator, driver: Any, fault: str) -> None:
    """Neither in the error, nor in the variables of the frames that it drags along."""
    signed_in.arm(fault, times=9)
    with pytest.raises(onplan.OnplanError) as caught:
        ask(driver, lambda images: images.generate("a fox"), retry=onplan.RetryPolicy(attempts=1))

    token = onplan.Client().credentials().access_token
    assert token not in str([str(caught.value), caught.value.hint, source_locals(caught.value)])
