"""The table of backends: what pays for requests, where they go, which parameters are supported.

A backend is a frozen value. Code does not compare names of backends; it reads the fields of the row.
docs/protocol.md describes what the services do, and how well that is known.
"""

from __future__ import annotations

import enum
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from onplan._version import __version__
from onplan.errors import USAGE_PAGE, ConfigurationError, PlanNotPermittedError, SignInAgainError
from onplan.lazy_pattern import LazyPattern
from onplan.types import APIKey, Credential, ModelInfo, OAuthCredentials

# The catalogue lists models by client version and answers old ones with "requires a newer version".
# The official client's version on 2026-11-29.
CLIENT_VERSION = "0.171.0"

IssuerKind: TypeAlias = Literal["codex", "siwc"]
"""The kinds of authorization server, which a stored record names as well (``oauth.issuer.ISSUERS``)."""

ORIGINATOR = "onplan"
USER_AGENT = (
    f"onplan/{__version__} ({platform.system()}; {platform.machine()}) python/{platform.python_version()}"
)


class ParameterSupport(enum.Enum):
    """What happens to a request parameter. No parameter is dropped silently."""

    FORWARD = "sent"
    EMULATE = "carried out by onplan, and listed in emulated_parameters"
    EMULATE_IF_REFUSED = "sent; as EMULATE to models that refuse it"
    DROP = "left out, and listed in ignored_parameters"
    RAISE = "an error"
    WITH_TOOLS = "sent beside tools; left out and listed where there are none"


EVERY_NAME = LazyPattern("")


@dataclass(frozen=True)
class ImageSupport:
    """How a backend makes images, below ``images/`` of its API.

    Attributes:
        model: that is asked if the program names none.
        most_references: images that an edit may begin with.
        defaults: body fields, by name, that a request has if the program does not say them.
        id_header: a header that gets a random UUID with each request; None if there is none.
        without: names of plans that do not include it.
    """

    model: str
    most_references: int
    defaults: Mapping[str, str] = field(default_factory=dict)
    id_header: str | None = None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Backend:
    """One row of the table.

    Attributes:
        name: how users name it.
        billed_to: what pays for requests, in words.
        issuer: the kind of its authorization server, the key of ``oauth.issuer.ISSUERS``.
        base_url: where the API is.
        base_url_variable: the environment variable that overrides it.
        is_compatible: whether the row is for compatible servers, which speak OpenAI's API at another
            ``base_url``.
        api: which API it speaks.
        credential: the one kind of credential that is ever sent there.
        api_key_variable: the environment variable that holds an API key.
        session_header: the header that selects the prompt cache; None if a body field does.
        account_header: the header that names the account, if the backend wants one.
        required_scope: what the person must have granted for requests to be made at all.
        local_stores_only: whether a credential may be kept only on the person's own machine.
        may_serve_others: whether its terms let other programs of the person use the same connection.
        usage_page: where the person sees and limits what this program uses, if there is such a page.
        compaction: headers of requests in a conversation that the backend may compact; None if it cannot.
        account_path: where the endpoints about the account are, relative to the API; None if the backend does
            not say what is left of the plan.
        search_path: where searches without a model are, relative to the API; None if there are none.
        headers: fixed headers of every API call.
        request_encoding: a compression of request bodies that it accepts over HTTP, if there is one.
        websocket: additional headers for opening a WebSocket; None if it does not speak WebSocket.
        required: body fields with fixed values.
        reasoning_models: pattern of the names of reasoning models.
        reasoning_required: additional body fields for reasoning models, with fixed values.
        parameter_support: what becomes of parameters that are not just forwarded, and of ``hosted_tools`` and
            ``custom_tools``.
        refuses_unknown: whether it refuses body fields that are not known to be accepted.
        max_tokens_field: what ``max_tokens`` is called in the body; for reasoning models,
            ``reasoning_max_tokens_field``.
        system_role: what a system message is sent as.
        developer_role: what a developer message is sent as.
        replays_thinking: whether earlier thinking is sent back, in the fields in which it came.
        default_reasoning_summary: what is asked for when the request does not say.
        client_version: the version of the official client that we report; the listed models depend on it.
        catalogue_query: query of the catalogue request.
        catalogue_is_ordered: whether the catalogue lists the best first, whatever else it says.
        tool_shape: how tools are offered: ``flat``, in a ``namespace``, or as an ``additional_tools`` item of
            the conversation.
        deprioritised: pattern of the names of models that are never chosen by default: embeddings, audio
            and dated snapshots; the catalogue lists them last.
        fallback_models: what is listed when the catalogue cannot be read.
        images: how it makes images; None if it does not, or not in a way that is known.
        advice: hints, by the error's code, where the hint for a plan does not apply.
    """

    name: str
    billed_to: str
    issuer: IssuerKind
    base_url: str
    base_url_variable: str
    is_compatible: bool = False
    api: Literal["responses", "chat"] = "responses"
    credential: type[OAuthCredentials] | type[APIKey] = OAuthCredentials
    api_key_variable: str | None = None
    session_header: str | None = None
    account_header: str | None = None
    required_scope: str | None = None
    local_stores_only: bool = False
    may_serve_others: bool = True
    usage_page: str | None = None
    compaction: Mapping[str, str] | None = None
    account_path: str | None = None
    search_path: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    request_encoding: str | None = None
    websocket: Mapping[str, str] | None = None
    required: Mapping[str, object] = field(default_factory=dict)
    reasoning_models: LazyPattern = EVERY_NAME
    reasoning_required: Mapping[str, object] = field(default_factory=dict)
    parameter_support: Mapping[str, ParameterSupport] = field(default_factory=dict)
    refuses_unknown: bool = False
    max_tokens_field: str = "max_output_tokens"
    reasoning_max_tokens_field: str = "max_output_tokens"
    system_role: str = "developer"
    developer_role: str = "developer"
    replays_thinking: bool = False
    default_reasoning_summary: str | None = None
    client_version: str | None = None
    catalogue_query: str = ""
    catalogue_is_ordered: bool = False
    tool_shape: Literal["flat", "namespace", "additional_tools"] = "flat"
    deprioritised: LazyPattern | None = None
    fallback_models: tuple[ModelInfo, ...] = ()
    images: ImageSupport | None = None
    advice: Mapping[str, str] = field(default_factory=dict)

    def support_of(self, parameter: str, *, has_tools: bool) -> ParameterSupport:
        """What becomes of ``parameter`` in a request with or without tools."""
        support = self.parameter_support.get(parameter, ParameterSupport.FORWARD)
        if support is ParameterSupport.WITH_TOOLS:
            return ParameterSupport.FORWARD if has_tools else ParameterSupport.DROP
        return support

    def sends(self, parameter: str) -> bool:
        """Whether ``parameter`` is in the body of requests."""
        support = self.parameter_support.get(parameter)
        return support not in (ParameterSupport.DROP, ParameterSupport.EMULATE)

    def takes(self, body_field: str) -> bool:
        """Whether a field of a request's body may be handed on as a client of ours sent it."""
        known = body_field in self.parameter_support
        return self.sends(body_field) if known else not self.refuses_unknown

    def passes_on(self, body_field: str) -> bool:
        """Whether a field that ``CompletionRequest`` does not have is sent as it is."""
        return self.api == "chat" and self.takes(body_field)

    def is_reasoning_model(self, model: str) -> bool:
        """Whether ``model`` reasons before it answers."""
        return bool(self.reasoning_models.match(model))

    def max_tokens_name(self, model: str) -> str:
        """What ``max_tokens`` is called in a body for ``model``."""
        return self.reasoning_max_tokens_field if self.is_reasoning_model(model) else self.max_tokens_field

    def is_permitted(self, credentials: OAuthCredentials) -> bool:
        """Whether the person granted what requests need."""
        return self.required_scope is None or self.required_scope in credentials.scopes

    def require_servable(self) -> None:
        """Raise ConfigurationError if only the application that is connected to the plan may use this."""
        if not self.may_serve_others:
            raise ConfigurationError(
                f"The backend {self.name} is for the application that is connected to the plan, and for no "
                "other programs, so it is not served.",
                hint="Sign in for openai-codex instead: `onplan login --backend openai-codex`.",
            )

    def api_headers(self, credential: Credential) -> dict[str, str]:
        """The headers of every API call: the credential, the account, and who we are.

        Raises:
            ConfigurationError: it is not the kind of credential that this backend takes.
            SignInAgainError: no header can hold it.
            PlanNotPermittedError: the person did not permit this use.
        """
        if not isinstance(credential, self.credential):
            raise ConfigurationError(f"{self.name} takes {_KINDS[self.credential]}.")
        if isinstance(credential, OAuthCredentials) and not self.is_permitted(credential):
            raise PlanNotPermittedError("You are signed in, but did not permit this use of your plan.")
        account_id = credential.account_id or "" if isinstance(credential, OAuthCredentials) else ""
        authorization = _authorization(credential.access_token)
        if authorization is None or not (account_id.isascii() and account_id.isprintable()):
            raise SignInAgainError("The stored credential is damaged: no header can hold it.")
        headers = dict(self.headers)
        if authorization:
            headers["authorization"] = authorization
        if self.account_header and account_id:
            headers[self.account_header] = account_id
        return headers


_KINDS: Mapping[type, str] = {
    OAuthCredentials: "a ChatGPT sign-in and never an API key",
    APIKey: "an API key and never a ChatGPT sign-in",
}


@lru_cache(maxsize=8)  # an access token is checked once, and not for each of an hour's requests
def _authorization(access_token: str) -> str | None:
    """The header that holds the token, empty without one; None if no header can hold it.

    The HTTP library's error would print it, so it is checked first.
    """
    if not (access_token.isascii() and access_token.isprintable()):
        return None
    return f"Bearer {access_token}" if access_token else ""


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
        supports_web_search=id_ == "gpt-5.5",
        compaction_family="2911" if id_ == "gpt-5.5" else "3000",
    )


# The catalogue bundled with the official client 0.171.0 (`codex debug models --bundled`), best first.
_CODEX_MODELS = (
    _codex_model("gpt-6.2-sol", "GPT-6.2 Sol", 500_000, "low", _TO_ULTRA),
    _codex_model("gpt-6.2-astra", "GPT-6.2 Astra", 272_000, "low", _TO_ULTRA),
    _codex_model("gpt-6.1-terra", "GPT-6.1 Terra", 500_000, "low", _TO_ULTRA),
    _codex_model("gpt-6.1-sol", "GPT-6.1 Sol", 500_000, "low", _TO_ULTRA),
    _codex_model("gpt-6-astra", "GPT-6 Astra", 272_000, "low", _TO_ULTRA),
    _codex_model("gpt-6-sol", "GPT-6 Sol", 272_000, "medium", _TO_ULTRA),
    _codex_model("gpt-6-luna", "GPT-6 Luna", 272_000, "medium", _TO_MAX),
    _codex_model("gpt-5.6-sol", "GPT-5.6 Sol", 272_000, "low", _TO_ULTRA),
    _codex_model("gpt-5.6-terra", "GPT-5.6 Terra", 272_000, "medium", _TO_ULTRA),
    _codex_model("gpt-5.6-luna", "GPT-5.6 Luna", 272_000, "medium", _TO_MAX),
    _codex_model("gpt-5.5", "GPT-5.5", 272_000, "medium", _TO_XHIGH),
)

# Both plan routes refuse these: 400 {"detail": "Unsupported parameter: …"}; "unsupported capability".
_PLAN_SUPPORT = {
    **dict.fromkeys(("temperature", "top_p", "metadata"), ParameterSupport.DROP),
    **dict.fromkeys(("max_tokens", "stop"), ParameterSupport.EMULATE),
}

OPENAI_CODEX = Backend(
    name="openai-codex",
    billed_to="your ChatGPT plan (its Codex allowance)",
    issuer="codex",
    base_url="https://chatgpt.com/backend-api/codex",
    base_url_variable="ONPLAN_CODEX_BASE_URL",
    # Without this header the prompt cache is never hit, whatever the body's prompt_cache_key.
    session_header="session-id",
    account_header="chatgpt-account-id",
    compaction={"x-codex-beta-features": "remote_compaction_v2"},
    account_path="../wham",
    search_path="alpha/search",
    headers={"originator": ORIGINATOR, "user-agent": USER_AGENT},
    request_encoding="zstd",
    websocket={"openai-beta": "responses_websockets=2026-02-06"},
    # The backend refuses anything else: "Store must be set to false", "Stream must be set to true".
    required={"stream": True, "store": False, "include": ["reasoning.encrypted_content"]},
    parameter_support=_PLAN_SUPPORT,
    refuses_unknown=True,
    # Without a summary nothing arrives until the model has finished thinking. Others measured 47.8 s to the
    # first visible token, and 3.9 s with a summary.
    default_reasoning_summary="auto",
    client_version=CLIENT_VERSION,
    catalogue_query=f"client_version={CLIENT_VERSION}",
    fallback_models=_CODEX_MODELS,
    # What the official client sends; its catalogue does not list the model.
    images=ImageSupport(
        model="gpt-image-2",
        most_references=5,
        defaults={"background": "opaque", "quality": "auto", "size": "auto"},
        id_header="x-codex-image-turn-id",
        without=frozenset({"free"}),
    ),
)

# What "Sign in with ChatGPT" permits programs like this one. Refused there: "unsupported capability".
CHATGPT_PLAN = Backend(
    name="chatgpt-plan",
    billed_to="your ChatGPT plan (within the limit that you set for onplan)",
    issuer="siwc",
    base_url="https://api.openai.com/v1",
    base_url_variable="ONPLAN_PLAN_BASE_URL",
    required_scope="chatgpt.tokens.use.direct",
    local_stores_only=True,
    may_serve_others=False,
    usage_page=USAGE_PAGE,
    headers={"user-agent": USER_AGENT},
    required={"stream": True, "store": False, "include": ["reasoning.encrypted_content"]},
    parameter_support=_PLAN_SUPPORT,
    refuses_unknown=True,
    default_reasoning_summary="auto",
    catalogue_is_ordered=True,
    advice={
        # The backend does not say which of the two limits it is, nor when it resets.
        "usage_limit": (
            f"Manage usage: {USAGE_PAGE}. It is the plan's limit, or the one that you set for onplan there."
        ),
        "not_included": (
            "See what is signed in with `onplan status`, and what it may use at "
            f"{USAGE_PAGE}. Sending the same request again does not help."
        ),
    },
)

# Chat Completions has no reasoning summaries, and takes metadata only for what it may store.
_CHAT_SUPPORT: Mapping[str, ParameterSupport] = {
    # Models that reason: "Unsupported parameter: 'stop' is not supported with this model."
    "stop": ParameterSupport.EMULATE_IF_REFUSED,
    "reasoning_summary": ParameterSupport.DROP,
    "metadata": ParameterSupport.DROP,
    # 400: "'parallel_tool_calls' is only allowed when 'tools' are specified."
    "tool_choice": ParameterSupport.WITH_TOOLS,
    "parallel_tool_calls": ParameterSupport.WITH_TOOLS,
    # Its web search is a property of some models, and it has no other.
    "hosted_tools": ParameterSupport.RAISE,
}

_NOT_FOR_TEXT = LazyPattern(
    r".*(?:embed|rerank|whisper|tts|audio|realtime|transcribe|dall-e|image|sora|moderation|babbage|davinci|instruct$)"
)

OPENAI = Backend(
    name="openai",
    billed_to="API credits",
    # This backend has no sign-in. One that is stored nevertheless came from this issuer, which can revoke it.
    issuer="codex",
    base_url="https://api.openai.com/v1",
    base_url_variable="ONPLAN_OPENAI_BASE_URL",
    api="chat",
    credential=APIKey,
    api_key_variable="OPENAI_API_KEY",
    headers={"user-agent": USER_AGENT},
    required={"stream": True, "stream_options": {"include_usage": True}},
    reasoning_models=LazyPattern(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))(?!.*-chat)"),
    parameter_support=_CHAT_SUPPORT,
    # max_tokens is refused by models that reason and outdated for all others.
    max_tokens_field="max_completion_tokens",
    reasoning_max_tokens_field="max_completion_tokens",
    system_role="system",
    # Also models that cost many times as much, and dated copies of other models.
    deprioritised=LazyPattern(
        rf"{_NOT_FOR_TEXT.pattern}|.*(?:search|deep-research|computer-use|codex|-pro\b|-chat|-\d{{4}}-\d\d-\d\d|-\d{{4}}$)"
        r"|(?!gpt-|o\d)"
    ),
    images=ImageSupport(model="gpt-image-2", most_references=16),
    advice={
        "sign_in_again": (
            "Check OPENAI_API_KEY, or keep another key: `onplan login --backend openai --api-key`. "
            "Keys are made at https://platform.openai.com/api-keys."
        ),
        "usage_limit": (
            "Add credits or raise the limit: https://platform.openai.com/settings/organization/billing."
        ),
        "not_included": (
            "See what the key's project may use: https://platform.openai.com/settings/organization/limits."
        ),
        "blocked": "The API key is fine. Try from another network, without a VPN or data-centre address.",
    },
)

OPENAI_RESPONSES = replace(
    OPENAI,
    api="responses",
    # With ``store`` off, reasoning models return their thinking encrypted; other models refuse that field.
    required={"stream": True, "store": False},
    reasoning_required={"include": ["reasoning.encrypted_content"]},
    parameter_support={"stop": ParameterSupport.EMULATE},
    max_tokens_field="max_output_tokens",
    reasoning_max_tokens_field="max_output_tokens",
)

_COMPATIBLE_ADVICE = {
    "sign_in_again": (
        "Give the key that this server wants: OPENAI_API_KEY, `Client(api_key=…)`, or "
        "`onplan login --backend openai --api-key`."
    ),
    "usage_limit": "Ask the operator of the server, or see its billing page.",
    "not_included": "Ask the operator of the server what the key may use.",
    "blocked": OPENAI.advice["blocked"],
    "unexpected_reply": (
        "Check the base URL: most end in /v1. If it is right, a proxy or captive portal answered."
    ),
}

# Servers differ in what they refuse: what the program did not ask for is sent only if all of them accept it.
COMPATIBLE = replace(
    OPENAI,
    is_compatible=True,
    billed_to="your account at that server",
    images=None,  # many have none, and the others differ
    parameter_support={
        **_CHAT_SUPPORT,
        "session_id": ParameterSupport.DROP,
        # vLLM and llama.cpp refuse them, and Ollama would offer a function without a name (November 2026).
        "custom_tools": ParameterSupport.RAISE,
    },
    # Some silently ignore max_completion_tokens, which servers of OpenAI's own reasoning models need.
    max_tokens_field="max_tokens",
    developer_role="system",
    # Some refuse a turn with tools unless earlier thinking is sent back.
    replays_thinking=True,
    deprioritised=_NOT_FOR_TEXT,
    advice=_COMPATIBLE_ADVICE,
)

COMPATIBLE_RESPONSES = replace(
    OPENAI_RESPONSES,
    is_compatible=True,
    billed_to="your account at that server",
    images=None,  # many have none, and the others differ
    reasoning_required={},
    parameter_support={"stop": ParameterSupport.EMULATE, "session_id": ParameterSupport.DROP},
    deprioritised=_NOT_FOR_TEXT,
    advice=_COMPATIBLE_ADVICE,
)

# Where several rows have the same name, the first that fits is used.
ROWS = (OPENAI_CODEX, CHATGPT_PLAN, OPENAI, OPENAI_RESPONSES, COMPATIBLE, COMPATIBLE_RESPONSES)
BACKENDS: Mapping[str, Backend] = {row.name: row for row in reversed(ROWS)}
DEFAULT_BACKEND = OPENAI_CODEX.name


def backend_named(name: str) -> Backend:
    """The first row called ``name``. Raises ConfigurationError, which lists the names there are."""
    try:
        return BACKENDS[name]
    except KeyError:
        known = ", ".join(dict.fromkeys(row.name for row in ROWS))
        raise ConfigurationError(
            f"There is no backend {name!r}.", hint=f"Choose one of: {known} (`--backend`, `ONPLAN_BACKEND`)."
        ) from None


def backend_at(backend: Backend, base_url: str, api: str | None = None) -> Backend:
    """The row for ``backend`` where its API is at ``base_url``, and speaks ``api`` if that is given.

    Raises:
        ConfigurationError: it does not speak ``api``.
    """
    rows = [row for row in ROWS if row.name == backend.name]
    here = [row for row in rows if row.is_compatible is not _is_at_home(backend, base_url)] or rows
    for row in here:
        if api in (None, row.api):
            return row
    known = ", ".join(row.api for row in here)
    raise ConfigurationError(
        f"{backend.name} does not speak {api!r}.", hint=f"Use one of: {known} (`api=`, `ONPLAN_API`)."
    )


def is_same_server(backend: Backend, one: str, other: str) -> bool:
    """Whether one operator runs the API at both URLs: they have one origin, or are both the backend's own."""
    return _origin(one) == _origin(other) or (_is_at_home(backend, one) and _is_at_home(backend, other))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _is_at_home(backend: Backend, base_url: str) -> bool:
    """Whether ``base_url`` is on the backend's own host, or on one below it, such as a region's."""
    home, host = urlsplit(backend.base_url).hostname, urlsplit(base_url).hostname
    return host == home or (host or "").endswith(f".{home}")
