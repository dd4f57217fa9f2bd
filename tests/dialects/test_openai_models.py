"""The models as OpenAI's clients read them."""

from __future__ import annotations

from onplan.dialects.openai_models import model_object, models_list
from onplan.types import ModelInfo

LARGE = ModelInfo("gpt-5.5", "GPT-5.5", "openai-codex", 400_000, 128_000, supports_vision=True)
PLAIN = ModelInfo("gpt-5", "GPT-5", "openai-codex")


def test_a_model_has_openai_s_fields_and_its_limits() -> None:
    """``created`` is a number, although no catalogue says when a model was made."""
    assert model_object(LARGE) == {
        "id": "gpt-5.5",
        "object": "model",
        "created": 1_790_000_000,
        "owned_by": "openai",
        "context_window": 400_000,
        "max_output_tokens": 128_000,
        "supports_vision": True,
    }


def test_what_the_catalogue_does_not_say_is_null() -> None:
    """Clients tell an unknown limit from a limit of 0."""
    assert model_object(PLAIN) == {
        **model_object(LARGE),
        "id": "gpt-5",
        "context_window": None,
        "max_output_tokens": None,
        "supports_vision": False,
    }


def test_the_list_keeps_the_catalogue_s_order() -> None:
    """The best model first; an empty catalogue is an empty list."""
    assert models_list([LARGE, PLAIN]) == {
        "object": "list",
        "data": [model_object(LARGE), model_object(PLAIN)],
    }
    assert models_list(iter(())) == {"object": "list", "data": []}
