"""Reads a backend's model catalogue into ``ModelInfo``, best model first.

The Codex backend answers with ``{"models": [...]}``, each described in detail. The platform and compatible
servers answer with ``{"data": [...]}``: ids, and few other fields that they agree on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from onplan.backends import Backend
from onplan.errors import UnexpectedReplyError
from onplan.field_types import prepare
from onplan.flow import Request
from onplan.types import Credential, ModelInfo


class _ReasoningLevel(msgspec.Struct):
    effort: str = ""


class _Entry(msgspec.Struct):
    """One model as the Codex backend describes it; only the slug is always there."""

    slug: str
    display_name: str | None = None
    visibility: str | None = None
    priority: float | None = None
    context_window: int | None = None
    input_modalities: list[str] | None = None
    supported_reasoning_levels: list[_ReasoningLevel] | None = None
    default_reasoning_level: str | None = None
    use_responses_lite: bool | None = None
    comp_hash: str | int | None = None


prepare(_Entry)


def catalogue_request(backend: Backend, base_url: str, credentials: Credential) -> Request:
    """The request for the catalogue. The Codex backend's list depends on the client version in it."""
    query = f"?{backend.catalogue_query}" if backend.catalogue_query else ""
    headers = {**backend.api_headers(credentials), "accept": "application/json"}
    return Request("GET", f"{base_url}/models{query}", headers)


def models_of(body: Any, backend: Backend) -> list[ModelInfo]:
    """The listed models, best first. Entries that cannot be read are skipped.

    Args:
        body: the decoded JSON of the response.
        backend: the row of the backend that sent it.

    Raises:
        UnexpectedReplyError: ``body`` is not a catalogue, or lists no model.
    """
    fields = body if isinstance(body, dict) else {}
    lists = {name: fields[name] for name in ("models", "data") if isinstance(fields.get(name), list)}
    if not lists:
        raise UnexpectedReplyError("The model catalogue could not be read.")
    found = _described(lists.get("models", ()), backend) or _listed(lists.get("data", ()), backend)
    if not found:
        raise UnexpectedReplyError("The model catalogue is empty.")
    return found


def advice_on_models(model: str, models: Sequence[ModelInfo], backend: Backend) -> str:
    """A hint that names models to use instead of ``model``: those with similar ids, or else the best.

    ``model`` itself is never suggested, although servers refuse models that they list: the Codex backend when
    it wants a newer client, Ollama when the model's file is missing.
    """
    from difflib import get_close_matches

    names = [listed.id for listed in models if listed.id != model]
    near = get_close_matches(model, names, n=2, cutoff=0.5) or names[:2]
    version = (
        f" The backend offers what it has for version {backend.client_version} of the Codex CLI."
        if backend.client_version
        else ""
    )
    if not near:
        return f"Run `onplan models` to see which there are.{version}"
    return f"Nearest to it: {' or '.join(near)}; `onplan models` lists all.{version}"


def _described(entries: Iterable[Any], backend: Backend) -> list[ModelInfo]:
    """The models of ``{"models": [...]}``, by priority, or in the order of the list."""
    shown = [entry for entry in map(_entry, entries) if entry and entry.visibility in {None, "list"}]
    if not backend.catalogue_is_ordered and all(entry.priority is not None for entry in shown):
        shown.sort(key=lambda entry: entry.priority or 0)
    return [_model(entry, backend) for entry in shown]


def _entry(value: Any) -> _Entry | None:
    try:
        return msgspec.convert(value, _Entry)
    except msgspec.ValidationError:
        return None


def _model(entry: _Entry, backend: Backend) -> ModelInfo:
    efforts = [level.effort for level in entry.supported_reasoning_levels or () if level.effort]
    return ModelInfo(
        id=entry.slug,
        name=entry.display_name or entry.slug,
        provider=backend.name,
        context_window=entry.context_window,
        supports_vision="image" in (entry.input_modalities or ()),
        reasoning_efforts=efforts,
        default_reasoning_effort=entry.default_reasoning_level,
        input_cost_per_million=0.0,
        output_cost_per_million=0.0,
        # The official client offers it to all other models.
        supports_web_search=None if entry.use_responses_lite is None else not entry.use_responses_lite,
        compaction_family=None if entry.comp_hash is None else str(entry.comp_hash),
    )


def _listed(entries: Iterable[Any], backend: Backend) -> list[ModelInfo]:
    """The models of ``{"data": [...]}``: the platform's newest first, others in the order of the list."""
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    if not backend.is_compatible:  # compatible servers list first what they have loaded
        named.sort(key=lambda entry: -_number(entry.get("created")))
    if backend.deprioritised:
        last = backend.deprioritised
        named.sort(key=lambda entry: bool(last.match(entry["id"])))
    return [
        ModelInfo(
            id=entry["id"],
            name=str(entry.get("name") or entry["id"]),
            provider=backend.name,
            context_window=next((int(size) for name in _WINDOWS if (size := _number(entry.get(name)))), None),
            supports_vision="image" in _modalities(entry),
        )
        for entry in named
    ]


# Names for the size of the context window: xAI and Groq, OpenRouter, vLLM, LM Studio.
_WINDOWS = ("context_window", "context_length", "max_model_len", "max_context_length")


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


def _modalities(entry: dict[str, Any]) -> Any:
    architecture = entry.get("architecture")
    modalities = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    return modalities if isinstance(modalities, list) else ()
