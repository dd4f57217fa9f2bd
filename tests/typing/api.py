"""Every public call, as a user's type checker sees it. Checked by mypy --strict, never run."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypedDict, TypeVar, Unpack, assert_type

import msgspec

import onplan

T = TypeVar("T")


def the_synchronous_client() -> None:
    with onplan.Client(profile="work", unsupported="raise", retry=3) as client:
        assert_type(client.complete("hi"), onplan.CompletionResponse)
        response = client.complete("hi")
        assert_type(response.text, str)
        assert_type(response.thinking, str)
        assert_type(response.refusal, str | None)
        assert_type(response.request_id, str | None)
        assert_type(response.ignored_parameters, list[str])
        assert_type(response.history_repairs, list[str])
        assert_type(response.native_finish_reason, str | None)
        assert_type(response.tool_calls[0].signature, str | None)
        assert_type(response.limits, onplan.Limits | None)
        assert_type(client.list_models(), list[onplan.ModelInfo])
        assert_type(client.credentials(), onplan.OAuthCredentials)
        for chunk in client.complete_stream("hi"):
            if chunk.type == "text":
                assert_type(chunk, onplan.TextDelta)
            elif chunk.type == "tool_call_delta":
                assert_type(chunk.arguments_delta, str)
            elif chunk.type == "done":
                assert_type(chunk.usage, onplan.Usage)
                assert_type(chunk.finish_reason, onplan.FinishReason)


def prompts(client: onplan.Client, prompt: onplan.Prompt, one: onplan.MessageLike) -> None:
    client.complete(prompt, model="gpt-5.5", reasoning_effort="high", tool_choice="auto", stop="x")
    client.complete([one, "and", onplan.Image(path="a.png", detail="low"), {"role": "user", "content": "hi"}])
    client.complete([{"role": "user", "content": "hi"}])
    client.complete({"role": "user", "content": [{"type": "text", "text": "hi"}]}, temperature=0.5)
    client.complete(messages=[onplan.Message.user("hi")], max_tokens=5)
    client.prewarm(onplan.Message.system("Be brief."), session_id="s")
    client.complete("hi", modle="gpt-5.5")  # type: ignore[call-overload]
    client.complete("hi", model=5)  # type: ignore[call-overload]
    client.complete(5)  # type: ignore[call-overload]
    for chunk in client.complete_stream("hi", verbosity="low"):
        assert_type(chunk, onplan.StreamChunk)


def streams(client: onplan.Client) -> None:
    with client.stream("hi", model="gpt-5.5") as stream:
        assert_type(stream, onplan.CompletionStream)
        for text in stream.text:
            assert_type(text, str)
        for chunk in stream:
            assert_type(chunk, onplan.StreamChunk)
        assert_type(stream.read(), onplan.CompletionResponse)
    assert_type(stream.response, onplan.CompletionResponse)


def many(client: onplan.Client, requests: list[onplan.CompletionRequest]) -> None:
    for result in client.map(requests, concurrency=20, ordered=False, on_limit="wait", model="gpt-5.5"):
        assert_type(result, onplan.MapResult[onplan.CompletionRequest])
        assert_type(result.index, int)
        assert_type(result.request, onplan.CompletionRequest)
        assert_type(result.response, onplan.CompletionResponse | None)
        assert_type(result.error, onplan.OnplanError | None)
        assert_type(result.response_or_raise(), onplan.CompletionResponse)
    for answer in client.map(f"number {number}" for number in range(3)):
        assert_type(answer.request, str)
    mixed: list[onplan.Prompt] = ["hi", onplan.Message.user("hi"), {"role": "user", "content": "hi"}]
    assert_type(next(client.map(mixed)), onplan.MapResult[onplan.Prompt])
    assert_type(next(client.map(["hi"], response_format=Bird)), onplan.MapResult[str, Bird])
    for typed in client.map(["hi"], response_format=Bird, concurrency=2, on_limit="wait", verbosity="low"):
        assert_type(typed.response_or_raise().parsed, Bird)
    assert_type(next(client.map(["hi"], response_format={"type": "object"})), onplan.MapResult[str])
    client.map([5])  # type: ignore[type-var]
    client.map(["hi"], on_limit="pause")  # type: ignore[call-overload]


async def many_in_tasks(client: onplan.AsyncClient, requests: AsyncIterator[str]) -> None:
    async for result in client.map(requests, concurrency=20):
        assert_type(result, onplan.MapResult[str])
    async for result in client.map(["hi"]):
        assert_type(result, onplan.MapResult[str])
    async for typed in client.map(requests, response_format=list[int]):
        assert_type(typed, onplan.MapResult[str, list[int]])


async def asynchronous_streams(client: onplan.AsyncClient) -> None:
    async with client.stream("hi", model="gpt-5.5") as stream:
        assert_type(stream, onplan.AsyncCompletionStream)
        async for text in stream.text:
            assert_type(text, str)
        async for chunk in stream:
            assert_type(chunk, onplan.StreamChunk)
        assert_type(await stream.read(), onplan.CompletionResponse)
    assert_type(stream.response, onplan.CompletionResponse)


@dataclass
class Bird:
    name: str


class Fish(TypedDict):
    name: str


class Tree(msgspec.Struct):
    name: str


class Colour(enum.Enum):
    RED = "red"


class Adapter(Generic[T]):
    """As typed as pydantic's ``TypeAdapter``."""

    def validate_json(self, data: str | bytes | bytearray, /, *, strict: bool | None = None) -> T:
        raise NotImplementedError


async def structured_output(
    client: onplan.Client, async_client: onplan.AsyncClient, adapter: Adapter[int]
) -> None:
    assert_type(client.complete("A bird", response_format=Bird).parsed, Bird)
    assert_type(client.complete("A bird", response_format=Bird, model="gpt-5.5", repairs=1).parsed.name, str)
    assert_type(client.complete("Fish", response_format=list[Fish]).parsed, list[Fish])
    assert_type(client.complete("A tree", response_format=Tree).parsed, Tree)
    assert_type(client.complete("A colour", response_format=Colour).parsed, Colour)
    assert_type(client.complete("A number", response_format=int).parsed, int)
    assert_type(client.complete("Numbers", response_format=dict[str, int]).parsed, dict[str, int])
    assert_type(client.complete("A number", response_format=adapter).parsed, int)
    assert_type(client.complete("A bird", response_format={"type": "object"}), onplan.CompletionResponse)
    assert_type(await async_client.complete("A bird", response_format=Bird), onplan.CompletionResponse[Bird])
    response: onplan.CompletionResponse[Bird] = client.complete("A bird", response_format=Bird)
    any_response: onplan.CompletionResponse = response
    try:
        assert any_response.parsed
    except onplan.OutputError as error:
        assert_type(error.path, str)
        assert_type(error.text, str)
    assert_type(response.repairs, int)
    with client.stream("A bird", response_format=Bird) as stream:
        assert_type(stream.read().parsed, Bird)
    assert_type(stream.response.parsed, Bird)
    async with async_client.stream("A bird", response_format=list[Bird], model="gpt-5.5") as async_stream:
        assert_type((await async_stream.read()).parsed, list[Bird])
    onplan.CompletionRequest(messages="A bird", response_format=list[Bird])
    client.complete("A bird", response_format=Bird, model=5)  # type: ignore[call-overload]


def tools(client: onplan.Client, tool: onplan.Tool) -> None:
    weather = onplan.ToolDefinition("weather", strict=True)
    client.complete(
        "hi", tools=[tool, weather, onplan.HostedTool("web_search", {"search_context_size": "low"})]
    )
    client.complete("hi", tools=[{"type": "function", "function": {"name": "weather"}}])
    client.complete("hi", tools=[5])  # type: ignore[list-item]
    sql = onplan.CustomTool("sql", "Run a query.", format=onplan.Grammar("lark", 'start: "SELECT 1"'))
    onplan.CustomTool("note", format={"type": "text"})
    onplan.Grammar("peg", "a")  # type: ignore[arg-type]
    for call in client.complete("hi", tools=[sql]).tool_calls:
        assert_type(call.is_custom, bool)


def searches(client: onplan.Client) -> None:
    rome: onplan.Location = {"country": "IT", "city": "Rome"}
    found = onplan.web_search(live=False, allowed_domains=["a.example"], location=rome, context_size="low")
    assert_type(found, onplan.HostedTool)
    onplan.web_search(context_size="big")  # type: ignore[arg-type]
    onplan.web_search(domains=["a.example"])  # type: ignore[arg-type]
    client.complete("hi", tools=[found], tool_choice="web_search")
    client.complete("hi", tools=[found], tool_choice={"type": "web_search"})
    answer = client.complete("hi", tools=[found], tool_choice=onplan.ToolChoice("web_search"))
    assert_type(answer.citations, list[onplan.Citation])
    assert_type(answer.searches, list[onplan.SearchAction])
    assert_type(answer.citations[0].start, int | None)
    call: onplan.ContentPart = onplan.HostedToolCall("web_search", {"id": "ws_1"})
    print(call, client.list_models()[0].supports_web_search)
    assert_type(client.search, onplan.Search)
    pages = client.search(["a", "b"], recency=7, live="indexed", location=rome)
    assert_type(pages, onplan.SearchResponse)
    first: onplan.SearchResult = pages.results[0]
    client.search.open(first, line=5, session_id=pages.session_id)
    client.search.click("turn0view0", 1, session_id=pages.session_id)
    client.search.find(first, "wren", session_id=pages.session_id)
    options: onplan.SearchOptions = {"blocked_domains": ["a.example"], "max_output_tokens": 2_000}
    client.search.run({"weather": [{"location": "Oslo"}]}, **options)
    client.search("a", recent=7)  # type: ignore[call-arg]
    assert_type(client.search.tool(name="web", **options), onplan.FunctionTool)


def tokens(request: onplan.CompletionRequest) -> None:
    assert_type(onplan.estimate_tokens(request), int)
    assert_type(onplan.estimate_tokens(["a", onplan.Image(path="a.png")], response_format=int), int)
    onplan.estimate_tokens(5)  # type: ignore[arg-type]


async def searches_later(client: onplan.AsyncClient) -> None:
    assert_type(client.search, onplan.AsyncSearch)
    assert_type(await client.search("a"), onplan.SearchResponse)
    await client.run("hi", tools=[client.search.tool()])


def conversations(client: onplan.Client, path: Path) -> None:
    assert_type(client.conversation, onplan.Conversations)
    talk = client.conversation("Be brief.", model="gpt-5.5", keep_partial=True)
    assert_type(talk, onplan.Conversation)
    assert_type(talk.say("hi"), onplan.CompletionResponse)
    assert_type(talk.say(["What is this?", onplan.Image(path=path)], reasoning_effort="high").text, str)
    assert_type(talk.say("How many?", response_format=int, repairs=1), onplan.CompletionResponse[int])
    assert_type(talk.resume(), onplan.CompletionResponse)
    with talk.stream("hi", verbosity="low") as stream:
        assert_type(stream, onplan.CompletionStream)
    assert_type(talk.run("hi", tools=[len], max_turns=3), onplan.RunResponse)
    assert_type(talk.run("hi", tools=[len], response_format=Bird).parsed, Bird)
    assert_type(talk.resume(response_format=int).parsed, int)
    with talk.stream("hi", response_format=int) as counted:
        assert_type(counted.response, onplan.CompletionResponse[int])
    for chunk in talk.run_stream("hi", tools=[len]):
        assert_type(chunk, onplan.RunChunk)
    assert_type(talk.messages, list[onplan.Message])
    assert_type(talk.session_id, str)
    assert_type(talk.awaits_answer, bool)
    assert_type(talk.branch(at=-1), onplan.Conversation)
    talk.undo()
    assert_type(talk.compact(), onplan.Usage)
    assert_type(talk.compacted, int)
    client.conversation(compact="auto", compact_at=0.5)
    client.conversation.open(path, compact="summary")
    client.conversation(compact="yes")  # type: ignore[arg-type]
    talk.save(path, attachments="inside", overwrite=True)
    assert_type(client.conversation.load(path, model="gpt-5.5"), onplan.Conversation)
    assert_type(client.conversation.open("talk.jsonl", system="Be brief."), onplan.Conversation)
    assert issubclass(onplan.ConversationFileWarning, UserWarning)
    client.conversation(modle="gpt-5.5")  # type: ignore[call-arg]
    talk.say("hi", modle="gpt-5.5")  # type: ignore[call-overload]
    talk.save(path, attachments="outside")  # type: ignore[arg-type]


async def asynchronous_conversations(client: onplan.AsyncClient, path: Path) -> None:
    assert_type(client.conversation, onplan.AsyncConversations)
    talk = client.conversation("Be brief.", model="gpt-5.5", keep_partial=True)
    assert_type(talk, onplan.AsyncConversation)
    assert_type(await talk.say("hi"), onplan.CompletionResponse)
    assert_type(await talk.say("How many?", response_format=int), onplan.CompletionResponse[int])
    assert_type(await talk.resume(), onplan.CompletionResponse)
    async with talk.stream("hi", verbosity="low") as stream:
        assert_type(stream, onplan.AsyncCompletionStream)
    assert_type(await talk.run("hi", tools=[len]), onplan.RunResponse)
    assert_type((await talk.run("hi", tools=[len], response_format=Bird)).parsed, Bird)
    assert_type((await talk.resume(response_format=int)).parsed, int)
    async with talk.stream("hi", response_format=int) as counted:
        assert_type(await counted.read(), onplan.CompletionResponse[int])
    async for chunk in talk.run_stream("hi", tools=[len]):
        assert_type(chunk, onplan.RunChunk)
    assert_type(talk.branch(), onplan.AsyncConversation)
    await talk.undo()
    assert_type(await talk.compact(), onplan.Usage)
    client.conversation(compact="auto", compact_at=0.5)
    await talk.save(path)
    assert_type(await client.conversation.load(path), onplan.AsyncConversation)
    assert_type(await client.conversation.open(path), onplan.AsyncConversation)


def a_call_for_work(
    client: onplan.Client, **fields: Unpack[onplan.RequestFields]
) -> onplan.CompletionRequest:
    client.complete("hi", **fields)
    return onplan.as_request("hi", fields)


def weather(city: str) -> str:
    return city


async def weather_later(city: str) -> str:
    return city


def approve(call: onplan.ToolCall) -> bool | str:
    return call.name == "weather" or "no"


async def approve_later(call: onplan.ToolCall) -> bool | str:
    return True


@onplan.tool(format=onplan.Grammar("regex", ".+"))
def shell(command: str) -> str:
    return command


@onplan.tool(name="other")
def other(city: str) -> str:
    return city


def runs(client: onplan.Client, **options: Unpack[onplan.RunOptions]) -> None:
    client.run("hi", **options)
    made = onplan.tool(weather, description="The weather", parameters={"type": "object"})
    assert_type(made, onplan.FunctionTool)
    assert_type(other, onplan.FunctionTool)
    assert_type(shell, onplan.CustomFunctionTool)
    assert_type(onplan.tool(weather, format="text"), onplan.CustomFunctionTool)
    assert_type(onplan.tool(shell, name="sh"), onplan.CustomFunctionTool)
    custom: onplan.CustomTool = shell
    onplan.tool(weather, format="text", parameters={})  # type: ignore[call-overload]
    client.run("hi", tools=[shell, weather])
    client.complete("hi", tools=[custom, shell])
    definition: onplan.ToolDefinition = made
    client.complete("hi", tools=[definition, made])
    answer = client.run(
        "hi", tools=[weather, weather_later, made], approve=approve, max_turns=5, model="gpt-5.5"
    )
    assert_type(answer, onplan.RunResponse)
    assert_type(answer.steps, list[onplan.Step])
    assert_type(answer.steps[0].calls[0].result, onplan.ToolResult)
    assert_type(answer.messages, list[onplan.Message])
    assert_type(client.run("hi", tools=[weather], response_format=int, repairs=1).parsed, int)
    client.run("hi", tools=[weather], on_tool_error=lambda call, error: f"{call.name} {error}")
    client.run("hi", tools=[weather, onplan.HostedTool("web_search"), {"type": "web_search"}])
    client.run("hi", tools=[weather], max_turn=5)  # type: ignore[call-overload]
    client.run("hi", tools=[weather], approve=approve_later)  # type: ignore[arg-type]
    try:
        for chunk in client.run_stream("hi", tools=[other], token_budget=1_000, on_tool_error="raise"):
            assert_type(chunk, onplan.RunChunk)
            if chunk.type == "tool_done":
                assert_type(chunk, onplan.ToolDone)
                assert_type(chunk.run, onplan.ToolRun)
            elif chunk.type == "turn_done":
                assert_type(chunk, onplan.TurnDone)
            elif chunk.type == "done":
                assert_type(chunk, onplan.RunDone)
                assert_type(chunk.response, onplan.RunResponse)
    except onplan.RunLimitError as error:
        assert_type(error.limit, str)
        so_far: onplan.Run = error.run
        client.run(so_far.messages, tools=[weather])


class Server:
    async def list_tools(self) -> object: ...

    async def call_tool(self, name: str, arguments: dict[str, object]) -> object: ...


async def tools_of_a_server(client: onplan.AsyncClient) -> None:
    tools = await onplan.mcp_tools(Server(), prefix="files_")
    assert_type(tools, list[onplan.FunctionTool])
    await client.run("hi", tools=tools)


async def asynchronous_runs(client: onplan.AsyncClient, **options: Unpack[onplan.AsyncRunOptions]) -> None:
    assert_type(await client.run("hi", **options), onplan.RunResponse)
    await client.run("hi", tools=[weather, weather_later], approve=approve_later)
    assert_type((await client.run("hi", tools=[weather], response_format=str)).parsed, str)
    async for chunk in client.run_stream("hi", tools=[weather], approve=approve):
        assert_type(chunk, onplan.RunChunk)


async def the_asynchronous_client() -> None:
    policy = onplan.RetryPolicy(attempts=2, wait_max=5)
    limits = onplan.Timeouts(total=60)
    async with onplan.AsyncClient(resume=True, transport="auto", retry=policy, timeout=limits) as client:
        provider: onplan.Provider = client
        assert_type(await provider.complete("hi"), onplan.CompletionResponse)
        assert_type(await provider.complete(["hi"], model="gpt-5.5"), onplan.CompletionResponse)
        await client.complete("hi", modle="gpt-5.5")  # type: ignore[call-overload]
        assert_type(await client.list_models(), list[onplan.ModelInfo])
        async for chunk in client.complete_stream("hi"):
            if chunk.type == "part_done":
                assert_type(chunk.part, onplan.ContentPart)
            elif chunk.type == "resumed":
                assert_type(chunk, onplan.Resumed)
                assert_type(chunk.parts, list[onplan.ContentPart])


async def the_provider_for_agents(credentials: onplan.OAuthCredentials) -> None:
    provider: onplan.Provider = onplan.OpenAICodexProvider.from_credentials(credentials)
    assert_type(provider.name, str)
    models: Sequence[onplan.ModelInfo] = await provider.list_models()
    url, verifier, state = onplan.OpenAICodexProvider.get_authorization_url()
    assert_type(url, str)
    assert_type(state, str)
    assert_type(await onplan.OpenAICodexProvider.exchange_code("code", verifier), onplan.OAuthCredentials)
    assert models


def a_client_for_work(**options: Unpack[onplan.ClientOptions]) -> onplan.Client:
    options["profile"] = "work"
    return onplan.Client(**options)


def a_client_with_defaults(**defaults: Unpack[onplan.RequestDefaults]) -> onplan.Client:
    onplan.open_store(Path("credentials.json"))
    onplan.Client(model="gpt-5.5", reasoning_effort="high", stop=["x"], store=Path("credentials.json"))
    onplan.Client(telemetry=onplan.Telemetry(contents=True))
    onplan.Client(telemetry="yes")  # type: ignore[arg-type]
    onplan.Client(temperature="high")  # type: ignore[arg-type]
    return onplan.Client(**defaults)


def an_asynchronous_client(**options: Unpack[onplan.AsyncClientOptions]) -> onplan.AsyncClient:
    return onplan.AsyncClient(**options)


def an_agent(**options: Unpack[onplan.ProviderOptions]) -> onplan.OpenAICodexProvider:
    return onplan.OpenAICodexProvider(**options)


def requests() -> onplan.CompletionRequest:
    call = onplan.ToolCall(id="c", name="weather", arguments="{}")
    return onplan.CompletionRequest(
        messages=[
            onplan.Message.system("Be brief."),
            onplan.Message.developer("Really."),
            onplan.Message.user("look", onplan.Image(path="a.png"), onplan.File(Path("a.pdf"))),
            onplan.Message("assistant", [onplan.Thinking(encrypted="x"), call]),
            onplan.Message.tool("c", "sunny"),
            onplan.Message.tool("c", {"sky": "blue"}, is_error=True),
            onplan.Message.tool("c", ["see", onplan.Image(path="a.png"), onplan.File(path="a.pdf")]),
            onplan.Message(onplan.Role.USER, "and now?"),
        ],
        tools=[onplan.ToolDefinition(name="weather", parameters={"type": "object"})],
        tool_choice=onplan.ToolChoice("weather"),
        extra_body={"reasoning": {"context": "all_turns"}},
        stop="x",
        response_format={"type": "object"},
    )


def errors() -> None:
    try:
        onplan.Client().complete("hi")
    except onplan.UsageLimitError as error:
        assert_type(error.resets_at, float | None)
        assert_type(error.window_minutes, int | None)
    except onplan.StreamError as error:
        assert_type(error.retryable, bool)
    except onplan.OnplanError as error:
        assert_type(error.hint, str)
        assert_type(error.exit_code, int)


def stores() -> onplan.CredentialStore:
    store: onplan.CredentialStore = onplan.open_store("file:/tmp/x.json")
    loaded = store.load()
    if loaded:
        assert_type(loaded.record, onplan.Record)
        assert_type(loaded.version, str)
    return store


def what_is_kept(store: onplan.CredentialStore) -> None:
    loaded = store.load()
    if loaded:
        assert_type(loaded.record.registration, onplan.Registration | None)


def what_the_plan_has_left(limits: onplan.Limits) -> None:
    week: onplan.Window | None = limits.window(10_080)
    assert_type([window.reset_time for window in limits.windows], list[datetime | None])
    credit: onplan.Credits | None = limits.credits
    meter: onplan.Meter = limits.meters[0]
    spending: onplan.SpendingLimit | None = limits.spending
    assert_type(limits.is_available, bool)
    assert_type(limits.blocking, onplan.Window | None)
    assert_type(onplan.UsageLimitError("no").reset_time, datetime | None)
    print(week, credit, meter, spending)
    for found in onplan.forecast([limits, limits]):
        kept: onplan.Forecast = found
        assert_type(kept.run_out_time, datetime | None)


async def what_is_left_now() -> None:
    with onplan.Client(max_window_share=0.2) as client:
        assert_type(client.limits(), onplan.Limits)
        assert_type(client.wait_until_available(timeout=60), onplan.Limits)
    async with onplan.AsyncClient(max_window_share=0.2) as asynchronous:
        assert_type(await asynchronous.limits(), onplan.Limits)
        assert_type(await asynchronous.wait_until_available(), onplan.Limits)


async def images(options: onplan.ImageOptions) -> None:
    with onplan.Client() as client:
        assert_type(client.images, onplan.Images)
        made = client.images.generate(
            "a fox", size=(1024, 1536), quality="high", background="transparent", n=1
        )
        assert_type(made, onplan.ImageResponse)
        assert_type(made.save("fox.png", overwrite=True), Path)
        assert_type(made.size, tuple[int, int] | None)
        settings: onplan.ImageSettings = made.reported
        assert_type(settings.quality, str | None)
        image: onplan.GeneratedImage = made.image
        assert_type(image.part, onplan.Image)
        client.images.edit(
            "blue", images=[Path("fox.png"), "fox.png", b"", onplan.Image(path="a.png"), image]
        )
        client.images.edit("blue", made, **options)
        client.images.generate("a fox", quality="best")  # type: ignore[arg-type]
        client.images.generate("a fox", qualty="high")  # type: ignore[call-arg]
        client.run("Draw", tools=[client.images.tool(Path("folder"), size="1024x1024")])
        assert_type(client.complete("Draw").images, list[onplan.Image])
    async with onplan.AsyncClient() as asynchronous:
        assert_type(asynchronous.images, onplan.AsyncImages)
        assert_type(await asynchronous.images.generate("a fox"), onplan.ImageResponse)
        assert_type(await asynchronous.images.edit("blue", b""), onplan.ImageResponse)
        await asynchronous.run("Draw", tools=[asynchronous.images.tool()])
