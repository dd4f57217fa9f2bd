"""The hosted tool that makes images in a turn: they are in the answer, and go back with the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan import HostedTool, ToolChoice
from onplan.emulator import Emulator, Turn

DRAW = HostedTool("image_generation", {"model": "gpt-image-2", "partial_images": 1})
ASKED: dict[str, Any] = {"model": "gpt-5.5", "tools": [DRAW]}


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    rows = [row for row in emulator.journal() if row["path"].endswith("/responses") and row["status"] != 101]
    return [row["body"] for row in rows]


def test_an_image_in_an_answer(signed_in: Emulator, driver: Any) -> None:
    """Its bytes are there, beside the text; what came of it before it was whole is not."""
    signed_in.play(Turn(images=["a fox", "an owl"], text="Here they are."))
    chunks = driver().chunks("Draw a fox and an owl", **ASKED)
    response = chunks[-1].response

    fox, owl = response.images
    assert fox.data.startswith(b"\x89PNG")
    assert owl.data != fox.data
    assert response.text == "Here they are."
    assert [chunk.part for chunk in chunks if chunk.type == "part_done"] == response.message.content


def test_the_next_turn_gives_it_back(signed_in: Emulator, driver: Any) -> None:
    """Whole, and in its place; also after it was written to a file as JSON."""
    signed_in.play(Turn(images=["a fox"], text="Here."))
    first = driver().complete("Draw a fox", **ASKED)
    driver().complete([onplan.Message.user("Draw a fox"), first.message, "Bluer"], **ASKED)

    _, thought, call, said, _ = bodies(signed_in)[-1]["input"]
    assert (thought["type"], said["type"]) == ("reasoning", "message")
    assert call.pop("id").startswith("ig_")
    assert call.pop("result")
    assert call == {"type": "image_generation_call", "status": "completed", "revised_prompt": "a fox"}


@pytest.mark.parametrize("driver", ["sync"], indirect=True)
def test_a_saved_conversation_has_it(signed_in: Emulator, driver: Any, tmp_path: Path) -> None:
    """It is what it was when the file is read again."""
    signed_in.play(Turn(images=["a fox"], text="Here."))
    with driver().client() as client:
        talk = client.conversation(**ASKED)
        said = talk.say("Draw a fox")
        talk.save(tmp_path / "talk.jsonl")
        again = client.conversation.load(tmp_path / "talk.jsonl", tools=[DRAW])

    assert again.messages[-1] == said.message


@pytest.mark.parametrize("driver", ["sync"], indirect=True)
def test_a_model_that_is_made_to_draw(signed_in: Emulator, driver: Any) -> None:
    """Otherwise it may just talk. Models that take their tools elsewhere refuse this one."""
    made = driver().complete("a fox", tool_choice=ToolChoice("image_generation"), **ASKED)
    talked = driver().complete("a fox", **ASKED)

    assert (len(made.images), talked.images) == (1, [])
    with pytest.raises(onplan.InvalidRequestError, match=r"not supported with gpt-6\.1-sol"):
        driver().complete("a fox", model="gpt-6.1-sol", tools=[DRAW])
