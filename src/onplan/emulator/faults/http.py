"""Faults of the backend before a stream begins: refusals and odd headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onplan.emulator.faults.actions import HEADS, RAY, RESPONSES, error
from onplan.emulator.faults.fault import Fault
from onplan.emulator.wire.pages import BAD_GATEWAY, CLOUDFLARE_BLOCK
from onplan.emulator.wire.replies import Reply, detail, html_reply, json_reply

# The endpoints that ask for an account.
ACCOUNT = ("responses", "responses_upgrade", "models", "accounts_check", "usage")


def _header(name: str, value: str | None, *, prefix: bool = False) -> Callable[[Reply], Reply]:
    """Replace a header of the reply, or remove it."""

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
        "401, as for an access token that was revoked early.",
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
        "server_error_500",
        "500 server_error.",
        RESPONSES,
        instead=error(500, "The server had an error while processing your request.", kind="server_error"),
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
        instead=error(
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
        instead=error(503, "Slow down.", kind="service_unavailable_error", code="slow_down"),
    ),
    Fault(
        "context_length_exceeded",
        "400 context_length_exceeded.",
        RESPONSES,
        instead=error(
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
        instead=error(
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
        instead=error(
            400,
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            code="invalid_prompt",
        ),
    ),
    Fault(
        "cyber_policy",
        "400 cyber_policy.",
        RESPONSES,
        instead=error(
            400,
            "This request has been flagged for potentially high-risk cyber activity.",
            code="cyber_policy",
        ),
    ),
    Fault(
        "bio_policy",
        "400 bio_policy.",
        RESPONSES,
        instead=error(
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
        "400: encrypted reasoning that another account or model made.",
        RESPONSES,
        instead=error(
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
        instead=error(
            404,
            "Item with id 'rs_0' not found. Items are not persisted when `store` is set to false. Try "
            "again with `store` set to true, or remove this item from your input.",
            param="input",
        ),
    ),
    Fault("detail_list_422", "422 whose detail is a list.", RESPONSES, instead=_detail_list),
    Fault(
        "error_string",
        "400 whose error is a string.",
        RESPONSES,
        instead=lambda: json_reply({"error": "bad request"}, 400),
    ),
    Fault(
        "account_header_required",
        "400 to a request without chatgpt-account-id.",
        ACCOUNT,
        instead=lambda: detail("The chatgpt-account-id header is required"),
        fits=lambda request: "chatgpt-account-id" not in request.headers,
    ),
    Fault(
        "instructions_required",
        "400 to a request without instructions, as from January to May 2026.",
        ("responses", "responses_message"),
        instead=lambda: detail("Instructions are required"),
        fits=lambda request: not request.fields.get("instructions"),
    ),
    Fault(
        "workspace_deactivated",
        "402 deactivated_workspace: the workspace is gone.",
        RESPONSES,
        instead=lambda: detail({"code": "deactivated_workspace"}, 402),
    ),
    Fault(
        "workspace_not_selected",
        "403 invalid_workspace_selected: the sign-in is for another workspace.",
        RESPONSES,
        instead=lambda: detail({"code": "invalid_workspace_selected"}, 403),
    ),
    Fault("empty_500", "500 without a body.", RESPONSES, instead=lambda: Reply(status=500)),
    Fault(
        "redirect_302",
        "302 to another host, where no token should be sent.",
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
