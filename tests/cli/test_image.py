"""`onplan image`: the path on stdout, the rest on stderr, and an image that was paid for is never lost."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator

from .conftest import Done
from .terminal import ONPLAN, terminal

PNG = b"\x89PNG\r\n\x1a\n"
PIXEL = Path(__file__).parent.parent / "pixel.png"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def posts(emulator: Emulator) -> int:
    return sum("/images/" in row["path"] for row in emulator.journal())


def test_an_image_is_named_by_its_prompt(
    signed_in: Emulator, run: Callable[..., Done], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one gets a number; a prompt from stdin does as well."""
    first = run("image", "A red fox,  in snow!")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"A red fox in snow\n")))
    second = run("image", "-")

    assert (first.returncode, first.stdout, first.stderr) == (0, "a-red-fox-in-snow.png\n", "")
    assert (second.returncode, second.stdout) == (0, "a-red-fox-in-snow-2.png\n")
    assert (here / "a-red-fox-in-snow.png").read_bytes().startswith(PNG)


def test_what_came_other_than_asked_for(signed_in: Emulator, run: Callable[..., Done], here: Path) -> None:
    """It is said on stderr; with --json it is all in one object."""
    wish = ("--size", "2160x3040", "--quality", "high", "--background", "transparent", "-m", "gpt-image-x")
    told = run("image", "a fox", "-o", "fox.jpg", *wish)
    object_ = run("image", "a fox", "--json", *wish)

    assert (told.returncode, told.stdout) == (0, "fox.png\n")
    assert told.stderr == (
        "note: the service made it with size 1024x1536, not 2160x3040 and quality medium, not high\n"
    )
    facts = json.loads(object_.stdout)
    assert (facts["path"], facts["width"], facts["height"], object_.stderr) == ("a-fox.png", 1024, 1536, "")
    assert (facts["requested"]["size"], facts["reported"]["size"]) == ("2160x3040", "1024x1536")
    assert facts["request_id"]
    assert signed_in.journal()[0]["body"]["model"] == "gpt-image-x"


def test_images_are_edited(signed_in: Emulator, run: Callable[..., Done], here: Path) -> None:
    """Several, in their order, and saved in a folder."""
    (here / "out").mkdir()
    edits = ("--edit", str(PIXEL), "--edit", str(PIXEL))
    done = run("image", "make it blue", *edits, "-o", "out")

    assert (done.returncode, done.stdout) == (0, f"out{os.sep}make-it-blue.png\n")
    assert len(signed_in.journal()[-1]["body"]["images"]) == 2


def test_nothing_is_overwritten_or_asked_for_in_vain(
    signed_in: Emulator, run: Callable[..., Done], here: Path
) -> None:
    """Whether the name is free is known before the image is made; --force overwrites."""
    (here / "fox.png").write_bytes(b"precious")

    for name in ("fox.png", "fox", "missing/fox"):
        refused = run("image", "a fox", "-o", name)
        assert (refused.returncode, refused.stdout) == (2, "")
    assert (posts(signed_in), (here / "fox.png").read_bytes()) == (0, b"precious")
    assert run("image", "a fox", "-o", "fox.png", "--force").stdout == "fox.png\n"
    assert (here / "fox.png").read_bytes().startswith(PNG)


def test_an_image_that_cannot_be_saved_is_kept(
    signed_in: Emulator,
    run: Callable[..., Done],
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was paid for: the error says where it is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (here / "fox.png").mkdir()
    done = run("image", "a fox", "-o", "fox.jpg", "--force")

    assert (done.returncode, done.stdout) == (2, "")
    [kept] = tmp_path.glob("onplan-*/image.png")
    assert str(kept) in done.stderr.replace("\n       ", "")
    assert kept.read_bytes().startswith(PNG)


def test_an_image_in_a_pipe(signed_in: Emulator, run: Callable[..., Done], here: Path) -> None:
    """Its bytes are all of stdout; a terminal does not get them, and JSON has no place for them."""
    image = subprocess.run([*ONPLAN, "image", "a fox", "-o", "-"], capture_output=True, check=True).stdout

    assert image.startswith(PNG)
    assert run("image", "a fox", "-o", "-", "--json").returncode == 2
    assert names(here) == []


@pytest.mark.parametrize(
    ("fault", "code", "word"),
    [
        ("images_rate_limited", 21, "limit of its own"),
        ("images_refused", 13, "safety system"),
        ("images_forbidden", 22, "not allowed"),
        ("images_empty", 33, "no image data"),
    ],
)
def test_exit_codes(
    signed_in: Emulator, run: Callable[..., Done], here: Path, fault: str, code: int, word: str
) -> None:
    """Those of the errors; no file is left behind."""
    signed_in.arm(fault)
    done = run("image", "a fox", "-o", "fox")

    assert (done.returncode, done.stdout, names(here)) == (code, "", [])
    assert word in done.stderr


@pytest.mark.parametrize("wrong", [("--size", "big"), ("--quality", "best"), ("--edit", "missing.png")])
def test_mistakes(signed_in: Emulator, run: Callable[..., Done], here: Path, wrong: Any) -> None:
    """Nothing is asked."""
    done = run("image", "a fox", *wrong)

    assert (done.returncode, done.stdout, posts(signed_in)) == (10, "", 0)
    assert run("image", " ").returncode == 2


def test_at_a_terminal(signed_in: Emulator, here: Path) -> None:
    """A person sees that it goes on, and then the path alone."""
    signed_in.arm("images_slow", seconds=0.5)
    with terminal(*ONPLAN, "image", "a fox") as at:
        code, out = at.end()

    assert (code, out) == (0, "a-fox.png\n")
    assert "drawing, which takes a minute or two" in at.screen


def test_the_example_of_the_docs(signed_in: Emulator, run: Callable[..., Done], here: Path) -> None:
    """docs/images.md shows what the commands print."""
    page = (Path(__file__).parents[2] / "docs" / "images.md").read_text(encoding="utf-8")
    _, *shown = page.partition("```text\n")[2].partition("```")[0].split("$ onplan ")

    assert len(shown) == 2
    for example in shown:
        command, _, printed = example.partition("\n")
        done = run(*shlex.split(command))
        assert done.stderr + done.stdout == printed
