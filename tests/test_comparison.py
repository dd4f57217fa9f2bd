"""docs/comparison.md: onplan's programs do what the page says; tests/interop has those of the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .comparison import ROOT, WHOLE_CHAT, Machine, cell, machine, try_agent, try_chat, try_extraction


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path, lambda emulator, folder, program: [sys.executable, program]) as found:
        yield found


def test_the_page_is_current() -> None:
    """`tools/comparison.py --write` writes it anew: the programs, and how long they are."""
    program = [sys.executable, ROOT / "tools" / "comparison.py"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == (ROOT / "docs" / "comparison.md").read_text()


@pytest.mark.parametrize("section", ["An agent", "200 typed extractions", "A chat"])
def test_the_program_with_onplan_is_the_shortest(section: str) -> None:
    """By the lines that the page counts."""
    libraries = ("onplan", "pydantic-ai", "openai SDK")
    lines = {library: int(cell("lines of code", library, section)) for library in libraries}

    assert min(lines, key=lines.__getitem__) == "onplan"


def test_an_agent_goes_on_when_a_tool_fails(here: Machine) -> None:
    """The model is told of all three calls, and answers."""
    try_agent(here, "agent_with_onplan.py")


def test_extractions_outlast_a_limit_and_a_refused_token(here: Machine) -> None:
    """All are answered, in order; each is refused once at most, and the token is refreshed once."""
    done = try_extraction(here, "extraction_with_onplan.py", refuse_token=True)

    assert done.outcome == "200 of 200", done.complaints
    assert (
        done.outcome
        == cell("and the token is refused", "onplan")
        == cell("the usage limit is reached", "onplan")
    )
    assert done.refused <= 8
    assert done.refreshes == 1


def test_a_chat_goes_on_where_it_was_killed(here: Machine) -> None:
    """What was said and not answered is answered when it starts again; the model knows the whole chat."""
    assert try_chat(here, "chat_with_onplan.py") == WHOLE_CHAT
