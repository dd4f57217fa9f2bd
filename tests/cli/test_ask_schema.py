"""`onplan ask --schema`: the JSON that a schema describes, on stdout alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator, Turn

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA), encoding="utf-8")
    return path


def test_the_json_is_printed(signed_in: Emulator, run_cli: Callable[..., Any], schema: Path) -> None:
    """The schema is sent, and stdout has the JSON on one line."""
    signed_in.play(Turn(text='```json\n{"n":\n 4}\n```'))
    done = run_cli("ask", "--schema", str(schema), "A number")

    assert (done.returncode, done.stdout, done.stderr) == (0, '{"n":4}\n', "")
    sent = signed_in.journal()[-1]["body"]["text"]["format"]
    assert (sent["schema"], sent["strict"]) == ({**SCHEMA, "additionalProperties": False}, True)


def test_what_is_wrapped_is_printed_alone(
    signed_in: Emulator, run_cli: Callable[..., Any], schema: Path
) -> None:
    """A list is printed as a list, although services want an object around it."""
    schema.write_text('{"type": "array", "items": {"type": "integer"}}', encoding="utf-8")
    signed_in.play(Turn(text='{"value": [1, 2]}'))

    assert run_cli("ask", "--schema", str(schema), "Numbers").stdout == "[1,2]\n"


def test_an_answer_that_does_not_fit(signed_in: Emulator, run_cli: Callable[..., Any], schema: Path) -> None:
    """Nothing is printed as if it were the JSON; the exit code and the error say what is wrong."""
    signed_in.play(Turn(text='{"n": 1}'))
    done = run_cli("ask", "--schema", str(schema), "A number")

    assert (done.returncode, done.stdout) == (80, "")
    assert "The answer does not fit response_format at $.n: is less than 3." in done.stderr


def test_a_refusal(signed_in: Emulator, run_cli: Callable[..., Any], schema: Path) -> None:
    """It is the same as without a schema: the words are on stderr."""
    signed_in.play(Turn(fault="refusal"))
    done = run_cli("ask", "--schema", str(schema), "A number")

    assert (done.returncode, done.stdout) == (13, "")
    assert "I'm sorry, but I can't help with that." in done.stderr


def test_chunks_are_printed_as_ever(signed_in: Emulator, run_cli: Callable[..., Any], schema: Path) -> None:
    """With --json each line is a chunk; an answer that does not fit is an error after them."""
    signed_in.play(Turn(text='{"n": 1}'))
    done = run_cli("ask", "--json", "--schema", str(schema), "A number")

    assert done.returncode == 80
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "done"
    assert json.loads(done.stderr)["error"]["code"] == "output"


@pytest.mark.parametrize("content", ["no JSON", "[1]", '{"type": "text"}'])
def test_what_is_no_schema(run_cli: Callable[..., Any], schema: Path, content: str) -> None:
    """A file that has no JSON schema is refused before anything is sent."""
    schema.write_text(content, encoding="utf-8")
    done = run_cli("ask", "--schema", str(schema), "A number")

    assert done.returncode in (2, 10)
    assert "JSON schema" in done.stderr
