"""Instructor on the plan: typed answers by a client of the drop-in."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import Any

import pytest

from onplan.emulator import Call, Emulator, Turn
from onplan.integrations.openai import AsyncOpenAI, OpenAI

from . import asking, pages

instructor = pytest.importorskip("instructor")
core = pytest.importorskip("instructor.core.exceptions")
pydantic = pytest.importorskip("pydantic")

MODEL = "gpt-5.5"
QUESTION = [{"role": "user", "content": "A bird"}]
MODES = pytest.mark.parametrize("mode", ["TOOLS", "JSON", "JSON_SCHEMA", "MD_JSON", "RESPONSES_TOOLS"])


class Bird(pydantic.BaseModel):  # type: ignore[misc]
    """A bird."""

    name: str
    wingspan: int


@pytest.fixture
def client(signed_in: Emulator) -> Iterator[Any]:
    """A client of the drop-in, which asks once."""
    with OpenAI(retry=1) as made:
        yield made


@MODES
def test_typed_answers(client: Any, signed_in: Emulator, mode: str) -> None:
    """In each of its modes for OpenAI, with one request."""
    if mode.endswith("JSON"):  # the small model follows schemas, and these are only told in words
        signed_in.play(Turn(text='{"name": "Robin", "wingspan": 24}'))
    patched = instructor.from_openai(client, mode=getattr(instructor.Mode, mode))
    bird, completion = patched.create_with_completion(model=MODEL, messages=QUESTION, response_model=Bird)

    assert isinstance(bird, Bird)
    assert completion.usage.total_tokens > 0
    assert len(asking.turns(signed_in)) == 1


def test_asynchronously(signed_in: Emulator) -> None:
    """By the asynchronous client."""

    async def ask() -> Any:
        async with AsyncOpenAI() as client:
            patched = instructor.from_openai(client)
            return await patched.create(model=MODEL, messages=QUESTION, response_model=Bird)

    assert isinstance(asyncio.run(ask()), Bird)


def test_partial_and_many(client: Any, signed_in: Emulator) -> None:
    """Objects while they arrive, and a list of them."""
    birds = [{"name": "Robin", "wingspan": 24}, {"name": "Wren", "wingspan": 15}]
    patched = instructor.from_openai(client)
    partial = list(patched.create_partial(model=MODEL, messages=QUESTION, response_model=Bird))
    signed_in.play(Turn(tool_calls=[Call("IterableBird", {"tasks": birds})]))
    many = list(patched.create_iterable(model=MODEL, messages=QUESTION, response_model=Bird))

    assert partial[-1].model_dump().keys() == {"name", "wingspan"}
    assert [bird.name for bird in many] == ["Robin", "Wren"]


def test_answers_that_do_not_fit_are_asked_for_again(client: Any, signed_in: Emulator) -> None:
    """Instructor tells the model what was wrong: that is another question, and no try of a failed one."""
    signed_in.play(Turn(text='{"name": "Robin"}'), Turn(text='{"name": "Robin", "wingspan": 24}'))
    patched = instructor.from_openai(client, mode=instructor.Mode.JSON)
    bird = patched.create(model=MODEL, messages=QUESTION, response_model=Bird, max_retries=2)

    assert bird.wingspan == 24
    assert len(asking.turns(signed_in)) == 2


@pytest.mark.parametrize(
    ("fault", "reason"), [("usage_limit_429", "usage limit"), ("cut_mid_event", "connection broke")]
)
def test_failures(client: Any, signed_in: Emulator, fault: str, reason: str) -> None:
    """They are Instructor's error with their reason, asked for once, whatever ``max_retries`` says."""
    signed_in.arm(fault, 9)
    patched = instructor.from_openai(client)
    with pytest.raises(core.InstructorRetryException, match=reason):
        patched.create(model=MODEL, messages=QUESTION, response_model=Bird, max_retries=3)
    assert len(asking.turns(signed_in)) == 1


def test_a_sign_in_that_ended(client: Any, signed_in: Emulator) -> None:
    """The error names the command that signs in."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(core.InstructorRetryException, match="onplan login"):
        instructor.from_openai(client).create(model=MODEL, messages=QUESTION, response_model=Bird)


def test_an_expired_token_is_refreshed_once(client: Any, signed_in: Emulator) -> None:
    """Twenty threads ask with a token that the backend refuses: all are answered, after one refresh."""
    patched = instructor.from_openai(client)
    signed_in.expire_access_tokens()

    def ask(_: int) -> Any:
        return patched.create(model=MODEL, messages=QUESTION, response_model=Bird)

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert all(isinstance(bird, Bird) for bird in pool.map(ask, range(20)))
    assert asking.refreshes(signed_in) == 1


@pytest.mark.parametrize("code", pages.python_blocks("instructor.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/integrations/instructor.md."""
    assert pages.run(code)


@asking.forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
@pytest.mark.parametrize("asynchronous", [False, True])
def test_beside_a_fork(client: Any, signed_in: Emulator, asynchronous: bool) -> None:
    """A client that was patched and used before is the child's and the parent's."""
    patched = instructor.from_openai(AsyncOpenAI(retry=1) if asynchronous else client)

    def ask(question: str) -> str:
        answer = patched.create(
            model=MODEL, messages=[{"role": "user", "content": question}], response_model=None
        )
        return str((asyncio.run(answer) if asynchronous else answer).choices[0].message.content)

    asking.beside_a_fork(ask, signed_in)
