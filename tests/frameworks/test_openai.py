"""OpenAI's SDK on the plan: real clients of it, whose requests onplan answers in the same process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import logging
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onplan import ConfigurationError
from onplan.config.settings import load_settings
from onplan.emulator import Emulator, Turn
from onplan.integrations.background_loop import BACKGROUND
from onplan.integrations.openai import PLACEHOLDER, AsyncOpenAI, OpenAI
from onplan.stores import open_store

from ..conftest import eventually, source_locals
from . import asking, pages

openai = pytest.importorskip("openai")

MODEL = "gpt-5.5"
QUESTION = [{"role": "user", "content": "one two"}]
TOOL = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
CHAT_TOOL = {"type": "function", "function": {name: TOOL[name] for name in TOOL if name != "type"}}


@pytest.fixture
def client(signed_in: Emulator) -> Iterator[Any]:
    """The synchronous client."""
    with OpenAI() as made:
        yield made


def test_answers(client: Any) -> None:
    """Responses and chat, whole and streamed, have the text, the usage and the finish that they should."""
    whole = client.responses.create(model=MODEL, input="one two")
    with client.responses.stream(model=MODEL, input="one two") as stream:
        types = [event.type for event in stream]
        streamed = stream.get_final_response()
    chat = client.chat.completions.create(model=MODEL, messages=QUESTION)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )

    assert whole.output_text == streamed.output_text == chat.choices[0].message.content == "You said: one two"
    assert whole.usage.output_tokens == streamed.usage.output_tokens == chat.usage.completion_tokens > 0
    assert types[0] == "response.created"
    assert types[-1] == "response.completed"
    assert (
        "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == whole.output_text
    )
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == chat.usage.completion_tokens


def test_what_the_sdk_parses(client: Any) -> None:
    """``parse`` gives objects of a pydantic class, on both APIs."""
    pydantic = pytest.importorskip("pydantic")
    bird = pydantic.create_model("Bird", name=(str, ...), wingspan=(int, ...))

    parsed = client.responses.parse(model=MODEL, input="A bird", text_format=bird).output_parsed
    chat = client.chat.completions.parse(model=MODEL, messages=QUESTION, response_format=bird)

    assert isinstance(parsed, bird)
    assert isinstance(chat.choices[0].message.parsed, bird)


def test_tools_and_conversations(client: Any) -> None:
    """A call and its result, by repeating the items and by ``previous_response_id``; on chat, too."""
    first = client.responses.create(model=MODEL, input="Oslo?", tools=[TOOL])
    [call] = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    by_items = client.responses.create(model=MODEL, input=[*first.output, result], tools=[TOOL])
    by_id = client.responses.create(model=MODEL, input=[result], tools=[TOOL], previous_response_id=first.id)
    asked = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=[CHAT_TOOL])
    message = asked.choices[0].message
    told = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    answered = client.chat.completions.create(
        model=MODEL, messages=[*QUESTION, message, told], tools=[CHAT_TOOL]
    )

    assert json.loads(call.arguments).keys() == {"city"}
    assert "rain" in by_items.output_text
    assert by_id.output_text == by_items.output_text
    assert asked.choices[0].finish_reason == "tool_calls"
    assert "rain" in answered.choices[0].message.content


def test_models_and_what_a_plan_has_not(client: Any) -> None:
    """The catalogue is that of the plan; other endpoints are the SDK's NotFoundError, with the reason."""
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError, match="plan has no endpoint"):
        client.embeddings.create(model="text-embedding-3-small", input="x")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt-none", input="x")


def test_the_token_is_nowhere(client: Any, signed_in: Emulator) -> None:
    """The SDK has a placeholder; the backend gets the plan's token, and no header of the SDK's own."""
    answer = client.responses.with_raw_response.create(
        model=MODEL, input="x", temperature=0.3, extra_headers={"x-mine": "1"}
    )

    assert client.api_key == PLACEHOLDER
    assert answer.headers["x-onplan-ignored-parameters"] == "temperature"
    sent = [row for row in signed_in.journal() if row["path"].endswith("/responses")]
    assert len(sent) == 1
    headers = {name.lower(): value for name, value in sent[0]["headers"].items()}
    assert PLACEHOLDER not in str(headers)
    assert not [name for name in headers if name.startswith("x-stainless") or name == "x-mine"]


def test_conversations_have_the_same_name_in_every_process(signed_in: Emulator) -> None:
    """The client's own, or one made from the beginning: so the backend finds that in its cache."""
    for _ in range(2):  # as a program that is started twice
        with OpenAI() as client:
            client.responses.create(model=MODEL, input="one two")
            client.responses.create(model=MODEL, input="one two", prompt_cache_key="mine")
    asked = [row["body"] for row in signed_in.journal() if row["path"].endswith("/responses")]
    names = [body["prompt_cache_key"] for body in asked if body]
    assert names == [names[0], "mine"] * 2


FAULTS: list[tuple[str, type[Exception]]] = [
    ("usage_limit_429", openai.RateLimitError),
    ("usage_limit_in_stream", openai.RateLimitError),
    ("rate_limited_429_milliseconds", openai.RateLimitError),
    ("context_length_exceeded", openai.BadRequestError),
    ("content_policy", openai.BadRequestError),
    ("overloaded_503", openai.InternalServerError),
    ("connection_reset", openai.APIConnectionError),
    ("cloudflare_403", openai.APIStatusError),
    ("overloaded_in_stream", openai.APIError),
    ("response_failed_after_text", openai.APIError),
    ("eof_without_terminal", openai.APIError),
    ("cut_mid_event", openai.APIError),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("stream", [False, True])
def test_failures_are_the_sdks_own(
    signed_in: Emulator, fault: str, error: type[Exception], api: str, stream: bool
) -> None:
    """Each failure is an error of the SDK's, asked for once; none is taken for a whole answer."""
    signed_in.arm(fault, 9)
    with OpenAI(retry=1, max_retries=2) as client:
        signed_in.clear_journal()
        with pytest.raises(error) as failed:
            _ask(client, api, stream=stream)
        assert len(asking.asked(signed_in)) == 1
    if isinstance(failed.value, openai.APIStatusError):
        assert failed.value.response.headers["x-should-retry"] == "false"
        assert str(failed.value.request_id).startswith("req_")


@pytest.mark.parametrize("fault", ["usage_limit_429", "cut_mid_event", "response_failed_after_text"])
@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("stream", [False, True])
def test_failures_of_the_asynchronous_client(signed_in: Emulator, fault: str, api: str, stream: bool) -> None:
    """They are the SDK's errors as well, asked for once."""
    signed_in.arm(fault, 9)

    async def ask() -> None:
        async with AsyncOpenAI(retry=1) as client:
            given: dict[str, Any] = {"model": MODEL, "stream": stream}
            if api == "responses":
                answer = await client.responses.create(input="one two three", **given)
            else:
                answer = await client.chat.completions.create(messages=QUESTION, **given)
            if stream:
                async for _ in answer:
                    pass

    with pytest.raises(openai.APIError):
        asyncio.run(ask())
    assert len(asking.asked(signed_in)) == 1


def _ask(client: Any, api: str, *, stream: bool) -> None:
    if api == "responses":
        list(client.responses.create(model=MODEL, input="one two three", stream=stream))
    else:
        list(client.chat.completions.create(model=MODEL, messages=QUESTION, stream=stream))


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_rate_limit_is_tried_again(client: Any, signed_in: Emulator, api: str, stream: bool) -> None:
    """By onplan, before anything of the answer was handed out."""
    signed_in.arm("rate_limited_429_milliseconds", 1)
    _ask(client, api, stream=stream)
    assert len(asking.asked(signed_in)) == 2


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_timeout_is_the_sdks_own(client: Any, signed_in: Emulator, api: str, stream: bool) -> None:
    """The one that is given with a request ends it, before its answer and within; it is not asked again."""
    signed_in.arm("stall", 9)
    with pytest.raises(openai.APITimeoutError):
        _ask(client.with_options(timeout=0.2), api, stream=stream)
    assert len(asking.asked(signed_in)) <= 1  # none, where the machine is slower than the timeout


def test_a_timeout_of_the_asynchronous_client(signed_in: Emulator) -> None:
    """It is the SDK's error as well, for a whole answer and within a stream."""
    signed_in.arm("stall", 9)

    async def ask(*, stream: bool) -> None:
        async with AsyncOpenAI() as client:
            answer = await client.responses.create(
                model=MODEL, input="one two three", stream=stream, timeout=0.2
            )
            if stream:
                async for _ in answer:
                    pass

    for stream in (False, True):
        with pytest.raises(openai.APITimeoutError):
            asyncio.run(ask(stream=stream))


def test_without_a_sign_in(emulator: Emulator) -> None:
    """The SDK's AuthenticationError says which command signs in."""
    with OpenAI() as client, pytest.raises(openai.AuthenticationError, match="onplan login"):
        client.responses.create(model=MODEL, input="x")


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_sign_in(client: Any, signed_in: Emulator, api: str, stream: bool) -> None:
    """A sign-in that ended at the service, too."""
    signed_in.expire_access_tokens()
    signed_in.revoke_refresh_tokens()
    with pytest.raises(openai.AuthenticationError, match="onplan login"):
        _ask(client, api, stream=stream)


def test_what_changes_the_meaning_is_refused(client: Any) -> None:
    """What a plan cannot do, and what would change the answer if it were left out, is the SDK's error."""
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.create(model=MODEL, input="x", background=True)
    with pytest.raises(openai.BadRequestError, match="conversation"):
        client.responses.create(model=MODEL, input="x", extra_body={"conversation": "conv_1"})
    with pytest.raises(openai.BadRequestError, match="resp_none"):
        client.responses.create(model=MODEL, input="x", previous_response_id="resp_none")
    with pytest.raises(openai.BadRequestError, match="n"):
        client.chat.completions.create(model=MODEL, messages=QUESTION, n=2)


def test_what_onplan_carries_out(client: Any, signed_in: Emulator) -> None:
    """Texts that end an answer are looked for by onplan, whole and streamed; the thinking is handed on."""
    turn = Turn(thinking="A list.", text="Robin. Wren. STOP Owl.")
    signed_in.play(turn, turn)
    given = {"model": MODEL, "messages": QUESTION, "stop": ["STOP"], "reasoning_effort": "low"}
    whole = client.chat.completions.create(**given).choices[0]
    choices = [each.choices[0] for each in client.chat.completions.create(**given, stream=True)]

    assert (whole.message.content, whole.finish_reason) == ("Robin. Wren. ", "stop")
    assert "".join(each.delta.content or "" for each in choices) == whole.message.content
    assert whole.message.reasoning_content == "A list."
    assert "".join(getattr(each.delta, "reasoning_content", None) or "" for each in choices) == "A list."


def test_answers_without_their_items_at_the_end(client: Any, signed_in: Emulator) -> None:
    """The backend's last event is filled with what came before it."""
    signed_in.arm("terminal_output_empty", 2)
    with client.responses.stream(model=MODEL, input="one two") as stream:
        assert stream.get_final_response().output_text == "You said: one two"
    assert client.responses.create(model=MODEL, input="one two").output_text == "You said: one two"


@pytest.mark.parametrize("name", ["responses", "realtime"])
def test_websockets_of_the_sdk_are_refused(client: Any, name: str) -> None:
    """They would not go through the transport; copies of a client refuse them as well."""
    for each in (client, client.with_options(max_retries=1)):
        if hasattr(type(getattr(each, name)), "connect"):  # responses has none in 2.0
            with pytest.raises(openai.OpenAIError, match="no WebSockets"):
                getattr(each, name).connect(model=MODEL)
    assert isinstance(client, openai.OpenAI)
    assert client.with_options(timeout=60).responses.create(model=MODEL, input="x").output_text


def test_secrets_stay_out_of_sight(signed_in: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """No printed form, traceback or log record has a token, not even with everything logged."""
    stored = open_store(load_settings().store).load()
    assert stored is not None
    kept = stored.record.credentials
    secrets = [str(kept.access_token), str(kept.refresh_token)]
    signed_in.arm("usage_limit_429", 1)
    with caplog.at_level(logging.DEBUG), OpenAI() as client:
        with pytest.raises(openai.RateLimitError) as failed:
            client.responses.create(model=MODEL, input="x")
        transport = client._client._transport  # the SDK has no public name for it, nor has httpx
        shown = [repr(client), repr(vars(client)), repr(transport), repr(vars(transport)), caplog.text]
    shown += map(str, source_locals(failed.value))
    assert not [secret for secret in secrets for text in shown if secret in text]


def test_an_expired_token_is_refreshed_once(client: Any, signed_in: Emulator) -> None:
    """Twenty threads ask with a token that the backend refuses: all are answered, after one refresh."""
    client.models.list()
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: client.responses.create(model=MODEL, input=f"q{n}"), range(20)))

    assert [answer.output_text for answer in answers] == [f"You said: q{n}" for n in range(20)]
    assert len([row for row in signed_in.journal() if row["path"] == "/oauth/token"]) == 1


def test_an_expired_token_is_refreshed_once_by_tasks(signed_in: Emulator) -> None:
    """Twenty tasks of one asynchronous client as well."""

    async def ask() -> list[str]:
        async with AsyncOpenAI() as client:
            asking = (client.responses.create(model=MODEL, input=f"q{number}") for number in range(20))
            return [answer.output_text for answer in await asyncio.gather(*asking)]

    signed_in.expire_access_tokens()
    assert asyncio.run(ask()) == [f"You said: q{number}" for number in range(20)]
    assert len([row for row in signed_in.journal() if row["path"] == "/oauth/token"]) == 1


def test_leaving_a_stream_ends_it_at_the_backend(client: Any, signed_in: Emulator) -> None:
    """A stream that is closed early gives its connection up, and the next request is answered."""
    stream = client.responses.create(model=MODEL, input="one two three", stream=True)
    next(iter(stream))
    stream.close()

    assert client.responses.create(model=MODEL, input="x").output_text == "You said: x"


def test_a_stream_that_is_freed_on_the_thread_that_answers(client: Any, signed_in: Emulator) -> None:
    """The garbage collector may close a stream that was dropped there; later requests are answered."""
    stream = client.responses.create(model=MODEL, input="one two three", stream=True)
    events = iter(stream)
    next(events)
    circle: list[Any] = [stream, events]
    circle.append(circle)
    del stream, events, circle
    collected = threading.Event()

    async def collect() -> None:
        gc.collect()
        collected.set()

    BACKGROUND.begin(collect)
    assert collected.wait(10)
    assert client.responses.create(model=MODEL, input="x").output_text == "You said: x"


def test_leaving_as_a_task(signed_in: Emulator) -> None:
    """A task that is cancelled, and a stream that is closed, end what they asked of the backend."""

    async def leave() -> None:
        async with AsyncOpenAI() as client:
            await client.responses.create(model=MODEL, input="x")
            before = asking.open_files()
            signed_in.arm("stall", 2)
            task = asyncio.ensure_future(client.responses.create(model=MODEL, input="one two"))
            await asyncio.to_thread(eventually, lambda: len(asking.asked(signed_in)) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            stream = await client.responses.create(model=MODEL, input="one two", stream=True)
            await anext(aiter(stream))
            await stream.close()
            await asyncio.to_thread(eventually, lambda: asking.open_files() <= before)
            assert (await client.responses.create(model=MODEL, input="x")).output_text == "You said: x"

    asyncio.run(leave())


def _answers_of_twenty_loops() -> list[str]:
    client = AsyncOpenAI()

    async def ask(number: int) -> str:
        answers = await asyncio.gather(
            *(client.responses.create(model=MODEL, input=f"q{number}") for _ in range(3))
        )
        async with client.responses.stream(model=MODEL, input="left early") as stream:
            async for _ in stream:
                break
        return str(answers[0].output_text)

    return [asyncio.run(ask(number)) for number in range(20)]


def test_twenty_event_loops(signed_in: Emulator) -> None:
    """One client serves one loop after another, and keeps no connections of loops that are closed."""
    assert _answers_of_twenty_loops() == [f"You said: q{number}" for number in range(20)]
    gc.collect()


def test_no_other_server_is_asked(client: Any, signed_in: Emulator) -> None:
    """An address that is given later is refused, instead of being answered by the plan."""
    with pytest.raises(openai.BadRequestError, match="leave out base_url"):
        client.with_options(base_url="http://127.0.0.1:1/v1").responses.create(model=MODEL, input="x")


def test_an_interpreter_that_ends_is_quiet(signed_in: Emulator) -> None:
    """A stream that was left in the middle, and never closed, says nothing at the end."""
    code = (
        "from onplan.integrations.openai import OpenAI\n"
        "for event in OpenAI().responses.create(model='gpt-5.5', input='a b c', stream=True):\n"
        "    break\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stderr == ""


def _in_a_child(queue: Any) -> None:
    with OpenAI() as client:
        queue.put(client.responses.create(model=MODEL, input="child").output_text)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(client: Any) -> None:
    """A child that is forked after the parent has asked gets its answer, too."""
    assert client.responses.create(model=MODEL, input="parent").output_text == "You said: parent"
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == "You said: child"
    child.join(60)


def _left_behind(queue: Any, stream: Any) -> None:
    try:
        for _ in stream:
            pass
    except RuntimeError as error:
        queue.put(str(error))
    stream.close()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_a_stream_stays_with_its_process(client: Any, signed_in: Emulator) -> None:
    """A forked child neither reads it nor waits for it."""
    signed_in.arm("stall", 1)
    stream = client.responses.create(model=MODEL, input="one two", stream=True)
    next(iter(stream))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_left_behind, args=(queue, stream))
    child.start()
    assert "not by a fork" in queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    stream.close()
    assert client.responses.create(model=MODEL, input="parent").output_text == "You said: parent"


def test_streams_that_are_dropped_unread(client: Any, signed_in: Emulator) -> None:
    """Their connections are given up, and so are those of a client that is dropped."""
    client.responses.create(model=MODEL, input="x")
    before = asking.open_files()
    signed_in.arm("stall", 10)
    for _ in range(10):
        client.responses.create(model=MODEL, input="x", stream=True)
    assert eventually(lambda: asking.open_files() <= before + 2)
    for _ in range(10):
        OpenAI().responses.create(model=MODEL, input="x")
    assert eventually(lambda: asking.open_files() <= before + 6)


@pytest.mark.parametrize(
    "code", [code for code in pages.python_blocks("openai.md") if "langchain" not in code]
)
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/integrations/openai.md, without an error."""
    assert pages.run(code).startswith("You said: Name three birds")


@pytest.mark.parametrize("make", [OpenAI, AsyncOpenAI])
def test_options(make: Callable[..., Any], signed_in: Emulator) -> None:
    """Options of onplan and of the SDK go where they belong; those that would lead elsewhere are refused."""
    assert make(max_retries=5, profile="default").max_retries == 5
    assert make(timeout=openai.Timeout(30)).timeout == openai.Timeout(30)
    assert make(timeout=30).timeout is None  # it is onplan's
    for name in ("base_url", "http_client", "organization"):
        with pytest.raises(ConfigurationError, match=name):
            make(**{name: "x"})


@pytest.mark.parametrize("make", [OpenAI, AsyncOpenAI])
@pytest.mark.parametrize(("name", "meant"), [("profil", "profile"), ("default_header", "default_headers")])
def test_an_option_that_there_is_not(make: Callable[..., Any], name: str, meant: str) -> None:
    """It is told with the one that it resembles, of onplan or of the SDK."""
    with pytest.raises(ConfigurationError, match=f"no option '{name}'") as caught:
        make(**{name: "x"})
    assert caught.value.hint == f"Did you mean '{meant}'?"
