"""A text that a custom tool's grammar accepts: enough of Lark and of regular expressions for tests.

Of alternatives the first is taken that comes to an end, and of what may be repeated one.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

_Text: TypeAlias = str | None
"""What fits; None if nothing was found."""
_Rule: TypeAlias = Callable[["_Expansion"], _Text]

ANY_TEXT = "text"


class UnknownGrammarError(ValueError):
    """A grammar that this module cannot read, or for which it finds no text."""


def fitting_text(tool_format: Mapping[str, Any]) -> str:
    """A text for the format of a custom tool, in the shape of the Responses API.

    Raises:
        UnknownGrammarError: it has constructs that are not known here.
    """
    if tool_format["type"] == "text":
        return ANY_TEXT
    definition = tool_format["definition"]
    text = _of_regex(definition) if tool_format["syntax"] == "regex" else _of_lark(definition)
    if text is None:
        raise UnknownGrammarError("no text was found that the grammar accepts")
    return text


class _Expansion:
    """The rules of a grammar while a text is made of them. A rule is not entered again from inside itself."""

    def __init__(self, rules: Mapping[str, _Rule]) -> None:
        self._rules, self._inside, self._known = rules, set[str](), dict[str, str]()

    def of(self, name: str) -> _Text:
        """The text of a rule."""
        if name in self._known:
            return self._known[name]
        if name not in self._rules:
            raise UnknownGrammarError(f"it has no rule {name}")
        if name in self._inside:
            return None
        self._inside.add(name)
        text = self._rules[name](self)
        self._inside.remove(name)
        if text is not None:
            self._known[name] = text
        return text


def _literal(text: str) -> _Rule:
    return lambda expansion: text


def _sequence(rules: list[_Rule]) -> _Rule:
    def expand(expansion: _Expansion) -> _Text:
        texts = [rule(expansion) for rule in rules]
        return None if None in texts else "".join(filter(None, texts))

    return expand


def _first_of(rules: list[_Rule]) -> _Rule:
    return lambda expansion: next(
        (text for text in (rule(expansion) for rule in rules) if text is not None), None
    )


def _repeated(rule: _Rule, least: int, wanted: int) -> _Rule:
    def expand(expansion: _Expansion) -> _Text:
        text = rule(expansion) if wanted else ""
        if text is None:
            return None if least else ""
        return text * wanted

    return expand


class _Reader:
    """Reads a grammar from its tokens, by recursive descent."""

    def __init__(self, tokens: Iterator[str]) -> None:
        self._tokens = [*tokens, ""]
        self._at = 0

    def next(self) -> str:
        """The next token, which is not taken; empty at the end."""
        return self._tokens[self._at]

    def take(self) -> str:
        """Take the next token."""
        self._at += 1
        return self._tokens[self._at - 1]

    def expect(self, token: str) -> None:
        """Take this token. Raises UnknownGrammarError if it is another one."""
        if self.take() != token:
            raise UnknownGrammarError(f"there is no {token!r} where one is expected")

    def alternatives(self, ends: tuple[str, ...]) -> _Rule:
        """Sequences with ``|`` between them, up to one of ``ends``, which is not taken."""
        found, parts = [], list[_Rule]()
        while self.next() not in ends:
            if self.next() == "|":
                self.take()
                found.append(_sequence(parts))
                parts = []
            elif self.next() == "":
                raise UnknownGrammarError("it ends in the middle")
            else:
                parts.append(self.times(self.atom()))
        return _first_of([*found, _sequence(parts)])

    def atom(self) -> _Rule:
        """What stands alone, without a quantifier."""
        raise NotImplementedError

    def times(self, rule: _Rule) -> _Rule:
        """``rule`` with the quantifiers that follow."""
        raise NotImplementedError


# --- regular expressions ----------------------------------------------------------------------------

_REGEX_TOKEN = re.compile(
    r"\\[pPuUxN]\{[^}]*\}|\\x[\da-fA-F]{2}|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P?<\w+>|\(\?[a-z]*[:)]|\{\d+(?:,\d*)?\}|.",
    re.DOTALL,
)
_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": " ", "S": "a"}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_EMPTY = ("^", "$", "\\b", "\\A", "\\z", "\\Z")
_CANDIDATES = string.ascii_lowercase + string.digits + string.ascii_uppercase + string.punctuation + " \n\t"


def _of_regex(definition: str) -> _Text:
    try:
        pattern = re.compile(definition.replace("\\z", "\\Z"))
    except re.error as error:
        raise UnknownGrammarError(str(error)) from None
    text = _Regex(_tokens_of(_REGEX_TOKEN, definition)).alternatives(("",))(_Expansion({}))
    return text if text is not None and pattern.fullmatch(text) else None


def _tokens_of(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (found[0] for found in pattern.finditer(text))


class _Regex(_Reader):
    def atom(self) -> _Rule:
        token = self.take()
        if token.startswith("("):
            if token.endswith(")"):  # flags
                return _literal("")
            inner = self.alternatives((")",))
            self.expect(")")
            return inner
        if token in _EMPTY:
            return _literal("")
        if token == "." or len(token) > 2 or (token[:-1] == "\\" and token[1] in _CLASSES):
            return _literal(_character_of(token))
        return _literal(_CONTROLS.get(token[1], token[1]) if token.startswith("\\") else token)

    def times(self, rule: _Rule) -> _Rule:
        while self.next() in ("*", "+", "?") or re.fullmatch(r"\{\d.*\}", self.next()):
            token = self.take()
            least = 0 if token in ("*", "?") else 1 if token == "+" else int(re.findall(r"\d+", token)[0])
            rule = _repeated(rule, least, 0 if token == "?" else least if token[0] == "{" else 1)
            if self.next() in ("?", "+"):  # lazy or possessive, which changes nothing here
                self.take()
        return rule


def _character_of(token: str) -> str:
    """A character that a class of characters matches."""
    pattern = re.compile(token)
    found = next((one for one in _CANDIDATES if pattern.fullmatch(one)), None)
    if found is None:
        raise UnknownGrammarError(f"nothing is known that {token} matches")
    return found


# --- Lark -------------------------------------------------------------------------------------------

_LARK_TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"i?|/(?!/)(?:\\.|[^/\\])+/[imslux]*|->\s*\w+|\.\.|~\s*\d+(?:\s*\.\.\s*\d+)?|\w+|[^\s\w]'
)
_RULE = re.compile(
    r"^[?!]*(?P<name>\w+)(?:\.-?\d+)?\s*:(?P<body>.*(?:\n(?:[ \t]+\S.*|[ \t]*\|.*|\s*$))*)", re.MULTILINE
)
_IMPORT = re.compile(
    r"^%import\s+common\s*(?:\.(?P<name>\w+)(?:\s*->\s*(?P<alias>\w+))?|\((?P<names>[^)]*)\))", re.MULTILINE
)
# Terminals of Lark's own library.
_COMMON = {
    "CNAME": "a",
    "CR": "\r",
    "DIGIT": "0",
    "ESCAPED_STRING": '"text"',
    "FLOAT": "1.0",
    "HEXDIGIT": "0",
    "INT": "1",
    "LCASE_LETTER": "a",
    "LETTER": "a",
    "LF": "\n",
    "NEWLINE": "\n",
    "NUMBER": "1",
    "SIGNED_INT": "1",
    "SIGNED_NUMBER": "1",
    "UCASE_LETTER": "A",
    "WORD": "text",
    "WS": " ",
    "WS_INLINE": " ",
}


def _of_lark(definition: str) -> _Text:
    rules: dict[str, _Rule] = {}
    for found in _IMPORT.finditer(definition):
        for name in [found["name"]] if found["name"] else re.findall(r"\w+", found["names"]):
            if name not in _COMMON:
                raise UnknownGrammarError(f"common.{name} is not known")
            rules[found["alias"] or name] = _literal(_COMMON[name])
    lines = "\n".join(line for line in definition.splitlines() if not line.lstrip().startswith(("//", "%")))
    for found in _RULE.finditer(lines):
        rules[found["name"]] = _Lark(_tokens_of(_LARK_TOKEN, found["body"])).alternatives(("",))
    return _Expansion(rules).of("start")


class _Lark(_Reader):
    def atom(self) -> _Rule:
        token = self.take()
        match token[0]:
            case "(" | "[":
                closing = ")" if token == "(" else "]"
                inner = self.alternatives((closing,))
                self.expect(closing)
                return inner if token == "(" else _repeated(inner, 0, 0)
            case '"':
                return self._range(_unquoted(token))
            case "/":
                text = _of_regex(token[1 : token.rindex("/")])
                return lambda expansion: text
            case "-":  # the name of an alternative
                return _literal("")
            case first if first.isalnum() or first == "_":
                return lambda expansion: expansion.of(token)
            case _:
                raise UnknownGrammarError(f"{token!r} is not known")

    def _range(self, first: str) -> _Rule:
        """A text, or the first character of a range of them: ``"a".."z"``."""
        if self.next() == "..":
            self.take()
            self.take()
        return _literal(first)

    def times(self, rule: _Rule) -> _Rule:
        while self.next() in ("*", "+", "?") or self.next().startswith("~"):
            token = self.take()
            if token.startswith("~"):
                least = int(re.findall(r"\d+", token)[0])
                rule = _repeated(rule, least, least)
            else:
                rule = _repeated(rule, int(token == "+"), int(token != "?"))
        return rule


def _unquoted(token: str) -> str:
    inside = token[1 : token.rindex('"')]
    return re.sub(r"\\(.)", lambda found: _CONTROLS.get(found[1], found[1]), inside)
