"""Is a schema one that strict mode takes? Raises the refusal that says where it is not."""

from __future__ import annotations

from typing import Any

from onplan.emulator.replies import Refusal, api_error


def check_strict_schema(
    schema: Any, where: str, param: str, code: str, context: tuple[str, ...] = ()
) -> None:
    """Strict mode wants closed objects in which every property is required, all the way down."""

    def refuse(complaint: str) -> Refusal:
        return Refusal(api_error(f"{where}: In context={context}, {complaint}.", param=param, code=code))

    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        if schema.get("additionalProperties") is not False:
            raise refuse("'additionalProperties' is required to be supplied and to be false")
        missing = [name for name in properties or {} if name not in schema.get("required", [])]
        if missing:
            raise refuse(
                "'required' is required to be supplied and to be an array including every key in properties. "
                f"Missing '{missing[0]}'"
            )
    for name, inner, step in _inside(schema):
        check_strict_schema(inner, where, param, code, (*context, *step, name))


def _inside(schema: dict[str, Any]) -> list[tuple[str, Any, tuple[str, ...]]]:
    found: list[tuple[str, Any, tuple[str, ...]]] = []
    for keyword in ("properties", "$defs", "definitions"):
        found += [(name, inner, (keyword,)) for name, inner in (schema.get(keyword) or {}).items()]
    for keyword in ("anyOf", "prefixItems"):
        found += [(str(n), inner, (keyword,)) for n, inner in enumerate(schema.get(keyword) or [])]
    if isinstance(schema.get("items"), dict):
        found.append(("items", schema["items"], ()))
    return found
