from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from onplan._version import __version__
from onplan.backends import (
    BACKENDS,
    COMPATIBLE,
    COMPATIBLE_RESPONSES,
    DEFAULT_BACKEND,
    OPENAI,
    OPENAI_CODEX,
    OPENAI_RESPONSES,
    ROWS,
    ParameterSupport,
    backend_at,
    backend_named,
    is_same_server,
)
from onplan.errors import ConfigurationError, OnplanError, PlanNotPermittedError, SignInAgainError
from onplan.oauth.issuer import ISSUERS
from onplan.types import APIKey, CompletionRequest, OAuthCredentials


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


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}, {row.api}, {row.billed_to}")
class TestRows:
    def test_it_fits_the_rest_of_the_program(self, row):
        """A row's issuer exists, its address is safe, its parameters exist."""
        assert row.issuer in ISSUERS
        assert row.base_url.startswith("https://")
        assert not row.base_url.endswith("/")
        assert set(row.parameter_support) <= {
            *CompletionRequest.__struct_fields__,
            "custom_tools",
            "hosted_tools",
        }

    def test_its_models_are_its_own(self, row):
        """Bundled models say which provider serves them, and each is listed once."""
        assert {model.provider for model in row.fallback_models} <= {row.name}
        assert len(row.fallback_models) == len({model.id for model in row.fallback_models})
        for model in row.fallback_models:
            assert model.default_reasoning_effort in model.reasoning_efforts

    def test_it_cannot_be_changed(self, row):
        """A row is a frozen value."""
        with pytest.raises(FrozenInstanceError):
            row.base_url = "https://example.org"


PLATFORM = "https://api.openai.com/v1"
SIGN_IN = OAuthCredentials(
    access_token="plan-token", account_id="acct-1", scopes=["chatgpt.tokens.use.direct"]
)


@pytest.mark.parametrize(
    ("base_url", "api", "row"),
    [
        (PLATFORM, None, OPENAI),
        (PLATFORM, "chat", OPENAI),
        (PLATFORM, "responses", OPENAI_RESPONSES),
        ("https://eu.api.openai.com/v1", None, OPENAI),
        ("https://API.OpenAI.com/v1", None, OPENAI),
        ("https://api.openai.com.example.org/v1", None, COMPATIBLE),
        ("https://fakeapi.openai.com/v1", None, COMPATIBLE),
        ("http://127.0.0.1:11434/v1", None, COMPATIBLE),
        ("http://127.0.0.1:11434/v1", "responses", COMPATIBLE_RESPONSES),
    ],
)
def test_the_platform_and_its_imitators_are_rows_of_their_own(base_url, api, row):
    """Whose server it is decides what is said to it, and the api is what was asked for, or the first."""
    assert row is backend_at(OPENAI, base_url, api)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (PLATFORM, "https://eu.api.openai.com/v1", True),
        ("https://llm.example.org/v1", "https://LLM.example.org:443/api/v1", True),
        ("https://llm.example.org/v1", "https://llm.example.org:8443/v1", False),
        ("https://llm.example.org/v1", "https://eu.llm.example.org/v1", False),
        ("https://llm.example.org/v1", PLATFORM, False),
        ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", False),
        ("http://localhost/v1", "https://localhost/v1", False),
    ],
)
def test_a_server_is_known_by_its_origin(one, other, same):
    """What is meant for one server is for its origin; only the platform has several."""
    assert same == is_same_server(OPENAI, one, other) == is_same_server(COMPATIBLE, other, one)


def test_a_wire_that_is_not_spoken_is_an_error():
    """The Codex backend speaks one API at any address, and the error names it."""
    assert OPENAI_CODEX is backend_at(OPENAI_CODEX, "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="openai-codex does not speak 'chat'") as caught:
        backend_at(OPENAI_CODEX, OPENAI_CODEX.base_url, "chat")
    assert "responses" in caught.value.hint


class TestCredentials:
    @pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}, {row.api}")
    def test_a_row_takes_one_kind(self, row):
        """A row makes headers of the kind of credential that it takes, and refuses the other by its class."""
        key = APIKey("sk-key")
        mine, other = (key, SIGN_IN) if row.credential is APIKey else (SIGN_IN, key)

        assert f"Bearer {mine.access_token}" == row.api_headers(mine)["authorization"]
        with pytest.raises(ConfigurationError, match=f"{row.name} takes") as caught:
            row.api_headers(other)
        assert other.access_token not in f"{caught.value} {caught.value.hint}"

    def test_the_account_is_named_where_it_is_wanted(self):
        """The account id goes to the plan; a platform never hears of it."""
        assert "acct-1" == OPENAI_CODEX.api_headers(SIGN_IN)["chatgpt-account-id"]
        assert {"authorization", "user-agent"} == set(OPENAI.api_headers(APIKey("sk-key")))

    def test_an_empty_key_is_no_header(self):
        """A server that wants no key is sent none."""
        assert "authorization" not in COMPATIBLE.api_headers(APIKey())

    @pytest.mark.parametrize("key", ["sk-a\r\nx: y", "sk-é"])
    def test_a_key_that_no_header_can_hold_is_told_without_it(self, key):
        """A damaged key is an error that does not print it."""
        with pytest.raises(SignInAgainError) as caught:
            OPENAI.api_headers(APIKey(key))
        assert key not in repr(caught.value)

    def test_no_key_is_printed(self):
        """The printed form of a key has nothing of it."""
        assert "sk-key" not in f"{APIKey('sk-key')!r}{APIKey('sk-key')}{APIKey('sk-key').__rich_repr__()}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.advice], ids=lambda row: row.billed_to)
def test_advice_is_for_errors_that_there_are(row):
    """Every code for which a row has advice of its own is the code of an error class."""

    def codes(kind):
        return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))

    assert set(row.advice) <= codes(OnplanError)
    if row.credential is APIKey:
        assert "OPENAI_API_KEY" in row.advice["sign_in_again"]


@pytest.mark.parametrize(
    ("row", "model", "name"),
    [
        (OPENAI, "gpt-4.1", "max_completion_tokens"),
        (OPENAI, "gpt-5.5", "max_completion_tokens"),
        (COMPATIBLE, "llama3.1:8b", "max_tokens"),
        (COMPATIBLE, "gpt-oss:20b", "max_tokens"),
        (COMPATIBLE, "gpt-4.1", "max_tokens"),
        (COMPATIBLE, "openai/gpt-6-sol", "max_completion_tokens"),
        (COMPATIBLE, "o3-mini", "max_completion_tokens"),
        (OPENAI_RESPONSES, "gpt-5.5", "max_output_tokens"),
    ],
)
def test_the_limit_has_the_name_that_is_not_ignored(row, model, name):
    """A limit of tokens goes by the name that the host and the model are known to respect."""
    assert name == row.max_tokens_name(model)


def test_we_say_who_we_are():
    """Requests to every backend name onplan and its version; the Codex backend has the name alone, too."""
    assert "onplan" == OPENAI_CODEX.headers["originator"]
    for row in ROWS:
        assert row.headers["user-agent"].startswith(f"onplan/{__version__} (")


def test_what_the_backend_demands_is_in_its_row():
    """The Codex backend stores nothing, streams always, and gives encrypted reasoning back."""
    assert {
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    } == OPENAI_CODEX.required
    assert {"temperature", "top_p", "max_tokens", "stop", "metadata"} == {
        name for name in CompletionRequest.__struct_fields__ if not OPENAI_CODEX.sends(name)
    }


FORWARD, DROP, EMULATE = ParameterSupport.FORWARD, ParameterSupport.DROP, ParameterSupport.EMULATE
SUPPORTING = replace(
    OPENAI_CODEX,
    parameter_support={
        "seed": DROP,
        "stop": EMULATE,
        "user": FORWARD,
        "tool_choice": ParameterSupport.WITH_TOOLS,
    },
    refuses_unknown=True,
)


@pytest.mark.parametrize(
    ("parameter", "with_tools", "without", "is_sent", "is_taken"),
    [
        ("seed", DROP, DROP, False, False),
        ("stop", EMULATE, EMULATE, False, False),
        ("user", FORWARD, FORWARD, True, True),
        ("tool_choice", FORWARD, DROP, True, True),
        ("unknown", FORWARD, FORWARD, True, False),
    ],
)
def test_a_row_decides_what_becomes_of_a_parameter(parameter, with_tools, without, is_sent, is_taken):
    """One that it does not name is sent; a client's own field is, if the backend takes unknown ones."""
    assert SUPPORTING.support_of(parameter, has_tools=True) is with_tools
    assert SUPPORTING.support_of(parameter, has_tools=False) is without
    assert SUPPORTING.sends(parameter) is is_sent
    assert SUPPORTING.takes(parameter) is is_taken
    lenient = replace(SUPPORTING, refuses_unknown=False)
    assert lenient.takes(parameter) is (is_taken or parameter == "unknown")


def test_only_servers_of_chat_completions_get_fields_as_they_are():
    """The Responses API of the plan refuses what it does not know."""
    for name, passes in (("unknown", True), ("seed", False)):
        lenient = replace(SUPPORTING, refuses_unknown=False)
        assert replace(lenient, api="chat").passes_on(name) is passes
        assert not lenient.passes_on(name)


@pytest.mark.parametrize(
    ("scope", "granted", "permitted"),
    [(None, [], True), ("plan", ["openid", "plan"], True), ("plan", ["openid"], False), ("plan", [], False)],
)
def test_a_use_is_permitted_by_its_scope(scope, granted, permitted):
    """A backend that needs none takes every sign-in; else a request fails before it is sent."""
    row = replace(OPENAI_CODEX, required_scope=scope)
    credentials = OAuthCredentials(access_token="a", scopes=granted)
    assert row.is_permitted(credentials) is permitted
    if permitted:
        assert row.api_headers(credentials)["authorization"] == "Bearer a"
    else:
        with pytest.raises(PlanNotPermittedError):
            row.api_headers(credentials)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}, {row.api}, {row.billed_to}")
def test_what_is_for_one_application_is_not_served(row):
    """The error names the backend that is."""
    if row.may_serve_others:
        row.require_servable()
    else:
        with pytest.raises(ConfigurationError, match=row.name) as caught:
            row.require_servable()
        assert "openai-codex" in caught.value.hint


def test_some_rows_are_served_and_some_are_not():
    """Both cases of the test before are there."""
    assert {row.may_serve_others for row in ROWS} == {True, False}
