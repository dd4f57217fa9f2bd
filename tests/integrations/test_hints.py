"""What onplan advises, in the words of each framework: nothing of onplan's that its users do not have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import onplan
from onplan import errors
from onplan.backends import DEFAULT_BACKEND, backend_named
from onplan.integrations.hints import FOR_ALL, FRAMEWORKS, in_words
from onplan.turn.refused_fields import advice_on_search
from onplan.types import File, Image

SOURCE = Path(onplan.__file__).parent
# Where errors of a request come from, whoever asks.
ROOMS = ("answers", "chat", "parameters.py", "request", "responses", "structured", "turn", "types")
# What a user of a framework does not have: clients, parts, and arguments of their methods.
OURS = re.compile(
    r"\bclient\.|`path=|`Client\(|\b(Image|File|ToolChoice|Grammar)\(|Message\.|`complete|`run`|\btalk\b|"
    r"ToolDefinition|onplan\.(?!Timeouts|RetryPolicy|ai\b)[A-Za-z]|conversation makes"
)
THEIRS = re.compile(r"`dspy\.\w+[(.]")
# Of those, what no adapter can meet: it comes from parts and methods that only programs with a client use.
ELSEWHERE = (
    "Give a prompt, such as `complete(",
    "Give its fields as keywords",
    "Give it a string, a Message such as",
    "See https://platform.openai.com/docs/api-reference",
    'Give it "text", `Grammar(',
    "Give it one: `client.complete(…, response_format=Bird)`",
    "The conversation is as it was.",
    "Allow more, or go on: `client.run(",
    'With `compact="auto"` the conversation makes room',
)


def told() -> Iterator[str]:
    """Every hint of those rooms, as far as it is written there, and those of the classes."""
    for room in ROOMS:
        path = SOURCE / room
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield from _written_in(ast.parse(module.read_text("utf-8")))
    yield from (str(kind.hint) for kind in vars(errors).values() if hasattr(kind, "hint"))
    for kind in (Image, File):
        with pytest.raises(onplan.InvalidRequestError) as caught:
            kind("a.png")
        yield caught.value.hint
    refused = onplan.InvalidRequestError("Tool type 'web_search' is not supported.", status_code=400)
    yield str(advice_on_search(refused, backend_named(DEFAULT_BACKEND)))


def _written_in(module: ast.Module) -> Iterator[str]:
    remarks = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(getattr(part, "value", "NAME")) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in remarks:
            yield node.value


def hints() -> list[str]:
    """Those with words of ours, without templates and half sentences."""
    found = {hint for hint in told() if re.match("[A-Z`]", hint) and hint.endswith(".")}
    return sorted(hint for hint in found if OURS.search(hint) and not hint.startswith(ELSEWHERE))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_hint_is_in_its_words(framework: str) -> None:
    """Whatever onplan advises for a request, a user of the framework can do it."""
    assert len(hints()) > 10
    for hint in hints():
        said = in_words(hint, FRAMEWORKS[framework])
        assert not OURS.search(THEIRS.sub("", said)), said


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_phrase_is_one_that_onplan_says(framework: str) -> None:
    """The tables have nothing that is no longer said."""
    said = list(told())
    for phrase in (*FOR_ALL, *FRAMEWORKS[framework].phrases):
        assert any(phrase in hint for hint in said), phrase


@pytest.mark.parametrize(
    ("framework", "name", "said"),
    [
        ("langchain", "timeout", "`ChatOnplan(timeout=onplan.Timeouts(total=…))`"),
        ("haystack", "timeout", "`OnplanChatGenerator(timeout=onplan.Timeouts(total=…))`"),
        ("llama_index", "timeout", "`Onplan(timeout=onplan.Timeouts(total=…))`"),
        ("dspy", "timeout", "`lm(…, timeout=onplan.Timeouts(total=…))`"),
        ("litellm", "timeout", "`register(timeout=onplan.Timeouts(total=…))`"),
        ("langchain", "share", '`ChatOnplan(client_options={"max_window_share": …})`'),
        ("dspy", "share", "`lm(…, max_window_share=…)`"),
    ],
)
def test_an_option_is_given_as_the_framework_gives_it(framework: str, name: str, said: str) -> None:
    """``Client(…)`` becomes what makes the framework's model."""
    kinds = {"timeout": onplan.TotalTimeoutError, "share": onplan.BudgetError}
    assert said in in_words(kinds[name].hint, FRAMEWORKS[framework])


def test_llm_has_no_options_of_a_client() -> None:
    """Its users are told what they can type."""
    words = FRAMEWORKS["llm"]
    assert in_words(onplan.IdleTimeoutError.hint, words) == "Try again."
    assert in_words(onplan.NotSignedInError.hint, words) == "Run `llm onplan login`."
    assert in_words(onplan.CertificateError.hint, words).endswith("`export SSL_CERT_FILE=FILE`.")
