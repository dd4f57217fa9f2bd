"""The models as OpenAI's API lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onplan.types import ModelInfo

# The catalogue says of no model when it was made; clients want a number.
_CREATED = 1_790_000_000


def model_object(model: ModelInfo) -> dict[str, Any]:
    """One model: OpenAI's fields, and what clients ask for beside them."""
    return {
        "id": model.id,
        "object": "model",
        "created": _CREATED,
        "owned_by": "openai",
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "supports_vision": model.supports_vision,
    }


def models_list(models: Iterable[ModelInfo]) -> dict[str, Any]:
    """What ``GET /v1/models`` answers."""
    return {"object": "list", "data": [model_object(model) for model in models]}
