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
        ("X.\n:city: Oslo", "X.\n:city: Oslo"),
        ("The ratio is 3:4 :here: or there.", "The ratio is 3:4 :here: or there."),
    ],
)
def test_a_text_without_sections_is_the_description(text: str | None, description: str) -> None:
    """Words that only look like a section stay in it."""
    read = read_docstring(text)
    assert (read.description, read.parameters) == (description, {})


OF_PARAMETERS = [
    *("Args", "Arguments", "Parameters", "Params", "PARAMETERS"),
    *("Keyword Args", "Keyword Arguments", "Other Parameters"),
]
OTHERS = [
    *("Attributes", "Example", "Examples", "Note", "Notes", "Raises", "References", "Return", "Returns"),
    *("See Also", "Todo", "Warning", "Warnings", "Warns", "Yield", "Yields"),
]


@pytest.mark.parametrize("title", [*OF_PARAMETERS, *OTHERS])
def test_the_titles_of_sections(title: str) -> None:
    """What follows any of them is no description; what follows some are parameters."""
    found = {"a": "One."} if title in OF_PARAMETERS else {}
    for section in (
        f"{title}:\n    a: One.",
        f"{title}:  \n    a: One.",
        f"{title}\n{'-' * 5}  \na\n    One.",
    ):
        read = read_docstring(f"X.\n\n{section}")
        assert (read.description, read.parameters) == ("X.", found)


@pytest.mark.parametrize("title", ["Args", "Text\n  Args:", "Cities:", "Args: a", "Args\n--"])
def test_what_is_no_title_of_parameters(title: str) -> None:
    """Without colon or underline, indented, or another word."""
    assert read_docstring(f"X.\n\n{title}\n    a: One.").parameters == {}


@pytest.mark.parametrize("kind", ["param", "parameter", "arg", "argument", "key", "keyword"])
def test_the_fields_of_parameters(kind: str) -> None:
    """With or without a type, a star and a text."""
    for field in (f":{kind} a: One.", f":{kind} str a: One.", f":{kind} *a: One.", f":{kind} a :\n    One."):
        read = read_docstring(f"X.\n\n{field}")
        assert (read.description, read.parameters) == ("X.", {"a": "One."})
    assert read_docstring(f"X.\n\n:{kind}: One.").parameters == {}


OTHER_FIELDS = [
    *("except", "exception", "raise", "raises", "return", "returns", "rtype", "type"),
    *("yield", "yields", "ytype"),
]


@pytest.mark.parametrize("kind", OTHER_FIELDS)
def test_other_fields_end_the_description(kind: str) -> None:
    """They say nothing of a parameter."""
    for field in (f":{kind}: One.", f":{kind} a: One."):
        read = read_docstring(f"X.\n\n{field}")
        assert (read.description, read.parameters) == ("X.", {})


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("X.\n\nArgs:\n  a: One.\n\n  b: Two.", {"a": "One.", "b": "Two."}),
        ("X.\n\nArgs:\n    a (Callable[[int], str]): One.", {"a": "One."}),
        ("X.\n\nArguments:\n    a: One.\nKeyword Args:\n    b: Two.", {"a": "One.", "b": "Two."}),
        ("X.\n\nArgs:\n    not an entry\n    a: One.", {"a": "One."}),
        ("X.\n\nArgs:", {}),
        ("X.\n\nArgs:\n    a: One,\n \n        two.", {"a": "One, two."}),
        ("X.\n\nParameters\n----------\na, b : int\n    Both.", {"a": "Both.", "b": "Both."}),
        ("X.\n\nOther Parameters\n---\na\n    One.", {"a": "One."}),
        ("X.\n:param dict[str, int] a: One.\n:return: Two.", {"a": "One."}),
        ("X.\n:param a:\n    One.\n\n    Not of it.", {"a": "One."}),
        ("X.\n:param a:\n    One.\n  \n    Not of it.", {"a": "One."}),
    ],
)
def test_unusual_sections(text: str, parameters: dict[str, str]) -> None:
    """Short indentation, nested types, several names, sections in a row, nothing in them."""
    assert read_docstring(text).parameters == parameters
