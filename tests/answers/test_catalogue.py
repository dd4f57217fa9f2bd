from __future__ import annotations

from typing import Any

import pytest

from onplan.answers.catalogue import advice_on_models, catalogue_request, models_of
from onplan.backends import CHATGPT_PLAN, CLIENT_VERSION, COMPATIBLE, OPENAI, OPENAI_CODEX, ROWS
from onplan.errors import UnexpectedReplyError
from onplan.types import APIKey, ModelInfo, OAuthCredentials


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


@pytest.mark.parametrize("backend", [OPENAI, COMPATIBLE], ids=["OpenAI", "a compatible server"])
def test_other_catalogues_have_one_address(backend):
    """Where no version decides, there is nothing behind the address; JSON is asked for."""
    request = catalogue_request(backend, "https://example.org/v1", APIKey("k"))

    assert "https://example.org/v1/models" == request.url
    assert ("Bearer k", "application/json") == (request.headers["authorization"], request.headers["accept"])


def test_an_entry_becomes_a_model():
    """What the catalogue says of a model is what the program reads."""
    whole = entry(
        "gpt-5.5",
        display_name="GPT-5.5",
        context_window=272_000,
        input_modalities=["text", "image"],
        supported_reasoning_levels=[
            {"effort": "low", "description": "x"},
            {"description": "y"},
            {"effort": "high"},
        ],
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


@pytest.mark.parametrize(("lite", "takes"), [(True, False), (False, True), (None, None)])
def test_who_takes_the_hosted_search(lite, takes):
    """Every model but the lite ones; of one of which nothing is said it is not known."""
    (model,) = models_of({"models": [entry("x", use_responses_lite=lite)]}, OPENAI_CODEX)

    assert model.supports_web_search is takes


def test_the_best_comes_first():
    """Models come by priority, lowest number first; the server's order decides between equals."""
    assert ["e", "c", "a", "d", "b"] == ids(
        entry("a", priority=2),
        entry("b", priority=9),
        entry("c", priority=1),
        entry("d", priority=2),
        entry("e", priority=0),
    )


def test_a_catalogue_that_is_ordered_stays_as_it_is():
    """Where the backend lists the best first, priorities are for other clients."""
    (ordered,) = [row for row in ROWS if row.catalogue_is_ordered]
    body = {"models": [entry("a", priority=2), entry("b", priority=1)]}

    assert ["a", "b"] == [model.id for model in models_of(body, ordered)]


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
    ("body", "says"),
    [
        (None, "could not be read"),
        ([], "could not be read"),
        ("models", "could not be read"),
        ({}, "could not be read"),
        ({"models": None}, "could not be read"),
        ({"models": {}}, "could not be read"),
        ({"detail": "no"}, "could not be read"),
        ({"models": []}, "is empty"),
        ({"models": [{}]}, "is empty"),
        ({"models": [entry("a", visibility="hide")]}, "is empty"),
    ],
    ids=str,
)
def test_no_catalogue_is_an_error(body, says):
    """A body that lists no model is never an empty list of models; the error says which of the two it is."""
    with pytest.raises(UnexpectedReplyError, match=f"The model catalogue {says}"):
        models_of(body, OPENAI_CODEX)


# --- {"data": [...]}: the platform and compatible servers ---------------------------------------------


def listed(*entries: dict[str, Any], backend=COMPATIBLE) -> list[ModelInfo]:
    return models_of({"object": "list", "data": list(entries)}, backend)


DATA = {
    "an id is enough": (
        {"id": "m"},
        ModelInfo(id="m", name="m", provider="openai", context_window=None, supports_vision=False),
    ),
    "OpenRouter's fields": (
        {
            "id": "acme/m",
            "name": "Acme: M",
            "context_length": 131_072,
            "architecture": {"input_modalities": ["text", "image"]},
        },
        ModelInfo(
            id="acme/m", name="Acme: M", provider="openai", context_window=131_072, supports_vision=True
        ),
    ),
    "xAI's and Groq's window": (
        {"id": "m", "context_window": 8_192},
        ModelInfo(id="m", name="m", provider="openai", context_window=8_192),
    ),
    "vLLM's window": (
        {"id": "m", "max_model_len": 4_096.0},
        ModelInfo(id="m", name="m", provider="openai", context_window=4_096),
    ),
    "LM Studio's window": (
        {"id": "m", "max_context_length": 2_048},
        ModelInfo(id="m", name="m", provider="openai", context_window=2_048),
    ),
    "fields of other types": (
        {"id": "m", "name": None, "context_length": "big", "architecture": {"input_modalities": "image"}},
        ModelInfo(id="m", name="m", provider="openai"),
    ),
}


@pytest.mark.parametrize(("entry", "model"), DATA.values(), ids=DATA)
def test_a_listed_id_becomes_a_model(entry, model):
    """Each server's name for the size of the window is read, and fields of another type are left out."""
    assert listed(entry) == [model]


def test_entries_without_an_id_are_not_listed():
    """An entry that cannot be read does not void the others."""
    assert ["a"] == [model.id for model in listed({"id": 5}, {"name": "x"}, None, "b", {"id": "a"})]


OLD, NEW = {"id": "gpt-4", "created": 1}, {"id": "gpt-5", "created": 2}
EMBEDDING = {"id": "text-embedding-3-small", "created": 3}


@pytest.mark.parametrize(
    ("backend", "entries", "ids"),
    [
        (OPENAI, [OLD, NEW], ["gpt-5", "gpt-4"]),
        (OPENAI, [EMBEDDING, OLD, NEW], ["gpt-5", "gpt-4", "text-embedding-3-small"]),
        (OPENAI, [{"id": "gpt-3", "created": None}, OLD], ["gpt-4", "gpt-3"]),
        (COMPATIBLE, [OLD, NEW], ["gpt-4", "gpt-5"]),
        (COMPATIBLE, [EMBEDDING, OLD, NEW], ["gpt-4", "gpt-5", "text-embedding-3-small"]),
        (CHATGPT_PLAN, [OLD, NEW, EMBEDDING], ["text-embedding-3-small", "gpt-5", "gpt-4"]),
    ],
    ids=["newest first", "models of text first", "no date", "as listed", "text first", "no pattern"],
)
def test_the_order_of_listed_ids(backend, entries, ids):
    """The platform's newest model comes first, a compatible server's in its order; embeddings come last."""
    assert ids == [model.id for model in listed(*entries, backend=backend)]


def test_where_both_lists_are_sent_the_described_one_counts():
    """A list of bare ids beside it is for other clients."""
    body = {"models": [entry("a")], "data": [{"id": "b"}]}

    assert ["a"] == [model.id for model in models_of(body, OPENAI_CODEX)]
    assert ["b"] == [model.id for model in models_of({**body, "models": []}, OPENAI_CODEX)]


# --- hints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "ids", "says"),
    [
        ("gpt-5.6", ["gpt-5.5", "o3", "gpt-5.4"], "Nearest to it: gpt-5.5 or gpt-5.4; "),
        ("gpt-5.6", ["gpt-5.5", "gpt-5.4", "gpt-5.3"], "Nearest to it: gpt-5.5 or gpt-5.4; "),
        ("moonrise", ["gpt-5.5", "o3", "gpt-5.4"], "Nearest to it: gpt-5.5 or o3; "),
        ("gpt-5.5", ["gpt-5.5", "o3"], "Nearest to it: o3; "),
        ("gpt-5.5", ["gpt-5.5"], "Run `onplan models`"),
        ("gpt-5.5", [], "Run `onplan models`"),
    ],
    ids=["similar ids", "many of them", "no similar id", "the model itself", "only the model itself", "none"],
)
def test_a_hint_names_models_to_use_instead(model, ids, says):
    """Those with similar ids, or else the best; never the one that was refused."""
    models = [ModelInfo(id=id_, name=id_, provider="openai") for id_ in ids]

    assert advice_on_models(model, models, COMPATIBLE).startswith(says)
    assert advice_on_models(model, models, COMPATIBLE).endswith((" lists all.", " to see which there are."))
    assert CLIENT_VERSION in advice_on_models(model, models, OPENAI_CODEX)
