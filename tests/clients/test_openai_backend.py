"""The backend `openai` over sockets, for both clients and both wires: answers, keys, failures."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

import onplan
from onplan import CompletionRequest, FinishReason, Message, RetryPolicy, Timeouts, ToolDefinition
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.emulator.faults.register import FAULTS
from onplan.emulator.journal import fingerprint
from onplan.stores import Record, open_store

from ..conftest import over_http

KEY = "sk-of-the-environment"
ONCE = RetryPolicy(attempts=1)
TOOLS = [
    ToolDefinition(
        name=name, parameters={"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    )
    for name in ("first", "second")
]
WHOLE = [("first", {"a": "text"}), ("second", {"a": "text"})]
FAST = RetryPolicy(wait_initial=0.01)


@pytest.fixture
def platform(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An emulator whose platform the environment points at, with a key."""
    monkeypatch.setenv("ONPLAN_BACKEND", "openai")
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", emulator.urls["openai_base_url"])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return emulator


@pytest.fixture(params=["chat", "responses"])
def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which API the environment chooses."""
    monkeypatch.setenv("ONPLAN_API", request.param)
    return str(request.param)


class _Forwarding(httpx2.HTTPTransport):
    """Carries what is meant for the platform to an emulator, and notes where it was meant to go."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__()
        self.origins: set[str] = set()
        self._port = int(emulator.issuer.rpartition(":")[2])

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.origins.add(f"{request.url.scheme}://{request.url.host}")
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return super().handle_request(request)


@dataclass
class AtHome:
    """A client of the platform at its own address."""

    emulator: Emulator
    transport: _Forwarding
    http: httpx2.Client

    def client(self, **options: Any) -> onplan.Client:
        return onplan.Client(backend="openai", http_client=self.http, retry=ONCE, **options)


@pytest.fixture
def at_home(emulator: Emulator) -> Iterator[AtHome]:
    """The platform, reached at api.openai.com."""
    transport = _Forwarding(emulator)
    with httpx2.Client(transport=transport) as http:
        yield AtHome(emulator, transport, http)


def asked(emulator: Emulator) -> list[dict[str, Any]]:
    return [row for row in emulator.journal() if row["path"].startswith("/v1/") and row["method"] == "POST"]


def credentials_seen(emulator: Emulator) -> set[str | None]:
    """Fingerprints of all bearers that arrived anywhere."""
    seen = [row["headers"].get("authorization") for row in emulator.journal()]
    return {value.removeprefix("Bearer ") if value else None for value in seen}


def everything_about(error: BaseException) -> list[str]:
    """Its printed forms, its traceback, and the local variables of every frame of ours in it."""
    told = [repr(error), *traceback.format_exception(error)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).startswith("onplan."):
            told += [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
    return told


# --- answers -----------------------------------------------------------------------------------------


@over_http
def test_a_string_is_a_request(platform: Emulator, driver: Any, api: str) -> None:
    """A plain string is answered, with its text, usage, model and reason, over either api."""
    answer = driver().complete("hello there")

    assert answer.text == "You said: hello there"
    assert answer.finish_reason is FinishReason.STOP
    assert answer.model == "gpt-6.2-sol"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert answer.response_id
    expected = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}[api]
    assert [row["path"] for row in asked(platform)] == [expected]
    assert credentials_seen(platform) == {fingerprint(KEY)}


@over_http
def test_a_stream_ends_with_one_done(platform: Emulator, driver: Any, api: str) -> None:
    """Exactly one Done comes, last, and the joined deltas are the finished parts."""
    chunks = driver().chunks("hello there")

    assert [chunk.type for chunk in chunks].count("done") == 1
    assert chunks[-1].type == "done"
    joined = "".join(chunk.text for chunk in chunks if chunk.type == "text")
    assert joined == chunks[-1].response.text == "You said: hello there"
    parts = [chunk.part for chunk in chunks if chunk.type == "part_done"]
    assert parts == chunks[-1].response.message.content


@over_http
def test_parallel_calls_arrive_whole(platform: Emulator, driver: Any, api: str) -> None:
    """Two calls in one answer keep their own ids, names and complete arguments."""
    chunks = driver().chunks(CompletionRequest(messages="both?", tools=TOOLS))

    response = chunks[-1].response
    assert response.finish_reason is FinishReason.TOOL_CALLS
    assert [(call.name, call.parse_arguments()) for call in response.tool_calls] == WHOLE
    for call in response.tool_calls:
        mine = [chunk for chunk in chunks if getattr(chunk, "id", None) == call.id]
        assert mine[0] == onplan.ToolCallStart(call.id, call.name)
        assert mine[-1] == onplan.ToolCallEnd(call.id)
        assert "".join(chunk.arguments_delta for chunk in mine[1:-1]) == call.arguments


@over_http
def test_a_tool_round_trip(platform: Emulator, driver: Any, api: str) -> None:
    """Results of all calls go back, and the model goes on in text."""
    asker = driver()
    messages = [Message.system("Be brief."), Message.user("both?")]
    first = asker.complete(CompletionRequest(messages=messages, tools=TOOLS))
    results = [onplan.ToolResult(call.id, f"result of {call.name}") for call in first.tool_calls]
    messages += [first.message, Message("tool", results)]
    second = asker.complete(CompletionRequest(messages=messages, tools=TOOLS))

    assert second.finish_reason is FinishReason.STOP
    assert "result of first" in second.text
    assert "result of second" in second.text


@over_http
def test_an_answer_follows_a_schema(platform: Emulator, driver: Any, api: str) -> None:
    """With a response format the text is JSON of that schema."""
    schema = {
        "type": "object",
        "properties": {"bird": {"type": "string"}},
        "required": ["bird"],
        "additionalProperties": False,
    }
    answer = driver().complete(CompletionRequest(messages="a bird", response_format=schema))

    assert answer.text == '{"bird":"text"}'


@over_http
def test_images_are_read_and_accepted(platform: Emulator, driver: Any, api: str, tmp_path: Path) -> None:
    """Images by URL, as bytes and from a file reach a server that is strict about them."""
    pixel = Path(__file__).parent.parent / "pixel.png"
    images = [
        onplan.Image(url="https://example.com/a.png"),
        onplan.Image(data=pixel.read_bytes()),
        onplan.Image(path=str(pixel)),
    ]
    driver().complete(CompletionRequest(messages=[Message.user("look", *images)]))

    sent = str(asked(platform)[-1]["body"])
    assert sent.count(base64.b64encode(pixel.read_bytes()).decode()) == 2


@over_http
def test_what_this_server_takes_is_sent(platform: Emulator, driver: Any, api: str) -> None:
    """Sampling parameters are sent; what is not sent is listed, and nothing is both or neither."""
    given: dict[str, Any] = {
        "temperature": 0.0,
        "top_p": 0.5,
        "stop": "END",
        "metadata": {"a": "b"},
        "session_id": "s-1",
        "max_tokens": 100,
    }
    answer = driver().complete(CompletionRequest(messages="hi", model="gpt-4.1", **given))

    names = {"max_tokens": "max_tokens" if api == "chat" else "max_output_tokens"}
    body = asked(platform)[-1]["body"]
    sent = {name for name in given if names.get(name, name) in body}
    assert sorted([*sent, *answer.ignored_parameters, *answer.emulated_parameters]) == sorted(given)
    assert answer.emulated_parameters == {"chat": [], "responses": ["stop"]}[api]
    assert set(answer.ignored_parameters) == {"session_id", *(["metadata"] if api == "chat" else [])}


@over_http
def test_any_json_object_may_be_asked_for(platform: Emulator, driver: Any, api: str) -> None:
    """In the word that this API has for it."""
    answer = driver().complete("A bird", model="gpt-4.1", response_format={"type": "json_object"})

    body = asked(platform)[-1]["body"]
    assert isinstance(answer.parsed, dict)
    assert body.get("response_format", body.get("text", {}).get("format")) == {"type": "json_object"}


@over_http
@pytest.mark.parametrize(("model", "name"), [("gpt-4.1", "max_tokens"), ("gpt-5.5", "max_completion_tokens")])
def test_an_answer_is_cut_where_it_was_to_be(platform: Emulator, driver: Any, model: str, name: str) -> None:
    """The limit goes by the name that the model respects, and the cut is told by the finish reason."""
    answer = driver().complete(CompletionRequest(messages="one two three", model=model, max_tokens=2))

    assert answer.text == "You said:"
    assert answer.finish_reason is FinishReason.LENGTH
    assert asked(platform)[-1]["body"][name] == 2


@over_http
def test_the_models_are_the_servers(platform: Emulator, driver: Any) -> None:
    """Models come from the server; those that do not answer in text come last, and costs are not claimed."""
    models = [model.id for model in driver().models()]

    assert models[0] == "gpt-6.2-sol"
    assert models[-3:] == ["text-embedding-3-large", "whisper-1", "gpt-image-1"]
    assert driver().models()[0].input_cost_per_million is None


@over_http
def test_a_list_that_cannot_be_read_is_an_error(platform: Emulator, driver: Any) -> None:
    """There is no built-in list of somebody else's models."""
    with pytest.raises(onplan.UnexpectedReplyError):
        driver(base_url=f"{platform.urls['openai_base_url']}/sparkle").models()


@over_http
def test_the_wire_can_be_an_argument_or_in_the_profile(
    platform: Emulator, driver: Any, clean_environment: Path
) -> None:
    """The program says which API is spoken, or else the profile does."""
    clean_environment.mkdir(exist_ok=True)
    (clean_environment / "config.toml").write_text(
        '[profiles.default]\nbackend = "openai"\napi = "responses"\n'
    )
    driver().complete("hi")
    driver(api="chat").complete("hi")

    assert [row["path"] for row in asked(platform)] == ["/v1/responses", "/v1/chat/completions"]


# --- the platform at its own address -----------------------------------------------------------------


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_without_a_base_url_it_is_the_platform(at_home: AtHome, api: Any) -> None:
    """Everything goes to api.openai.com over TLS, in the platform's own dialect, which accepts it."""
    with at_home.client(api_key="sk-mine", api=api) as client:
        first = client.complete(
            CompletionRequest(messages=[Message.system("a " * 900), Message.user("hi")], max_tokens=50)
        )
        messages = [Message.system("a " * 900), Message.user("hi"), first.message, Message.user("more")]
        second = client.complete(CompletionRequest(messages=messages))
        plain = client.complete(
            CompletionRequest(messages="hi", model="gpt-4.1", temperature=0.1, max_tokens=50)
        )

    assert at_home.transport.origins == {"https://api.openai.com"}
    assert second.usage.cache_read_tokens > 0
    assert plain.text == "You said: hi"
    assert first.ignored_parameters == second.ignored_parameters == plain.ignored_parameters == []
    assert credentials_seen(at_home.emulator) == {fingerprint("sk-mine")}


def test_reasoning_is_carried_over_where_it_can_be(at_home: AtHome) -> None:
    """Over the Responses API what the model thought comes back sealed and goes with the next turn."""
    with at_home.client(api_key="sk-mine", api="responses") as client:
        first = client.complete(CompletionRequest(messages="hi", reasoning_summary="auto", model="gpt-5.5"))
        messages = [Message.user("hi"), first.message, Message.user("more")]
        client.complete(CompletionRequest(messages=messages, model="gpt-5.5"))

    items = asked(at_home.emulator)[-1]["body"]["input"]
    assert [item["type"] for item in items] == ["message", "reasoning", "message", "message"]
    assert asked(at_home.emulator)[-1]["body"]["store"] is False


def test_the_newest_model_for_text_is_the_default(at_home: AtHome) -> None:
    """The platform lists in no order; the newest that answers in text comes first."""
    with at_home.client(api_key="sk-mine") as client:
        models = [model.id for model in client.list_models()]

    assert (models[0], models[-1]) == ("gpt-6.2-sol", "gpt-image-1")


# --- which key ---------------------------------------------------------------------------------------


def keep(record: Record) -> None:
    """Put a record where the default profile has its own."""
    store = open_store(load_settings().store)
    loaded = store.load()
    store.save(record, loaded.version if loaded else None)


def plan_credentials(emulator: Emulator) -> onplan.OAuthCredentials:
    tokens = emulator.issue_tokens()
    return onplan.OAuthCredentials(
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        account_id="acct-emulated-0001",
        issuer=emulator.issuer,
    )


def test_the_platforms_key_is_the_arguments_then_the_environments_then_the_stores(
    at_home: AtHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the platform: what the program says, then OPENAI_API_KEY, then what is kept."""
    keep(Record(api_key="sk-kept"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    seen: list[set[str | None]] = []
    for options in ({"api_key": "sk-argument"}, {}, None):
        if options is None:
            monkeypatch.delenv("OPENAI_API_KEY")
        at_home.emulator.clear_journal()
        with at_home.client(**(options or {})) as client:
            client.complete("hi")
        seen.append(credentials_seen(at_home.emulator))

    assert seen == [{fingerprint(key)} for key in ("sk-argument", KEY, "sk-kept")]


@over_http
def test_a_key_kept_for_another_server_goes_before_the_platforms(platform: Emulator, driver: Any) -> None:
    """Elsewhere a key that is kept was given for that server, so the platform's is not sent there."""
    keep(Record(api_key="sk-kept"))
    driver().complete("hi")
    driver(api_key="sk-argument").complete("hi")

    assert credentials_seen(platform) == {fingerprint("sk-kept"), fingerprint("sk-argument")}


@over_http
def test_a_server_on_this_machine_needs_no_key(
    platform: Emulator, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key nothing is sent in its place, and the server decides."""
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(onplan.SignInAgainError, match="didn't provide an API key"):
        driver().models()

    assert credentials_seen(platform) == {None}


@over_http
@pytest.mark.parametrize("key", [None, "", " "])
def test_elsewhere_a_key_is_needed(emulator: Emulator, driver: Any, key: str | None) -> None:
    """Without a key nothing is sent to another machine, and the error says where one can be put."""
    with pytest.raises(onplan.NotSignedInError, match="no API key for openai") as caught:
        driver(backend="openai", base_url="https://llm.example.com/v1", api_key=key).complete("hi")

    assert "OPENAI_API_KEY" in caught.value.hint
    assert "login --backend openai --api-key" in caught.value.hint


@over_http
def test_a_key_is_trimmed(platform: Emulator, driver: Any) -> None:
    """White space around a key, as files have it, is none of it."""
    driver(api_key=" sk-mine\n").complete("hi")
    assert credentials_seen(platform) == {fingerprint("sk-mine")}


# --- a plan token is never sent there, an API key never to the plan ----------------------------------


@over_http
def test_a_sign_in_is_not_sent_to_a_platform(
    platform: Emulator, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that holds a plan's sign-in and no key: its token stays there."""
    monkeypatch.delenv("OPENAI_API_KEY")
    keep(Record(credentials=plan_credentials(platform)))
    with pytest.raises(onplan.SignInAgainError):
        driver().complete(CompletionRequest(messages="hi", model="gpt-5.5"))
    with pytest.raises(onplan.NotSignedInError):
        driver(base_url="https://llm.example.com/v1").complete("hi")

    assert credentials_seen(platform) == {None}
    assert [row["path"] for row in platform.journal()] == ["/v1/chat/completions"]


@over_http
def test_a_key_is_not_sent_to_the_plan(
    emulator: Emulator, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that holds a key and no sign-in, and a key in the environment: the plan sees neither."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    keep(Record(api_key="sk-kept"))
    with pytest.raises(onplan.NotSignedInError):
        driver().complete("hi")

    assert emulator.journal() == []


@over_http
def test_each_backend_takes_its_own(emulator: Emulator, driver: Any) -> None:
    """A record that holds both: each backend is sent the one that its row takes."""
    credentials = plan_credentials(emulator)
    keep(Record(credentials=credentials, api_key="sk-kept"))
    driver().complete("hi")
    at_plan = credentials_seen(emulator)
    emulator.clear_journal()
    driver(backend="openai", base_url=emulator.urls["openai_base_url"]).complete("hi")

    assert at_plan == {fingerprint(credentials.access_token)}
    assert credentials_seen(emulator) == {fingerprint("sk-kept")}


@over_http
def test_a_key_given_to_the_plan_is_an_error(emulator: Emulator, driver: Any) -> None:
    """``api_key=`` without the backend that it is for is told, instead of being taken for something else."""
    with pytest.raises(onplan.ConfigurationError, match="takes no API key") as caught:
        driver(api_key=KEY).complete("hi")

    assert 'backend="openai"' in caught.value.hint
    assert emulator.journal() == []
    assert not [line for line in everything_about(caught.value) if KEY in line]


@pytest.mark.parametrize(
    ("backend", "variable"),
    [("openai-codex", "ONPLAN_OPENAI_BASE_URL"), ("openai", "ONPLAN_CODEX_BASE_URL")],
)
def test_an_address_moves_its_own_backend_only(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, backend: str, variable: str
) -> None:
    """The variable that moves one backend leaves the other's credential where it was going."""
    for name in ("ONPLAN_OPENAI_BASE_URL", "ONPLAN_CODEX_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "https://stranger.example.com/v1")
    settings = load_settings(backend=backend)
    assert settings.base_url == settings.backend.base_url


def test_a_profiles_address_is_for_its_own_backend(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile of a local server, asked for with the plan's backend: the plan's token does not go there."""
    clean_environment.mkdir(exist_ok=True)
    (clean_environment / "config.toml").write_text(
        '[profiles.local]\nbackend = "openai"\nbase_url = "http://127.0.0.1:9/v1"\napi = "responses"\n'
    )
    local = load_settings(profile="local")
    assert (local.base_url, local.backend.api) == ("http://127.0.0.1:9/v1", "responses")
    codex = load_settings(profile="local", backend="openai-codex")
    assert codex.base_url == "https://chatgpt.com/backend-api/codex"
    with pytest.raises(onplan.ConfigurationError, match="could be read on its way"):
        onplan.Client(backend="openai", base_url="http://stranger.example.com/v1")


def test_a_client_of_a_platform_has_no_sign_in(platform: Emulator) -> None:
    """``credentials()`` is for sign-ins; it never gives a key away."""
    with (
        onplan.Client() as client,
        pytest.raises(onplan.ConfigurationError, match="takes an API key") as caught,
    ):
        client.credentials()
    assert KEY not in str(caught.value)


# --- failures ----------------------------------------------------------------------------------------


@dataclass
class Case:
    """A fault, and what it must come to: an error class, or None where the answer is whole all the same."""

    fault: str
    error: type[onplan.OnplanError] | None = None
    calls: int = 2
    thinking: str = ""


CASES = [
    Case("bad_gateway_502_html", onplan.ServerError),
    Case("cloudflare_1010", onplan.BlockedError),
    Case("cloudflare_empty_403", onplan.BlockedError),
    Case("ingress_503", onplan.ServerError),
    Case("cloudflare_403", onplan.BlockedError),
    Case("connection_reset", onplan.DisconnectError),
    Case("content_policy", onplan.ContentPolicyError),
    Case("context_length_exceeded", onplan.ContextLengthError),
    Case("context_size", onplan.ContextLengthError),
    Case("empty_500", onplan.ServerError),
    Case("error_string", onplan.InvalidRequestError),
    Case("error_flat", onplan.ModelNotAvailableError),
    Case("html_instead_of_json", onplan.UnexpectedReplyError),
    Case("insufficient_quota", onplan.UsageLimitError),
    Case("balance_402", onplan.NotIncludedError),
    Case("invalid_api_key", onplan.SignInAgainError),
    Case("forbidden_403", onplan.NotIncludedError),
    Case("invalid_image", onplan.InvalidImageError),
    Case("overloaded_503", onplan.OverloadedError),
    Case("rate_limited_429", onplan.RateLimitError),
    Case("rate_limited_429_bare", onplan.RateLimitError),
    Case("rate_limited_in_words", onplan.RateLimitError),
    Case("redirect_302", onplan.UnexpectedReplyError),
    Case("server_error_500", onplan.ServerError),
    Case("error_in_stream", onplan.OverloadedError),
    Case("error_after_text", onplan.OverloadedError),
    Case("error_flat_in_stream", onplan.InvalidRequestError),
    Case("no_finish_reason"),
    Case("eof", onplan.StreamTruncatedError),
    Case("cut", onplan.StreamTruncatedError),
    Case("garbage", onplan.StreamCorruptError),
    Case("finish_unknown", onplan.StreamFailedError),
    Case("finish_in_other_words"),
    Case("error_in_choice", onplan.OverloadedError),
    Case("error_of_groq", onplan.OverloadedError),
    Case("native_finish_reason", onplan.StreamFailedError),
    Case("billed_and_empty", onplan.StreamCorruptError),
    Case("slow_first_byte"),
    Case("missing_content_type"),
    Case("no_done"),
    Case("cut_after_end"),
    Case("open_after_end"),
    Case("unended"),
    Case("plain_json"),
    Case("no_usage"),
    Case("usage_in_every_chunk"),
    Case("index_missing"),
    Case("index_zero"),
    Case("index_zero_in_pieces"),
    Case("index_counts_pieces"),
    Case("ids_late"),
    Case("ids_absent"),
    Case("ids_new_every_time"),
    Case("index_in_text"),
    Case("ids_shared"),
    Case("calls_repeated"),
    Case("calls_repeated_at_other_indices"),
    Case("arguments_repeated"),
    Case("arguments_placeholder"),
    Case("whole_message"),
    Case("thought_signature"),
    Case("calls_whole"),
    Case("calls_whole_without_ids"),
    Case("calls_interleaved"),
    Case("names_split"),
    Case("names_repeated"),
    Case("names_everywhere"),
    Case("arguments_null"),
    Case("arguments_object"),
    Case("stop_with_calls"),
    Case("function_call", calls=1),
    Case("reasoning_content", thinking="Let me think."),
    Case("reasoning", thinking="Let me think."),
    Case("reasoning_details", thinking="Let me think."),
    Case("nulls"),
    Case("comments"),
    Case("crlf_lines"),
    Case("split_writes"),
]
# Told apart by tests of their own.
ELSEWHERE = {"content_parts", "finish_content_filter", "finish_length", "refusal", "stall"}


@over_http
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_a_fault_is_an_error_or_no_matter(platform: Emulator, driver: Any, case: Case) -> None:
    """A fault ends in its own error, after one request, or the answer is whole: all calls, all arguments."""
    platform.arm(f"chat_{case.fault}", times=1, seconds=0.01 if case.fault == "slow_first_byte" else None)
    asker = driver(retry=ONCE)
    request = CompletionRequest(messages="hi é ☃", model="gpt-5.5", tools=TOOLS)

    if case.error:
        with pytest.raises(onplan.OnplanError) as caught:
            asker.complete(request)
        assert case.error is type(caught.value)
        assert "ChatGPT" not in f"{caught.value} {caught.value.hint}"
        assert "chatgpt.com" not in caught.value.hint
    else:
        chunks = asker.chunks(request)
        response = chunks[-1].response
        assert [(call.name, call.parse_arguments()) for call in response.tool_calls] == WHOLE[: case.calls]
        assert response.finish_reason is FinishReason.TOOL_CALLS
        assert len({call.id for call in response.tool_calls}) == case.calls
        assert "".join(chunk.text for chunk in chunks if chunk.type == "thinking") == case.thinking
    assert len(asked(platform)) == 1


def test_no_fault_of_the_platform_is_without_a_case() -> None:
    """The table above knows every fault that the emulator has for completions."""
    names = {name.removeprefix("chat_") for name in FAULTS if name.startswith("chat_")}
    assert names == {case.fault for case in CASES} | ELSEWHERE


@over_http
def test_content_in_parts_is_text(platform: Emulator, driver: Any) -> None:
    """A server that sends its text as a list of parts is understood."""
    platform.arm("chat_content_parts")
    assert driver().complete("hello there").text == "You said: hello there"


@over_http
@pytest.mark.parametrize(
    ("fault", "reason"),
    [("finish_length", FinishReason.LENGTH), ("finish_content_filter", FinishReason.CONTENT_FILTER)],
)
def test_an_answer_that_was_cut_says_so(platform: Emulator, driver: Any, fault: str, reason: Any) -> None:
    """Limits and filters end in their own finish reason, with what there is of the answer."""
    platform.arm(f"chat_{fault}")
    answer = driver().complete("one two")

    assert (answer.finish_reason, answer.text) == (reason, "You said: one two")


@over_http
def test_a_refusal_is_no_answer(platform: Emulator, driver: Any) -> None:
    """A refusal is a part of its own, not text, and the finish reason tells it."""
    platform.arm("chat_refusal")
    chunks = driver().chunks("hi")

    response = chunks[-1].response
    assert response.finish_reason is FinishReason.CONTENT_FILTER
    assert response.text == ""
    assert response.message.content[-1].type == "refusal"
    assert "text" not in {chunk.type for chunk in chunks}


@over_http
def test_silence_is_given_up(platform: Emulator, driver: Any) -> None:
    """A stream that stalls ends in an error after the idle timeout."""
    platform.arm("chat_stall")
    with pytest.raises(onplan.IdleTimeoutError):
        driver(timeout=Timeouts(idle=0.3), retry=ONCE).complete("hi")


@over_http
@pytest.mark.parametrize("fault", ["error_after_text", "eof", "cut"])
def test_after_the_first_chunk_nothing_is_asked_again(platform: Emulator, driver: Any, fault: str) -> None:
    """What the program has seen is not asked again."""
    platform.arm(f"chat_{fault}", times=9)
    seen: list[onplan.StreamChunk] = []
    with pytest.raises(onplan.OnplanError):
        driver().chunks(CompletionRequest(messages="one two three", model="gpt-5.5"), seen)

    assert seen if fault != "cut" else True
    assert "done" not in {chunk.type for chunk in seen}
    assert len(asked(platform)) == 1 or not seen


@over_http
@pytest.mark.parametrize(
    "fault",
    [
        "server_error_500",
        "overloaded_503",
        "connection_reset",
        "error_in_stream",
        "rate_limited_in_words",
        "rate_limited_429_bare",
    ],
)
def test_passing_troubles_are_waited_out(platform: Emulator, driver: Any, fault: str) -> None:
    """Before the first chunk, what may pass is asked again."""
    platform.arm(f"chat_{fault}", times=2)
    answer = driver(retry=FAST).complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    assert answer.text == "You said: hi"
    assert len(asked(platform)) == 3


@over_http
@pytest.mark.parametrize("fault", ["insufficient_quota", "balance_402", "forbidden_403"])
def test_what_does_not_pass_is_asked_once(platform: Emulator, driver: Any, fault: str) -> None:
    """Used-up credits, and what is not permitted, are not hammered."""
    platform.arm(f"chat_{fault}", times=9)
    with pytest.raises(onplan.LimitError) as caught:
        driver(retry=FAST).complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    assert len(asked(platform)) == 1
    assert "chatgpt.com" not in caught.value.hint


@over_http
def test_a_refused_key_is_told_and_never_refreshed(platform: Emulator, driver: Any) -> None:
    """401: one request, no refresh, whatever else a store holds; the hint names the variable."""
    keep(Record(credentials=plan_credentials(platform)))
    with pytest.raises(onplan.SignInAgainError) as caught:
        driver(api_key="not-one-of-theirs").complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    error = caught.value
    assert [row["path"] for row in platform.journal()] == ["/v1/chat/completions"]
    assert "OPENAI_API_KEY" in error.hint
    assert (error.status_code, bool(error.request_id)) == (401, True)
    assert "not-one-of-theirs" not in f"{error} {error.hint} {error.to_dict()}"


@over_http
def test_a_model_that_is_not_there_is_told(platform: Emulator, driver: Any, api: str) -> None:
    """404 model_not_found is about the model, over either api."""
    with pytest.raises(onplan.ModelNotAvailableError, match="sparkle"):
        driver().complete(CompletionRequest(messages="hi", model="sparkle"))


@over_http
@pytest.mark.parametrize(
    "fault", ["server_error_500", "cut", "garbage", "invalid_api_key", "connection_reset"]
)
def test_no_failure_shows_the_key(platform: Emulator, driver: Any, fault: str) -> None:
    """Whatever fails: neither the error, nor its traceback, nor our frames' variables show the key."""
    platform.arm(f"chat_{fault}", times=9)
    with pytest.raises(onplan.OnplanError) as caught:
        driver(retry=ONCE).complete(CompletionRequest(messages="hi", model="gpt-5.5"))

    assert not [line for line in everything_about(caught.value) if KEY in line]


# --- a server that nobody configured -----------------------------------------------------------------


@over_http
def test_a_local_server_without_a_key(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL is all it takes for a server on this machine that wants no key: the first model is used."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    heard: list[Any] = []

    class Small(BaseHTTPRequestHandler):
        def log_message(self, *details: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._say(b'{"object":"list","data":[{"id":"llama3.1:8b","object":"model"}]}')

        def do_POST(self) -> None:
            heard.append(
                (self.headers.get("authorization"), self.rfile.read(int(self.headers["content-length"])))
            )
            choice = b'{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
            self._say(choice)

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Small) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        answer = driver(backend="openai", base_url=f"http://127.0.0.1:{server.server_port}/v1").complete(
            "hello"
        )
        server.shutdown()

    assert (answer.text, answer.model) == ("Hi", "llama3.1:8b")
    ((authorization, body),) = heard
    assert authorization is None
    assert b'"model":"llama3.1:8b"' in body
