"""What is public is in one table, in the type stub, and fetched on first use."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import onplan


def test_the_table_and_the_stub_agree() -> None:
    """Type checkers and Python see the same public names, sorted."""
    stub = ast.parse(Path(onplan.__file__).with_suffix(".pyi").read_text())
    names = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert names == set(onplan.__all__)
    assert list(onplan.__all__) == sorted(onplan.__all__)
    assert set(onplan.__all__) <= set(dir(onplan))


@pytest.mark.parametrize("name", onplan.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    """Each public name can be used, and says what it is."""
    value = getattr(onplan, name)

    assert isinstance(value, str) or value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A misspelt name fails as in any module."""
    with pytest.raises(AttributeError, match="Clinet"):
        _ = onplan.Clinet  # type: ignore[attr-defined]


def test_every_public_name_is_in_the_typing_example() -> None:
    """The file that a user's type checker is tried on uses every public name that has a signature."""
    text = (Path(__file__).parent / "typing" / "api.py").read_text()
    quiet = {name for name in onplan.__all__ if name.endswith("Error")} | {
        "__version__",
        "Lease",
        "PendingRefresh",
        "Refusal",
        "StreamChunk",
        "Text",
        "ThinkingDelta",
        "ToolCallDelta",
        "ToolCallEnd",
        "ToolCallStart",
        "ToolResult",
        "PartDone",
        "Done",
    }

    assert [name for name in onplan.__all__ if name not in quiet and f"onplan.{name}" not in text] == []
