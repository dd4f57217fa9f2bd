"""Every fault does what its line says, as often as it was armed, and then no more."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from onplan.emulator import Turn
from onplan.emulator.faults.register import FAULTS

TOOLS = [
    {
        "type": "function",
        "name": name,
        "parameters": {"type": "object", "properties": {"a": {"enum": [name]}}, "required": ["a"]},
    }
    for name in ("one", "two")
]
TRIGGER = {"type": "compaction_trigger"}
RESETS = "/backend-api/wham/rate-limit-reset-credits"
REQUEST_ID = "0b8e6a52-5f0c-4e53-a2a8-6f9a3f1f1a11"
BROKEN = httpx2.RemoteProtocolError, httpx2.ReadError, ConnectionClosed


@dataclass
class Reply:
    """What a request got, whole."""

    status: int
    headers: Any
    text: str

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def events(self):
        return [json.loads(frame.partition("\ndata: ")[2]) for frame in self.text.split("\n\n") if frame]

    @property
    def types(self):
        return [event["type"].removeprefix("response.") for event in self.events]

    @property
    def last(self):
        return self.events[-1]

    @property
    def response(self):
        return self.last["response"]


class Nameless:
    """The client, whose requests do not name the account."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def headers(self, **changes):
        headers = self._client.headers(**changes)
        del headers["chatgpt-account-id"]
        return headers

    def turn(self, said, **fields):
        return self._client.turn(said, headers=self.headers(), **fields)


class Compacting:
    """The client, whose requests have the conversation compacted."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def headers(self, **changes):
        return self._client.headers(x_codex_beta_features="remote_compaction_v2", **changes)

    def turn(self, said, **fields):
        return self._client.turn(said, headers=self.headers(), **fields)

    def websocket(self):
        return self._client.websocket(x_codex_beta_features="remote_compaction_v2")


def send(client, endpoint, name):
    """The ordinary request to an endpoint."""
    tools = {"tools": TOOLS} if "arguments" in name or "tool_calls" in name else {}
    if name == "annotated_links":
        client.emulator.play(Turn(text="By [a](https://a.example)"))
    if name == "account_header_required":
        client = Nameless(client)
    if name.startswith("compaction"):
        client, tools = Compacting(client), {"input": [TRIGGER]}
    requests = {
        "responses": lambda: client.turn("hi", **tools),
        "responses_upgrade": lambda: upgrade(client),
        "responses_message": lambda: message(client, **tools),
        "models": lambda: client.get(
            "/backend-api/codex/models?client_version=0.171.0", headers=client.headers()
        ),
        "accounts_check": lambda: client.get("/backend-api/wham/accounts/check", headers=client.headers()),
        "usage": lambda: client.get("/backend-api/wham/usage", headers=client.headers()),
        "reset_credits": lambda: client.get(RESETS, headers=client.headers()),
        "images": lambda: client.post(
            "/backend-api/codex/images/generations",
            {"model": "gpt-image-2", "prompt": "a fox"},
            headers=client.headers(),
        ),
        "reset_consume": lambda: client.post(
            f"{RESETS}/consume", {"redeem_request_id": REQUEST_ID}, headers=client.headers()
        ),
        "search": lambda: client.post(
            "/backend-api/codex/alpha/search",
            {"id": "s", "model": "gpt-5.5", "commands": {"search_query": [{"q": "the wren"}]}},
            headers=client.headers(),
        ),
        "authorize": client.authorize,
        "token:authorization_code": lambda: client.exchange(*client.approved()),
        "token:refresh_token": lambda: client.refresh(client.emulator.issue_tokens()["refresh_token"]),
        "device_usercode": lambda: client.post("/api/accounts/deviceauth/usercode", {"client_id": "app_x"}),
        "device_token": lambda: client.post("/api/accounts/deviceauth/token", {}),
        "revoke": lambda: client.post("/oauth/revoke", {"token": "t"}),
    }
    reply = requests[endpoint]()
    return reply if isinstance(reply, Reply) else Reply(reply.status_code, reply.headers, reply.text)


def upgrade(client):
    """An upgrade as a plain HTTP library sees it; an opened WebSocket is a stream that ends well."""
    headers = client.headers(
        connection="Upgrade",
        upgrade="websocket",
        openai_beta="responses_websockets=2026-02-06",
        sec_websocket_version="13",
        sec_websocket_key="6Tw+odTEKHG8FpZjKSfLYA==",
    )
    url = f"{client.emulator.codex_base_url}/responses"
    with client.http.stream("GET", url, headers=headers) as reply:
        opened = reply.status_code == 101
        text = 'event: x\ndata: {"type":"response.completed"}\n\n' if opened else reply.read().decode()
        return Reply(reply.status_code, reply.headers, text)


def message(client, **fields):
    """A turn over a WebSocket, written as if it had come over SSE; a refusal as if it were HTTP's."""
    with client.websocket() as opened:
        opened.send("hi", **fields)
        texts, ending = received(opened.connection)
    first = json.loads(texts[0]) if texts else {}
    if first.get("status"):
        told = first.get("error", ...)
        if "code" in first:
            return Reply(first["status"], {}, json.dumps({"error": None, "code": first["code"]}))
        body = told if isinstance(told, dict) and "detail" in told else {"error": told}
        text = "" if told is ... else json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        return Reply(first["status"], first["headers"], text)
    text = "".join(f"event: x\ndata: {text}\n\n" for text in texts)
    return Reply(200, {**opened.headers, "close": ending}, text)


TERMINAL = (
    *(f"response.{kind}" for kind in ("completed", "failed", "incomplete", "done", "cancelled", "error")),
    "error",
)


def received(connection):
    """The text messages of a turn, and the code of the close frame that came, if one did."""
    texts = []
    ended = False
    with suppress(TimeoutError):
        while True:
            try:
                text = connection.recv(timeout=0.2 if ended else 20)
            except ConnectionClosed as closed:
                if closed.rcvd is None:
                    raise
                return texts, closed.rcvd.code
            assert isinstance(text, str), "binary"
            texts.append(text)
            ended = any(f'"type":"{kind}"' in text for kind in TERMINAL)
            if ended and '"type":"error"' not in text:
                break
    return texts, None


def error(status, code=None, **fields):
    """The platform's error shape."""
    wanted = {key: value for key, value in {"code": code, **fields}.items() if value is not None}
    return lambda r: r.status == status and wanted.items() <= r.json["error"].items()


def status(number, fragment=""):
    return lambda r: r.status == number and fragment in r.text


def limit(number=429, *, absent=(), present=()):
    def check(r):
        body = r.json["error"]
        return (
            (r.status, body["type"]) == (number, "usage_limit_reached")
            and not set(absent) & set(body)
            and set(present) <= set(body)
        )

    return check


def used_up(r):
    """As a Plus account's limit really looks: the windows in x-codex-*, although the limit is `premium`."""
    names = ("active-limit", "primary-used-percent", "primary-window-minutes", "secondary-used-percent")
    return (
        limit(present=["plan_type", "eligible_promo", "resets_in_seconds"])(r)
        and r.json["error"]["resets_at"] > time.time()
        and [r.headers[f"x-codex-{name}"] for name in names] == ["premium", "100", "300", "34"]
    )


def detail_code(code):
    return {"detail": {"code": code}}


def words(number, text):
    return lambda r: (
        (r.status, r.text, r.headers["content-type"]) == (number, text, "text/plain; charset=UTF-8")
    )


def compressed(r):
    return r.headers["content-encoding"] in {"zstd", "gzip"} and r.status == 200


def header(name, value):
    return lambda r: r.status in (101, 200, 429, 503) and r.headers.get(name) == value


def ends(kind, **error_fields):
    """The last event, and the error in it."""
    return lambda r: r.types[-1] == kind and error_fields.items() <= (r.response.get("error") or {}).items()


def incomplete(reason):
    return lambda r: (r.types[-1], r.response["incomplete_details"]) == ("incomplete", {"reason": reason})


def without(*kinds):
    return lambda r: not set(kinds) & set(r.types) and r.types[-1] == "completed"


def location(fragment):
    return lambda r: r.status == 302 and fragment in r.headers["location"]


def lacks(*names):
    return lambda r: r.status == 200 and not set(names) & set(r.json)


def deltas_of(r):
    return "".join(event["delta"] for event in r.events if event["type"].endswith("output_text.delta"))


def output_is(text):
    return lambda r: (r.status, r.json.get("output")) == (200, text)


def said(r):
    return r.response["output"][-1]["content"][0]


def interleaved(r):
    ids = [event["item_id"] for event in r.events if event["type"].endswith("arguments.delta")]
    return len(set(ids)) == 2 and ids[0] != ids[1] and ids[0] == ids[2]


def data_lines(prefix):
    return lambda r: f"\n{prefix}" in r.text


def closed(code, kinds):
    """A close frame with this code, after a message of these kinds."""
    return lambda r: (r.headers["close"], r.types[-1:]) == (code, kinds)


def broken(r):
    raise AssertionError("the connection should have broken")


# name -> whether the reply is what the fault's line says. `broken`: no whole reply arrives.
EXPECTED = {
    "unauthorized_once": status(401, '{"detail":"Unauthorized"}'),
    "cloudflare_403": status(403, "Sorry, you have been blocked"),
    "html_instead_of_json": status(200, "<!doctype html>"),
    "not_found_404": status(404, '{"detail":"Not Found"}'),
    "payload_too_large_413": status(413),
    "usage_limit_429": used_up,
    "usage_limit_week": lambda r: (
        error(429, type="usage_limit_reached")(r) and r.headers["x-codex-primary-window-minutes"] == "10080"
    ),
    "usage_limit_seconds_only": limit(absent=["resets_at"], present=["resets_in_seconds"]),
    "usage_limit_404": limit(404, present=["resets_at"]),
    "usage_limit_other_meter": header("x-codex-active-limit", "codex_other"),
    "workspace_credits_depleted": header(
        "x-codex-rate-limit-reached-type", "workspace_owner_credits_depleted"
    ),
    "usage_not_included": error(429, type="usage_not_included"),
    "insufficient_quota": error(429, "insufficient_quota"),
    "rate_limited_429": header("retry-after", "1"),
    "rate_limited_429_date": lambda r: parsedate_to_datetime(r.headers["retry-after"]) is not None,
    "rate_limited_429_bare": lambda r: r.status == 429 and "retry-after" not in r.headers,
    "rate_limited_429_milliseconds": header("x-ms-retry-after-ms", "250"),
    "server_error_500": error(500, type="server_error"),
    "bad_gateway_502_html": status(502, "<h1>502 Bad Gateway</h1>"),
    "overloaded_503": error(503, "server_is_overloaded"),
    "slow_down_503": error(503, "slow_down"),
    "context_length_exceeded": error(400, "context_length_exceeded"),
    "invalid_image": error(400, "invalid_value", param="input[0].content[0].image_url"),
    "content_policy": error(400, "invalid_prompt"),
    "cyber_policy": error(400, "cyber_policy"),
    "bio_policy": error(400, "bio_policy"),
    "model_gated": status(400, "requires a newer version of Codex"),
    "model_not_supported": status(400, "not supported when using Codex with a ChatGPT account"),
    "encrypted_content_refused": status(400, "could not be verified"),
    "item_not_found": status(404, "Items are not persisted when `store` is set to false"),
    "account_header_required": status(400, '{"detail":"The chatgpt-account-id header is required"}'),
    "instructions_required": status(400, '{"detail":"Instructions are required"}'),
    "workspace_deactivated": lambda r: (r.status, r.json) == (402, detail_code("deactivated_workspace")),
    "workspace_not_selected": lambda r: (
        (r.status, r.json) == (403, detail_code("invalid_workspace_selected"))
    ),
    **{f"cloudflare_{code}": words(403, f"error code: {code}") for code in (1006, 1010, 1020)},
    "cloudflare_1015": words(429, "error code: 1015"),
    "cloudflare_empty_403": lambda r: (r.status, r.text, r.headers["server"]) == (403, "", "cloudflare"),
    "cloudflare_problem_403": lambda r: (
        (r.status, r.headers["content-type"], r.json["error_code"]) == (403, "application/problem+json", 1010)
    ),
    "proxy_denied_403": words(403, "Access Denied by security policy"),
    "ingress_503": lambda r: r.status == 503 and r.text.startswith("upstream connect error"),
    "images_unauthorized": status(401, '{"detail":"Unauthorized"}'),
    "images_forbidden": error(403, "permission_denied"),
    "images_refused": error(400, "moderation_blocked"),
    "images_rate_limited": error(429, type="rate_limit_error"),
    "images_500": error(500, type="server_error"),
    "images_404": status(404, '{"detail":"Not Found"}'),
    "images_slow": lambda r: r.status == 200 and len(r.json["data"]) == 1,
    "images_cut": broken,
    "images_empty": lambda r: (r.status, r.json["data"]) == (200, []),
    "images_url": lambda r: list(r.json["data"][0]) == ["url"],
    "images_bad_base64": lambda r: r.json["data"][0]["b64_json"].endswith("!"),
    "images_not_an_image": lambda r: r.json["data"] == [{"b64_json": "bm8gaW1hZ2U="}],
    "images_odd": lambda r: (r.json["created"], r.json["size"]) == ("now", 5),
    "images_list": lambda r: r.json == [1],
    "detail_list_422": lambda r: r.status == 422 and isinstance(r.json["detail"], list),
    "error_string": lambda r: r.json == {"error": "bad request"},
    "empty_500": lambda r: (r.status, r.text) == (500, ""),
    "redirect_302": location("https://example.com/"),
    "connection_reset": broken,
    "slow_first_byte": ends("completed"),
    "missing_content_type": lambda r: "content-type" not in r.headers and r.types[-1] == "completed",
    "limit_headers_absent": lambda r: not any(name.startswith("x-codex-") for name in r.headers),
    "request_id_renamed": lambda r: "x-oai-request-id" in r.headers and "x-request-id" not in r.headers,
    "model_rerouted": header("openai-model", "gpt-5.6-luna"),
    "models_etag_changed": header("x-models-etag", 'W/"another-catalogue"'),
    "websocket_401": status(401, "Unauthorized"),
    "websocket_403": status(403, "Sorry, you have been blocked"),
    "websocket_404": status(404, "Not Found"),
    "websocket_426": status(426),
    "websocket_429": used_up,
    "websocket_500": error(500, "server_error"),
    "websocket_503": error(503, "service_unavailable"),
    "websocket_reset": broken,
    "websocket_upgrade_slow": status(101),
    **{f"websocket_close_{code}": closed(code, []) for code in (1000, 1008, 1009, 1011)},
    **{
        f"websocket_close_{code}_after_text": closed(code, ["output_text.delta"])
        for code in (1000, 1008, 1009, 1011)
    },
    "websocket_close_after_answer": ends("completed"),
    "websocket_error_with_status": error(500, type="server_error"),
    "websocket_error_without_status": lambda r: (
        r.types == ["error"] and r.last["error"]["type"] == "server_error"
    ),
    "websocket_connection_limit": error(429, "websocket_connection_limit_reached"),
    "websocket_previous_response_not_found": error(400, "previous_response_not_found"),
    "websocket_usage_limit": lambda r: (
        (r.last["status_code"], r.last["error"]["type"]) == (429, "usage_limit_reached")
        and r.last["headers"]["x-codex-primary-used-percent"] == "100"
    ),
    "websocket_previous_response_not_found_flat": lambda r: (
        (r.status, r.json) == (400, {"error": None, "code": "previous_response_not_found"})
    ),
    "websocket_silence": broken,
    "websocket_binary": broken,
    "websocket_garbage_frame": broken,
    "websocket_pings": ends("completed"),
    "websocket_fragments": ends("completed"),
    "models_empty": lambda r: r.json == {"models": []},
    "models_500": status(500),
    "models_malformed": lambda r: "slug" not in r.json["models"][0],
    "models_not_json": status(200, "OK"),
    "accounts_check_500": status(500),
    "usage_500": status(500),
    "usage_only_week": lambda r: (
        r.json["rate_limit"]["primary_window"]["limit_window_seconds"] == 604_800
        and r.json["rate_limit"]["secondary_window"] is None
    ),
    "usage_exhausted": lambda r: r.json["rate_limit"]["limit_reached"] is True,
    "usage_fractions": lambda r: r.json["rate_limit"]["primary_window"]["used_percent"] % 1 == 0.5,
    "usage_individual_limit": lambda r: (
        r.json["spend_control"]["individual_limit"]["remaining_percent"] == 0
        and r.json["plan_type"] == "team"
    ),
    "usage_unknown_plan": lambda r: r.json["plan_type"] == "sparkle",
    "usage_nulls": lambda r: (r.json["rate_limit"], r.json["credits"]) == (None, None),
    "usage_fresh": lambda r: r.json["rate_limit"]["secondary_window"]["used_percent"] == 0,
    "usage_credits_only": lambda r: (r.json["rate_limit"], r.json["credits"]["balance"]) == (None, "12.50"),
    "usage_odd": lambda r: r.json["rate_limit"]["primary_window"]["reset_at"] == "soon",
    "usage_404": status(404),
    "usage_not_json": status(200, "OK"),
    "reset_credits_429": error(429, "connector_rate_limit"),
    "reset_credits_malformed": lambda r: "id" not in r.json["credits"][0],
    "reset_consume_lost": broken,
    "reset_consume_500": status(500),
    "reset_consume_nothing": lambda r: r.json == {"code": "nothing_to_reset"},
    "reset_consume_unknown": lambda r: r.json == {"code": "sparkle"},
    "overloaded_in_stream": lambda r: r.types == ["created", "failed"] and "overloaded" in r.text,
    "error_event_bare": lambda r: r.types[-1] == "error" and r.last["code"] == "server_is_overloaded",
    "error_then_failed": lambda r: r.types[-2:] == ["error", "failed"],
    "response_failed_rate_limit_exceeded": lambda r: "try again in 1.5s" in r.response["error"]["message"],
    "response_failed_rate_limit_milliseconds": lambda r: "in 250ms" in r.response["error"]["message"],
    "response_failed_slow_down": ends("failed", code="slow_down"),
    "response_failed_usage_limit_reached": ends("failed", code="usage_limit_reached"),
    "response_failed_insufficient_quota": ends("failed", code="insufficient_quota"),
    "response_failed_context_length_exceeded": ends("failed", code="context_length_exceeded"),
    "response_failed_server_error": ends("failed", code="server_error"),
    "response_failed_after_text": lambda r: r.types[-2:] == ["output_text.delta", "failed"],
    "response_failed_invalid_prompt": ends("failed", code="invalid_prompt"),
    "response_failed_cyber_policy": ends("failed", code="cyber_policy"),
    "incomplete_max_output_tokens": incomplete("max_output_tokens"),
    "incomplete_content_filter": incomplete("content_filter"),
    "incomplete_interrupted": incomplete("interrupted"),
    "response_done": lambda r: (r.types[-1], r.response["status"]) == ("done", "completed"),
    "response_done_bare": lambda r: r.types[-1] == "done" and set(r.response) == {"id", "object"},
    "response_done_incomplete": lambda r: (
        (r.types[-1], r.response["incomplete_details"]) == ("done", {"reason": "max_output_tokens"})
    ),
    "response_done_failed": ends("done", code="server_is_overloaded"),
    "response_done_cancelled": lambda r: (r.types[-1], r.response["status"]) == ("done", "cancelled"),
    "response_cancelled": lambda r: (r.types[-1], r.response["status"]) == ("cancelled", "cancelled"),
    "response_error_event": lambda r: (r.types[-1], r.last["error"]["code"]) == ("error", "server_error"),
    "usage_limit_in_stream": lambda r: (
        r.types[-1] == "failed"
        and r.events[-2]["rate_limits"]["primary"]["used_percent"] == 100
        and r.response["error"]["code"] == "usage_limit_reached"
        and r.response["error"]["resets_at"] > time.time()
    ),
    "compressed": compressed,
    "cut_after_end": broken,
    "open_after_end": broken,
    "eof_without_terminal": lambda r: r.types[-1] == "output_item.done",
    "cut_mid_event": broken,
    "stall": broken,
    "compaction_missing": lambda r: [item["type"] for item in r.response["output"]] == [],
    "compaction_twice": lambda r: [item["type"] for item in r.response["output"]] == ["compaction"] * 2,
    "compaction_empty": lambda r: [item["encrypted_content"] for item in r.response["output"]] == [""],
    "garbage_event": lambda r: "data: {not json\n\n" in r.text and "response.completed" in r.text,
    "unknown_event": lambda r: "sparkle.delta" in r.types and r.types[-1] == "completed",
    "rate_limits_event": status(200, '"type":"codex.rate_limits"'),
    "metadata_event": status(200, '"type":"response.metadata"'),
    "terminal_output_empty": lambda r: r.response["output"] == [] and "output_item.done" in r.types,
    "usage_null": lambda r: r.response["usage"] is None,
    "usage_without_details": lambda r: (
        set(r.response["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    ),
    "arguments_only_in_done": lambda r: (
        "function_call_arguments.done" in r.types and "function_call_arguments.delta" not in r.types
    ),
    "arguments_only_in_item": without("function_call_arguments.done", "function_call_arguments.delta"),
    "text_only_in_item": without("output_text.delta", "output_text.done", "content_part.added"),
    "deltas_without_done": without("output_text.done", "content_part.done"),
    "delta_gaps": lambda r: said(r)["text"] == "You said: hi" and deltas_of(r) == "You hi",
    "interleaved_tool_calls": interleaved,
    "refusal": lambda r: (
        said(r)["type"] == "refusal" and "refusal.delta" in r.types and "refusal.done" in r.types
    ),
    "annotated_links": lambda r: [row["url"] for row in said(r)["annotations"]] == ["https://a.example"],
    "search_failure_in_output": output_is("Error: the search could not be carried out. Try again later."),
    "search_unauthorized": status(401, "Unauthorized"),
    "search_access_enforcement": error(401, "no_matching_rule"),
    "search_rate_limited": error(429, "rate_limit_exceeded"),
    "search_500": status(500),
    "search_404": status(404),
    "search_lost": broken,
    "search_without_output": output_is(None),
    "search_odd_results": lambda r: r.json["results"][:3] == [None, 5, {"ref_id": 7}],
    "search_html": status(200, "<!doctype html>"),
    "huge_event": lambda r: len(deltas_of(r)) == 1024 * 1024,
    "text_separators": lambda r: {"\u2028", "\u0085", "\x0b", "\x1c"} <= set(deltas_of(r)),
    "split_writes": ends("completed"),
    "crlf_lines": lambda r: r.text.endswith("}\r\n\r\n") and "\n" not in r.text.replace("\r\n", ""),
    "cr_lines": lambda r: r.text.endswith("}\r\r") and "\n" not in r.text,
    "bom": lambda r: r.text.startswith("\ufeffevent: response.created\n"),
    "comments_between": status(200, "\n\n: keep-alive\nevent: "),
    "multiline_data": lambda r: r.text.count("\ndata: ") > 100 and "\ndata: }\n\n" in r.text,
    "no_space_after_colon": data_lines("data:{"),
    "no_event_lines": lambda r: r.text.startswith("data: {") and "\nevent:" not in r.text,
    "authorize_access_denied": location("error=access_denied"),
    "authorize_wrong_state": location("state=not-the-state"),
    "authorize_missing_entitlement": location("error_description=missing_codex_entitlement"),
    "authorize_no_code": lambda r: r.status == 302 and "code=" not in r.headers["location"],
    "token_500": status(500),
    "token_429": header("retry-after", "1"),
    "token_html": status(502, "<html>"),
    "token_truncated": broken,
    "token_connection_reset": broken,
    "token_response_lost": broken,
    "token_500_after_rotation": status(500),
    "token_no_refresh_token": lacks("refresh_token"),
    "token_no_id_token": lacks("id_token"),
    "token_no_access_token": lacks("access_token"),
    "token_only_access_token": lambda r: set(r.json) == {"access_token"},
    "token_expires_in_zero": lambda r: r.json["expires_in"] == 0,
    "token_no_expires_in": lacks("expires_in"),
    "token_invalid_grant": lambda r: (r.status, r.json["error"]) == (400, "invalid_grant"),
    "token_slow": status(200, "access_token"),
    "token_not_json": status(200, "OK"),
    "token_empty_object": status(200, "{}"),
    "refresh_token_expired": error(401, "refresh_token_expired"),
    "refresh_token_reused": error(401, "refresh_token_reused"),
    "refresh_token_invalidated": error(401, "refresh_token_invalidated"),
    "device_not_enabled_404": status(404),
    "device_interval_integer": lambda r: r.json["interval"] == 1,
    "device_interval_missing": lacks("interval"),
    "device_pending": error(403, "deviceauth_authorization_unknown"),
    "device_pending_404": error(404, "deviceauth_authorization_unknown"),
    "device_access_denied": lambda r: (r.status, r.json["error"]) == (400, "access_denied"),
    "device_expired_token": lambda r: (r.status, r.json["error"]) == (400, "expired_token"),
    "device_usercode_alias": lambda r: "usercode" in r.json and "user_code" not in r.json,
    "device_slow_down": lambda r: r.json["error"] == "slow_down",
    "device_poll_500": status(500),
    "revoke_500": status(500),
    "revoke_slow": status(200, "{}"),
}
SLOW = {"slow_first_byte", "token_slow", "revoke_slow"}


# Those of /v1/chat/completions are tried in clients/test_openai_backend.py, those of Sign in with ChatGPT in
# test_siwc.py.
HERE = {name: fault for name, fault in FAULTS.items() if not name.startswith(("chat_", "siwc_"))}


OTHER_ENDPOINTS = ("plan_responses", "plan_models", "platform_models", "chat_completions")


def test_every_fault_has_an_expectation():
    """A new row in the tables needs a row here."""
    assert set(EXPECTED) == set(HERE)


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [(name, where) for name, fault in HERE.items() for where in fault.where if where not in OTHER_ENDPOINTS],
)
def test_faults_do_what_they_say(client, name, endpoint):
    """Once, for the endpoint they are for; the next request is answered as ever."""
    client.emulator.arm(name, seconds=0.01 if name in SLOW else None)
    if (name, endpoint) == ("stall", "responses"):
        stalls(client)
    elif name.endswith("_after_end"):
        goes_on_after_its_end(client, endpoint, name)
    elif name in ("stall", "websocket_silence"):
        stalls_over_websocket(client, answers_pings=name == "stall")
    elif name == "websocket_binary":
        with pytest.raises(AssertionError, match="binary"):
            send(client, endpoint, name)
    elif EXPECTED[name] is broken:
        with pytest.raises(BROKEN):
            send(client, endpoint, name)
    else:
        reply = send(client, endpoint, name)
        assert EXPECTED[name](reply), (reply.status, reply.text[:2000])
    assert client.emulator.world.faults.armed() == {}


def stalls(client):
    """Nothing more comes until it is let go, and then the stream breaks."""
    stream = client.http.stream(
        "POST",
        f"{client.emulator.codex_base_url}/responses",
        json={"model": "gpt-5.5", "stream": True, "store": False, "input": []},
        headers=client.headers(),
    )
    with stream as reply:
        chunks = reply.iter_bytes()
        next(chunk for chunk in chunks if b"response.output_text.delta" in chunk)
        client.emulator.disarm()
        with pytest.raises(BROKEN):
            list(chunks)


def goes_on_after_its_end(client, endpoint, name):
    """Everything comes; then the connection breaks, at once or when it is let go."""
    if endpoint == "responses_message":
        with client.websocket() as opened:
            opened.completed("hi")
            client.emulator.disarm()
            with pytest.raises(ConnectionClosed):
                opened.connection.recv(timeout=20)
        return
    url = f"{client.emulator.codex_base_url}/responses"
    body = {"model": "gpt-5.5", "stream": True, "store": False, "input": []}
    with client.http.stream("POST", url, json=body, headers=client.headers()) as reply:
        chunks = reply.iter_bytes()
        seen = b""
        while b"event: response.completed" not in seen:
            seen += next(chunks)
        client.emulator.disarm()
        with pytest.raises(BROKEN):
            list(chunks)


def stalls_over_websocket(client, *, answers_pings):
    """Nothing more comes until it is let go, and then the connection breaks."""
    with client.websocket() as opened:
        opened.send("hi")
        while "response.content_part.added" not in opened.connection.recv(timeout=20):
            pass
        assert opened.connection.ping().wait(20 if answers_pings else 0.2) is answers_pings
        client.emulator.disarm()
        with pytest.raises(ConnectionClosed):
            opened.connection.recv(timeout=20)


def test_a_fault_counts_down(client):
    """Armed for two, it happens twice."""
    client.emulator.arm("server_error_500", times=2)
    assert [client.turn().status_code for _ in range(3)] == [500, 500, 200]


def test_faults_wait_for_their_endpoint(client):
    """Other requests do not use them up; the first armed goes first; disarming forgets them."""
    client.emulator.arm("overloaded_503")
    client.emulator.arm("unauthorized_once")
    client.emulator.arm("token_500")
    assert client.get("/backend-api/wham/usage", headers=client.headers()).status_code == 200
    assert [client.turn().status_code for _ in range(3)] == [503, 401, 200]
    client.emulator.disarm()
    assert client.refresh(client.emulator.issue_tokens()["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("token_500", 200),
        ("token_connection_reset", 200),
        ("token_response_lost", 401),
        ("token_500_after_rotation", 401),
        ("token_truncated", 401),
    ],
)
def test_a_failed_refresh_spends_the_token_or_does_not(client, name, second):
    """Faults before processing leave it good; faults after rotation have spent it."""
    token = client.emulator.issue_tokens()["refresh_token"]
    client.emulator.arm(name)
    with suppress(BROKEN):
        client.refresh(token)
    assert client.refresh(token).status_code == second


def test_a_fault_waits_for_the_request_that_it_fits(client):
    """A header that is required is required of the request that lacks it; the others are answered."""
    client.emulator.arm("account_header_required")
    client.emulator.arm("instructions_required")
    nameless = Nameless(client)
    assert client.turn("hi", instructions="Be brief.").status_code == 200
    assert nameless.turn("hi", instructions="Be brief.").status_code == 400
    assert nameless.turn("hi", instructions="Be brief.").status_code == 200
    assert client.turn("hi").json() == {"detail": "Instructions are required"}
    assert client.turn("hi").status_code == 200


def test_an_unknown_fault_is_an_error(client):
    """With the names that are near."""
    with pytest.raises(ValueError, match="overloaded_503"):
        client.emulator.arm("overloaded_5003")
    with pytest.raises(ValueError, match="at least one"):
        client.emulator.arm("overloaded_503", times=0)
