"""The texts that the emulator's model writes for the grammars of custom tools."""

from __future__ import annotations

import re

import pytest

from onplan.emulator.api.grammar_text import UnknownGrammarError, fitting_text

PATCH = """
start: begin hunk+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?

hunk: add | delete
add: "*** Add File: " filename LF added+
delete: "*** Delete File: " filename LF
filename: /(.+)/
added: "+" /(.*)/ LF -> line

%import common.LF
"""
LEFT_RECURSIVE = """
// sums
start: sum
?sum: sum "+" product
    | product
?product.2: NUMBER -> number
          | "(" sum ")"
%import common (NUMBER, WS)
%ignore WS
"""
REGEXES = [
    r"SELECT .*",
    r"^\d{4}-\d\d-\d\d$",
    r"(?P<a>x|y)+[^a-z]?[A-Z]{2,3}",
    r"(?i)foo\.bar\n\t",
    r"[]a]\\",
    r"a*?b{0,2}\S+\W\D",
    r"(a|(b|c)d)?e",
    r"\x41(?:b)",
    "",
]
LARKS = {
    PATCH: "*** Begin Patch\n*** Add File: a\n+a\n*** End Patch",
    LEFT_RECURSIVE: "1",
    'start: "a".."z" ~3 ["x"] "\\n"i': "aaa\n",
    'start: ("a" | "b")* _C?\n_C: "c"': "a",
    'start: a\na: "x" b*\nb: "(" a ")"': "x",
    "start: WORD [common]\n%import common.WORD": "text",
    "start: NAME\n%import common.CNAME -> NAME": "a",
}


@pytest.mark.parametrize("definition", REGEXES)
def test_a_text_matches_the_regular_expression(definition):
    """All of it."""
    text = fitting_text({"type": "grammar", "syntax": "regex", "definition": definition})
    assert re.fullmatch(definition, text)


@pytest.mark.parametrize(("definition", "text"), LARKS.items())
def test_a_text_is_one_of_the_grammar(definition, text):
    """The first alternatives, and what may be repeated once."""
    assert fitting_text({"type": "grammar", "syntax": "lark", "definition": definition}) == text


@pytest.mark.parametrize(
    ("syntax", "definition"),
    [
        ("regex", "("),
        ("regex", "(?=x)y"),
        ("regex", r"\p{L}"),
        ("lark", ""),
        ("lark", "start: other"),
        ("lark", 'start: ("a"'),
        ("lark", 'start: start "a"'),
        ("lark", "start: _sep{a}"),
        ("lark", "start: THING\n%import common.THING"),
    ],
)
def test_what_is_not_understood_is_an_error(syntax, definition):
    """And never a text that does not fit."""
    with pytest.raises(UnknownGrammarError):
        fitting_text({"type": "grammar", "syntax": syntax, "definition": definition})
