"""The table of backends: who pays, where requests go, what each parameter becomes.

A backend is a frozen value. Code never asks which backend it has; it reads the row. What the services do,
and how well that is known, is written down in docs/protocol.md.
"""

from __future__ import annotations

import enum
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

from onplan._version import __version__
from onplan.errors import ConfigurationError
from onplan.types import ModelInfo

# The catalogue lists models by client version and answers old ones with "requires a newer version".
# The official client's version on 2026-11-22.
CLIENT_VERSION = "0.169.0"

ORIGINATOR = "onplan"
USER_AGENT = (
    f"onplan/{__version__} ({platform.system()}; {platform.machine()}) python/{platform.python_version()}"
)


class Treatment(enum.Enum):
    """What becomes of a request parameter. Nothing is quietly ignored."""

    FORWARD = "sent"
    DROP = "left out, and listed in ignored_parameters"


@dataclass(frozen=True)
class Backend:
    """One row.

    Attributes:
        name: how users name it.
        payer: who pays, in words.
        issuer: the key of its authorization server in ``oauth.issuer.ISSUERS``.
        base_url: where ``/responses`` and ``/models`` are.
        base_url_variable: the environment variable that overrides it.
        account_header: the header that names the account, if the backend wants one.
        headers: fixed headers of every API call.
        required: body fields with fixed values.
        treatments: the parameters it does not take; all others are forwarded.
        system_role: what a system message is sent as.
        default_reasoning_summary: what is asked for when the request does not say.
        catalogue_query: query of the catalogue request.
        fallback_models: what is listed when the catalogue cannot be read.
    """

    name: str
    payer: str
    issuer: str
    base_url: str
    base_url_variable: str
    account_header: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    required: Mapping[str, object] = field(default_factory=dict)
    treatments: Mapping[str, Treatment] = field(default_factory=dict)
    system_role: str = "developer"
    default_reasoning_summary: str | None = None
    catalogue_query: str = ""
    fallback_models: tuple[ModelInfo, ...] = ()

    def drops(self, parameter: str) -> bool:
        """Whether ``parameter`` is left out of requests."""
        return self.treatments.get(parameter) is Treatment.DROP


_TO_XHIGH = ("low", "medium", "high", "xhigh")
_TO_MAX = (*_TO_XHIGH, "max")
_TO_ULTRA = (*_TO_MAX, "ultra")


def _codex_model(
    id_: str, name: str, context_window: int, default: str, efforts: tuple[str, ...]
) -> ModelInfo:
    return ModelInfo(
        id=id_,
        name=name,
        provider="openai-codex",
        context_window=context_window,
        supports_vision=True,
        reasoning_efforts=list(efforts),
        default_reasoning_effort=default,
        input_cost_per_million=0.0,
        output_cost_per_million=0.0,
    )


# The catalogue bundled with the official client 0.169.0, best first.
_CODEX_MODELS = (
    _codex_model("gpt-6.1-sol", "GPT-6.1 Sol", 272_000, "low", _TO_ULTRA),
    _codex_model("gpt-6-astra", "GPT-6 Astra", 272_000, "low", _TO_ULTRA),
    _codex_model("gpt-6-sol", "GPT-6 Sol", 272_000, "medium", _TO_ULTRA),
    _codex_model("gpt-6-luna", "GPT-6 Luna", 272_000, "medium", _TO_MAX),
    _codex_model("gpt-5.6-sol", "GPT-5.6 Sol", 272_000, "low", _TO_ULTRA),
    _codex_model("gpt-6.1-terra", "GPT-6.1 Terra", 500_000, "low", _TO_ULTRA),
    _codex_model("gpt-5.6-terra", "GPT-5.6 Terra", 272_000, "low", _TO_ULTRA),
    _codex_model("gpt-5.6-luna", "GPT-5.6 Luna", 272_000, "medium", _TO_MAX),
    _codex_model("gpt-5.5", "GPT-5.5", 272_000, "medium", _TO_XHIGH),
)

OPENAI_CODEX = Backend(
    name="openai-codex",
    payer="your ChatGPT plan (its Codex allowance)",
    issuer="codex",
    base_url="https://chatgpt.com/backend-api/codex",
    base_url_variable="ONPLAN_CODEX_BASE_URL",
    account_header="chatgpt-account-id",
    headers={"originator": ORIGINATOR, "user-agent": USER_AGENT},
    # The backend refuses anything else: "Store must be set to false", "Stream must be set to true".
    required={"stream": True, "store": False, "include": ["reasoning.encrypted_content"]},
    # 400 {"detail": "Unsupported parameter: …"}
    treatments=dict.fromkeys(("temperature", "top_p", "max_tokens", "stop", "metadata"), Treatment.DROP),
    # Without a summary nothing is heard until the model has finished thinking: first visible token
    # 47.8 s against 3.9 s with one, as others measured.
    default_reasoning_summary="auto",
    catalogue_query=f"client_version={CLIENT_VERSION}",
    fallback_models=_CODEX_MODELS,
)

BACKENDS: Mapping[str, Backend] = {row.name: row for row in (OPENAI_CODEX,)}
DEFAULT_BACKEND = OPENAI_CODEX.name


def backend_named(name: str) -> Backend:
    """The row called ``name``. Raises ConfigurationError, naming those there are."""
    try:
        return BACKENDS[name]
    except KeyError:
        known = ", ".join(BACKENDS)
        raise ConfigurationError(
            f"There is no backend {name!r}.", hint=f"Choose one of: {known} (`--backend`, `ONPLAN_BACKEND`)."
        ) from None
