from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from onplan._version import __version__
from onplan.backends import BACKENDS, DEFAULT_BACKEND, OPENAI_CODEX, backend_named
from onplan.errors import ConfigurationError
from onplan.oauth.issuer import ISSUERS
from onplan.types import CompletionRequest


def test_a_backend_is_found_by_its_name():
    """The table's rows are known by their names; the default is one of them."""
    assert OPENAI_CODEX is backend_named("openai-codex")
    assert "openai-codex" == DEFAULT_BACKEND


@pytest.mark.parametrize("name", ["", "OpenAI-Codex", "nonsense"])
def test_an_unknown_name_is_told_what_there_is(name):
    """The error for an unknown backend names it, and its hint those there are."""
    with pytest.raises(ConfigurationError, match=f"'{name}'") as caught:
        backend_named(name)
    assert all(known in caught.value.hint for known in BACKENDS)


@pytest.mark.parametrize("row", BACKENDS.values(), ids=lambda row: row.name)
class TestRows:
    def test_it_fits_the_rest_of_the_program(self, row):
        """A row's issuer exists, its address is safe, its treatments name real parameters."""
        assert row.issuer in ISSUERS
        assert row.base_url.startswith("https://")
        assert not row.base_url.endswith("/")
        assert set(row.treatments) <= set(CompletionRequest.__struct_fields__)

    def test_its_models_are_its_own(self, row):
        """Bundled models say which provider serves them, and each is listed once."""
        assert {row.name} == {model.provider for model in row.fallback_models}
        assert len(row.fallback_models) == len({model.id for model in row.fallback_models})
        for model in row.fallback_models:
            assert model.default_reasoning_effort in model.reasoning_efforts

    def test_it_cannot_be_changed(self, row):
        """A row is a frozen value."""
        with pytest.raises(FrozenInstanceError):
            row.base_url = "https://example.org"


def test_we_say_who_we_are():
    """Requests to the Codex backend name onplan and its version."""
    assert "onplan" == OPENAI_CODEX.headers["originator"]
    assert OPENAI_CODEX.headers["user-agent"].startswith(f"onplan/{__version__} (")


def test_what_the_backend_demands_is_in_its_row():
    """The Codex backend stores nothing, streams always, and gives encrypted reasoning back."""
    assert {
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    } == OPENAI_CODEX.required
    assert {"temperature", "top_p", "max_tokens", "stop", "metadata"} == {
        name for name in CompletionRequest.__struct_fields__ if OPENAI_CODEX.drops(name)
    }
