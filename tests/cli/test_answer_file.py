"""`onplan ask --output`: the answer is shown as always, and kept in a file: its images, or else its text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from onplan.emulator import Call, Emulator, Turn

from .conftest import Done

PNG = b"\x89PNG\r\n\x1a\n"
Run = Callable[..., Done]


def drawing(prompt: str) -> Turn:
    return Turn(tool_calls=[Call("generate_image", {"prompt": prompt})])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_kept_beside_what_is_shown(signed_in: Emulator, run: Run, here: Path) -> None:
    """Nothing is taken away from stdout, and the model is given no tool."""
    done = run("ask", "hi", "--output", "answer.md")

    assert (done.returncode, done.stdout, done.stderr) == (0, "You said: hi\n", "")
    assert (here / "answer.md").read_text(encoding="utf-8") == "You said: hi\n"
    assert "tools" not in signed_in.journal()[-1]["body"]


def test_images_are_kept(signed_in: Emulator, run: Run, here: Path) -> None:
    """For the name of an image, the model may draw; all that it drew is there, and its words are shown."""
    signed_in.play(drawing("a fox"), drawing("an owl"), Turn(text="Here they are."))
    done = run("ask", "Draw a fox and an owl", "-o", "birds.jpg")

    assert (done.returncode, done.stdout) == (0, "Here they are.\n")
    told = "[image] The image (image/png, 1024x1024 pixels)."
    assert done.stderr.splitlines() == [
        f'generate_image({{"prompt":"a fox"}}): {told}',
        f'generate_image({{"prompt":"an owl"}}): {told}',
        "saved birds.png",
        "saved birds-2.png",
    ]
    one, other = (here / name for name in ("birds.png", "birds-2.png"))
    assert one.read_bytes().startswith(PNG)
    assert one.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("model", ["gpt-6.1-sol", "gpt-5.5"])
def test_with_a_search(signed_in: Emulator, run: Run, here: Path, model: str) -> None:
    """The model searches first, and then draws; also one that takes the hosted search."""
    signed_in.play(
        Turn(tool_calls=[Call("search_web", {"query": "wrens"})]), drawing("a wren"), Turn(text="Here.")
    )
    done = run("ask", "Draw a wren", "--search", "-m", model, "-o", "wren.png")

    assert (done.returncode, done.stdout, names(here)) == (0, "Here.\n", ["wren.png"])


def test_with_json(signed_in: Emulator, run: Run, here: Path) -> None:
    """stdout has every chunk, the image in it, and nothing else."""
    signed_in.play(drawing("a fox"), Turn(text="Here."))
    done = run("ask", "Draw a fox", "-o", "fox.png", "--json")

    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert ("tool_done" in kinds, kinds[-1], names(here)) == (True, "done", ["fox.png"])


def test_an_answer_without_the_image_that_was_wanted(signed_in: Emulator, run: Run, here: Path) -> None:
    """Its text was shown; no text becomes an image."""
    signed_in.play(Turn(text="I would rather not."))
    done = run("ask", "Draw a fox", "-o", "fox.png")

    assert (done.returncode, done.stdout, names(here)) == (80, "I would rather not.\n", [])
    assert "There is no image in the answer, so fox.png was not written." in done.stderr


def test_nothing_is_overwritten(signed_in: Emulator, run: Run, here: Path) -> None:
    """That is said before anything is asked; --force overwrites."""
    for name in ("fox.png", "answer.md"):
        (here / name).write_bytes(b"precious")
        assert run("ask", "hi", "-o", name).returncode == 2
    assert signed_in.journal() == []
    assert run("ask", "hi", "-o", "answer.md", "--force").returncode == 0
    assert (here / "answer.md").read_bytes() == b"You said: hi\n"


def test_images_of_an_answer_that_ends_badly(signed_in: Emulator, run: Run, here: Path) -> None:
    """What was drawn before was paid for: it is kept, and the error is reported."""
    signed_in.play(drawing("a fox"), Turn(fault="usage_limit_429"))
    done = run("ask", "Draw a fox", "-o", "fox.png")

    assert (done.returncode, done.stdout, names(here)) == (20, "", ["fox.png"])
    assert "\nsaved fox.png\nerror: " in done.stderr


def test_where_no_images_are_made(
    signed_in: Emulator, run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says so; text can be kept there, too."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", signed_in.urls["openai_base_url"])
    refused = run("ask", "--backend", "openai", "Draw a fox", "-o", "fox.png")

    assert (refused.returncode, names(here)) == (2, [])
    assert run("ask", "--backend", "openai", "hi", "-o", "a.txt").returncode == 0
    assert names(here) == ["a.txt"]
