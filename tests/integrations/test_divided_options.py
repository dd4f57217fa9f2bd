"""Options that belong to two."""

from __future__ import annotations

from onplan.integrations.divided_options import divided


def test_each_option_goes_to_one_of_the_two() -> None:
    """In their order; what was given stays as it is."""
    given = {"a": 1, "b": 2, "c": None}
    assert divided(given, {"c", "a", "d"}) == ({"a": 1, "c": None}, {"b": 2})
    assert given == {"a": 1, "b": 2, "c": None}
