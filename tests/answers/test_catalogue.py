from __future__ import annotations

import pytest

from onplan.answers.catalogue import catalogue_request, models_of
from onplan.backends import CLIENT_VERSION, OPENAI_CODEX
from onplan.errors import UnexpectedReplyError
from onplan.types import ModelInfo, OAuthCredentials


def entry(slug, **fields):
    return {"slug": slug, "visibility": "list", "priority": 1, **fields}


def ids(*entries):
    return [model.id for model in models_of({"models": list(entries)}, OPENAI_CODEX)]


def test_the_request_names_the_client_version():
    """The catalogue is asked for with the version that decides what it lists, and with the credential."""
    request = catalogue_request(
        OPENAI_CODEX, "https://example.org/codex", OAuthCredentials(access_token="t", account_id="a")
    )

    assert "GET" == request.method
    assert f"https://example.org/codex/models?client_version={CLIENT_VERSION}" == request.url
    assert "Bearer t" == request.headers["authorization"]
    assert "a" == request.headers["chatgpt-account-id"]


def test_an_entry_becomes_a_model():
    """What the catalogue says of a model is what the program reads."""
    whole = entry(
        "gpt-5.5",
        display_name="GPT-5.5",
        context_window=272_000,
        input_modalities=["text", "image"],
        supported_reasoning_levels=[{"effort": "low", "description": "x"}, {"effort": "high"}],
        default_reasoning_level="low",
        base_instructions="…",
    )

    assert [
        ModelInfo(
            id="gpt-5.5",
            name="GPT-5.5",
            provider="openai-codex",
            context_window=272_000,
            supports_vision=True,
            reasoning_efforts=["low", "high"],
            default_reasoning_effort="low",
            input_cost_per_million=0.0,
            output_cost_per_million=0.0,
        )
    ] == models_of({"models": [whole]}, OPENAI_CODEX)


def test_a_slug_is_enough():
    """A model of which nothing but its slug is said is listed under it."""
    (model,) = models_of({"models": [{"slug": "x", "visibility": None, "display_name": None}]}, OPENAI_CODEX)

    assert ("x", "x", None, False, []) == (
        model.id,
        model.name,
        model.context_window,
        model.supports_vision,
        model.reasoning_efforts,
    )


def test_the_best_comes_first():
    """Models come by priority, lowest number first; the server's order decides between equals."""
    assert ["c", "a", "d", "b"] == ids(
        entry("a", priority=2), entry("b", priority=9), entry("c", priority=1), entry("d", priority=2)
    )


def test_without_priorities_the_server_decides():
    """Where a priority is missing, the server's order is kept."""
    assert ["b", "a"] == ids(entry("b", priority=2), entry("a", priority=None))


def test_hidden_models_are_not_listed():
    """Only models meant to be chosen are listed."""
    assert ["a"] == ids(entry("a"), entry("b", visibility="hide"), entry("c", visibility="none"))


@pytest.mark.parametrize("bad", [None, 7, {}, {"slug": 5}, {"slug": "x", "context_window": "big"}], ids=str)
def test_one_bad_entry_does_not_void_the_others(bad):
    """An entry that cannot be read is left out; the others are listed."""
    assert ["a", "b"] == ids(entry("a"), bad, entry("b"))


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "models",
        {},
        {"models": None},
        {"models": {}},
        {"models": []},
        {"models": [{}]},
        {"models": [entry("a", visibility="hide")]},
        {"detail": "no"},
    ],
    ids=str,
)
def test_no_catalogue_is_an_error(body):
    """A body that lists no model is never an empty list of models."""
    with pytest.raises(UnexpectedReplyError):
        models_of(body, OPENAI_CODEX)
