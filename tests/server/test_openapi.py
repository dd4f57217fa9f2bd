"""The OpenAPI document: it is served, is complete, and is held against answers by tests/openapi.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onplan.server.app import PAGES
from onplan.server.openapi import openapi_document
from onplan.service.service import ROUTES

from ..openapi import check_answer, document
from .conftest import Running


def test_it_is_served_to_those_who_have_the_key(serve: Callable[..., Running]) -> None:
    """As JSON; nobody else sees it."""
    running = serve()
    answer = running.ask("GET", "/openapi.json")

    assert answer.json() == json.loads(json.dumps(openapi_document()))
    assert running.ask("GET", "/openapi.json", authorization=None).status == 401


def test_every_path_of_the_server_is_in_it() -> None:
    """All that the service and the server itself answer, with their methods."""
    paths = document()["paths"]
    named = {
        (path, method.upper()) for path, found in paths.items() for method in found if method != "parameters"
    }
    of_service = {(f"/v1{path}", method) for path, methods in ROUTES.items() for method in methods}
    with_id = {(path, method) for path, method in named if "{" in path}

    assert named - with_id == of_service | {(path, "GET") for path in PAGES if path != "/usage"}
    assert {path for path, _ in with_id} == {
        *("/v1/models/{model}", "/v1/responses/{response_id}", "/v1/responses/{response_id}/input_items"),
    }


def test_every_reference_leads_to_a_schema_or_a_reply_and_every_schema_is_used() -> None:
    """Nothing is missing and nothing is left over; names of operations are unique."""
    text = json.dumps(document())
    used = set(re.findall(r'"#/components/(\w+/\w+)"', text))
    there = {f"{kind}/{name}" for kind in ("schemas", "responses") for name in document()["components"][kind]}
    operations = re.findall(r'"operationId": "(\w+)"', text)

    assert used == there
    assert len(set(operations)) == len(operations)


OPERATION = {
    "operationId",
    "summary",
    "description",
    "tags",
    "parameters",
    "requestBody",
    "responses",
    "security",
}
SCHEMA = {
    *("$ref", "type", "const", "enum", "properties", "required", "additionalProperties", "items", "anyOf"),
    *("oneOf", "allOf", "format", "description", "default", "minimum", "maximum", "contentMediaType"),
    *("minLength", "maxLength", "minItems", "maxItems", "discriminator", "contentEncoding"),
    "contentSchema",
}


def contents_of(parts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of a body by its media types."""
    for content in parts.get("content", {}).values():
        assert content.keys() <= {"schema", "itemSchema"}
        yield from content.values()


def schemas_of(reply: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in reply:
        return
    assert {"description"} <= reply.keys() <= {"description", "headers", "content"}
    for header in reply.get("headers", {}).values():
        assert header.keys() <= {"description", "required", "schema", "$ref"}
        yield header.get("schema", {})
    yield from contents_of(reply)


def test_it_is_written_as_openapi_says() -> None:
    """Every key is one of the specification's, and an object that must have a property describes it."""
    whole = document()
    assert whole.keys() == {"openapi", "info", "security", "paths", "components"}
    components = whole["components"]
    assert components.keys() == {"securitySchemes", "responses", "schemas"}
    assert [list(each) for each in whole["security"]] == [list(components["securitySchemes"])]

    left = [*components["schemas"].values()]
    for reply in components["responses"].values():
        left += schemas_of(reply)
    for path in whole["paths"].values():
        operations = [operation for name, operation in path.items() if name != "parameters"]
        for parameter in [
            *path.get("parameters", []),
            *(each for one in operations for each in one.get("parameters", [])),
        ]:
            assert (
                {"name", "in", "schema"}
                <= parameter.keys()
                <= {"name", "in", "schema", "required", "description"}
            )
            left.append(parameter["schema"])
        for operation in operations:
            assert operation.keys() <= OPERATION
            left += contents_of(operation.get("requestBody", {}))
            for reply in operation["responses"].values():
                left += schemas_of(reply)
    while left:
        schema = left.pop()
        assert schema.keys() <= SCHEMA
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys()
        for name in ("anyOf", "oneOf", "allOf"):
            left += schema.get(name, [])
        left += schema.get("properties", {}).values()
        left += [
            schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)
        ]


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/v1/models", 200, {"object": "list", "data": [{"id": "x"}]}),
        ("GET", "/v1/models", 418, {"error": {"message": "x", "type": "x", "param": None, "code": "x"}}),
        ("GET", "/v1/models", 404, {"detail": "x"}),
        ("GET", "/v1/else", 200, {}),
        ("DELETE", "/v1/models/x", 200, {}),
    ],
)
def test_an_answer_that_it_does_not_describe_is_noticed(
    method: str, path: str, status: int, body: Any
) -> None:
    """A property that is missing, another status, an error of another shape, an unknown path or method."""
    headers = {"content-type": "application/json", "x-request-id": "r"}
    with pytest.raises(AssertionError):
        check_answer(method, path, status, headers, json.dumps(body).encode())
