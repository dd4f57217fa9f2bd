"""The image endpoints: a real image that is not quite what was asked for, and refusals."""

from __future__ import annotations

import base64
import zlib
from contextlib import ExitStack

import pytest

from onplan.emulator import Emulator, Limit, Options, Scenario
from onplan.emulator.wire.png import png_of

GENERATE, EDIT = "/backend-api/codex/images/generations", "/backend-api/codex/images/edits"
FOX = {"model": "gpt-image-2", "prompt": "a fox"}
PNG = base64.b64encode(png_of("x", 8, 8)).decode()
REFERENCE = {"image_url": f"data:image/png;base64,{PNG}"}


def make(client, path=GENERATE, /, **fields):
    body = {name: value for name, value in {**FOX, **fields}.items() if value is not ...}
    return client.post(path, body, headers=client.headers())


def test_an_image_is_real_and_always_the_same(client):
    """It has the reported size, which is not the one asked for, and one colour for each prompt."""
    first, again, other = (
        make(client, prompt=prompt, size="2160x3040", quality="high", n=3) for prompt in ("a", "a", "b")
    )

    answer = first.json()
    assert {name: answer[name] for name in ("size", "quality", "background")} == {
        "size": "1024x1536",
        "quality": "medium",
        "background": "opaque",
    }
    [entry] = answer["data"]
    image = base64.b64decode(entry["b64_json"])
    assert (int.from_bytes(image[16:20]), int.from_bytes(image[20:24])) == (1024, 1536)
    pixels = image[image.index(b"IDAT") + 4 : image.index(b"IEND") - 8]
    assert len(zlib.decompress(pixels)) == 1536 * (1 + 1024 // 8)
    assert again.json()["data"] == answer["data"] != other.json()["data"]
    assert first.headers["x-codex-imagegen-request-id"]


def test_a_transparent_image(client):
    """It has a transparent colour, and says so."""
    answer = make(client, background="transparent", size="1536x1024").json()

    assert (answer["background"], answer["size"]) == ("transparent", "1536x1024")
    assert b"tRNS" in base64.b64decode(answer["data"][0]["b64_json"])


def test_images_to_edit(client):
    """One to five, and their beginnings are in the journal."""
    long = {
        "image_url": "data:image/png;base64," + base64.b64encode(base64.b64decode(PNG) + bytes(600)).decode()
    }
    reply = make(client, EDIT, images=[REFERENCE, long])

    assert reply.status_code == 200
    [first, second] = client.emulator.journal()[-1]["body"]["images"]
    assert first == REFERENCE
    assert second["image_url"].endswith(f"… ({len(long['image_url'])} characters)")


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (GENERATE, {"prompt": ...}, "prompt"),
        (GENERATE, {"prompt": ""}, "prompt"),
        (GENERATE, {"prompt": 5}, "prompt"),
        (GENERATE, {"model": ...}, "model"),
        (GENERATE, {"model": "gpt-5.5"}, "model"),
        (GENERATE, {"quality": "best"}, "quality"),
        (GENERATE, {"background": "white"}, "background"),
        (GENERATE, {"n": 0}, "n"),
        (GENERATE, {"size": "64x64"}, "size"),
        (GENERATE, {"size": "1000x1000"}, "size"),
        (GENERATE, {"size": "4096x1024"}, "size"),
        (GENERATE, {"size": "large"}, "size"),
        (GENERATE, {"style": "oil"}, "style"),
        (GENERATE, {"images": [REFERENCE]}, "images"),
        (EDIT, {}, "images"),
        (EDIT, {"images": [REFERENCE] * 6}, "images"),
        (EDIT, {"images": [{}]}, "images[0].image_url"),
        (EDIT, {"images": [REFERENCE, {"image_url": "https://e.x/a.png"}]}, "images[1].image_url"),
        (EDIT, {"images": [{"image_url": "data:image/gif;base64,R0lGODlh"}]}, "images[0].image_url"),
        (EDIT, {"images": [{"image_url": "data:image/png;base64,%"}]}, "images[0].image_url"),
    ],
)
def test_what_is_refused(client, path, fields, param):
    """With the name of what is wrong."""
    reply = make(client, path, **fields)

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_other_ways_to_send_it_are_refused(client):
    """Forms and bodies that are no objects; and who is not signed in."""
    url = client.emulator.issuer + GENERATE

    assert client.http.post(url, data=FOX, headers=client.headers()).status_code == 415
    assert client.post(GENERATE, [FOX], headers=client.headers()).status_code == 400
    assert client.post(GENERATE, FOX).status_code == 401


def test_images_use_the_plan(connect):
    """And the free plan has none."""
    with ExitStack() as running:
        limited, free = (
            connect(running.enter_context(Emulator(Options(scenario=scenario))))
            for scenario in (Scenario(limits=[Limit(300, 4_000)]), Scenario(plan="free"))
        )
        replies = [make(limited), make(limited), make(free)]

    assert [reply.status_code for reply in replies] == [200, 429, 403]
    assert replies[1].json()["error"]["type"] == "usage_limit_reached"
    assert "free plan" in replies[2].json()["detail"]


def test_the_platform_makes_images_for_a_key(client):
    """As many as asked for, with the tokens that they cost; a plan's token is no key."""
    key = {"authorization": "Bearer sk-any"}
    many = client.post("/v1/images/generations", {**FOX, "n": 2}, headers=key)
    edited = client.post("/v1/images/edits", {**FOX, "images": [REFERENCE] * 16}, headers=key)

    assert len({entry["b64_json"] for entry in many.json()["data"]}) == 2
    assert many.json()["usage"]["total_tokens"] > 0
    assert many.headers["x-request-id"]
    assert edited.status_code == 200
    assert client.post("/v1/images/generations", FOX, headers=client.headers()).status_code == 401
