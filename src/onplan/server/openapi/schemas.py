"""Shapes of bodies, as JSON schemas (draft 2020-12).

They say what clients can rely on. Objects may have more properties than are named here: of requests those are
left out and named in a header, and of replies they are what the backend adds.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}


def ref(name: str) -> Schema:
    """The schema ``name`` of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """``schema``, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def words(*values: str) -> Schema:
    """One of these strings."""
    return {"type": "string", "enum": list(values)}


def list_of(schema: Schema, **more: Any) -> Schema:
    """A list of such values."""
    return {"type": "array", "items": schema, **more}


def record(required: dict[str, Schema], **optional: Schema) -> Schema:
    """An object. It may have properties that are not named."""
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def page_of(name: str) -> Schema:
    """A list as OpenAI's API sends it."""
    return record({"object": words("list"), "data": list_of(ref(name))})


ANY_OBJECT: Schema = {"type": "object"}

_COMMON: dict[str, Schema] = {
    "Error": record(
        {
            "error": record(
                {"message": NAME, "type": NAME, "param": maybe(STRING), "code": maybe(NAME)},
                resets_at={**INTEGER, "description": "When the usage limit resets, Unix seconds."},
            )
        }
    ),
    "Status": record({"status": words("ok", "ready")}),
    "Model": record(
        {"id": NAME, "object": words("model"), "created": COUNT, "owned_by": STRING},
        context_window=maybe(INTEGER),
        max_output_tokens=maybe(INTEGER),
        supports_vision=BOOLEAN,
    ),
    "ModelList": page_of("Model"),
}

_RESPONSES: dict[str, Schema] = {
    "Item": {
        **record({"type": NAME}, id=maybe(STRING), status=maybe(STRING)),
        "description": "An item of a conversation: message, reasoning, function_call and others.",
    },
    "InputMessage": record(
        {
            "role": words("user", "assistant", "system", "developer"),
            "content": {"anyOf": [STRING, list_of(ANY_OBJECT)]},
        },
        type=words("message"),
    ),
    "ResponseRequest": record(
        {
            "input": {
                "description": "The question, or the items of the conversation.",
                "anyOf": [STRING, list_of({"anyOf": [ref("InputMessage"), ref("Item")]})],
            }
        },
        model=maybe(STRING),
        instructions=maybe(STRING),
        stream=maybe(BOOLEAN),
        store=maybe(BOOLEAN),
        previous_response_id=maybe(STRING),
        prompt_cache_key=maybe(STRING),
        max_output_tokens=maybe({**INTEGER, "minimum": 1}),
        include=maybe(list_of(STRING)),
        tools=maybe(list_of(record({"type": NAME}))),
        tool_choice=maybe({"anyOf": [STRING, ANY_OBJECT]}),
        parallel_tool_calls=maybe(BOOLEAN),
        reasoning=maybe(ANY_OBJECT),
        text=maybe(ANY_OBJECT),
        service_tier=maybe(STRING),
    ),
    "ResponseUsage": record(
        {
            "input_tokens": COUNT,
            "input_tokens_details": record({"cached_tokens": COUNT}),
            "output_tokens": COUNT,
            "output_tokens_details": record({"reasoning_tokens": COUNT}),
            "total_tokens": COUNT,
        }
    ),
    "Response": record(
        {
            "id": NAME,
            "object": words("response"),
            "created_at": NUMBER,
            "status": words("queued", "in_progress", "completed", "incomplete", "failed", "cancelled"),
            "error": maybe(record({"code": NAME, "message": STRING})),
            "incomplete_details": maybe(ANY_OBJECT),
            "instructions": maybe({"anyOf": [STRING, list_of(ANY_OBJECT)]}),
            "model": STRING,
            "output": list_of(ref("Item")),
            "parallel_tool_calls": BOOLEAN,
            "previous_response_id": maybe(STRING),
            "tool_choice": {"anyOf": [STRING, ANY_OBJECT]},
            "tools": list_of(ANY_OBJECT),
            "usage": maybe(ref("ResponseUsage")),
        },
        metadata=maybe(ANY_OBJECT),
        store=maybe(BOOLEAN),
        text=maybe(ANY_OBJECT),
        reasoning=maybe(ANY_OBJECT),
        service_tier=maybe(STRING),
    ),
    "ResponseEvent": {
        **record({"type": NAME}, sequence_number=COUNT, response=ref("Response"), item=ref("Item")),
        "description": "An event of a streamed response; its type is the name of the event, too.",
    },
    "DeletedResponse": record({"id": NAME, "object": words("response"), "deleted": {"const": True}}),
    "InputItems": {
        **record(
            {
                "object": words("list"),
                "data": list_of(ref("Item")),
                "first_id": maybe(STRING),
                "last_id": maybe(STRING),
                "has_more": BOOLEAN,
            }
        )
    },
}

_CHAT: dict[str, Schema] = {
    "ChatMessage": record(
        {"role": words("system", "developer", "user", "assistant", "tool", "function")},
        content={"anyOf": [STRING, list_of(ANY_OBJECT), {"type": "null"}]},
        tool_calls=maybe(list_of(ANY_OBJECT)),
        tool_call_id=maybe(STRING),
    ),
    "ChatRequest": record(
        {"messages": list_of(ref("ChatMessage"), minItems=1)},
        model=maybe(STRING),
        stream=maybe(BOOLEAN),
        stream_options=maybe(record({}, include_usage=maybe(BOOLEAN))),
        max_tokens=maybe({**INTEGER, "minimum": 1}),
        max_completion_tokens=maybe({**INTEGER, "minimum": 1}),
        stop=maybe({"anyOf": [STRING, list_of(STRING, maxItems=4)]}),
        tools=maybe(list_of(record({"type": NAME}))),
        tool_choice=maybe({"anyOf": [STRING, ANY_OBJECT]}),
        parallel_tool_calls=maybe(BOOLEAN),
        reasoning_effort=maybe(STRING),
        response_format=maybe(ANY_OBJECT),
        prompt_cache_key=maybe(STRING),
        service_tier=maybe(STRING),
    ),
    "ToolCall": record(
        {"id": NAME, "type": words("function", "custom")},
        function=record({"name": STRING, "arguments": STRING}),
    ),
    "ChatUsage": record({"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT}),
    "FinishReason": words("stop", "length", "tool_calls", "content_filter"),
    "ChatCompletion": record(
        {
            "id": NAME,
            "object": words("chat.completion"),
            "created": COUNT,
            "model": STRING,
            "choices": list_of(
                record(
                    {
                        "index": COUNT,
                        "finish_reason": ref("FinishReason"),
                        "message": record(
                            {"role": words("assistant"), "content": maybe(STRING), "refusal": maybe(STRING)},
                            tool_calls=list_of(ref("ToolCall")),
                            reasoning_content=STRING,
                        ),
                    }
                ),
                minItems=1,
            ),
        },
        usage=maybe(ref("ChatUsage")),
    ),
    "ChatCompletionChunk": record(
        {
            "id": NAME,
            "object": words("chat.completion.chunk"),
            "created": COUNT,
            "model": STRING,
            "choices": list_of(
                record({"index": COUNT, "delta": ANY_OBJECT, "finish_reason": maybe(ref("FinishReason"))})
            ),
        },
        usage=maybe(ref("ChatUsage")),
    ),
}

_IMAGE_WISHES: dict[str, Schema] = {
    "model": maybe(STRING),
    "n": maybe({**INTEGER, "minimum": 1, "maximum": 10}),
    "size": maybe(STRING),
    "quality": maybe(words("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")),
    "background": maybe(words("auto", "opaque", "transparent")),
    "response_format": maybe(words("b64_json")),
}
_REFERENCE: Schema = {
    "anyOf": [STRING, record({"image_url": {"anyOf": [STRING, record({"url": STRING})]}})],
    "description": "A data: URL.",
}
_IMAGES: dict[str, Schema] = {
    "ImageRequest": record({"prompt": NAME}, **_IMAGE_WISHES),
    "ImageEdit": record(
        {"prompt": NAME},
        image={"anyOf": [_REFERENCE, list_of(_REFERENCE)]},
        images=list_of(_REFERENCE),
        **_IMAGE_WISHES,
    ),
    "ImageEditForm": record(
        {"prompt": NAME, "image": list_of({"type": "string", "format": "binary"}, minItems=1)},
        **dict.fromkeys(_IMAGE_WISHES, STRING),
    ),
    "Images": record(
        {
            "created": COUNT,
            "data": list_of(record({"b64_json": NAME}, revised_prompt=STRING), minItems=1),
            "background": maybe(STRING),
            "output_format": words("png", "jpeg", "webp", "gif"),
            "quality": maybe(STRING),
            "size": maybe(STRING),
        },
        usage=record({"input_tokens": COUNT, "output_tokens": COUNT, "total_tokens": COUNT}),
    ),
}

_OF_THE_SERVER: dict[str, Schema] = {
    "Usage": record(
        {
            "object": words("usage"),
            "plan": {
                **ANY_OBJECT,
                "description": "What the plan has left, or why that is not known (error).",
            },
            "keys": list_of(
                record(
                    {
                        "name": NAME,
                        "requests": COUNT,
                        "prompt_tokens": COUNT,
                        "completion_tokens": COUNT,
                        "tokens_today": COUNT,
                        "limits": ANY_OBJECT,
                    }
                )
            ),
        }
    ),
}

SCHEMAS: dict[str, Schema] = {**_COMMON, **_RESPONSES, **_CHAT, **_IMAGES, **_OF_THE_SERVER}
