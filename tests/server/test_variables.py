"""The environment of a command that ``onplan run`` starts."""

from __future__ import annotations

import pytest

from onplan.server.variables import variables_to_remove, variables_to_set

URL, KEY = "http://127.0.0.1:4567", "sk-onplan-x"


def test_every_name_of_the_address_ends_in_v1_and_every_name_of_the_key_is_set() -> None:
    """Programs of OpenAI's SDK, LiteLLM and Open WebUI find the server. Without proxies that is all."""
    assert variables_to_set({"OPENAI_API_KEY": "sk-mine", "PATH": "/bin"}, URL, KEY) == {
        "OPENAI_BASE_URL": "http://127.0.0.1:4567/v1",
        "OPENAI_API_BASE": "http://127.0.0.1:4567/v1",
        "OPENAI_API_BASE_URL": "http://127.0.0.1:4567/v1",
        "OPENAI_API_KEY": "sk-onplan-x",
        "ONPLAN_KEY": "sk-onplan-x",
    }


@pytest.mark.parametrize(
    ("given", "exceptions"),
    [
        ({"https_proxy": "http://proxy:3128"}, "127.0.0.1,localhost,::1"),
        (
            {"ALL_PROXY": "socks5://proxy", "NO_PROXY": "a.example, localhost"},
            "a.example,localhost,127.0.0.1,::1",
        ),
        (
            {"HTTP_PROXY": "http://proxy", "no_proxy": "b.example", "NO_PROXY": "c"},
            "b.example,127.0.0.1,localhost,::1",
        ),
        ({"HTTP_PROXY": "http://proxy", "no_proxy": "*"}, None),
        ({"HTTP_PROXY": ""}, None),
    ],
)
def test_loopback_is_reached_without_the_proxy(given: dict[str, str], exceptions: str | None) -> None:
    """Where a proxy is set, loopback is among its exceptions, in both spellings of the variable."""
    set_ = variables_to_set(given, URL, KEY)

    assert (set_.get("NO_PROXY"), set_.get("no_proxy")) == (exceptions, exceptions)


def test_what_would_lead_to_another_server_or_account_is_removed() -> None:
    """Organisations, projects, Azure's variables, aider's own key, and the variable with the sign-in."""
    environment = dict.fromkeys(
        (
            "PATH",
            "OPENAI_ORG_ID",
            "AZURE_OPENAI_ENDPOINT",
            "AIDER_OPENAI_API_KEY",
            "CI_SIGN_IN",
            "OPENAI_LOG",
        ),
        "x",
    )

    assert variables_to_remove(environment, ["CI_SIGN_IN", "NOT_SET"]) == [
        *("AIDER_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "CI_SIGN_IN", "OPENAI_ORG_ID"),
    ]


def test_every_variable_that_leads_elsewhere_is_removed() -> None:
    """Another account, another kind of API, another server, another key."""
    names = [
        *("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID", "OPENAI_PROJECT"),
        *("OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_PROXY", "OPENAI_CUSTOM_HEADERS"),
        *("OPENAI_ADMIN_KEY", "OPENAI_IDENTITY_TOKEN_FILE", "OPENAI_IDENTITY_PROVIDER_ID"),
        *("OPENAI_SERVICE_ACCOUNT_ID", "AIDER_OPENAI_API_KEY", "AIDER_OPENAI_API_BASE"),
        *("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
    ]
    kept = ["HOME", "OPENAI_LOG", "MY_AZURE_OPENAI_KEY"]
    assert variables_to_remove(dict.fromkeys([*names, *kept], "x")) == sorted(names)
