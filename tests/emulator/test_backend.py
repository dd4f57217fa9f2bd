"""The Codex backend: who may ask, which bodies are accepted, what is said about the account."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zstandard

from onplan import backends

RECORDINGS = Path(__file__).parent.parent / "recordings"
USER = {"type": "message", "role": "user", "content": "hi"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


@dataclass
class Refused:
    """A body that is refused: with what status, and what the reply says."""

    says: str
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 400


def user(part):
    return {"input": [{"role": "user", "content": [part]}]}


def text_format(**fields):
    return {"text": {"format": {"type": "json_schema", **fields}}}


UNSUPPORTED = [
    "max_output_tokens",
    "metadata",
    "prompt_cache_retention",
    "safety_identifier",
    "truncation",
    "temperature",
    "top_p",
    "user",
    "stop",
    "previous_response_id",
    "background",
    "max_tool_calls",
    "top_logprobs",
    "prompt_cache_options",
    "stream_id",
]

REFUSED = {
    **{name: Refused(f'{{"detail":"Unsupported parameter: {name}"}}', {name: 1}) for name in UNSUPPORTED},
    "unknown": Refused("Unknown parameter: sparkle", {"sparkle": 1}),
    "stream": Refused('{"detail":"Stream must be set to true"}', {"stream": False}),
    "no stream": Refused("Stream must be set to true", {"stream": ...}),
    "store": Refused('{"detail":"Store must be set to false"}', {"store": True}),
    "no store": Refused("Store must be set to false", {"store": ...}),
    "input": Refused('{"detail":"Input must be a list"}', {"input": "hi"}),
    "system": Refused(
        '{"detail":"System messages are not allowed"}', {"input": [{"role": "system", "content": "x"}]}
    ),
    "model": Refused(
        "The 'gpt-4o' model is not supported when using Codex with a ChatGPT account.", {"model": "gpt-4o"}
    ),
    "no model": Refused("is not supported", {"model": ...}),
    "reference": Refused(
        "Item with id 'rs_1' not found. Items are not persisted",
        {"input": [{"type": "item_reference", "id": "rs_1"}]},
        404,
    ),
    "reasoning without content": Refused(
        "Item with id 'rs_1' not found", {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, 404
    ),
    "foreign reasoning": Refused(
        "could not be verified",
        {
            "input": [
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABforeign"}
            ]
        },
    ),
    "orphan output": Refused(
        "No tool call found for function call output with call_id c1.",
        {"input": [USER, {"type": "function_call_output", "call_id": "c1", "output": "x"}]},
    ),
    "unanswered call": Refused(
        "No tool output found for function call c1.",
        {"input": [{"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}, USER]},
    ),
    "output before call": Refused(
        "No tool call found",
        {
            "input": [
                {"type": "function_call_output", "call_id": "c1", "output": "x"},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            ]
        },
    ),
    "item type": Refused("Invalid value: 'sparkle'", {"input": [{"type": "sparkle"}]}),
    "item": Refused("expected an object", {"input": ["hi"]}),
    "role": Refused("Invalid value: 'tool'", {"input": [{"role": "tool", "content": "x"}]}),
    "user output_text": Refused("Invalid value: 'output_text'", user({"type": "output_text", "text": "x"})),
    "assistant input_text": Refused(
        "Invalid value: 'input_text'",
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}, USER]},
    ),
    "chat image": Refused(
        "Invalid value: 'image_url'", user({"type": "image_url", "image_url": {"url": "x"}})
    ),
    "image scheme": Refused(
        "Expected a valid URL", user({"type": "input_image", "image_url": "file:///etc/passwd"})
    ),
    "image data": Refused(
        "does not represent a valid image",
        user({"type": "input_image", "image_url": "data:image/png;base64,a$b"}),
    ),
    "file": Refused("file_data", user({"type": "input_file"})),
    "text": Refused("Missing required parameter: 'input[0].content[0].text'", user({"type": "input_text"})),
    "chat tool": Refused("Missing required parameter: 'tools[0].name'", {"tools": [{"type": "function"}]}),
    "tool type": Refused("Invalid value: 'sparkle'", {"tools": [{"type": "sparkle"}]}),
    "tool name": Refused("does not match pattern", {"tools": [{**FUNCTION, "name": "a b"}]}),
    "tool schema": Refused(
        "schema must be a JSON Schema of", {"tools": [{**FUNCTION, "parameters": {"type": "string"}}]}
    ),
    "strict tool": Refused(
        "additionalProperties", {"tools": [{**FUNCTION, "strict": True, "parameters": OPEN}]}
    ),
    "cache breakpoint": Refused(
        "Unknown parameter: 'input[0].content[0].prompt_cache_breakpoint'.",
        user({"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}),
    ),
    "compaction trigger": Refused(
        "must be the final input item", {"input": [{"type": "compaction_trigger"}, USER]}
    ),
    "inner tool": Refused(
        "tools[0].tools[0].name",
        {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]},
    ),
    "tool choice": Refused("Invalid value: 'any'", {"tools": [FUNCTION], "tool_choice": "any"}),
    "chosen tool": Refused(
        "Tool choice 'g' not found", {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "g"}}
    ),
    "allowed tool": Refused(
        "Tool choice 'g' not found",
        {
            "tools": [FUNCTION],
            "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "g"}]},
        },
    ),
    "impossible schema": Refused(
        "Invalid schema", {"tools": [{**FUNCTION, "parameters": {"type": "object", "required": [1, {}]}}]}
    ),
    "effort": Refused(
        "Supported values are: 'low', 'medium', 'high', 'xhigh'", {"reasoning": {"effort": "max"}}
    ),
    "summary": Refused("reasoning.summary", {"reasoning": {"summary": "long"}}),
    "verbosity": Refused("text.verbosity", {"text": {"verbosity": "loud"}}),
    "service tier": Refused("service_tier", {"service_tier": "fast"}),
    "include": Refused("include[0]", {"include": ["everything"]}),
    "parallel": Refused("parallel_tool_calls", {"parallel_tool_calls": "yes"}),
    "client metadata": Refused("client_metadata.a", {"client_metadata": {"a": 1}}),
    "format name": Refused("text.format.name", text_format(schema={})),
    "format schema": Refused("text.format.schema", text_format(name="n")),
    "chat format": Refused("text.format.name", text_format(json_schema={"name": "n", "schema": {}})),
    "open schema": Refused("additionalProperties", text_format(name="n", schema=OPEN, strict=True)),
    "optional property": Refused(
        "Missing 'a'", text_format(name="n", schema={**OPEN, "additionalProperties": False}, strict=True)
    ),
}


@pytest.mark.parametrize("case", list(REFUSED.values()), ids=list(REFUSED))
def test_bodies_are_judged_strictly(client, case):
    """Each is refused before anything is streamed, in the backend's words."""
    reply = client.turn(**case.body)
    assert (reply.status_code, case.says in reply.text.replace("\\'", "'")) == (case.status, True), reply.text


ACCEPTED = {
    "string content": {"input": [{"role": "user", "content": "hi"}]},
    "developer": {"input": [{"role": "developer", "content": "be brief"}, USER]},
    "image url": user({"type": "input_image", "image_url": "https://example.com/a.png", "detail": "high"}),
    "image data": user({"type": "input_image", "image_url": "data:image/png;base64,aGk="}),
    "file": user(
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}
    ),
    "assistant": {
        "input": [USER, {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}, USER]
    },
    "hosted tools": {"tools": [{"type": "web_search"}, {"type": "tool_search"}]},
    "tool without parameters": {"tools": [{"type": "function", "name": "f"}]},
    "instructions": {"instructions": "be brief"},
    "priority": {"service_tier": "priority"},
    "verbosity": {"text": {"verbosity": "high"}},
}


@pytest.mark.parametrize("body", list(ACCEPTED.values()), ids=list(ACCEPTED))
def test_good_bodies_are_answered(client, body):
    """What the notes say is accepted is."""
    assert client.completed(**body)["status"] == "completed"


def recorded():
    for path in sorted(RECORDINGS.glob("*.json")):
        for row in json.loads(path.read_text()):
            if row["path"].endswith("/responses") and row["method"] == "POST":
                yield pytest.param(row, id=f"{path.stem}-{row['n']}")


@pytest.mark.parametrize("row", list(recorded()))
def test_every_recorded_request_is_accepted(client, row):
    """The official client's own bodies, compressed as it compresses them, complete.

    But for a compaction, which the server made that they were recorded at: it is one of the emulator's.
    """
    body, world = row["body"]["json"], client.emulator.world
    family = world.compaction_family(body["model"])
    for item in body["input"]:
        if item["type"] == "compaction":
            item["encrypted_content"] = world.seals.seal(account_id=world.scenario.account_id, model=family)
    skipped = {"authorization", "host", "content-length", "chatgpt-account-id", "content-encoding"}
    headers = {name: value for name, value in row["headers"].items() if name.lower() not in skipped}
    reply = client.http.post(
        client.emulator.issuer + row["path"],
        content=zstandard.compress(json.dumps(body).encode()),
        headers={**headers, "content-encoding": "zstd", **client.headers()},
    )
    assert reply.status_code == 200, reply.text
    assert "event: response.completed\n" in reply.text
    assert client.emulator.journal()[-1]["body"] == body


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"authorization": "Bearer stranger"}, 401, '{"detail":"Unauthorized"}'),
        ({"authorization": "Basic eA=="}, 401, "Unauthorized"),
        ({"chatgpt_account_id": "acct-other"}, 400, "does not match"),
        ({"version": "0.10.0"}, 400, "requires a newer version of Codex"),
        ({"content_encoding": "br"}, 400, "could not be decoded"),
        ({"content_encoding": "zstd"}, 400, "could not be decoded"),
        ({"content_type": "text/plain"}, 415, "content type"),
    ],
)
def test_headers_are_judged_too(client, headers, status, says):
    """Bearer, account, client version, encoding and type."""
    reply = client.turn(model="gpt-6.1-sol", headers=client.headers(**headers))
    assert (reply.status_code, says in reply.text) == (status, True), reply.text


def test_the_account_need_not_be_named(client):
    """Without the header it is the token's own, for a turn and for what is said about the account."""
    headers = client.headers()
    del headers["chatgpt-account-id"]
    assert client.turn(headers=headers).status_code == 200
    usage = client.get("/backend-api/wham/usage", headers=headers)
    assert usage.json()["account_id"] == "acct-emulated-0001"


def test_access_tokens_expire(client):
    """By the emulator's clock, and when told to, though the token's own `exp` says otherwise."""
    headers = client.headers()
    client.emulator.expire_access_tokens()
    assert client.turn(headers=headers).status_code == 401
    assert client.turn().status_code == 200
    client.emulator.set_access_token_lifetime(-1)
    assert client.turn().status_code == 401


def test_revoked_refresh_tokens_leave_access_tokens_alone(client):
    """The next refresh is refused; what was issued lives on."""
    tokens = client.emulator.issue_tokens()
    client.emulator.revoke_refresh_tokens()
    assert client.refresh(tokens["refresh_token"]).json()["error"]["code"] == "refresh_token_invalidated"
    assert (
        client.turn(headers=client.headers(authorization=f"Bearer {tokens['access_token']}")).status_code
        == 200
    )


def test_the_catalogue(client):
    """The models of the notes with the fields the official client requires, an ETag, gating by version."""
    path = "/backend-api/codex/models"
    reply = client.get(path, params={"client_version": "0.171.0"}, headers=client.headers())
    required = [
        "slug",
        "display_name",
        "supported_reasoning_levels",
        "shell_type",
        "visibility",
        "supported_in_api",
        "priority",
        "base_instructions",
        "support_verbosity",
        "truncation_policy",
        "experimental_supported_tools",
    ]
    models = reply.json()["models"]
    assert reply.headers["etag"].startswith('W/"')
    assert len(models) == 14
    assert all(name in model for model in models for name in required)
    old = client.get(path, params={"client_version": "0.100.0"}, headers=client.headers()).json()["models"]
    assert [model["slug"] for model in old] == ["gpt-5.5"]
    assert client.get(path, headers=client.headers()).status_code == 400
    assert client.get(path, params={"client_version": "0.171.0"}).status_code == 401


def test_the_clients_bundled_catalogue_is_the_emulators(client):
    """What the client lists when the catalogue cannot be read is what it would have read."""
    reply = client.get(
        "/backend-api/codex/models",
        params={"client_version": backends.CLIENT_VERSION},
        headers=client.headers(),
    )
    shown = [model for model in reply.json()["models"] if model["visibility"] == "list"]
    shown.sort(key=lambda model: model["priority"])
    served = [
        (
            model["slug"],
            model["context_window"],
            model["default_reasoning_level"],
            [level["effort"] for level in model["supported_reasoning_levels"]],
        )
        for model in shown
    ]
    bundled = [
        (model.id, model.context_window, model.default_reasoning_effort, model.reasoning_efforts)
        for model in backends.OPENAI_CODEX.fallback_models
    ]
    assert bundled == served
    assert [row[0] for row in served[:3]] == ["gpt-6.2-sol", "gpt-6.2-astra", "gpt-6.1-terra"]
    assert ("gpt-5.6-terra", 272_000, "medium") in [row[:3] for row in served]


def test_account_calls(client):
    """Workspace routing and usage have their shapes, everything else is a 404 with a detail."""
    check = client.get("/backend-api/wham/accounts/check", headers=client.headers()).json()
    (account,) = check["accounts"]
    assert account["id"] == "acct-emulated-0001"
    assert account["workspace_backend_origin"] == "https://chatgpt.com"
    assert account["account_routing_override"] == "NO_CONSTRAINT"
    usage = client.get("/backend-api/wham/usage", headers=client.headers()).json()
    assert usage["plan_type"] == "plus"
    windows = [usage["rate_limit"][name] for name in ("primary_window", "secondary_window")]
    assert [window["limit_window_seconds"] for window in windows] == [18_000, 604_800]
    assert [type(window["used_percent"]) for window in windows] == [int, int]
    for path in ("/backend-api/wham/settings/user", "/backend-api/codex/sparkle", "/nothing"):
        reply = client.get(path)
        assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})
    assert client.get("/oauth/token").status_code == 405


@pytest.mark.parametrize(("key", "status"), [("plan_base_url", 403), ("openai_base_url", 404)])
def test_the_other_backends_say_not_found(client, key, status):
    """In the platform's error shape."""
    reply = client.http.get(client.emulator.urls[key] + "/sparkle")
    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_reply_headers(client):
    """Those of the recordings; the turn's state is new, or the client's own."""
    headers = client.turn().headers
    assert {"x-codex-primary-used-percent", "x-models-etag", "x-request-id", "x-codex-turn-state"} <= set(
        headers
    )
    assert headers["openai-model"] == "gpt-5.5"
    assert headers["x-codex-active-limit"] == "premium"
    assert headers["x-codex-primary-used-percent"] == "12.5"
    assert headers["x-codex-credits-balance"] == ""
    echoed = client.turn(headers=client.headers(x_codex_turn_state="mine")).headers
    assert echoed["x-codex-turn-state"] == "mine"
