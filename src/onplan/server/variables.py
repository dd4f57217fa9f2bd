"""The variables of a command that ``onplan run`` starts: those that it gets, and those that it must not have.

Which program reads which variable was looked up in openai-python 3.57, langchain-openai 1.7, llm 0.36,
pydantic-ai 2.68, LiteLLM 1.81, aider 0.86 and Open WebUI (November 2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# The address, which ends in /v1 for all of them.
ADDRESSES = (
    "OPENAI_BASE_URL",  # the SDKs of OpenAI, and what is built on them
    "OPENAI_API_BASE",  # LiteLLM, aider, LangChain
    "OPENAI_API_BASE_URL",  # Open WebUI
)
KEYS = (
    "OPENAI_API_KEY",
    "ONPLAN_KEY",  # for programs that are told the name of a variable, such as env_key of the Codex CLI
)
# With these a program would go to another server, in another way, or with the key of another account.
_REMOVED = frozenset(
    (
        *("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID", "OPENAI_PROJECT"),
        *("OPENAI_API_TYPE", "OPENAI_API_VERSION", "OPENAI_PROXY", "OPENAI_CUSTOM_HEADERS"),
        *("OPENAI_ADMIN_KEY", "OPENAI_IDENTITY_TOKEN_FILE", "OPENAI_IDENTITY_PROVIDER_ID"),
        *("OPENAI_SERVICE_ACCOUNT_ID", "AIDER_OPENAI_API_KEY", "AIDER_OPENAI_API_BASE"),
    )
)
_REMOVED_PREFIX = "AZURE_OPENAI_"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def variables_to_set(environment: Mapping[str, str], url: str, key: str) -> dict[str, str]:
    """The variables that a command gets beside those of ``environment``, or in their place.

    Args:
        environment: of onplan itself.
        url: of the server, without ``/v1``.
        key: of the server.
    """
    set_ = dict.fromkeys(ADDRESSES, f"{url}/v1") | dict.fromkeys(KEYS, key)
    if any(name.lower() in _PROXIES and value for name, value in environment.items()):
        given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        listed = [each.strip() for each in given.split(",") if each.strip()]
        if listed != ["*"]:
            exceptions = ",".join([*listed, *(host for host in _LOOPBACK if host not in listed)])
            set_ |= {"NO_PROXY": exceptions, "no_proxy": exceptions}
    return set_


def variables_to_remove(environment: Mapping[str, str], secrets: Iterable[str] = ()) -> list[str]:
    """The names of the variables in ``environment`` that a command does not get, sorted.

    Args:
        environment: of onplan itself.
        secrets: names of variables that hold the credentials of onplan.
    """
    unwanted = _REMOVED | set(secrets)
    return sorted(name for name in environment if name in unwanted or name.startswith(_REMOVED_PREFIX))
