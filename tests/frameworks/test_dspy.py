"""DSPy on the plan: its own modules ask the engines."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import json
import multiprocessing
import os
import pickle
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Literal

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn
from onplan.emulator.wire.png import png_of

from ..conftest import eventually, source_locals
from .asking import asked, open_files, refreshes
from .pages import python_blocks, run

os.environ["DSPY_CACHEDIR"] = "/nonexistent"  # read when DSPy is imported
pytest.importorskip("dspy.lm15")

import dspy
from dspy import lm15

from onplan.integrations.dspy import AsyncEngine, Engine, lm

MODEL = "gpt-5.5"
TOOL = lm15.FunctionTool(
    "weather",
    "The weather.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


@pytest.fixture
def model(signed_in: Emulator) -> Any:
    """A language model that DSPy does not cache."""
    return lm(MODEL, cache=False)


def request(*messages: Any, **fields: Any) -> Any:
    given = messages or (lm15.Message.user("one two"),)
    return lm15.Request(f"onplan/{MODEL}", tuple(given), **fields)


def everything(engine: Any, asked_for: Any) -> Any:
    """What the events of a stream come to."""
    return lm15.materialize_response(engine.stream(asked_for), asked_for)


def test_answers(signed_in: Emulator) -> None:
    """A response, whole and streamed: text, usage, facts."""
    engine = Engine()
    whole, streamed = engine.complete(request()), everything(engine, request())

    assert whole.text == streamed.text == "You said: one two"
    assert whole.usage.output_tokens == streamed.usage.output_tokens > 0
    assert streamed.usage.cache_read_tokens
    assert whole.finish_reason == streamed.finish_reason == "stop"
    assert whole.id
    assert whole.model == MODEL
    assert whole.provider_data["limits"]["windows"]
    assert streamed.provider_data["response_id"]


async def test_answers_of_the_asynchronous_engine(signed_in: Emulator) -> None:
    """As those of the other."""
    engine = AsyncEngine()
    whole = await engine.complete(request())
    async with aclosing(engine.stream(request())) as events:
        kinds = [event.type async for event in events]

    assert whole.text == "You said: one two"
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert set(kinds[1:-1]) == {"delta"}


def test_what_is_adapted(signed_in: Emulator) -> None:
    """What a plan does not take is in ``adaptations``, of streams with their first event."""
    config = lm15.Config(
        temperature=0.5, seed=7, max_tokens=50, stop=("three",), cache=lm15.CacheConfig(key="k")
    )
    whole = Engine().complete(request(config=config))
    streamed = everything(Engine(), request(config=config))
    found = {(each.field, each.action) for each in whole.adaptations}

    assert found == {
        ("config.temperature", "dropped"),
        ("config.seed", "dropped"),
        ("config.max_tokens", "client_side"),
        ("config.stop", "client_side"),
    }
    assert {(each.field, each.action) for each in streamed.adaptations} == found
    assert asked(signed_in)[0]["body"]["prompt_cache_key"] == "k"


def test_what_another_backend_takes(emulator: Emulator) -> None:
    """A server of Chat Completions is given what a plan does not take."""
    known = {"api_key": "sk-emulator", "base_url": emulator.urls["openai_base_url"], "api": "chat"}
    response = Engine(backend="openai", **known).complete(request(config=lm15.Config(seed=7)))
    [row] = [row for row in emulator.journal() if row["path"].endswith("/chat/completions")]

    assert row["body"]["seed"] == 7
    assert "config.seed" not in {each.field for each in response.adaptations}


@pytest.mark.parametrize(
    ("fields", "feature"),
    [
        ({"config": lm15.Config(logprobs=1)}, "logprobs"),
        ({"config": lm15.Config(cache=lm15.CacheConfig(resource="x"))}, "cache"),
    ],
)
def test_what_is_refused(signed_in: Emulator, fields: dict[str, Any], feature: str) -> None:
    """What an answer cannot do without is an error before anything is sent."""
    with pytest.raises(lm15.UnsupportedFeatureError, match=feature):
        Engine().complete(request(**fields))
    with pytest.raises(lm15.UnsupportedFeatureError, match="audio"):
        list(
            Engine().stream(
                request(lm15.Message.user([lm15.AudioPart(data=base64.b64encode(b"RIFF").decode())]))
            )
        )
    assert not asked(signed_in)


def test_parameters(signed_in: Emulator) -> None:
    """Reasoning, the response's format, the choice of tools and extensions reach the backend."""
    config = lm15.Config(
        reasoning=lm15.Reasoning("high", summary="detailed"),
        tool_choice=lm15.ToolChoice("required", allowed=("weather",), parallel=False),
        extensions={"text": {"verbosity": "low"}},
    )
    other = lm15.FunctionTool("other")
    Engine().complete(request(system="Be brief.", tools=(TOOL, other), config=config))
    body = asked(signed_in)[0]["body"]

    assert body["reasoning"] == {"effort": "high", "summary": "detailed"}
    assert [tool["name"] for tool in body["tools"]] == ["weather"]
    assert body["tool_choice"] == {"type": "function", "name": "weather"}
    assert body["parallel_tool_calls"] is False
    assert body["text"]["verbosity"] == "low"
    assert "Be brief." in json.dumps(body)
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    format_ = {"type": "json_schema", "schema": schema, "name": "bird", "strict": False}
    assert "name" in Engine().complete(request(config=lm15.Config(response_format=format_))).json
    assert isinstance(
        Engine().complete(request(config=lm15.Config(response_format={"type": "json_object"}))).json, dict
    )


def test_images_and_documents(signed_in: Emulator, tmp_path: Path) -> None:
    """By their bytes, paths and addresses."""
    picture, path = png_of("x", 2, 2), tmp_path / "a.png"
    path.write_bytes(picture)
    parts = [
        lm15.TextPart("See"),
        lm15.ImagePart(data=base64.b64encode(picture).decode(), detail="low"),
        lm15.ImagePart(path=path),
        lm15.ImagePart(url="https://example.com/a.png"),
        lm15.DocumentPart(data=base64.b64encode(b"%PDF-1.4 paper").decode()),
    ]
    Engine().complete(request(lm15.Message.user(parts)))
    [message] = [item for item in asked(signed_in)[0]["body"]["input"] if item.get("role") == "user"]
    text, by_bytes, by_path, by_url, document = message["content"]
    encoded = f"data:image/png;base64,{base64.b64encode(picture).decode()}"

    assert text["text"] == "See"
    assert by_bytes["image_url"] == by_path["image_url"] == encoded
    assert by_url["image_url"] == "https://example.com/a.png"
    assert document["filename"] == "document.pdf"


@pytest.mark.parametrize("arguments", ['{"city":  "Oslo"}', '{"city":"Oslo"}'])
@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_and_tools_go_back_as_they_came(signed_in: Emulator, streamed: bool, arguments: str) -> None:
    """The sealed reasoning, and arguments to the letter."""
    signed_in.play(Turn(thinking="Hm.", tool_calls=[Call("weather", arguments)]), Turn(text="Rain."))
    engine = Engine()
    config = lm15.Config(reasoning=lm15.Reasoning("low", summary="auto"))
    first = request(tools=(TOOL,), config=config)
    answer = everything(engine, first) if streamed else engine.complete(first)
    [call] = answer.tool_calls
    [thinking] = answer.message.parts_of(lm15.ThinkingPart)
    messages = [*first.messages, answer.message, lm15.Message.tool(call.id, "rain")]
    second = request(*messages, tools=(TOOL,), config=config)
    assert engine.complete(second).text == "Rain."
    sent = asked(signed_in)[-1]["body"]["input"]

    assert (call.name, call.input, answer.finish_reason) == ("weather", {"city": "Oslo"}, "tool_call")
    assert thinking.text == "Hm."
    [reasoning] = [item for item in sent if item.get("type") == "reasoning"]
    assert reasoning["encrypted_content"]
    assert [item["arguments"] for item in sent if item.get("type") == "function_call"] == [arguments]
    assert [item["output"] for item in sent if item.get("type") == "function_call_output"] == ["rain"]


def test_calls_beside_each_other(signed_in: Emulator) -> None:
    """Two calls after a text are three parts, streamed and not; what is no JSON is put into an object."""
    calls = [Call("weather", {"city": "Oslo"}), Call("weather", "[1]")]
    signed_in.play(*[Turn(text="Both.", tool_calls=calls)] * 2)
    asked_for = request(tools=(TOOL,))
    whole, streamed = Engine().complete(asked_for), everything(Engine(), asked_for)
    for answer in (whole, streamed):
        assert [part.type for part in answer.message.parts if part.type != "thinking"] == [
            "text",
            "tool_call",
            "tool_call",
        ]
        assert answer.tool_calls[0].input == {"city": "Oslo"}
    assert whole.tool_calls[1].input == {"invalid_arguments": "[1]"}


class Bird(dspy.Signature):
    """Name a bird."""

    place: str = dspy.InputField()
    name: str = dspy.OutputField()
    wingspan: int = dspy.OutputField(desc="in centimetres")
    size: Literal["small", "large"] = dspy.OutputField()


CHAT = (
    "[[ ## name ## ]]\ntern\n\n[[ ## wingspan ## ]]\n80\n\n[[ ## size ## ]]\nsmall\n\n[[ ## completed ## ]]"
)
THOUGHT = f"[[ ## reasoning ## ]]\nHm.\n\n{CHAT}"


def test_thinking_is_shown_where_a_program_asks_for_it(model: Any, signed_in: Emulator) -> None:
    """Else the model's answers are plain texts, as those of DSPy's own engines."""
    assert model("x") == ["You said: x"]
    signed_in.play(Turn(thinking="Hm.", text="Yes."))
    assert model("x", reasoning_effort="low") == [{"text": "Yes.", "reasoning_content": "Hm."}]
    shown = lm(MODEL, cache=False, reasoning_summary="auto")
    signed_in.play(Turn(thinking="Hm.", text="Yes."))
    assert shown("x") == [{"text": "Yes.", "reasoning_content": "Hm."}]


async def test_modules(model: Any, signed_in: Emulator) -> None:
    """Predict and ChainOfThought with typed fields; the JSON adapter, whose schema the backend holds to."""
    signed_in.play(Turn(text=CHAT), Turn(text=THOUGHT), Turn(text=CHAT))
    with dspy.context(lm=model):
        predicted = dspy.Predict(Bird)(place="the sea")
        thought = dspy.ChainOfThought(Bird)(place="the sea")
        awaited = await dspy.Predict(Bird).acall(place="the sea")
        with dspy.context(adapter=dspy.JSONAdapter()):
            by_schema = dspy.Predict(Bird)(place="the sea")

    assert (predicted.name, predicted.wingspan, predicted.size) == ("tern", 80, "small")
    assert awaited.name == thought.name == "tern"
    assert "Hm." in str(thought.reasoning)
    assert isinstance(by_schema.wingspan, int)
    assert asked(signed_in)[-1]["body"]["text"]["format"]["type"] == "json_schema"
    assert model.history[-1]["usage"]


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


class Choice(dspy.Signature):
    """Choose a tool."""

    question: str = dspy.InputField()
    picture: dspy.Image = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()


def test_calls_of_the_models_own(model: Any, signed_in: Emulator) -> None:
    """An adapter that has tools called natively offers them to the model; a picture goes along."""
    signed_in.play(Turn(tool_calls=[Call("weather", {"city": "Oslo"})]))
    picture = dspy.Image(f"data:image/png;base64,{base64.b64encode(png_of('x', 2, 2)).decode()}")
    with dspy.context(lm=model, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        chosen = dspy.Predict(Choice)(question="Oslo?", picture=picture, tools=[dspy.Tool(weather)])
    body = asked(signed_in)[0]["body"]

    [call] = chosen.calls.tool_calls
    assert (call.name, call.args) == ("weather", {"city": "Oslo"})
    assert [tool["name"] for tool in body["tools"]] == ["weather"]
    assert "data:image/png;base64," in json.dumps(body["input"])


def test_react(model: Any, signed_in: Emulator) -> None:
    """DSPy's own agent calls a tool and answers."""

    def step(name: str, arguments: str) -> Turn:
        return Turn(
            text=f"[[ ## next_thought ## ]]\nHm.\n\n[[ ## next_tool_name ## ]]\n{name}\n\n"
            f"[[ ## next_tool_args ## ]]\n{arguments}\n\n[[ ## completed ## ]]"
        )

    answer = Turn(text="[[ ## reasoning ## ]]\nHm.\n\n[[ ## answer ## ]]\nA coat.\n\n[[ ## completed ## ]]")
    signed_in.play(step("weather", '{"city": "Oslo"}'), step("finish", "{}"), answer)
    with dspy.context(lm=model):
        said = dspy.ReAct("question -> answer", tools=[weather])(question="A coat?")

    assert said.answer == "A coat."
    assert said.trajectory["observation_0"] == "rain in Oslo"


async def test_streamify(model: Any, signed_in: Emulator) -> None:
    """A field arrives in pieces, then the prediction."""
    signed_in.play(Turn(text="[[ ## answer ## ]]\nTake a warm coat, and boots.\n\n[[ ## completed ## ]]"))
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    with dspy.context(lm=model):
        program = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
        pieces = [each async for each in program(question="A coat?")]

    told = "".join(each.chunk for each in pieces if isinstance(each, dspy.streaming.StreamResponse))
    assert told.strip() == "Take a warm coat, and boots."
    assert pieces[-1].answer == "Take a warm coat, and boots."


FAULTS = [
    ("usage_limit_429", "LMBillingError"),
    ("usage_limit_in_stream", "LMBillingError"),
    ("overloaded_503", "LMServerError"),
    ("context_length_exceeded", "ContextWindowExceededError"),
    ("model_not_supported", "LMUnsupportedModelError"),
    ("cloudflare_403", "LMProviderError"),
    ("eof_without_terminal", "LMTransportError"),
    ("cut_mid_event", "LMTransportError"),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_failures_are_dspys_own(signed_in: Emulator, fault: str, error: str, way: str) -> None:
    """Each is DSPy's error, asked for once, with onplan's behind it."""
    from dspy.utils import exceptions

    signed_in.arm(fault, 9)
    model = lm(MODEL, cache=False, retry=1)
    with pytest.raises(getattr(exceptions, error)) as caught:
        model("one two three") if way == "sync" else asyncio.run(model.acall("one two three"))
    assert len(asked(signed_in)) == 1
    assert isinstance(caught.value.__cause__, lm15.LM15Error)
    assert isinstance(caught.value.__cause__.__cause__, onplan.OnplanError)


@pytest.mark.parametrize("fault", ["eof_without_terminal", "cut_mid_event", "usage_limit_429"])
def test_streams_that_fail(signed_in: Emulator, fault: str) -> None:
    """No end event comes, and the engine asks once."""
    signed_in.arm(fault, 9)
    told: list[Any] = []
    with pytest.raises(lm15.LM15Error):
        told.extend(Engine(retry=1).stream(request()))
    assert "end" not in [event.type for event in told]
    assert len(asked(signed_in)) == 1


def test_what_is_tried_again(signed_in: Emulator) -> None:
    """A rate limit by onplan, within one attempt of DSPy's; a usage limit by neither of them."""
    model = lm(MODEL, cache=False, num_retries=3)
    signed_in.play(Turn(fault="rate_limited_429_milliseconds"), Turn(text="Yes."))
    assert model("x") == ["Yes."]
    signed_in.clear_journal()
    signed_in.arm("usage_limit_429", 9)
    with pytest.raises(dspy.utils.exceptions.LMBillingError, match="limit"):
        model("x")
    assert len(asked(signed_in)) == 1
    assert lm(MODEL).num_retries == 0


def test_a_refused_sign_in_says_what_to_type(signed_in: Emulator) -> None:
    """It is DSPy's authentication error, without a token in its traceback."""
    token = onplan.Client().credentials().access_token
    signed_in.revoke_refresh_tokens()
    signed_in.expire_access_tokens()
    with pytest.raises(dspy.utils.exceptions.LMAuthError, match="onplan login") as caught:
        lm(MODEL, cache=False)("x")
    assert token not in str(source_locals(caught.value))


def test_without_a_sign_in(emulator: Emulator) -> None:
    """It is DSPy's error for what is not set up, and says the same."""
    with pytest.raises(dspy.utils.exceptions.LMNotConfiguredError, match="onplan login"):
        lm(MODEL, cache=False)("x")


def test_an_expired_token_is_refreshed_once(model: Any, signed_in: Emulator) -> None:
    """Twenty threads, then twenty tasks, ask with a token that the backend refuses; one refresh each."""
    model("x")
    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        texts = list(pool.map(lambda n: model(f"q{n}")[0], range(20)))
    assert texts == [f"You said: q{n}" for n in range(20)]
    assert refreshes(signed_in) == 1

    async def ask() -> list[Any]:
        return await asyncio.gather(*(model.acall(f"q{n}") for n in range(20)))

    signed_in.expire_access_tokens()
    signed_in.clear_journal()
    assert [each[0] for each in asyncio.run(ask())] == texts
    assert refreshes(signed_in) == 1


def test_twenty_event_loops(model: Any, signed_in: Emulator) -> None:
    """One object serves one loop after another; the connections of each are closed with it."""
    engine = AsyncEngine()

    async def ask(number: int) -> str:
        answers = await asyncio.gather(*(model.acall(f"q{number}") for _ in range(3)))
        async for _ in engine.stream(request()):
            break
        return str(answers[0][0])

    asyncio.run(ask(0))
    before = open_files()
    assert [asyncio.run(ask(number)) for number in range(20)] == [f"You said: q{n}" for n in range(20)]
    assert eventually(lambda: open_files() <= before)


def test_leaving_a_stream_ends_it_at_the_backend(signed_in: Emulator) -> None:
    """And the next question is answered."""
    engine = Engine()
    engine.complete(request())
    before = open_files()
    signed_in.arm("stall", 2)
    with closing(engine.stream(request())) as events:
        next(events)
    dropped = engine.stream(request())
    next(dropped)
    del dropped
    assert eventually(lambda: open_files() <= before)
    assert engine.complete(request()).text == "You said: one two"
    engine.close()
    assert eventually(lambda: open_files() < before)


def _in_a_child(queue: Any, model: Any) -> None:
    queue.put(model("child")[0])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12: fork beside threads
def test_after_a_fork(model: Any) -> None:
    """A child that is forked after the parent has asked gets its answer from the same object."""
    assert model("parent") == ["You said: parent"]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_child, args=(queue, model))
    child.start()
    assert queue.get(timeout=60) == "You said: child"
    child.join(60)


def test_what_is_saved(model: Any, signed_in: Emulator, tmp_path: Path) -> None:
    """A program is saved with its model, copied and pickled; no secret is in it."""
    model("x")
    token = onplan.Client().credentials().access_token
    program = dspy.Predict("question -> answer")
    program.lm = lm(MODEL, cache=False, profile="default", timeout=60)
    path = tmp_path / "program.json"
    program.save(path)
    other = dspy.Predict("question -> answer")
    other.load(path, allow_unsafe_lm_state=True)

    saved = json.loads(path.read_text())
    assert saved["lm"]["engine"]["class"] == "onplan.integrations.dspy:Engine"
    assert saved["lm"]["engine"]["state"] == {
        "profile": "default",
        "timeout": 60,
        "reasoning_summary": "none",
    }
    for copied in (other.lm, program.lm.copy(), pickle.loads(pickle.dumps(Engine(profile="default")))):
        answer = copied.complete(request()).text if isinstance(copied, Engine) else copied("one two")[0]
        assert answer == "You said: one two"
    assert token not in path.read_text() + repr(program.lm) + str(vars(program.lm))
    secret = Engine(backend="openai", api_key="sk-secret-secret-secret")
    assert secret.dump_state() == {"backend": "openai", "reasoning_summary": "none"}
    with pytest.raises(onplan.ConfigurationError, match="api_key"):
        pickle.dumps(secret)


def test_options(signed_in: Emulator) -> None:
    """Those of onplan go to the engines, all others to DSPy; wrong ones are refused."""
    model = lm(MODEL, cache=False, temperature=1.0, max_tokens=20_000, profile="default")
    assert model.kwargs["temperature"] == 1.0
    assert model.engine.dump_state()["profile"] == "default"
    with pytest.raises(onplan.ConfigurationError, match="no option 'profil'"):
        Engine(profil="x")
    with pytest.raises(onplan.ConfigurationError, match="http_client"):
        lm(MODEL, http_client=object())


@pytest.mark.parametrize("code", python_blocks("dspy.md"))
def test_the_examples_run(signed_in: Emulator, code: str) -> None:
    """Those of the page, without an error."""
    run(code)
