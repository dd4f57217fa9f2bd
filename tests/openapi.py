"""Holds answers of the server against its OpenAPI document."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from onplan.server.openapi import openapi_document
from onplan.structured.misfit import Misfit
from onplan.structured.validation import validate


@cache
def document() -> dict[str, Any]:
    """The document, as a client reads it."""
    read: dict[str, Any] = json.loads(json.dumps(openapi_document()))
    return read


def check_answer(method: str, path: str, status: int, headers: dict[str, str], body: bytes) -> None:
    """Raise AssertionError unless the document says that this can be the answer.

    Paths that the document does not have are only answered with an error; WebSockets and CORS are not in it.
    """
    if method == "OPTIONS":
        return
    operation = operation_of(method, path)
    if operation is None:
        assert status >= 400, f"{method} {path} is answered, and is not in the document"
        _fits(json.loads(body), {"$ref": "#/components/schemas/Error"}) if body and method != "HEAD" else None
        return
    name = operation["operationId"]
    answer = operation["responses"].get(str(status))
    assert answer is not None, f"{name}: the status {status} is not in the document"
    if "$ref" in answer:
        answer = document()["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    for header, described in answer.get("headers", {}).items():
        assert header in headers or not described.get("required"), f"{name}: the header {header} is missing"
    kind = headers["content-type"].partition(";")[0]
    assert kind in answer["content"], f"{name}: {kind} is not in the document"
    if method == "HEAD":
        return
    if kind == "application/json":
        _fits(json.loads(body), answer["content"][kind]["schema"])
    elif kind == "text/event-stream":
        _events_fit(body, answer["content"][kind]["itemSchema"])


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """What the document says of a request; None if nothing."""
    for template, found in document()["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) or re.fullmatch(pattern, f"/v1{path}"):
            operation: dict[str, Any] | None = found.get("get" if method == "HEAD" else method.lower())
            return operation
    return None


def _events_fit(body: bytes, schema: dict[str, Any]) -> None:
    for frame in body.split(b"\n\n"):
        lines = (line.partition(b": ") for line in frame.split(b"\n") if line and line[:1] != b":")
        event = {name.decode(): value.decode() for name, _, value in lines}
        if event:
            _event_fits(event, schema)


def _event_fits(event: dict[str, str], schema: dict[str, Any]) -> None:
    _fits(event, schema)
    if event["data"] != "[DONE]":  # what a string holds is not looked at by the validation above
        described = schema.get("anyOf", [schema])[-1]["properties"]["data"]
        _fits(json.loads(event["data"]), described["contentSchema"])


def _fits(value: Any, schema: dict[str, Any]) -> None:
    try:
        validate(value, schema, document())
    except Misfit as misfit:
        raise AssertionError(f"{misfit.path} {misfit.problem}: {json.dumps(value)[:600]}") from None
