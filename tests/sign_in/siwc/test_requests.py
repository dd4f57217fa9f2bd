"""What is said to the API, and what its refusals mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, Message, RetryPolicy, ToolDefinition, backends
from onplan.emulator import Emulator
from onplan.emulator.faults.register import FAULTS

from .conftest import SignIn

TOOL = ToolDefinition(
    name="look_up", parameters={"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
)
ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=2, wait_initial=0.01)


def asked(emulator: Emulator) -> list[dict[str, Any]]:
    """What was asked of the responses endpoint."""
    return [row for row in emulator.journal() if row["path"] == "/plan/v1/responses"]


@pytest.fixture
def plan(emulator: Emulator, sign_in: SignIn) -> Emulator:
    """An emulator with one sign-in and an empty journal."""
    sign_in()
    emulator.clear_journal()
    return emulator


def test_what_the_route_lacks_is_left_out_and_told(plan: Emulator) -> None:
    """System text goes as a developer's, refused parameters are listed, and the rest is as it must be."""
    request = CompletionRequest(
        messages=[Message.system("Be brief."), Message.user("hi")],
        temperature=0.1,
        top_p=0.5,
        max_tokens=10,
        stop=["x"],
        metadata={"a": "b"},
        reasoning_effort="low",
        verbosity="low",
    )
    with onplan.Client() as client:
        answer = client.complete(request)

    assert answer.ignored_parameters == ["temperature", "top_p", "metadata"]
    assert answer.emulated_parameters == ["max_tokens", "stop"]
    (row,) = asked(plan)
    body = row["body"]
    assert (body["store"], body["stream"]) == (False, True)
    assert [item["role"] for item in body["input"]] == ["developer", "user"]
    assert body["reasoning"]["effort"] == "low"
    assert set(row["headers"]) & {"originator", "chatgpt-account-id", "session-id", "openai-beta"} == set()
    with onplan.Client(unsupported="raise") as client, pytest.raises(onplan.InvalidRequestError):
        client.complete(request)


def test_phases_and_reasoning_come_back(plan: Emulator) -> None:
    """A second turn carries the encrypted reasoning and the phase of the first answer, without ids."""
    with onplan.Client() as client:
        first = client.complete("one")
        client.complete(CompletionRequest(messages=[Message.user("one"), first.message, Message.user("two")]))

    items = asked(plan)[1]["body"]["input"]
    assert [item["type"] for item in items] == ["message", "reasoning", "message", "message"]
    assert items[1]["encrypted_content"]
    assert items[2]["phase"] == "final_answer"
    assert not any("id" in item for item in items)


@pytest.mark.parametrize("shape", ["flat", "namespace", "additional_tools"])
def test_tools_are_offered_in_the_shape_that_the_row_says(
    plan: Emulator, shape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round trip works in each shape; a call out of a namespace goes back with it."""
    monkeypatch.setattr(backends, "ROWS", (replace(backends.CHATGPT_PLAN, tool_shape=shape),))
    question = Message.user("look it up")
    with onplan.Client() as client:
        first = client.complete(CompletionRequest(messages=[question], tools=[TOOL]))
        (call,) = [part for part in first.message.content if part.type == "tool_call"]
        result = Message.tool(call.id, "42")
        last = client.complete(CompletionRequest(messages=[question, first.message, result], tools=[TOOL]))

    assert (call.name, call.parse_arguments()) == ("look_up", {"a": "text"})
    assert call.namespace == ("program" if shape == "namespace" else None)
    assert last.text == "look_up returned: 42"
    first_body, second_body = (row["body"] for row in asked(plan))
    kinds = [tool["type"] for tool in first_body.get("tools", ())]
    assert kinds == {"flat": ["function"], "namespace": ["namespace"], "additional_tools": []}[shape]
    (returned,) = [item for item in second_body["input"] if item["type"] == "function_call"]
    assert returned.get("namespace") == call.namespace


def test_the_catalogue_keeps_its_order(plan: Emulator) -> None:
    """The best first, as it is listed, whatever priorities say; hidden models are not shown."""
    listed = tuple(
        {"slug": slug, "display_name": slug.upper(), "visibility": seen, "priority": priority}
        for slug, seen, priority in (("b", "list", 9), ("hidden", "hide", 0), ("a", "list", 1))
    )
    plan.world.catalogue = listed
    with onplan.Client() as client:
        models = client.list_models()

    assert [(model.id, model.name) for model in models] == [("b", "B"), ("a", "A")]


ERRORS = {
    "siwc_user_not_eligible": (onplan.NotIncludedError, 1, "settings/usage"),
    "siwc_usage_limit_exceeded": (
        onplan.UsageLimitError,
        1,
        "Manage usage: https://chatgpt.com/settings/usage",
    ),
    "siwc_limit_in_stream": (onplan.UsageLimitError, 1, "Manage usage"),
    "siwc_limit_mid_stream": (onplan.UsageLimitError, 1, "Manage usage"),
    "siwc_usage_unavailable": (onplan.ServerError, 2, ""),
    "siwc_user_unavailable": (onplan.ServerError, 2, ""),
    "siwc_unavailable_in_stream": (onplan.ServerError, 2, ""),
    "siwc_unavailable_mid_stream": (onplan.ServerError, 1, ""),
    "siwc_unsupported_capability": (onplan.InvalidRequestError, 1, "Change the request"),
    "siwc_route_not_supported": (onplan.UnexpectedReplyError, 1, "ONPLAN_PLAN_BASE_URL"),
    "siwc_invalid_user": (onplan.SignInAgainError, 2, "disconnected onplan"),
    "siwc_scope_not_authorized": (onplan.NotIncludedError, 1, "onplan status"),
    "siwc_invalid_context": (onplan.NotIncludedError, 1, "onplan status"),
    "siwc_admission_401": (onplan.SignInAgainError, 2, "onplan login"),
    "siwc_admission_403": (onplan.NotIncludedError, 1, "onplan status"),
    "siwc_admission_503": (onplan.ServerError, 2, ""),
    "siwc_edge_520": (onplan.ServerError, 1, ""),  # it asks for a minute, which is too long to wait
}


@pytest.mark.parametrize("fault", ERRORS)
def test_each_refusal_says_what_to_do(plan: Emulator, fault: str) -> None:
    """What may pass is asked again, within bounds; what may not is not; and the hint is the next thing."""
    kind, times, hint = ERRORS[fault]
    plan.arm(fault, times=9)

    with onplan.Client(retry=QUICK) as client, pytest.raises(kind) as caught:
        client.complete(CompletionRequest(messages="hi", model="gpt-5.5"))
    assert type(caught.value) is kind
    assert len(asked(plan)) == times
    assert hint in caught.value.hint
    assert caught.value.request_id


def test_no_fault_of_this_route_is_without_a_test() -> None:
    """Every fault's name stands in a test of this folder."""
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    forged = ("siwc_id_token_", "siwc_refreshed_id_token_", "siwc_refresh_")  # taken from the table itself
    names = [name for name in FAULTS if name.startswith("siwc_") and not name.startswith(forged)]
    assert [name for name in names if name not in tested] == []


def test_a_refused_parameter_is_named(plan: Emulator) -> None:
    """The error says which part of the request the backend does not take."""
    plan.arm("siwc_unsupported_capability")
    with (
        onplan.Client() as client,
        pytest.raises(onplan.InvalidRequestError, match=r"\(Parameter: tools\.\)"),
    ):
        client.complete(CompletionRequest(messages="hi", model="gpt-5.5"))


def test_a_model_that_is_not_served_has_a_neighbour(plan: Emulator) -> None:
    """An unsupported model is that, and the hint names what is listed and nearest."""
    with onplan.Client() as client, pytest.raises(onplan.ModelNotAvailableError) as caught:
        client.complete(CompletionRequest(messages="hi", model="gpt-6-sool"))
    assert caught.value.hint.startswith("Nearest to it: gpt-6-sol or ")


def test_a_service_tier_is_forwarded(plan: Emulator) -> None:
    """One that the service takes is sent; its refusal of another is told in its words."""
    with onplan.Client() as client:
        assert client.complete(CompletionRequest(messages="hi", service_tier="priority")).text
        with pytest.raises(onplan.InvalidRequestError, match="Unsupported service_tier: flex"):
            client.complete(CompletionRequest(messages="hi", service_tier="flex"))


def test_a_token_goes_to_its_own_backend_only(plan: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a plan's token to the platform, nor an API key to the plan, not even by a wrong address."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-emulated-key")
    with pytest.raises(onplan.ConfigurationError, match="takes no API key"):
        onplan.Client(api_key="sk-other")
    other = onplan.Client(base_url=plan.codex_base_url, retry=ONCE)
    with other as client, pytest.raises(onplan.OnplanError):
        client.complete(CompletionRequest(messages="hi", model="gpt-5.5"))
    assert not any("sk-" in str(row["headers"]) for row in plan.journal())
