"""OpenAI's SDK on the plan: real clients of it, whose requests onplan answers in the same process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import multiprocessing
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onplan import ConfigurationError
from onplan.emulator import Emulator
from onplan.integrations.openai import PLACEHOLDER, AsyncOpenAI, OpenAI

from ..conftest import eventually

openai = pytest.importorskip("openai")

MODEL = "gpt-5.5"
PAGE = Path(__file__).parents[2] / "docs/openai-sdk.md"
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
    ("overloaded_503", openai.InternalServerError),
    ("cloudflare_403", openai.APIStatusError),
    ("overloaded_in_stream", openai.APIError),
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
    with OpenAI(retry=1) as client:
        signed_in.clear_journal()
        with pytest.raises(error):
            _ask(client, api, stream=stream)
        assert len([row for row in signed_in.journal() if row["path"].endswith("/responses")]) == 1


def _ask(client: Any, api: str, *, stream: bool) -> None:
    if api == "responses":
        list(client.responses.create(model=MODEL, input="one two three", stream=stream))
    else:
        list(client.chat.completions.create(model=MODEL, messages=QUESTION, stream=stream))


def test_an_expired_token_is_refreshed_once(client: Any, signed_in: Emulator) -> None:
    """Twenty threads ask with a token that the backend refuses: all are answered, after one refresh."""
    client.models.list()
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: client.responses.create(model=MODEL, input=f"q{n}"), range(20)))

    assert [answer.output_text for answer in answers] == [f"You said: q{n}" for n in range(20)]
    assert len([row for row in signed_in.journal() if row["path"] == "/oauth/token"]) == 1


def test_leaving_a_stream_ends_it_at_the_backend(client: Any, signed_in: Emulator) -> None:
    """A stream that is closed early gives its connection up, and the next request is answered."""
    stream = client.responses.create(model=MODEL, input="one two three", stream=True)
    next(iter(stream))
    stream.close()

    assert client.responses.create(model=MODEL, input="x").output_text == "You said: x"


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
    with warnings.catch_warnings():
        # Python remarks on connections whose loop was closed beneath them.
        warnings.simplefilter("ignore", ResourceWarning)
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


def _open_files() -> int:
    gc.collect()
    return len(list(Path("/dev/fd").iterdir()))


def test_streams_that_are_dropped_unread(client: Any, signed_in: Emulator) -> None:
    """Their connections are given up, and so are those of a client that is dropped."""
    client.responses.create(model=MODEL, input="x")
    before = _open_files()
    signed_in.arm("stall", 10)
    for _ in range(10):
        client.responses.create(model=MODEL, input="x", stream=True)
    assert eventually(lambda: _open_files() <= before + 2)
    for _ in range(10):
        OpenAI().responses.create(model=MODEL, input="x")
    assert eventually(lambda: _open_files() <= before + 6)


@pytest.mark.parametrize(
    "code", re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of docs/openai-sdk.md, without an error."""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


@pytest.mark.parametrize("make", [OpenAI, AsyncOpenAI])
def test_options(make: Callable[..., Any], signed_in: Emulator) -> None:
    """Options of onplan and of the SDK go where they belong; those that would lead elsewhere are refused."""
    assert make(max_retries=5, profile="default").max_retries == 5
    for name in ("base_url", "http_client", "organization"):
        with pytest.raises(ConfigurationError, match=name):
            make(**{name: "x"})
