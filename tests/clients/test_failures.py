"""Every fault of the emulator, for both clients: the right chunks or the right error, nothing else."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

import onplan
from onplan import CompletionRequest, RetryPolicy, Timeouts, ToolDefinition
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import open_store

TOOLS = [
    ToolDefinition(
        name=name, parameters={"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    )
    for name in ("first", "second")
]
WHOLE = [("first", {"a": "text"}), ("second", {"a": "text"})]
ONCE = RetryPolicy(attempts=1)


@dataclass
class Case:
    """A fault, and what it must come to: an error class, or None where the answer is whole all the same."""

    fault: str
    error: type[onplan.OnplanError] | None
    requests: int = 1


# With retries off: what each fault is.
CASES = [
    Case("cloudflare_403", onplan.BlockedError),
    Case("cloudflare_1006", onplan.BlockedError),
    Case("cloudflare_1010", onplan.BlockedError),
    Case("cloudflare_1020", onplan.BlockedError),
    Case("cloudflare_1015", onplan.RateLimitError),
    Case("proxy_denied_403", onplan.BlockedError),
    Case("cloudflare_empty_403", onplan.BlockedError),
    Case("cloudflare_problem_403", onplan.BlockedError),
    Case("ingress_503", onplan.ServerError),
    Case("workspace_deactivated", onplan.NotIncludedError),
    Case("workspace_not_selected", onplan.NotIncludedError),
    Case("html_instead_of_json", onplan.UnexpectedReplyError),
    Case("not_found_404", onplan.UnexpectedReplyError),
    Case("redirect_302", onplan.UnexpectedReplyError),
    Case("payload_too_large_413", onplan.InvalidRequestError),
    Case("usage_limit_429", onplan.UsageLimitError),
    Case("usage_limit_week", onplan.UsageLimitError),
    Case("usage_limit_seconds_only", onplan.UsageLimitError),
    Case("usage_limit_404", onplan.UsageLimitError),
    Case("usage_limit_other_meter", onplan.UsageLimitError),
    Case("workspace_credits_depleted", onplan.UsageLimitError),
    Case("usage_not_included", onplan.NotIncludedError),
    Case("insufficient_quota", onplan.UsageLimitError),
    Case("rate_limited_429", onplan.RateLimitError),
    Case("rate_limited_429_date", onplan.RateLimitError),
    Case("rate_limited_429_bare", onplan.RateLimitError),
    Case("rate_limited_429_milliseconds", onplan.RateLimitError),
    Case("server_error_500", onplan.ServerError),
    Case("empty_500", onplan.ServerError),
    Case("bad_gateway_502_html", onplan.ServerError),
    Case("overloaded_503", onplan.OverloadedError),
    Case("slow_down_503", onplan.RateLimitError),
    Case("context_length_exceeded", onplan.ContextLengthError),
    Case("invalid_image", onplan.InvalidImageError),
    Case("content_policy", onplan.ContentPolicyError),
    Case("cyber_policy", onplan.ContentPolicyError),
    Case("bio_policy", onplan.ContentPolicyError),
    Case("model_gated", onplan.ModelNotAvailableError),
    Case("model_not_supported", onplan.ModelNotAvailableError),
    Case("encrypted_content_refused", onplan.EncryptedReasoningError),
    Case("item_not_found", onplan.InvalidRequestError),
    Case("detail_list_422", onplan.InvalidRequestError),
    Case("error_string", onplan.InvalidRequestError),
    Case("connection_reset", onplan.DisconnectError),
    Case("overloaded_in_stream", onplan.OverloadedError),
    Case("error_event_bare", onplan.OverloadedError),
    Case("error_then_failed", onplan.OverloadedError),
    Case("response_failed_rate_limit_exceeded", onplan.RateLimitError),
    Case("response_failed_rate_limit_milliseconds", onplan.RateLimitError),
    Case("response_failed_slow_down", onplan.RateLimitError),
    Case("response_failed_usage_limit_reached", onplan.UsageLimitError),
    Case("response_failed_insufficient_quota", onplan.UsageLimitError),
    Case("response_failed_context_length_exceeded", onplan.ContextLengthError),
    Case("response_failed_server_error", onplan.ServerError),
    Case("response_failed_invalid_prompt", onplan.ContentPolicyError),
    Case("response_failed_cyber_policy", onplan.ContentPolicyError),
    Case("incomplete_interrupted", onplan.StreamFailedError),
    Case("response_done_failed", onplan.OverloadedError),
    Case("response_done_cancelled", onplan.StreamFailedError),
    Case("response_cancelled", onplan.StreamFailedError),
    Case("response_error_event", onplan.ServerError),
    Case("usage_limit_in_stream", onplan.UsageLimitError),
    Case("eof_without_terminal", onplan.StreamTruncatedError),
    Case("cut_mid_event", onplan.StreamTruncatedError),
    Case("garbage_event", onplan.StreamCorruptError),
    Case("delta_gaps", onplan.StreamCorruptError),
    Case("response_done", None),
    Case("response_done_bare", None),
    Case("account_header_required", None),
    Case("compressed", None),
    Case("cut_after_end", None),
    Case("open_after_end", None),
    Case("unauthorized_once", None, requests=2),
    Case("slow_first_byte", None),
    Case("missing_content_type", None),
    Case("limit_headers_absent", None),
    Case("request_id_renamed", None),
    Case("model_rerouted", None),
    Case("models_etag_changed", None),
    Case("unknown_event", None),
    Case("rate_limits_event", None),
    Case("metadata_event", None),
    Case("terminal_output_empty", None),
    Case("usage_null", None),
    Case("usage_without_details", None),
    Case("arguments_only_in_done", None),
    Case("arguments_only_in_item", None),
    Case("text_only_in_item", None),
    Case("deltas_without_done", None),
    Case("interleaved_tool_calls", None),
    Case("split_writes", None),
    Case("crlf_lines", None),
    Case("cr_lines", None),
    Case("bom", None),
    Case("comments_between", None),
    Case("multiline_data", None),
    Case("no_space_after_colon", None),
    Case("no_event_lines", None),
]

# Told apart by tests of their own: below, in test_answers.py, and in the tests of sign-in and manager.
ELSEWHERE = frozenset(
    {
        "annotated_links",
        "compaction_empty",
        "compaction_missing",
        "compaction_twice",
        "huge_event",
        "incomplete_content_filter",
        "incomplete_max_output_tokens",
        "instructions_required",
        "refusal",
        "response_done_incomplete",
        "response_failed_after_text",
        "stall",
        "text_separators",
    }
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_a_fault_is_an_error_or_no_matter(signed_in: Emulator, driver: Any, case: Case) -> None:
    """A fault ends in its own error, or the answer is whole: both calls with all their arguments."""
    signed_in.arm(case.fault, times=1)
    asker = driver(retry=ONCE)
    request = CompletionRequest(messages="hi é ☃", model="gpt-5.5", tools=TOOLS)

    if case.error:
        with pytest.raises(onplan.OnplanError) as caught:
            asker.complete(request)
        assert case.error is type(caught.value)
        assert caught.value.hint
        assert caught.value.request_id
    else:
        answer = asker.complete(request)
        assert [(call.name, call.parse_arguments()) for call in answer.tool_calls] == WHOLE
        assert answer.message.content[0].text.startswith("**Reading the request**")
    assert case.requests == len(_posts(signed_in))


def test_no_fault_of_the_backend_is_without_a_case(emulator: Emulator) -> None:
    """The table above knows every fault that the emulator has for answers."""
    with urllib.request.urlopen(f"{emulator.issuer}/_emulator/faults") as reply:
        faults = json.load(reply)["faults"]
    names = {fault["name"] for fault in faults if "responses" in fault["where"]}

    assert names == {case.fault for case in CASES} | ELSEWHERE


def _posts(emulator: Emulator) -> list[dict[str, Any]]:
    """The requests for answers, and upgrades that were refused; one that opened a WebSocket is none."""
    rows = [row for row in emulator.journal() if row["path"].endswith("/responses")]
    return [row for row in rows if row["status"] != 101]


def test_an_answer_that_was_cut_says_so(signed_in: Emulator, driver: Any) -> None:
    """Limits and filters end in their own finish reason, with what there is of the answer."""
    for fault, reason in (
        ("incomplete_max_output_tokens", onplan.FinishReason.LENGTH),
        ("response_done_incomplete", onplan.FinishReason.LENGTH),
        ("incomplete_content_filter", onplan.FinishReason.CONTENT_FILTER),
    ):
        signed_in.arm(fault, times=1)
        answer = driver().complete("one two three four")
        assert reason == answer.finish_reason
        assert "You said: one two three four".startswith(answer.text)


def test_a_refusal_is_no_answer(signed_in: Emulator, driver: Any) -> None:
    """A refusal is a part of its own, not text, and the finish reason tells it."""
    signed_in.arm("refusal", times=1)
    chunks = driver().chunks("hi")

    response = chunks[-1].response
    assert response.finish_reason is onplan.FinishReason.CONTENT_FILTER
    assert response.text == ""
    assert response.message.content[-1].type == "refusal"
    assert "text" not in {chunk.type for chunk in chunks}


@pytest.mark.parametrize("fault", ["huge_event", "text_separators"])
def test_odd_text_arrives_as_it_was_sent(signed_in: Emulator, driver: Any, fault: str) -> None:
    """Very large events, and line breaks of Unicode inside text, change nothing."""
    signed_in.arm(fault, times=1)
    chunks = driver().chunks("hi")

    joined = "".join(chunk.text for chunk in chunks if chunk.type == "text")
    assert joined == chunks[-1].response.text
    assert len(joined) > 1_000_000 or joined == "a\u2028b\x85c\x0bd\x1ce 🐦"


@pytest.mark.parametrize("fault", ["response_failed_after_text", "eof_without_terminal", "cut_mid_event"])
def test_after_the_first_chunk_nothing_is_asked_again(signed_in: Emulator, driver: Any, fault: str) -> None:
    """What the program has seen is not asked again; what had arrived whole is in the error."""
    signed_in.arm(fault, times=9)
    seen: list[onplan.StreamChunk] = []

    with pytest.raises(onplan.OnplanError) as caught:
        driver().chunks("one two three", seen)

    assert seen
    assert seen[-1].type != "done"
    assert len(_posts(signed_in)) == 1
    assert [chunk.part for chunk in seen if chunk.type == "part_done"] == list(caught.value.parts) != []


def test_silence_is_given_up(signed_in: Emulator, driver: Any) -> None:
    """A stream that stalls ends in an error after the idle timeout."""
    signed_in.arm("stall", times=1)

    with pytest.raises(onplan.IdleTimeoutError):
        driver(timeout=Timeouts(idle=0.3), retry=ONCE).complete("hi")


@pytest.mark.parametrize(
    "fault",
    ["server_error_500", "overloaded_503", "connection_reset", "overloaded_in_stream", "rate_limited_429"],
)
def test_passing_troubles_are_waited_out(signed_in: Emulator, driver: Any, fault: str) -> None:
    """Before the first chunk, what may pass is asked again, and the hook hears of it."""
    signed_in.arm(fault, times=2)
    heard: list[tuple[str, float]] = []

    answer = driver(
        retry=RetryPolicy(wait_initial=0.01),
        on_retry=lambda error, seconds: heard.append((error.code, seconds)),
    ).complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    assert answer.text == "You said: hi"
    assert len(heard) == 2
    assert len(_posts(signed_in)) == 3


def test_a_usage_limit_says_when_it_resets(signed_in: Emulator, driver: Any) -> None:
    """A used-up allowance is never asked again; the error knows when it resets and which plan it is."""
    signed_in.arm("usage_limit_429", times=9)

    with pytest.raises(onplan.UsageLimitError, match="plus plan is reached; it resets at 20") as caught:
        driver().complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    assert caught.value.resets_at > 1_700_000_000
    assert caught.value.status_code == 429
    assert len(_posts(signed_in)) == 1


LIMITS = {
    "usage_limit_429": (
        "The 5-hour usage limit of the plus plan is reached; it resets at",
        300,
        "buy credits",
    ),
    "usage_limit_in_stream": (
        "The 5-hour usage limit of the plus plan is reached; it resets at",
        300,
        "buy credits",
    ),
    "usage_limit_week": (
        "The weekly usage limit of the pro plan is reached; it resets at 2030-03-1",
        10_080,
        "buy credits",
    ),
    "usage_limit_other_meter": ("The weekly usage limit for Other is reached", 10_080, "another model"),
    "workspace_credits_depleted": ("The credits of your workspace are used up.", None, "Add credits"),
}


@pytest.mark.codex
@pytest.mark.parametrize("fault", LIMITS)
def test_a_usage_limit_says_which_one_and_what_can_be_done(
    signed_in: Emulator, driver: Any, fault: str
) -> None:
    """Windows are named by their minutes, and the hint says what else is possible on this plan."""
    sentence, minutes, advice = LIMITS[fault]
    signed_in.arm(fault, times=1)

    with pytest.raises(onplan.UsageLimitError) as caught:
        driver().complete(CompletionRequest(messages="hi", model="gpt-5.5"))
    assert str(caught.value).startswith(sentence)
    assert caught.value.window_minutes == minutes
    assert caught.value.to_dict().get("window_minutes") == minutes
    assert advice in caught.value.hint


@pytest.mark.codex
@pytest.mark.parametrize("fault", ["model_gated", "model_not_supported"])
def test_a_model_that_is_not_served_has_a_neighbour(signed_in: Emulator, driver: Any, fault: str) -> None:
    """The hint names what the catalogue lists that is nearest, and the version that it was asked with."""
    signed_in.arm(fault, times=1)

    with pytest.raises(onplan.ModelNotAvailableError) as caught:
        driver().complete(CompletionRequest(messages="hi", model="gpt-6-sool"))
    assert caught.value.hint.startswith("Nearest to it: gpt-6-sol or ")
    assert "version 0.171.0" in caught.value.hint


@pytest.mark.codex
def test_a_model_that_is_listed_and_refused_is_not_advised(signed_in: Emulator, driver: Any) -> None:
    """The neighbours of a refused model are others: itself would be refused again."""
    signed_in.arm("model_gated", times=1)

    with pytest.raises(onplan.ModelNotAvailableError) as caught:
        driver().complete(CompletionRequest(messages="hi", model="gpt-6-sol"))
    assert caught.value.hint.startswith("Nearest to it: gpt-6.")
    assert " gpt-6-sol " not in caught.value.hint


def test_without_a_catalogue_the_neighbour_is_a_known_one(signed_in: Emulator, driver: Any) -> None:
    """Where the catalogue fails too, the built-in list helps, and the error stays the model's."""
    signed_in.arm("model_not_supported", times=1)
    signed_in.arm("models_500", times=1)

    with pytest.raises(onplan.ModelNotAvailableError, match="not supported") as caught:
        driver().complete(CompletionRequest(messages="hi", model="gpt-5.6-moon"))
    assert "gpt-5.6-" in caught.value.hint


def test_reasoning_of_another_account_is_left_out_and_reported(signed_in: Emulator, driver: Any) -> None:
    """Encrypted reasoning that is refused goes no second time; the answer says what was dropped."""
    heard: list[tuple[str, float]] = []
    thinking = onplan.Thinking("I thought.", encrypted="gAAAA-of-somebody-else")
    request = CompletionRequest(
        model="gpt-5.5",
        messages=[
            onplan.Message.user("hi"),
            onplan.Message("assistant", [thinking, onplan.Text("Hello.")]),
            onplan.Message.user("again"),
        ],
    )
    asker = driver(retry=ONCE, on_retry=lambda error, seconds: heard.append((error.code, seconds)))

    answer = asker.complete(request)
    assert answer.text == "You said: again"
    assert answer.ignored_parameters == ["thinking"]
    assert heard == [("encrypted_reasoning", 0.0)]
    first, second = _posts(signed_in)
    assert [item["type"] for item in first["body"]["input"]] == ["message", "reasoning", "message", "message"]
    assert [item["type"] for item in second["body"]["input"]] == ["message", "message", "message"]


@pytest.mark.codex
def test_an_account_that_is_not_the_tokens_is_told(signed_in: Emulator, driver: Any) -> None:
    """A stored account id that is another's is a matter of signing in again, not of the request."""
    store = open_store(load_settings().store)
    record, version = store.load()
    store.save(replace(record, credentials=replace(record.credentials, account_id="acct-other")), version)

    with pytest.raises(onplan.SignInAgainError, match="does not match the access token") as caught:
        driver(retry=ONCE).complete(CompletionRequest(messages="hi", model="gpt-5.5"))
    assert caught.value.hint == "Run `onplan login`."
    assert len(_posts(signed_in)) == 1


def test_a_wait_in_milliseconds_is_kept(signed_in: Emulator, driver: Any) -> None:
    """``x-ms-retry-after-ms`` is a request to come back, as Retry-After is."""
    signed_in.arm("rate_limited_429_milliseconds", times=1)
    heard: list[float] = []

    driver(on_retry=lambda error, seconds: heard.append(seconds)).complete("hi")
    assert heard == [0.25]


def test_a_401_renews_the_token_once(signed_in: Emulator, driver: Any) -> None:
    """A token that the backend refuses is refreshed once; refused again, the person must sign in."""
    signed_in.arm("unauthorized_once", times=9)

    with pytest.raises(onplan.SignInAgainError):
        driver().complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    paths = [row["path"] for row in signed_in.journal() if row["status"] != 101]
    ends = [path.rpartition("/")[2] for path in paths]
    assert [end for end in ends if end != "jwks.json"] == ["responses", "token", "responses"]


def test_an_unreachable_backend_is_a_connect_error(signed_in: Emulator, driver: Any, unused_url: str) -> None:
    """Where nobody listens, the error names the place and says what to do: here, to start the server."""
    with pytest.raises(onplan.ConnectError, match="could not be reached") as caught:
        driver(base_url=unused_url, retry=ONCE).complete(CompletionRequest(messages="hi", model="gpt-5.5"))
    assert "Start the server on this machine" in caught.value.hint


@pytest.mark.parametrize("retry", [0, -1, True, 2.5, {"attempts": 3}], ids=str)
def test_what_is_no_retry_policy_is_refused(signed_in: Emulator, driver: Any, retry: Any) -> None:
    """What is no policy is refused before anything is sent, and the hint says how one is written."""
    with pytest.raises(onplan.ConfigurationError, match="nor a RetryPolicy") as caught:
        driver(retry=retry).complete("hi")
    assert signed_in.journal() == []
    assert "retry=3" in caught.value.hint


def test_without_a_sign_in_nothing_is_sent(emulator: Emulator, driver: Any) -> None:
    """Nobody signed in: the error says so before anything reaches the backend."""
    with pytest.raises(onplan.NotSignedInError):
        driver().complete("hi")

    assert emulator.journal() == []
