"""``generation_kwargs`` as fields of a request: onplan's names, and those of OpenAI's APIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onplan.backends import Backend
from onplan.errors import InvalidRequestError
from onplan.structured.strict_form import strict_form

# What OpenAI's APIs call otherwise.
_NAMES = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "prompt_cache_key": "session_id",
    "text_format": "response_format",
}
# What no plan takes, and an answer can do without. Other servers may take it.
_WITHOUT_FIELD = (
    "frequency_penalty",
    "logit_bias",
    "presence_penalty",
    "safety_identifier",
    "seed",
    "store",
    "user",
)


def fields_of(given: Mapping[str, Any], backend: Backend) -> tuple[dict[str, Any], list[str]]:
    """The fields, and the names of those that are left out: ``backend`` does not take them.

    Raises:
        InvalidRequestError: several answers are asked for.
    """
    fields = {_NAMES.get(name, name): value for name, value in given.items()}
    if fields.pop("n", None) not in (None, 1):
        raise InvalidRequestError("A plan gives one answer to a request.", hint="Leave out `n`.")
    others = {name: fields.pop(name) for name in _WITHOUT_FIELD if name in fields}
    ignored = [name for name, value in others.items() if value is not None and not backend.passes_on(name)]
    sent = {name: value for name, value in others.items() if value is not None and backend.passes_on(name)}
    if sent:
        fields["extra_body"] = {**sent, **(fields.get("extra_body") or {})}
    if isinstance(fields.get("reasoning"), Mapping):
        for name, value in fields.pop("reasoning").items():
            fields.setdefault(f"reasoning_{name}", value)
    return fields, ignored


def definitions_of(tools: Iterable[Any], *, strict: bool) -> list[dict[str, Any]]:
    """The functions that the model may call.

    Raises:
        InvalidRequestError: two tools have the same name, or one cannot be strict.
    """
    definitions = [_definition(tool.tool_spec, strict=strict) for tool in tools]
    names = [each["name"] for each in definitions]
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequestError(f"Two tools are called {name}.", hint="Give one another name.")
    return definitions


def _definition(spec: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    definition = {"type": "function", **spec}
    if not strict:
        return definition
    form = strict_form(spec["parameters"], of_type=False)
    if form is None:
        raise InvalidRequestError(
            f"The parameters of the tool {spec['name']} cannot be strict: some of them may be left out.",
            hint="Leave out `tools_strict`, or make all of its parameters required.",
        )
    return {**definition, "strict": True, "parameters": form.schema}
