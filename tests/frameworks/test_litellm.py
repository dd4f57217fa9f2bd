"""LiteLLM on the plan: its own functions, and what they return and raise."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import gc
import importlib
import json
import multiprocessing
import os
import pickle
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onplan import ConfigurationError
from onplan.emulator import Call, Emulator, Turn

from ..conftest import eventually
from .asking import asked, open_files, refreshes
from .pages import python_blocks, run

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks GitHub for prices while it is imported
litellm = pytest.importorskip("litellm")
openai = pytest.importorskip("openai")  # whose errors LiteLLM's are
adapter = importlib.import_module("onplan.integrations.litellm")

MODEL = "onplan/gpt-5.5"
QUESTION = [{"role": "user", "content": "one two"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TWO_CALLS = Turn(
    thinking="I need to look.",
    tool_calls=[Call("weather", {"city": "Oslo"}), Call("weather", {"city": "Rome"})],
)
pytestmark = [
    # LiteLLM's own: types that pydantic remarks on, and loops of its logging that nothing closes.
    pytest.mark.filterwarnings("ignore:Items? .*`ReadOnly` qualifier:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_.* attribute on the instance:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:coroutine 'Logging.async_success_handler' was never:RuntimeWarning"),
    pytest.mark.filterwarnings(
        "ignore:.*Logging.async_success_handler:pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(autouse=True)
def provider(signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider, registered anew for each test."""
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    return adapter.register()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``litellm.completion``, or ``acompletion`` in a loop of its own; a stream as a list of its chunks."""
    if request.param == "sync":
        return _ask

    async def whole(**given: Any) -> Any:
        answer = await litellm.acompletion(**given)
        return [chunk async for chunk in answer] if given.get("stream") else answer

    return lambda **given: asyncio.run(whole(**{"model": MODEL, "messages": QUESTION, **given}))


def _ask(**given: Any) -> Any:
    answer = litellm.completion(**{"model": MODEL, "messages": QUESTION, **given})
    return list(answer) if given.get("stream") else answer


def test_answers(ask: Callable[..., Any]) -> None:
    """Whole and streamed: text, thinking, finish, and the tokens as the plan counts them."""
    whole = ask()
    chunks = ask(stream=True, stream_options={"include_usage": True})
    built = litellm.stream_chunk_builder(chunks)
    [choice], [as_built] = whole.choices, built.choices

    assert choice.message.content == as_built.message.content == "You said: one two"
    assert choice.message.reasoning_content == as_built.message.reasoning_content != ""
    assert choice.finish_reason == as_built.finish_reason == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {each.choices[0].delta.role for each in chunks[1:] if each.choices} == {None}
    assert (
        whole.usage.completion_tokens == chunks[-1].usage.completion_tokens == built.usage.completion_tokens
    )
    assert whole.usage.completion_tokens_details.reasoning_tokens > 0
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens > 0  # the same prompt again
    assert whole.model == "gpt-5.5"
    assert whole._hidden_params["response_cost"] == 0


def test_tools(ask: Callable[..., Any], signed_in: Emulator) -> None:
    """Calls side by side, their results, and the sealed reasoning in between, as callers send it."""
    signed_in.play(TWO_CALLS, Turn(text="Rain."), TWO_CALLS, Turn(text="Snow."))
    for answer in (
        lambda: ask(tools=[TOOL]),
        lambda: litellm.stream_chunk_builder(ask(tools=[TOOL], stream=True)),
    ):
        message = answer().choices[0].message
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]
        assert calls == [("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})]
        results = [{"role": "tool", "tool_call_id": call.id, "content": "wet"} for call in message.tool_calls]
        assert ask(messages=[*QUESTION, message, *results], tools=[TOOL]).choices[0].message.content
        kinds = [item["type"] for item in asked(signed_in)[-1]["body"]["input"]]
        assert kinds[-5:] == ["reasoning", *["function_call"] * 2, *["function_call_output"] * 2]


def test_reasoning_is_kept_for_callers_that_lose_it(ask: Callable[..., Any], signed_in: Emulator) -> None:
    """A caller that sends back calls alone has the model go on thinking where it was."""
    signed_in.play(TWO_CALLS)
    calls = [call.model_dump() for call in ask(tools=[TOOL]).choices[0].message.tool_calls]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "wet"} for call in calls]
    ask(messages=[*QUESTION, {"role": "assistant", "tool_calls": calls}, *results], tools=[TOOL])

    assert [item["type"] for item in asked(signed_in)[-1]["body"]["input"]].count("reasoning") == 1


def test_typed_output_and_images(ask: Callable[..., Any], signed_in: Emulator) -> None:
    """A pydantic class, an object of any form, and an image reach the backend as such."""
    pydantic = pytest.importorskip("pydantic")
    bird = pydantic.create_model("Bird", name=(str, ...), wingspan=(int, ...))
    image = base64.b64encode(Path(__file__).parents[1].joinpath("pixel.png").read_bytes()).decode()
    url = {"url": f"data:image/png;base64,{image}"}
    shown = [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]

    assert bird.model_validate_json(ask(response_format=bird).choices[0].message.content)
    words = [{"role": "user", "content": "a bird as JSON"}]
    assert json.loads(ask(messages=words, response_format={"type": "json_object"}).choices[0].message.content)
    assert ask(messages=shown).choices[0].message.content
    assert asked(signed_in)[-1]["body"]["input"][-1]["content"][0]["image_url"] == url["url"]


def test_parameters(ask: Callable[..., Any], signed_in: Emulator) -> None:
    """What a plan takes is sent, what onplan does itself is done, and what is left out is told."""
    answer = ask(
        temperature=0.3, seed=7, stop=["two"], service_tier="priority", extra_body={"verbosity": "low"}
    )
    effort = {"effort": "low", "summary": "detailed"}
    ask(reasoning_effort=effort, allowed_openai_params=["reasoning_effort"])
    ask(web_search_options={"search_context_size": "low"})
    first, second, third = (row["body"] for row in asked(signed_in))

    assert answer.choices[0].message.content == "You said: one "
    told = answer._hidden_params["additional_headers"]
    assert told["llm_provider-x-onplan-ignored-parameters"] == "temperature, seed"
    assert told["llm_provider-x-onplan-emulated-parameters"] == "stop"
    assert (first["service_tier"], first["text"]["verbosity"]) == ("priority", "low")
    assert second["reasoning"] == effort
    assert third["tools"] == [{"type": "web_search", "search_context_size": "low"}]


def test_streams_tell_what_is_left_out(ask: Callable[..., Any]) -> None:
    """The same as whole answers, in the last pieces and in what is built of them."""
    given = {"temperature": 0.3, "seed": 7, "stop": ["two"]}
    whole = ask(**given).choices[0].message.provider_specific_fields
    built = litellm.stream_chunk_builder(ask(stream=True, **given)).choices[0].message
    for told in (whole, built.provider_specific_fields):
        assert told["ignored_parameters"] == ["temperature", "seed"]
        assert told["emulated_parameters"] == ["stop"]
    assert "ignored_parameters" not in (ask().choices[0].message.provider_specific_fields or {})
    assert ask(messages=[*QUESTION, built, *QUESTION]).choices[0].message.content  # it may go back


def test_options_are_defaults(ask: Callable[..., Any], signed_in: Emulator) -> None:
    """Options of ``register`` hold for every call; ``unsupported`` makes what is left out an error."""
    adapter.register(reasoning_effort="high", unsupported="raise")
    ask(model="onplan/default")

    assert asked(signed_in)[-1]["body"]["reasoning"]["effort"] == "high"
    with pytest.raises(litellm.UnsupportedParamsError, match="does not take temperature"):
        ask(temperature=0.3)
    with pytest.raises(litellm.BadRequestError, match="leave out api_base"):
        ask(api_base="http://127.0.0.1:1")
    with pytest.raises(litellm.BadRequestError, match="n must be 1"):
        ask(n=2)
    assert len(asked(signed_in)) == 1


def test_the_responses_api() -> None:
    """``litellm.responses`` reaches the plan, too."""
    assert litellm.responses(model=MODEL, input="one two").output_text == "You said: one two"


FAULTS = [
    ("usage_limit_429", "RateLimitError", 429),
    ("usage_limit_in_stream", "RateLimitError", 429),
    ("overloaded_503", "ServiceUnavailableError", 503),
    ("overloaded_in_stream", "ServiceUnavailableError", 503),
    ("cloudflare_403", "PermissionDeniedError", 403),
    ("context_length_exceeded", "ContextWindowExceededError", 400),
    ("eof_without_terminal", "APIConnectionError", 500),
    ("cut_mid_event", "APIConnectionError", 500),
]


@pytest.mark.parametrize(("fault", "error", "status"), FAULTS)
@pytest.mark.parametrize("stream", [False, True])
def test_failures_are_litellms_own(
    ask: Callable[..., Any], signed_in: Emulator, fault: str, error: str, status: int, stream: bool
) -> None:
    """Each is the error of LiteLLM's that it is called there; none is taken for a whole answer."""
    adapter.register(retry=1)
    signed_in.arm(fault, 9)
    with pytest.raises(openai.APIError) as caught:
        ask(stream=stream)

    # What breaks in the middle is handed on in a wrapper, as every provider's is.
    told = getattr(caught.value, "original_exception", None) or caught.value
    assert isinstance(told, getattr(litellm, error))
    assert caught.value.status_code == status
    assert len(asked(signed_in)) == 1


def test_a_usage_limit_is_met_once(ask: Callable[..., Any], signed_in: Emulator) -> None:
    """LiteLLM tries again what it is told to; at a usage limit the plan is not asked again."""
    pytest.importorskip("tenacity")
    signed_in.arm("usage_limit_429", 9)
    with pytest.raises(litellm.RateLimitError, match=r"usage limit .* resets at"):
        ask(num_retries=1)
    assert len(asked(signed_in)) == 1

    with pytest.raises(litellm.RateLimitError):
        ask()
    assert len(asked(signed_in)) == 2  # another call is another question


def test_a_request_that_met_a_usage_limit_is_not_kept(provider: Any, signed_in: Emulator) -> None:
    """What is remembered of it is the error, and not what was asked."""

    class Messages(list[Any]):
        pass

    messages = Messages(QUESTION)
    asked_for = weakref.ref(messages)
    signed_in.arm("usage_limit_429", 1)
    for _ in range(3):
        with pytest.raises(litellm.RateLimitError):
            provider.completion(
                model="gpt-5.5",
                messages=messages,
                optional_params={},
                litellm_params={"litellm_call_id": "the same"},
            )
    del messages
    gc.collect()
    assert asked_for() is None
    assert len(asked(signed_in)) == 1


def test_the_proxy_serves_no_sign_in_with_chatgpt(signed_in: Emulator) -> None:
    """Its terms are for the program that signed in; the same registration answers a program."""
    adapter.register("connected", backend="chatgpt-plan")
    for served in ({"url": "http://127.0.0.1/v1/chat/completions"}, None):
        with pytest.raises(Exception) as refused:  # noqa: PT011 - here nobody is signed in for a program either
            litellm.completion("connected/gpt-5.5", QUESTION, proxy_server_request=served)
        assert ("is not served" in str(refused.value)) is bool(served)
    assert not asked(signed_in)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_router_meets_a_usage_limit_once(signed_in: Emulator, stream: bool) -> None:
    """The router, too, which tries again of its own accord."""
    signed_in.arm("usage_limit_429", 9)
    row = {"model_name": "any", "litellm_params": {"model": MODEL}}
    router = litellm.Router([row], num_retries=1, retry_after=0, disable_cooldowns=True)

    async def ask_it() -> None:
        answer = await router.acompletion("any", QUESTION, stream=stream)
        _ = [chunk async for chunk in answer]

    with pytest.raises(litellm.RateLimitError):
        await ask_it()
    assert len(asked(signed_in)) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_rate_limit_is_tried_again(ask: Callable[..., Any], signed_in: Emulator, stream: bool) -> None:
    """By onplan, before the first chunk."""
    signed_in.play(Turn(fault="rate_limited_429_milliseconds"), Turn(text="Now."))
    answer = ask(stream=stream)
    answer = litellm.stream_chunk_builder(answer) if stream else answer

    assert answer.choices[0].message.content == "Now."
    assert len(asked(signed_in)) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_sign_in(ask: Callable[..., Any], signed_in: Emulator, stream: bool) -> None:
    """It is LiteLLM's AuthenticationError, which says what to type."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(litellm.AuthenticationError, match="onplan login"):
        ask(stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_timeouts(ask: Callable[..., Any], signed_in: Emulator, stream: bool) -> None:
    """LiteLLM's ``timeout`` is for an answer as a whole; of a stream, for its first chunk."""
    signed_in.arm("slow_first_byte", 1, 0.5)
    with pytest.raises(litellm.Timeout, match=r"0\.2 seconds"):
        ask(timeout=0.2, stream=stream)
    assert ask(timeout=60, stream=stream)


def test_an_expired_token_is_refreshed_once(signed_in: Emulator) -> None:
    """Twenty threads, and then twenty tasks, ask with a token that the backend refuses: one refresh each."""
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: _ask().choices[0].message.content, range(20)))
    assert answers == ["You said: one two"] * 20
    assert refreshes(signed_in) == 1

    async def twenty() -> list[Any]:
        return await asyncio.gather(*(litellm.acompletion(MODEL, QUESTION) for _ in range(20)))

    signed_in.expire_access_tokens()
    assert [each.choices[0].message.content for each in asyncio.run(twenty())] == answers
    assert refreshes(signed_in) == 2


def test_leaving_a_stream_ends_it_at_the_backend(signed_in: Emulator) -> None:
    """Streams that are closed, or dropped, give their connections up, and the next call is answered."""
    _ask()
    before = open_files()
    signed_in.arm("stall", 6)
    for closing in (True, False) * 3:
        stream = litellm.completion(MODEL, QUESTION, stream=True)
        next(stream)
        if closing and hasattr(stream, "close"):  # since 1.110
            stream.close()
        del stream
    assert eventually(lambda: open_files() <= before + 1)
    assert _ask().choices[0].message.content == "You said: one two"


async def test_leaving_an_asynchronous_stream(signed_in: Emulator) -> None:
    """The same, also for a task that is cancelled while it waits."""
    await litellm.acompletion(MODEL, QUESTION)
    before = open_files()
    signed_in.arm("stall", 2)
    stream = await litellm.acompletion(MODEL, QUESTION, stream=True)
    await anext(stream)
    await stream.aclose()

    async def read() -> None:
        async for _ in await litellm.acompletion(MODEL, QUESTION, stream=True):
            begun.set()

    begun = asyncio.Event()
    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del stream, task
    for _ in range(200):
        if open_files() <= before + 1:
            break
        await asyncio.sleep(0.01)
    assert open_files() <= before + 1


def test_twenty_event_loops(signed_in: Emulator) -> None:
    """One provider serves one loop after another, and keeps no connection of a loop that has ended."""

    async def turn(number: int) -> str:
        answers = await asyncio.gather(*(litellm.acompletion(MODEL, QUESTION) for _ in range(3)))
        stream = await litellm.acompletion(MODEL, QUESTION, stream=True)
        await anext(stream)  # and it is left
        return str(answers[0].choices[0].message.content)

    before = open_files()
    assert [asyncio.run(turn(number)) for number in range(20)] == ["You said: one two"] * 20
    gc.collect()
    assert eventually(lambda: open_files() <= before + 2)


def _in_a_child(queue: Any) -> None:
    queue.put(_ask().choices[0].message.content)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(signed_in: Emulator) -> None:
    """A child that is forked after the parent has asked gets its answer, too."""
    _ask()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == "You said: one two"
    child.join(60)


def test_the_token_is_nowhere(provider: Any, signed_in: Emulator) -> None:
    """Neither in what LiteLLM holds, nor in an error; and what LiteLLM holds is not sent."""
    _ask(api_key="sk-theirs", extra_headers={"x-theirs": "1"})
    signed_in.arm("usage_limit_429", 1)
    with pytest.raises(litellm.RateLimitError) as caught:
        _ask(api_key="sk-theirs")
    sent = {name.lower(): value for name, value in asked(signed_in)[0]["headers"].items()}
    token = sent["authorization"].removeprefix("Bearer ")
    shown = [repr(provider), repr(vars(provider)), "".join(traceback.format_exception(caught.value))]

    assert token
    assert token not in " ".join(shown)
    assert token.encode() not in pickle.dumps(provider)
    assert "sk-theirs" not in str(sent)
    assert "x-theirs" not in sent
    assert pickle.loads(pickle.dumps(provider)).models == provider.models


def test_registration(monkeypatch: pytest.MonkeyPatch, signed_in: Emulator) -> None:
    """LiteLLM knows what the models can do; of two providers of a name, the later counts."""
    known = litellm.get_model_info(MODEL)
    assert (known["max_input_tokens"], known["input_cost_per_token"]) == (272_000, 0)
    assert litellm.supports_function_calling(MODEL)
    assert litellm.supports_response_schema(MODEL)
    adapter.register("mine", reasoning_effort="low")
    adapter.register("mine", reasoning_effort="high")
    _ask(model="mine/gpt-5.5")
    assert asked(signed_in)[-1]["body"]["reasoning"]["effort"] == "high"
    assert [row["provider"] for row in litellm.custom_provider_map].count("mine") == 1

    with pytest.raises(ConfigurationError, match="has a provider 'chatgpt'"):
        adapter.register("chatgpt")
    with pytest.raises(ConfigurationError, match="http_client"):
        adapter.register(http_client=object())
    monkeypatch.setattr(adapter, "version", lambda _: "1.97.9")
    with pytest.raises(ConfigurationError, match="asks OpenAI's API"):
        adapter._require_litellm()


def test_what_a_plan_has_not_says_what_to_do(provider: Any) -> None:
    """Embeddings and images are LiteLLM's NotFoundError, with what to use instead."""
    with pytest.raises(litellm.NotFoundError, match="another provider"):
        litellm.embedding(MODEL, ["hi"])
    with pytest.raises(litellm.NotFoundError, match="onplan image"):
        litellm.image_generation(prompt="a fox", model=MODEL)

    async def both() -> None:
        with pytest.raises(litellm.NotFoundError, match="another provider"):
            await litellm.aembedding(MODEL, ["hi"])
        with pytest.raises(litellm.NotFoundError, match="onplan image"):
            await litellm.aimage_generation(prompt="a fox", model=MODEL)

    asyncio.run(both())


def test_the_examples_run(signed_in: Emulator) -> None:
    """Those of docs/integrations/litellm.md, one after the other: LiteLLM takes seconds to import."""
    run("\n".join(python_blocks("litellm.md")))


@pytest.mark.parametrize("name", ["", "a/b", None, ["onplan"]])
def test_a_name_that_no_provider_can_have(name: Any) -> None:
    """It is refused before LiteLLM knows it: with one that is no text, every later call would fail."""
    with pytest.raises(ConfigurationError, match="cannot be called"):
        adapter.register(name)
