"""What may be said about an image: what is sent of it, and what is refused before anything is."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import pytest

from onplan.backends import OPENAI, OPENAI_CODEX
from onplan.errors import InvalidRequestError
from onplan.images.settings import ImageSettings, checked_options

CODEX, PLATFORM = OPENAI_CODEX.images, OPENAI.images
assert CODEX
assert PLATFORM


@pytest.mark.parametrize(
    ("support", "options", "fields"),
    [
        (
            CODEX,
            {},
            {"model": "gpt-image-2", "size": "auto", "quality": "auto", "background": "opaque"},
        ),
        (PLATFORM, {}, {"model": "gpt-image-2"}),
        (
            PLATFORM,
            {"size": (1024, 1536), "quality": "high", "background": "transparent", "n": 2, "model": "m"},
            {"size": "1024x1536", "quality": "high", "background": "transparent", "n": 2, "model": "m"},
        ),
        (PLATFORM, {"size": [16, 32], "n": 1}, {"model": "gpt-image-2", "size": "16x32"}),
        (PLATFORM, {"n": 10}, {"model": "gpt-image-2", "n": 10}),
        (PLATFORM, {"size": None, "quality": None, "n": None}, {"model": "gpt-image-2"}),
        (
            PLATFORM,
            {"extra_body": {"moderation": "low", "size": "1x1"}, "size": "auto"},
            {"model": "gpt-image-2", "moderation": "low", "size": "1x1"},
        ),
    ],
)
def test_what_is_sent(support: Any, options: Any, fields: Any) -> None:
    """One image needs no ``n``; what a program does not say is what the backend's row says."""
    assert checked_options(options, support).fields() == fields


def test_what_was_asked_for_is_kept() -> None:
    """With the defaults in it, to be compared with what came."""
    checked = checked_options({"size": (1024, 1536), "timeout": 5}, CODEX)

    assert checked.settings == ImageSettings(
        model="gpt-image-2", size="1024x1536", quality="auto", background="opaque", n=1
    )
    assert (checked.timeout, checked_options({}, CODEX).timeout) == (5.0, 300.0)
    assert checked_options({"timeout": 0.5}, CODEX).timeout == 0.5


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", ["", " ", 5, ["gpt-image-2"]]),
        (
            "size",
            [
                "big",
                "1024",
                "1024\u00d71024",
                "1024x",
                "0x5",
                "-1x5",
                "1024x1024\n",
                " 1x1",
                (1, 2, 3),
                (1.5, 2),
                (True, 2),
                5,
                {},
            ],
        ),
        ("quality", ["HD", "standard", 1, ["high"], b"high"]),
        ("background", ["white", True, {}]),
        ("n", [0, 11, True, 1.0, "1"]),
        ("timeout", [0, -1, True, "60", float("nan"), float("inf")]),
        ("extra_body", [[], "x", {1: 2}, {"a": object()}, {"a": "\ud83d"}, UserDict({1: 1})]),
    ],
)
def test_what_cannot_be_sent(name: str, values: list[Any]) -> None:
    """It is refused by its name, with how it is written."""
    for value in values:
        with pytest.raises(InvalidRequestError, match=name) as caught:
            checked_options({name: value}, CODEX)
        assert caught.value.hint


@pytest.mark.parametrize(("name", "value"), [("n", 0), ("timeout", "3")])
def test_a_wrong_number_says_how_it_is_written(name: str, value: Any) -> None:
    """Nothing was sent, so the hint is not about sending it again."""
    with pytest.raises(InvalidRequestError) as caught:
        checked_options({name: value}, CODEX)
    assert f"`{name}=" in caught.value.hint
    assert "Nothing was sent" in caught.value.hint


def test_a_misspelt_option() -> None:
    """The error names the one that was meant, or all that there are."""
    with pytest.raises(InvalidRequestError, match="no option 'qualty'") as caught:
        checked_options({"qualty": "high"}, CODEX)
    assert "`quality`" in caught.value.hint
    with pytest.raises(InvalidRequestError) as caught:
        checked_options({"zzz": 1}, CODEX)
    assert "background, extra_body, model" in caught.value.hint
