"""Makes of what LiteLLM hands to a provider the body of a Chat Completions request, which it nearly is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from onplan.dialects.openai_errors import ParameterError

Fields = dict[str, Any]

# What LiteLLM sees to itself.
_LITELLMS_OWN = ("stream", "stream_options", "max_retries", "extra_body", "extra_headers")
DEFAULT_MODEL = "default"
"""``onplan/default``: the model of the profile, else the first that the plan offers."""


def body_of(model: str, messages: Iterable[Any], optional_params: Mapping[str, Any]) -> bytes:
    """The body, as JSON.

    Args:
        model: without the provider's name.
        messages: dicts, or objects of LiteLLM's, such as earlier answers.
        optional_params: the parameters as LiteLLM has sorted them; ``extra_body`` among them.

    Raises:
        ParameterError: a value has no form in JSON.
    """
    given = {name: value for name, value in optional_params.items() if name not in _LITELLMS_OWN}
    extra = optional_params.get("extra_body")
    given |= extra if isinstance(extra, dict) else {}
    fields = {name: value for name, value in given.items() if value is not None}
    _say_effort(fields)
    _offer_search(fields)
    if model != DEFAULT_MODEL:
        fields["model"] = model
    try:
        fields["messages"] = [_message(message) for message in messages]
        return msgspec.json.encode(fields, enc_hook=_as_json)
    except (TypeError, ValueError, RecursionError) as error:
        name = _without_json(fields)
        raise ParameterError(f"{name} has no form in JSON: {error}.", param=name) from None


def _without_json(fields: Fields) -> str:
    """The name of the field that cannot be written; that of the messages if all others can be."""
    for name in fields.keys() - {"messages"}:
        try:
            msgspec.json.encode(fields[name], enc_hook=_as_json)
        except (TypeError, ValueError, RecursionError):
            return name
    return "messages"


def _message(message: Any) -> Any:
    """A message; sealed reasoning is where LiteLLM keeps what it does not know of an answer."""
    fields = message if isinstance(message, dict) else _as_json(message)
    specific = fields.get("provider_specific_fields") if isinstance(fields, dict) else None
    details = specific.get("reasoning_details") if isinstance(specific, dict) else None
    return fields if details is None else {"reasoning_details": details, **fields}


def _as_json(value: Any) -> Any:
    """A pydantic object, such as LiteLLM's messages."""
    if hasattr(value, "model_dump"):
        return value.model_dump(exclude_none=True)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _say_effort(fields: Fields) -> None:
    """LiteLLM takes the effort with the summary, as the Responses API does."""
    if isinstance(effort := fields.get("reasoning_effort"), dict):
        named = {"reasoning_effort": effort.get("effort"), "reasoning_summary": effort.get("summary")}
        del fields["reasoning_effort"]
        fields |= {name: value for name, value in named.items() if value is not None}


def _offer_search(fields: Fields) -> None:
    """LiteLLM's ``web_search_options`` are the tool ``web_search`` of the Responses API."""
    if not isinstance(options := fields.get("web_search_options"), dict):
        return
    del fields["web_search_options"]
    tool = {"type": "web_search", **options}
    where = options.get("user_location")
    if isinstance(where, dict) and isinstance(where.get("approximate"), dict):
        tool["user_location"] = {"type": "approximate", **where["approximate"]}
    fields["tools"] = [*(fields.get("tools") or ()), tool]
