"""What is made of an answer, however odd: images whose size is their own, or an error that says why not."""

from __future__ import annotations

import pickle
from base64 import b64encode
from pathlib import Path
from random import Random
from typing import Any

import pytest

from onplan.errors import InvalidRequestError, UnexpectedReplyError
from onplan.images.response import ImageResponse, response_of
from onplan.images.settings import ImageSettings
from onplan.turn.side_request import SideReply
from onplan.types import Usage

PNG = (Path(__file__).parent.parent / "pixel.png").read_bytes()
GOOD = b64encode(PNG).decode()
REQUESTED = ImageSettings(model="gpt-image-2", size="2160x3040", quality="high", n=1)


def read(value: Any, **headers: str) -> ImageResponse:
    return response_of(SideReply(value, headers), REQUESTED, 1_800_000_000.0)


def test_a_whole_answer() -> None:
    """What was asked for and what the service reports are told apart; the size is the image's own."""
    answer = {
        "created": 1_795_948_798,
        "data": [{"b64_json": GOOD, "revised_prompt": "A red fox"}],
        "background": "opaque",
        "quality": "medium",
        "size": "1024x1536",
        "output_format": "png",
        "usage": {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5},
        "unknown": [1],
    }
    found = read(answer, **{"x-codex-imagegen-request-id": "img_1", "x-codex-plan-type": "plus"})

    assert found.requested == REQUESTED
    assert found.reported == ImageSettings(
        size="1024x1536", quality="medium", background="opaque", format="png"
    )
    assert (found.data, found.mime_type, found.size) == (PNG, "image/png", (1, 1))
    assert found.image.revised_prompt == "A red fox"
    assert (found.created, found.request_id) == (1_795_948_798.0, "img_1")
    assert found.usage == Usage(2, 3, 5)
    assert found.limits
    assert found.limits.plan == "plus"


@pytest.mark.parametrize(
    ("given", "created"), [(0, 0.0), (2**53 - 1, 2**53 - 1.0), (2**53, None), (-1, None)]
)
def test_when_it_was_made(given: int, created: float | None) -> None:
    """Numbers that no clock shows are left out."""
    assert read({"data": [{"b64_json": GOOD}], "created": given}).created == created


@pytest.mark.parametrize(
    ("given", "word"), [("x", "x"), ("x" * 100, "x" * 100), ("x" * 101, None), ("", None)]
)
def test_words_of_the_service(given: str, word: str | None) -> None:
    """What is longer than a word is none."""
    assert read({"data": [{"b64_json": GOOD}], "quality": given}).reported.quality == word


@pytest.mark.parametrize(
    ("given", "prompt"),
    [("x" * 100_000, "x" * 100_000), ("x" * 100_001, None), ("", None)],
    ids=["long", "too long", "empty"],
)
def test_the_prompt_that_the_service_made(given: str, prompt: str | None) -> None:
    """It may be long; a longer one than any is left out."""
    assert read({"data": [{"b64_json": GOOD, "revised_prompt": given}]}).image.revised_prompt == prompt


def test_no_more_than_can_be_asked_for() -> None:
    """Work for an answer is bounded: of a thousand images ten are read."""
    assert len(read({"data": [{"b64_json": GOOD}] * 1_000}).images) == 10


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "no list of images"),
        ({}, "no list of images"),
        ([], "no image data"),
        ([{}], "no image data"),
        ([{"b64_json": None}], "no image data"),
        ([{"b64_json": ""}], "no image data"),
        ([{"b64_json": 5}], "no image data"),
        ([{"url": "https://e.x/a.png"}], "the address of an image, and not the image"),
        ([{"b64_json": "iVBORw0KGgo=!"}], "base64 is damaged"),
        ([{"b64_json": "\u2603"}], "base64 is damaged"),
        ([{"b64_json": b64encode(b"<html>").decode()}], "no image of a known format"),
        ([{"b64_json": b64encode(b"%PDF").decode()}], "no image of a known format"),
        (["x"], "something else in place of an image"),
    ],
)
def test_an_answer_without_an_image(data: Any, problem: str) -> None:
    """The error says what came instead."""
    with pytest.raises(UnexpectedReplyError, match=problem) as caught:
        read({"created": 1, "data": data}, **{"x-request-id": "req_1"})
    assert caught.value.request_id == "req_1"
    assert "Try again" in caught.value.hint


def test_what_can_be_used_of_several() -> None:
    """A damaged one takes no good one with it."""
    found = read({"data": [{"b64_json": GOOD}, {"url": "x"}, {"b64_json": f"data:image/png;base64,{GOOD}"}]})

    assert [image.data for image in found.images] == [PNG, PNG]
    for use in (lambda: found.image, lambda: found.save("x"), lambda: found.size):
        with pytest.raises(InvalidRequestError, match="There are 2 images"):
            use()


def test_copies_in_other_processes() -> None:
    """An answer can be pickled, and its printed form has no bytes."""
    found = read({"data": [{"b64_json": GOOD}]})

    assert pickle.loads(pickle.dumps(found)) == found
    assert found.image.__rich_repr__() == [("mime_type", "image/png"), ("size", (1, 1))]
    assert repr(found.image) == f"GeneratedImage(image/png, 1x1, {len(PNG)} bytes)"
    assert "IHDR" not in repr(found)


ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e300, 10**30, "", "x" * 300, "\ud83d", [], [[]], {}, {"b64_json": 1}, GOOD),
    *({"b64_json": GOOD}, {"url": "https://e.x"}, [{"b64_json": GOOD}] * 3),
)
HEADS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF\0\0\0\0WEBPVP8",
    b"GIF89a",
    b"BM",
    b"<svg",
    b"\0\0\0\x18ftypavif",
)


def hostile_image(random: Random) -> str:
    """Base64 of the beginning of an image, and nonsense after it; sometimes damaged."""
    data = random.choice(HEADS) + (
        PNG[8:] if random.random() < 0.3 else random.randbytes(random.randrange(80))
    )
    text = b64encode(data).decode()
    cut = random.randrange(len(text))
    return (
        text[:cut] + random.choice(("", "=", "!", "\u2603")) + text[cut:] if random.random() < 0.2 else text
    )


def hostile(random: Random) -> Any:
    """An answer with odd values in some of its places."""
    entries = [
        {"b64_json": hostile_image(random), "revised_prompt": random.choice(ODD)}
        for _ in range(random.randrange(4))
    ]
    entries = [random.choice(ODD) if random.random() < 0.2 else entry for entry in entries]
    answer: dict[str, Any] = {"created": 1, "data": entries}
    for name in ("created", "data", "size", "quality", "background", "usage", "model", "output_format"):
        if random.random() < 0.2:
            answer[name] = random.choice(ODD)
    return random.choice(ODD) if random.random() < 0.05 else answer


def test_hostile_answers() -> None:
    """Any JSON at all is images that can be used, or the one error."""
    counts = {True: 0, False: 0}
    for seed in range(5_000):
        try:
            found = read(hostile(Random(seed)))
        except UnexpectedReplyError:
            counts[False] += 1
            continue
        counts[True] += 1
        assert found.images
        for image in found.images:
            assert image.mime_type.startswith("image/")
            assert image.size is None or min(image.size) > 0
        assert all(word is None or isinstance(word, str) for word in vars_of(found.reported))
        assert found.created is None or found.created >= 0
    assert min(counts.values()) > 1_000


def vars_of(reported: ImageSettings) -> list[object]:
    return [getattr(reported, name) for name in ImageSettings.__struct_fields__]
