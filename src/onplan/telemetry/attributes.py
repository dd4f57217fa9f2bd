"""The attributes of spans and metrics, as OpenTelemetry's conventions name them.

The names are those of the semantic conventions for generative AI in version 1.41, the last in which they were
published with all others (May 2026): https://opentelemetry.io/docs/specs/semconv/gen-ai/. Attributes that the
conventions do not have begin with ``onplan.``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from onplan.backends import Backend
from onplan.errors import OnplanError
from onplan.types import CompletionRequest, CompletionResponse, Limits, Usage

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = Mapping[str, Value]

_PORTS = {"https": 443, "http": 80}
# Providers by host. All others speak OpenAI's API, and the conventions name the provider by the API then.
_PROVIDERS = {
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
_PROVIDERS_BY_ENDING = {
    ".amazonaws.com": "aws.bedrock",
    ".openai.azure.com": "azure.ai.openai",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
}
_API_TYPES = {"chat": "chat_completions", "responses": "responses"}


def provider_name(host: str) -> str:
    """The provider at ``host``, if its name is known; else ``openai``, whose API it speaks."""
    endings = (name for ending, name in _PROVIDERS_BY_ENDING.items() if host.endswith(ending))
    return _PROVIDERS.get(host) or next(endings, "openai")


def server_attributes(base_url: str) -> dict[str, Value]:
    """The provider, and where its API is."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return {
        "gen_ai.provider.name": provider_name(host),
        "server.address": host,
        "server.port": parts.port or _PORTS[parts.scheme],
    }


def request_attributes(request: CompletionRequest, model: str | None, backend: Backend) -> dict[str, Value]:
    """What was asked for, without any content. ``model``: None where it is not decided yet."""
    is_openai = not backend.is_compatible
    known: Mapping[str, Value | None] = {
        "gen_ai.request.model": model,
        "gen_ai.conversation.id": request.session_id,
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.top_p": request.top_p,
        "gen_ai.request.stop_sequences": tuple(request.stop) or None,
        "gen_ai.output.type": None if request.response_format is None else "json",
        "openai.api.type": _API_TYPES[backend.api] if is_openai else None,
        "openai.request.service_tier": request.service_tier if is_openai else None,
        "onplan.request.reasoning_effort": request.reasoning_effort,
    }
    return {name: value for name, value in known.items() if value is not None}


def response_attributes(response: CompletionResponse) -> dict[str, Value]:
    """What was answered, without any content."""
    known: Mapping[str, Value | None] = {
        "gen_ai.response.id": response.response_id,
        "gen_ai.response.model": response.model or None,
        "gen_ai.response.finish_reasons": (str(response.finish_reason),),
        "onplan.response.request_id": response.request_id,
        "onplan.response.ignored_parameters": tuple(response.ignored_parameters) or None,
        "onplan.response.emulated_parameters": tuple(response.emulated_parameters) or None,
    }
    told = {name: value for name, value in known.items() if value is not None}
    return {**told, **usage_attributes(response.usage)}


def usage_attributes(usage: Usage) -> dict[str, Value]:
    """The counts of tokens; empty if the backend did not count."""
    if not is_counted(usage):
        return {}
    counts = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
    }
    parts = {
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {**counts, **{name: count for name, count in parts.items() if count}}


def is_counted(usage: Usage) -> bool:
    """Whether the backend said how many tokens there were."""
    return any((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens))


def error_type(error: BaseException) -> str:
    """The stable ``code`` of an onplan error; the class name of any other."""
    return error.code if isinstance(error, OnplanError) else type(error).__name__


def error_attributes(error: BaseException) -> dict[str, Value]:
    """The code and ids of a failure, without its message, which may repeat the request."""
    told: dict[str, Value] = {"error.type": error_type(error)}
    if isinstance(error, OnplanError):
        if error.status_code is not None:
            told["http.response.status_code"] = error.status_code
        if error.request_id is not None:
            told["onplan.response.request_id"] = error.request_id
    return told


def windows(limits: Limits) -> list[tuple[float, dict[str, Value]]]:
    """How much of each usage window of the plan is used, in per cent, and which window it is."""
    return [(window.used_percent, {"onplan.plan.window": window.name}) for window in limits.windows]
