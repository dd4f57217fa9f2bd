"""The paths: what can be asked, and with which statuses it is answered."""

from __future__ import annotations

from typing import Any

from onplan.server.openapi.schemas import INTEGER, NAME, STRING, Schema, record, ref, words

# What can be wrong with a request, by status: guard.py, bodies.py, limits.py and openai_errors.py.
REFUSALS: dict[str, str] = {
    "400": "The request cannot be read, or asks for what cannot be had.",
    "401": "The key is missing, or is not one of this server.",
    "403": "Pages of this origin may not ask; no account is signed in; or the plan does not permit it.",
    "404": "There is no such path, model or response.",
    "405": "The path does not take this method.",
    "413": "The body is too large.",
    "415": "The media type or the encoding of the body is not one that is read.",
    "421": "The server does not answer to the name in Host.",
    "429": "A limit of the plan, of the backend or of the key is reached.",
    "408": "The request did not arrive in time.",
    "431": "The head of the request is too large.",
    "500": "A fault of the server.",
    "502": "The backend failed.",
    "503": "The server or the backend is overloaded, or the server is about to end.",
    "504": "The backend was silent for too long.",
}
_OF_EVERY_REQUEST = (
    "400",
    "401",
    "403",
    "404",
    "405",
    "408",
    "413",
    "415",
    "421",
    "429",
    "431",
    "500",
    "503",
)
_OF_THE_BACKEND = ("502", "504")


def _refused(*statuses: str) -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(
    name: str, summary: str, reply: dict[str, Any], *, body: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    asks = {"requestBody": {"required": True, "content": body}} if body is not None else {}
    answered = {"description": "The answer.", "headers": _HEADERS, "content": reply}
    return {
        "operationId": name,
        "summary": summary,
        **asks,
        "responses": {"200": answered, **_refused(*_OF_EVERY_REQUEST, *_OF_THE_BACKEND)},
        **more,
    }


def _page(name: str, summary: str, reply: dict[str, Any], *, is_public: bool = False) -> dict[str, Any]:
    security: dict[str, Any] = {"security": []} if is_public else {}
    answered = {"description": "The answer.", "content": reply}
    statuses = [each for each in _OF_EVERY_REQUEST if not (is_public and each == "401")]
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": answered, **_refused(*statuses)},
        **security,
    }


_HEADERS = {
    "x-request-id": {"description": "To quote in a report.", "required": True, "schema": NAME},
    "x-onplan-ignored-parameters": {"description": "Parameters that were left out.", "schema": STRING},
    "x-onplan-emulated-parameters": {"description": "Parameters that onplan carried out.", "schema": STRING},
    "x-onplan-history-repairs": {"description": "What was changed in the conversation.", "schema": STRING},
}
_TEXT = {"text/plain": {"schema": STRING}}


def _streamed(whole: str, event: Schema) -> dict[str, Any]:
    """A whole answer, or the events of one: ``stream`` in the request decides."""
    return {**_json(ref(whole)), "text/event-stream": {"itemSchema": event}}


def _event(data: Schema, **more: Schema) -> Schema:
    """A server-sent event whose data is JSON."""
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return record({"data": text}, **more)


_RESPONSE_EVENT = _event(ref("ResponseEvent"), event=NAME)
_CHAT_EVENT = {
    "anyOf": [
        record({"data": {"const": "[DONE]"}}),
        _event({"anyOf": [ref("ChatCompletionChunk"), ref("Error")]}),
    ]
}


def _in_path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": NAME}


def _in_query(name: str, description: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_RESPONSE_ID = _in_path("response_id", "The id of a response that is kept.")
_IMAGE_EDIT = {**_json(ref("ImageEdit")), "multipart/form-data": {"schema": ref("ImageEditForm")}}

PATHS: dict[str, dict[str, Any]] = {
    "/v1/responses": {
        "post": _operation(
            "createResponse",
            "Ask a model.",
            _streamed("Response", _RESPONSE_EVENT),
            body=_json(ref("ResponseRequest")),
            description="Over a WebSocket (GET with Upgrade) each message is a ResponseEvent.",
        ),
    },
    "/v1/responses/{response_id}": {
        "parameters": [_RESPONSE_ID],
        "get": _operation("getResponse", "A response that is kept, for an hour.", _json(ref("Response"))),
        "delete": _operation("deleteResponse", "Forget a response.", _json(ref("DeletedResponse"))),
    },
    "/v1/responses/{response_id}/input_items": {
        "parameters": [_RESPONSE_ID],
        "get": _operation(
            "listInputItems",
            "What a response was asked.",
            _json(ref("InputItems")),
            parameters=[
                _in_query("limit", "How many.", {**INTEGER, "minimum": 1, "maximum": 100}),
                _in_query("order", "Newest first, or oldest first.", words("asc", "desc")),
                _in_query("after", "The id of an item.", NAME),
            ],
        ),
    },
    "/v1/chat/completions": {
        "post": _operation(
            "createChatCompletion",
            "Ask a model.",
            _streamed("ChatCompletion", _CHAT_EVENT),
            body=_json(ref("ChatRequest")),
            description="The last event of a stream is [DONE], or an error.",
        ),
    },
    "/v1/models": {"get": _operation("listModels", "The models, best first.", _json(ref("ModelList")))},
    "/v1/models/{model}": {
        "parameters": [_in_path("model", "The id of a model, or another name for it.")],
        "get": _operation("getModel", "A model.", _json(ref("Model"))),
    },
    "/v1/images/generations": {
        "post": _operation(
            "createImage", "Generate images.", _json(ref("Images")), body=_json(ref("ImageRequest"))
        ),
    },
    "/v1/images/edits": {
        "post": _operation(
            "editImage", "Generate images from others.", _json(ref("Images")), body=_IMAGE_EDIT
        ),
    },
    "/v1/usage": {
        "get": _page("getUsage", "What the plan has left, and what keys have used.", _json(ref("Usage")))
    },
    "/openapi.json": {"get": _page("getDocument", "This document.", _json({"type": "object"}))},
    "/metrics": {"get": _page("getMetrics", "Metrics for Prometheus.", _TEXT)},
    "/readyz": {"get": _page("getReadiness", "Whether requests can be answered.", _json(ref("Status")))},
    "/healthz": {
        "get": _page("getHealth", "That the server is there.", _json(ref("Status")), is_public=True)
    },
    "/": {"get": _page("getRoot", "That the server is there.", _json(ref("Status")), is_public=True)},
}
