"""What frameworks hand on as it was given to them: a wrong value is refused with its name."""

from __future__ import annotations

from typing import Any

import pytest

from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import named_values, several, wrong_kind


@pytest.mark.parametrize(("given", "kind"), [(5, "int"), (None, "NoneType"), (str, "the class str")])
def test_a_wrong_value_is_named_by_its_kind(given: object, kind: str) -> None:
    """And not shown; a class that was given in place of an object is called one."""
    error = wrong_kind("tools", given, "a list")
    assert (error.message, error.hint) == (f"tools has the wrong type: {kind}.", "Give it a list.")


@pytest.mark.parametrize("given", [[1, 2], (1, 2), iter([1, 2])])
def test_several_things_are_a_list(given: Any) -> None:
    """Whatever holds them."""
    assert several("tools", given, "a list") == [1, 2]


@pytest.mark.parametrize("given", ["ab", b"ab", {"a": 1}, 5, None], ids=str)
def test_a_single_thing_is_not_several(given: Any) -> None:
    """A text is not its characters."""
    with pytest.raises(InvalidRequestError, match="tools has the wrong type"):
        several("tools", given, "a list")


def test_values_by_name() -> None:
    """None stands for an empty dict; anything else is refused."""
    assert named_values("options", None) == {}
    assert named_values("options", {"a": 1}) == {"a": 1}
    with pytest.raises(InvalidRequestError, match="options has the wrong type: list"):
        named_values("options", [("a", 1)])
