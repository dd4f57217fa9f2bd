"""What docstrings say of functions and their parameters, in the styles that Python programs use."""

from __future__ import annotations

import pytest

from onplan.tools.docstring import read_docstring

GOOGLE = """The weather in a city.

    Asked for tomorrow, it is a forecast.

    Args:
        city (str, optional): Where: a name,
            or a postal code.
        unit: The unit: C or F.
        *rest: More of it.
        silent:

    Returns:
        degrees: what it is.

    Raises:
        ValueError: there is no such city.
    """
NUMPY = """
    The weather in a city.

    Asked for tomorrow, it is a forecast.

    Parameters
    ----------
    city : str, optional
        Where: a name,
        or a postal code.
    unit : {"C", "F"}
        The unit: C or F.
    *rest
        More of it.
    silent : bool

    Returns
    -------
    degrees : float
        What it is.
    """
REST = """The weather in a city.

    Asked for tomorrow, it is a forecast.

    :param str city: Where: a name,
        or a postal code.
    :type city: str
    :arg unit: The unit: C or F.
    :param rest: More of it.
    :param silent:
    :returns: degrees
    :raises ValueError: there is no such city.

    And more.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_each_style_says_the_same(text: str) -> None:
    """The text before the sections, and one paragraph for each parameter, without its type."""
    read = read_docstring(text)
    assert read.description == "The weather in a city.\n\nAsked for tomorrow, it is a forecast."
    assert read.parameters == {
        "city": "Where: a name, or a postal code.",
        "unit": "The unit: C or F.",
        "rest": "More of it.",
        "silent": "",
    }


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("\n    Indented.\n    Twice.\n    ", "Indented.\nTwice."),
        ("Parameters of the weather", "Parameters of the weather"),
        ("Note: this is no section.", "Note: this is no section."),
        ("The ratio is 3:4 :here: or there.", "The ratio is 3:4 :here: or there."),
    ],
)
def test_a_text_without_sections_is_the_description(text: str | None, description: str) -> None:
    """Words that only look like a section stay in it."""
    read = read_docstring(text)
    assert (read.description, read.parameters) == (description, {})


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("X.\n\nArgs:\n  a: One.\n\n  b: Two.", {"a": "One.", "b": "Two."}),
        ("X.\n\nArgs:\n    a (Callable[[int], str]): One.", {"a": "One."}),
        ("X.\n\nArguments:\n    a: One.\nKeyword Args:\n    b: Two.", {"a": "One.", "b": "Two."}),
        ("X.\n\nArgs:\n    not an entry\n    a: One.", {"a": "One."}),
        ("X.\n\nArgs:", {}),
        ("X.\n\nParameters\n----------\na, b : int\n    Both.", {"a": "Both.", "b": "Both."}),
        ("X.\n\nOther Parameters\n---\na\n    One.", {"a": "One."}),
        ("X.\n:param dict[str, int] a: One.\n:return: Two.", {"a": "One."}),
        ("X.\n:param a:\n    One.\n\n    Not of it.", {"a": "One."}),
    ],
)
def test_unusual_sections(text: str, parameters: dict[str, str]) -> None:
    """Short indentation, nested types, several names, sections in a row, nothing in them."""
    assert read_docstring(text).parameters == parameters
