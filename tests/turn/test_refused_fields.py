"""What is advised where a backend refuses a part of a request."""

from __future__ import annotations

import dataclasses

import pytest

from onplan.backends import OPENAI, OPENAI_CODEX
from onplan.errors import InvalidRequestError, OnplanError, TransportError
from onplan.turn.refused_fields import advice_on_search

REFUSED = "Hosted tool 'web_search' is not supported with this model."


def test_a_model_that_does_not_search() -> None:
    """A backend that searches itself is named first; otherwise another model is."""
    here = advice_on_search(InvalidRequestError(REFUSED), OPENAI_CODEX)
    without = dataclasses.replace(OPENAI, search_path=None)
    there = advice_on_search(InvalidRequestError(REFUSED), without)

    assert here
    assert there
    assert "supports_web_search" in here
    assert "supports_web_search" in there
    assert ("client.search.tool()" in here, "client.search.tool()" in there) == (True, False)


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequestError("Unsupported parameter: temperature"),
        InvalidRequestError("Tool choice 'web_search' is not supported."),
        InvalidRequestError("web_search has found nothing."),
        TransportError(REFUSED),
    ],
)
def test_other_errors_get_no_such_advice(error: OnplanError) -> None:
    """Only a refusal of the tool itself does."""
    assert advice_on_search(error, OPENAI_CODEX) is None
