"""One request for images: what is sent, and whom it is not sent for."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from onplan.backends import CHATGPT_PLAN, COMPATIBLE, OPENAI, OPENAI_RESPONSES
from onplan.errors import (
    BudgetError,
    ConfigurationError,
    InvalidRequestError,
    NotIncludedError,
    OnplanError,
)
from onplan.images.generation import generation, support_of
from onplan.images.response import ImageResponse
from onplan.plan.budget import Budget
from onplan.turn.retry import RetryPolicy
from onplan.turn.steps import Send
from onplan.types import APIKey

from ..plan.account_flow import FIRST, Backend
from .test_response import GOOD, PNG

ANSWER = {"created": 1, "data": [{"b64_json": GOOD}], "quality": "medium"}
URL = "data:image/png;base64,AAAA"


def made(backend: Backend, *references: str, context: Any = None, **options: Any) -> ImageResponse:
    return backend.run(generation("a fox", references, options, context or backend.context()))


def test_a_new_image() -> None:
    """Words alone go to one endpoint, with a random id, the same in every try."""
    backend = Backend([(500, {}), ANSWER, ANSWER])
    context = backend.context(policy=RetryPolicy())
    response = made(backend, context=context, quality="high")
    made(backend, context=context)

    assert (response.data, response.requested.quality, response.reported.quality) == (PNG, "high", "medium")
    assert backend.sent[0].url == "https://chatgpt.com/backend-api/codex/images/generations"
    assert json.loads(backend.sent[0].body or b"") == {
        "prompt": "a fox",
        "model": "gpt-image-2",
        "size": "auto",
        "quality": "high",
        "background": "opaque",
    }
    first, again, other = (UUID(sent.headers["x-codex-image-turn-id"]) for sent in backend.sent)
    assert first == again != other


def test_an_image_from_others() -> None:
    """Another endpoint, and the images before the prompt, as the official client has it."""
    backend = Backend([ANSWER])
    made(backend, URL, URL, timeout=7)

    [sent] = backend.sent
    assert sent.url.endswith("/images/edits")
    assert (sent.body or b"").startswith(
        b'{"images":[{"image_url":"data:image/png;base64,AAAA"},{"image_url"'
    )


def test_how_long_it_may_take() -> None:
    """As long as the program says."""
    flow = generation("a fox", (), {"timeout": 7}, Backend([]).context())
    flow.send(None)
    step = flow.send(FIRST)

    assert isinstance(step, Send)
    assert step.timeout == 7.0


@pytest.mark.parametrize("row", [OPENAI, OPENAI_RESPONSES])
def test_with_an_api_key(row: Any) -> None:
    """No id and no defaults; whatever its plan, a key is no sign-in."""
    backend = Backend([ANSWER])
    backend.credentials = [APIKey("sk-1")]  # type: ignore[list-item]
    made(backend, context=backend.context(backend=row))

    [sent] = backend.sent
    assert json.loads(sent.body or b"") == {"prompt": "a fox", "model": "gpt-image-2"}
    assert "x-codex-image-turn-id" not in sent.headers


@pytest.mark.parametrize("plan", ["free", "Free"])
def test_the_free_plan(plan: str) -> None:
    """It is not asked, for its token says what it is."""
    backend = Backend([ANSWER], credentials=[replace(FIRST, plan=plan)])

    with pytest.raises(
        NotIncludedError, match=f"The {plan} plan does not include image generation"
    ) as caught:
        made(backend)
    assert "onplan login" in caught.value.hint
    assert backend.sent == []


@pytest.mark.parametrize("plan", ["plus", "sparkle", None])
def test_other_plans(plan: str | None) -> None:
    """They are asked, also where the plan is not known."""
    assert made(Backend([ANSWER], credentials=[replace(FIRST, plan=plan)])).data == PNG


@pytest.mark.parametrize(
    ("row", "words", "hint"),
    [
        (CHATGPT_PLAN, "chatgpt-plan makes no images", "openai-codex"),
        (COMPATIBLE, "Servers other", "own client"),
    ],
)
def test_backends_without_images(row: Any, words: str, hint: str) -> None:
    """The error says what to use instead, before anything else is looked at."""
    for attempt in (
        lambda: support_of(row),
        lambda: generation("", (), {"x": 1}, Backend([]).context(backend=row)),
    ):
        with pytest.raises(ConfigurationError, match=words) as caught:
            attempt()
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("prompt", "words"), [("", "is empty"), (" \n", "is empty"), (None, "NoneType"), (b"fox", "bytes")]
)
def test_prompts_that_are_none(prompt: Any, words: str) -> None:
    """They are refused at once."""
    with pytest.raises(InvalidRequestError, match=words) as caught:
        generation(prompt, (), {}, Backend([]).context())
    assert "images.generate" in caught.value.hint


def test_a_budget_counts_images() -> None:
    """When a fifth of the window is spent, no image is asked for."""
    usage = [
        {"rate_limit": {"primary_window": {"used_percent": used, "limit_window_seconds": 18_000}}}
        for used in (10, 40)
    ]
    backend = Backend([usage[0], ANSWER, usage[1]])
    context = backend.context(budget=Budget(0.2))
    made(backend, context=context)

    with pytest.raises(BudgetError):
        made(backend, context=context)
    assert [sent.url.rpartition("/")[2] for sent in backend.sent] == ["usage", "generations", "usage"]


def test_an_answer_without_images_is_not_asked_for_again() -> None:
    """Another one would cost as much."""
    backend = Backend([{"data": []}])

    with pytest.raises(OnplanError, match="no image data"):
        made(backend, context=backend.context(policy=RetryPolicy()))
    assert len(backend.sent) == 1
