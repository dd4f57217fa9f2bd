"""The backend's model catalogue: which models there are for this plan, in the backend's order."""

from __future__ import annotations

from typing import Any

import msgspec

from onplan.backends import Backend
from onplan.errors import UnexpectedReplyError
from onplan.responses.request import api_headers
from onplan.types import ModelInfo, OAuthCredentials
from onplan.wire import Request


class _ReasoningLevel(msgspec.Struct):
    effort: str = ""


class _Entry(msgspec.Struct):
    """One model, of which only the slug is certain."""

    slug: str
    display_name: str | None = None
    visibility: str | None = None
    priority: float | None = None
    context_window: int | None = None
    input_modalities: list[str] | None = None
    supported_reasoning_levels: list[_ReasoningLevel] | None = None
    default_reasoning_level: str | None = None


def catalogue_request(backend: Backend, base_url: str, credentials: OAuthCredentials) -> Request:
    """The request for the catalogue. The list depends on the client version in its query."""
    query = f"?{backend.catalogue_query}" if backend.catalogue_query else ""
    headers = {**api_headers(backend, credentials), "accept": "application/json"}
    return Request("GET", f"{base_url}/models{query}", headers)


def models_of(body: Any, backend: Backend) -> list[ModelInfo]:
    """The listed models, best first. One entry that cannot be read does not void the others.

    Raises:
        UnexpectedReplyError: ``body`` is no catalogue, or lists nothing.
    """
    entries = body.get("models") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise UnexpectedReplyError("The model catalogue could not be read.")
    listed = [entry for entry in map(_entry, entries) if entry and entry.visibility in {None, "list"}]
    if not listed:
        raise UnexpectedReplyError("The model catalogue is empty.")
    if all(entry.priority is not None for entry in listed):
        listed.sort(key=lambda entry: entry.priority or 0)
    return [_model(entry, backend) for entry in listed]


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
    )
