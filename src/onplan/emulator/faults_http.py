"""What can the backend answer other than a stream? Every refusal of the notes, sections 9, 11, 12 and 16."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

from onplan.emulator.fault import Fault
from onplan.emulator.pages import BAD_GATEWAY, CLOUDFLARE_BLOCK
from onplan.emulator.replies import Headers, Reply, api_error, detail, html_reply, json_reply

RESPONSES = ("responses", "responses_message", "plan_responses")
# Pages and headers that over a WebSocket come with the upgrade, or not at all.
HEADS = ("responses", "responses_upgrade", "plan_responses")
RAY = (("server", "cloudflare"), ("cf-ray", "9a1b2c3d4e5f6a7b-AMS"))


def _error(status: int, message: str, *, headers: Headers = (), **fields: Any) -> Callable[[], Reply]:
    """A reply in the platform's error shape."""
    return lambda: api_error(message, status=status, headers=headers, **fields)


def _usage_limit(
    status: int = 429, *, headers: Headers = (), **fields: Callable[[], Any]
) -> Callable[[], Reply]:
    """The plan is used up; the fields are computed when it happens, for some are times."""

    def instead() -> Reply:
        given = {name: make() for name, make in fields.items()}
        head = {"type": "usage_limit_reached", "message": "The usage limit has been reached"}
        return json_reply({"error": {**head, **given}}, status, headers)

    return instead


def _in_an_hour() -> int:
    return int(time.time()) + 3600


def _retry_after_date() -> Reply:
    headers = (("retry-after", formatdate(time.time() + 1, usegmt=True)),)
    return api_error("Rate limit reached.", code="rate_limit_exceeded", status=429, headers=headers)


def _header(name: str, value: str | None, *, prefix: bool = False) -> Callable[[Reply], Reply]:
    """Another value for a header of the reply, or none at all."""

    def after(reply: Reply) -> Reply:
        others = tuple(p for p in reply.headers if not (p[0].startswith(name) if prefix else p[0] == name))
        return replace(reply, headers=others if value is None else (*others, (name, value)))

    return after


def _renamed_request_id(reply: Reply) -> Reply:
    names = {"x-request-id": "x-oai-request-id"}
    return replace(reply, headers=tuple((names.get(name, name), value) for name, value in reply.headers))


def _detail_list() -> Reply:
    row = {"type": "missing", "loc": ["body", "model"], "msg": "Field required", "input": None}
    return detail([row], 422)


FAULTS = (
    Fault(
        "unauthorized_once",
        "401, as for an access token that died early.",
        RESPONSES,
        instead=lambda: detail("Unauthorized", 401),
    ),
    Fault(
        "cloudflare_403",
        "403 with Cloudflare's page of HTML; not an authentication failure.",
        HEADS,
        instead=lambda: html_reply(CLOUDFLARE_BLOCK, 403, RAY),
    ),
    Fault(
        "html_instead_of_json",
        "200 with a page of HTML.",
        HEADS,
        instead=lambda: html_reply("<!doctype html><title>ChatGPT</title>", 200, RAY),
    ),
    Fault("not_found_404", "404 with a detail.", RESPONSES, instead=lambda: detail("Not Found", 404)),
    Fault(
        "payload_too_large_413",
        "413 with a detail.",
        RESPONSES,
        instead=lambda: detail("Request body is too large", 413),
    ),
    Fault(
        "usage_limit_429",
        "429 usage_limit_reached with resets_at an hour away.",
        RESPONSES,
        instead=_usage_limit(plan_type=lambda: "plus", resets_at=_in_an_hour, resets_in_seconds=lambda: 3600),
    ),
    Fault(
        "usage_limit_week",
        "429 usage_limit_reached whose headers say that the week, as primary window, is used up.",
        RESPONSES,
        instead=_usage_limit(
            plan_type=lambda: "pro",
            headers=(
                ("x-codex-primary-used-percent", "100"),
                ("x-codex-primary-window-minutes", "10080"),
                ("x-codex-primary-reset-at", "1900000000"),
                ("x-codex-secondary-used-percent", "40.5"),
                ("x-codex-secondary-window-minutes", "300"),
                ("x-codex-secondary-reset-at", ""),
            ),
        ),
    ),
    Fault(
        "usage_limit_seconds_only",
        "429 usage_limit_reached with resets_in_seconds alone.",
        RESPONSES,
        instead=_usage_limit(plan_type=lambda: "plus", resets_in_seconds=lambda: 3600),
    ),
    Fault(
        "usage_limit_404",
        "usage_limit_reached as a 404.",
        RESPONSES,
        instead=_usage_limit(404, plan_type=lambda: "plus", resets_at=_in_an_hour),
    ),
    Fault(
        "usage_limit_other_meter",
        "429 usage_limit_reached of a meter of its own, named in headers.",
        RESPONSES,
        instead=_usage_limit(
            resets_at=_in_an_hour,
            headers=(
                ("x-codex-active-limit", "codex_other"),
                ("x-codex-other-limit-name", "Other"),
                ("x-codex-other-primary-used-percent", "100"),
                ("x-codex-other-primary-window-minutes", "10080"),
            ),
        ),
    ),
    Fault(
        "workspace_credits_depleted",
        "429 usage_limit_reached because the workspace is out of credits.",
        RESPONSES,
        instead=_usage_limit(
            plan_type=lambda: "team",
            headers=(("x-codex-rate-limit-reached-type", "workspace_owner_credits_depleted"),),
        ),
    ),
    Fault(
        "usage_not_included",
        "429 usage_not_included: the plan has no Codex.",
        RESPONSES,
        instead=_error(429, "Usage is not included in your plan.", kind="usage_not_included"),
    ),
    Fault(
        "insufficient_quota",
        "429 insufficient_quota.",
        RESPONSES,
        instead=_error(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            kind="insufficient_quota",
            code="insufficient_quota",
        ),
    ),
    Fault(
        "rate_limited_429",
        "429 rate_limit_exceeded with retry-after: 1.",
        RESPONSES,
        instead=_error(
            429, "Rate limit reached.", code="rate_limit_exceeded", headers=(("retry-after", "1"),)
        ),
    ),
    Fault(
        "rate_limited_429_date",
        "429 rate_limit_exceeded with a date in retry-after.",
        RESPONSES,
        instead=_retry_after_date,
    ),
    Fault(
        "rate_limited_429_bare",
        "429 rate_limit_exceeded without retry-after.",
        RESPONSES,
        instead=_error(429, "Rate limit reached.", code="rate_limit_exceeded"),
    ),
    Fault(
        "rate_limited_429_milliseconds",
        "429 rate_limit_exceeded with x-ms-retry-after-ms: 250.",
        RESPONSES,
        instead=_error(
            429, "Rate limit reached.", code="rate_limit_exceeded", headers=(("x-ms-retry-after-ms", "250"),)
        ),
    ),
    Fault(
        "server_error_500",
        "500 server_error.",
        RESPONSES,
        instead=_error(500, "The server had an error while processing your request.", kind="server_error"),
    ),
    Fault(
        "bad_gateway_502_html",
        "502 with a page of HTML.",
        HEADS,
        instead=lambda: html_reply(BAD_GATEWAY, 502, RAY),
    ),
    Fault(
        "overloaded_503",
        "503 server_is_overloaded.",
        RESPONSES,
        instead=_error(
            503,
            "Our servers are currently overloaded. Please try again later.",
            kind="service_unavailable_error",
            code="server_is_overloaded",
        ),
    ),
    Fault(
        "slow_down_503",
        "503 slow_down.",
        RESPONSES,
        instead=_error(503, "Slow down.", kind="service_unavailable_error", code="slow_down"),
    ),
    Fault(
        "context_length_exceeded",
        "400 context_length_exceeded.",
        RESPONSES,
        instead=_error(
            400,
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            param="input",
            code="context_length_exceeded",
        ),
    ),
    Fault(
        "invalid_image",
        "400 for an image that is not one.",
        RESPONSES,
        instead=_error(
            400,
            "The image data you provided does not represent a valid image. Please check your input "
            "and try again.",
            param="input[0].content[0].image_url",
            code="invalid_value",
        ),
    ),
    Fault(
        "content_policy",
        "400 invalid_prompt.",
        RESPONSES,
        instead=_error(
            400,
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            code="invalid_prompt",
        ),
    ),
    Fault(
        "cyber_policy",
        "400 cyber_policy.",
        RESPONSES,
        instead=_error(
            400,
            "This request has been flagged for potentially high-risk cyber activity.",
            code="cyber_policy",
        ),
    ),
    Fault(
        "bio_policy",
        "400 bio_policy.",
        RESPONSES,
        instead=_error(
            400,
            "This request has been flagged for potentially high-risk biological activity.",
            code="bio_policy",
        ),
    ),
    Fault(
        "model_gated",
        "400: the model wants a newer client.",
        RESPONSES,
        instead=lambda: detail(
            "The 'gpt-6.2-sol' model requires a newer version of Codex. Please upgrade to the latest version."
        ),
    ),
    Fault(
        "model_not_supported",
        "400: the model is not for ChatGPT accounts.",
        RESPONSES,
        instead=lambda: detail(
            "The 'gpt-4o' model is not supported when using Codex with a ChatGPT account."
        ),
    ),
    Fault(
        "encrypted_content_refused",
        "400: encrypted reasoning of somebody else.",
        RESPONSES,
        instead=_error(
            400,
            "The encrypted content gAAAAABl1zzz... could not be verified. Reason: Encrypted content "
            "could not be decrypted or parsed.",
            code="invalid_encrypted_content",
        ),
    ),
    Fault(
        "item_not_found",
        "404: an item that was never stored.",
        RESPONSES,
        instead=_error(
            404,
            "Item with id 'rs_0' not found. Items are not persisted when `store` is set to false. Try "
            "again with `store` set to true, or remove this item from your input.",
            param="input",
        ),
    ),
    Fault(
        "instructions_required",
        "400: the body has no instructions, as from January to May 2026.",
        RESPONSES,
        instead=lambda: detail("Instructions are required"),
    ),
    Fault("detail_list_422", "422 whose detail is a list.", RESPONSES, instead=_detail_list),
    Fault(
        "error_string",
        "400 whose error is a string.",
        RESPONSES,
        instead=lambda: json_reply({"error": "bad request"}, 400),
    ),
    Fault("empty_500", "500 without a body.", RESPONSES, instead=lambda: Reply(status=500)),
    Fault(
        "redirect_302",
        "302 to another host; nobody should take a token there.",
        HEADS,
        instead=lambda: Reply(status=302, headers=(("location", "https://example.com/"),)),
    ),
    Fault(
        "connection_reset",
        "The connection ends without a reply.",
        RESPONSES,
        instead=lambda: Reply(ending="reset"),
    ),
    Fault(
        "slow_first_byte",
        "The reply starts after a while (1 s, or the seconds it was armed with).",
        RESPONSES,
        delay=1.0,
    ),
    Fault(
        "missing_content_type",
        "A good stream without a content-type.",
        HEADS,
        after=_header("content-type", None),
    ),
    Fault(
        "limit_headers_absent",
        "A good stream without x-codex limits.",
        HEADS,
        after=_header("x-codex-", None, prefix=True),
    ),
    Fault(
        "request_id_renamed",
        "The request id comes as x-oai-request-id.",
        HEADS,
        after=_renamed_request_id,
    ),
    Fault(
        "model_rerouted",
        "openai-model names another model than was asked for.",
        HEADS,
        after=_header("openai-model", "gpt-5.6-luna"),
    ),
    Fault(
        "models_etag_changed",
        "x-models-etag announces a new catalogue.",
        HEADS,
        after=_header("x-models-etag", 'W/"another-catalogue"'),
    ),
)
