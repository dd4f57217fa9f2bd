"""What a server refuses although no program asked for it is left out, and the turn is asked once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import onplan
from onplan import CompletionRequest, Message, RetryPolicy
from onplan.emulator import Emulator, Turn
from onplan.turn import amendments
from onplan.turn.amendment_table import NEUTRAL_INSTRUCTIONS

from ..conftest import over_http
from .conftest import Network
from .exact import Answer, Body, Exact, refused, spoken

ONCE = RetryPolicy(attempts=1)


@pytest.fixture(autouse=True)
def _nothing_learned() -> Iterator[None]:
    amendments.forget()
    yield
    amendments.forget()


@pytest.fixture
def serve(network: Network) -> Callable[[Callable[[Body], Answer]], Exact]:
    """Start a server that answers so."""

    def start(answer: Callable[[Body], Answer]) -> Exact:
        server = Exact(answer)
        server.port = network.serve(server.handle)
        return server

    return start


def strict(there: Callable[[Body], bool], refusal: Any, status: int = 400) -> Callable[[Body], Answer]:
    """A server that refuses a body in which something is there."""
    return lambda body: refused(refusal, status) if there(body) else spoken(body)


def _thinks(body: Body) -> bool:
    return any("reasoning_content" in message for message in body["messages"])


def _has(name: str) -> Callable[[Body], bool]:
    return lambda body: name in body


THINKING = CompletionRequest(
    model="m",
    messages=[
        Message.user("a"),
        Message.assistant(onplan.Thinking("hm", '{"reasoning_content":"hm"}'), "b"),
        Message.user("c"),
    ],
)
EXTRA = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted", "input": "hm"}
IN_A_MESSAGE = ["body", "messages", 1, "assistant", "reasoning_content"]
IN_THE_BODY = ["body", "stream_options", "include_usage"]
UNVERIFIED = {
    "message": "Your organization must be verified to stream this model. Please go to: https://example.org",
    "param": "stream",
    "code": "unsupported_value",
}
REFUSALS: dict[str, tuple[Callable[[Body], bool], Any, int, list[str]]] = {
    "thinking, flat": (
        _thinks,
        {
            "message": "property 'messages.1.assistant.reasoning_content' is unsupported",
            "code": "wrong_format",
        },
        400,
        ["thinking"],
    ),
    "thinking, nested": (
        _thinks,
        {"error": {"message": "'messages.1' : property 'reasoning_content' is unsupported"}},
        400,
        ["thinking"],
    ),
    "thinking, a list": (_thinks, {"detail": [{**EXTRA, "loc": IN_A_MESSAGE}]}, 422, ["thinking"]),
    "thinking, a list in a message": (
        _thinks,
        {"object": "error", "message": {"detail": [{**EXTRA, "loc": IN_A_MESSAGE}]}},
        422,
        ["thinking"],
    ),
    "usage, a list in a message": (
        _has("stream_options"),
        {"object": "error", "message": {"detail": [{**EXTRA, "loc": IN_THE_BODY}]}},
        422,
        [],
    ),
    "usage, nested": (
        _has("stream_options"),
        {"error": {"message": "Unrecognized request argument supplied: stream_options"}},
        400,
        [],
    ),
    "streaming": (_has("stream"), {"error": UNVERIFIED}, 400, []),
}


@over_http
@pytest.mark.parametrize(("there", "refusal", "status", "ignored"), REFUSALS.values(), ids=REFUSALS)
def test_it_is_left_out_and_asked_again(
    driver: Any,
    serve: Callable[..., Exact],
    there: Callable[[Body], bool],
    refusal: Any,
    status: int,
    ignored: list[str],
) -> None:
    """The refused part is left out, the turn asked once more, and thinking reported."""
    server = serve(strict(there, refusal, status))
    answer = driver(backend="openai", base_url=server.url, api_key="k", retry=ONCE).complete(THINKING)

    assert (answer.text, answer.ignored_parameters, len(server.bodies)) == ("ok", ignored, 2)


@over_http
@pytest.mark.parametrize("field", ["prompt_cache_key", "store", "parallel_tool_calls", "tool_choice"])
def test_it_is_so_over_the_other_wire(driver: Any, serve: Callable[..., Exact], field: str) -> None:
    """A Responses server that refuses what was not asked for is asked without it."""
    refusal = {"error": {"message": f"Unsupported parameter: '{field}'", "param": field}}
    server = serve(strict(_has(field), refusal))
    request = CompletionRequest(messages="hi", model="m", tools=[onplan.ToolDefinition("f")])
    options = {"backend": "openai", "base_url": server.url, "api_key": "k", "api": "responses"}
    answer = driver(**options, retry=ONCE).complete(request)

    assert answer.text == "ok"
    assert len(server.bodies) == (1 if field == "prompt_cache_key" else 2)
    assert field not in server.bodies[-1]


def test_a_client_sends_it_no_second_time(serve: Callable[..., Exact]) -> None:
    """The next turn with the same model begins without what was refused."""
    refusal = {"error": {"message": "Unknown parameter: 'stream_options'."}}
    server = serve(strict(_has("stream_options"), refusal))
    with onplan.Client(backend="openai", base_url=server.url, api_key="k") as client:
        for _ in range(2):
            client.complete(CompletionRequest(messages="hi", model="m"))

    assert [("stream_options" in body) for body in server.bodies] == [True, False, False]


def test_several_refusals_are_met_one_after_the_other(serve: Callable[..., Exact]) -> None:
    """Each refused part is left out in its turn."""

    def answer(body: Body) -> Answer:
        for name in ("stream_options", "prompt_cache_key"):
            if name in body:
                return refused({"error": {"message": f"Unknown parameter: '{name}'."}})
        return refused({"detail": [{**EXTRA, "loc": IN_A_MESSAGE}]}, 422) if _thinks(body) else spoken(body)

    server = serve(answer)
    with onplan.Client(backend="openai", base_url=server.url, api_key="k", retry=ONCE) as client:
        assert client.complete(THINKING).text == "ok"
    assert len(server.bodies) == 3


@over_http
def test_a_refusal_that_stays_is_an_error(driver: Any, serve: Callable[..., Exact]) -> None:
    """A server that repeats itself is not asked for ever."""
    refusal = {"error": {"message": "Unknown parameter: 'stream_options'."}}
    server = serve(lambda body: refused(refusal))

    with pytest.raises(onplan.InvalidRequestError, match="stream_options"):
        driver(backend="openai", base_url=server.url, api_key="k").complete(THINKING)
    assert len(server.bodies) == 2


# --- histories --------------------------------------------------------------------------------------


@over_http
@pytest.mark.parametrize("api", ["chat", "responses"])
def test_what_was_mended_in_the_history_is_reported(
    driver: Any, serve: Callable[..., Exact], api: str
) -> None:
    """An answer says what was changed in the conversation so that no server refuses it."""
    server = serve(spoken)
    cut, left = onplan.ToolCall("c", "f", '{"p":"abc'), onplan.ToolCall("d", "f", "{}")
    messages = [Message.user("a"), Message.assistant(cut, left), Message.tool("c", "no"), Message.user("b")]
    request = CompletionRequest(messages=messages, model="m")
    options = {"backend": "openai", "base_url": server.url, "api_key": "k", "api": api}
    answer = driver(**options, retry=ONCE).complete(request)

    assert answer.history_repairs == [
        "The arguments of call c to f were not a JSON object; they were put into one.",
        "The call d to f had no result; one was sent that says so.",
    ]
    assert len(server.bodies) == 1
    whole = driver(**options, retry=ONCE).complete(CompletionRequest(messages="hi", model="m"))
    assert whole.history_repairs == []


# --- instructions -----------------------------------------------------------------------------------


def _asked(emulator: Emulator) -> list[Body]:
    rows = emulator.journal()
    return [row["body"] for row in rows if row["method"] == "POST" and row["path"].endswith("/responses")]


@pytest.mark.codex
@pytest.mark.parametrize(
    ("messages", "expected"),
    [([Message.system("Be brief."), Message.user("hi")], "Be brief."), ("hi", NEUTRAL_INSTRUCTIONS)],
    ids=["given", "none"],
)
def test_instructions_that_are_required_are_given(
    signed_in: Emulator, driver: Any, messages: Any, expected: str
) -> None:
    """The backend of early 2026 is asked again with instructions, and in this process with them at once."""
    request = CompletionRequest(messages=messages, model="gpt-5.5")
    signed_in.arm("instructions_required", times=1)

    for _ in range(2):  # two clients
        assert driver(retry=ONCE).complete(request).text == "You said: hi"
    assert [body.get("instructions") for body in _asked(signed_in)] == [None, expected, expected]


@pytest.mark.codex
def test_without_that_answer_no_instructions_are_sent(signed_in: Emulator, driver: Any) -> None:
    """As the official client does, none are sent unasked."""
    driver(retry=ONCE).complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    assert all("instructions" not in body for body in _asked(signed_in))


@over_http
def test_stop_is_emulated_where_a_model_refuses_it(driver: Any, emulator: Emulator) -> None:
    """The request is sent again without it; the answer ends before the text, and says who ended it."""
    emulator.play(Turn(text="one two three"))
    options = {"backend": "openai", "base_url": emulator.urls["openai_base_url"], "api_key": "sk-k"}
    answer = driver(**options, unsupported="raise").complete("hi", model="gpt-5.5", stop=" two")

    assert (answer.text, answer.finish_reason) == ("one", onplan.FinishReason.STOP)
    assert (answer.emulated_parameters, answer.ignored_parameters) == (["stop"], [])


def test_a_client_remembers_which_models_refuse_stop(emulator: Emulator) -> None:
    """The next request has its own texts, and none is sent; other models are sent them."""
    emulator.play(*[Turn(text="one two three")] * 3)
    url = emulator.urls["openai_base_url"]
    with onplan.Client(backend="openai", base_url=url, api_key="sk-k") as client:
        said = [
            client.complete("hi", model=model, stop=stop).text
            for model, stop in (("gpt-5.5", [" two"]), ("gpt-5.5", "x"), ("gpt-5.5", [" three", "z"]))
        ]
        client.complete("hi", model="gpt-4.1", stop="never")
    bodies = [row["body"] for row in emulator.journal() if row["method"] == "POST"]

    assert said == ["one", "one two three", "one two"]
    assert ["stop" in body for body in bodies] == [True, False, False, False, True]


def test_stop_in_the_extra_body_is_the_programs_own(emulator: Emulator) -> None:
    """Its refusal stays an error."""
    url = emulator.urls["openai_base_url"]
    with (
        onplan.Client(backend="openai", base_url=url, api_key="sk-k") as client,
        pytest.raises(onplan.InvalidRequestError, match="'stop' is not supported"),
    ):
        client.complete("hi", model="gpt-5.5", extra_body={"stop": ["x"]})
