"""Other people's SDKs, as they are released, as clients of ``onplan serve``.

Their environment leads them to the server, or the setting that each has for it. Each is one process for all
its rows. The faults are the emulator's, behind the server: what can be mended is mended unseen, and what
cannot arrives as the SDK's own error, never as an end that could be taken for success.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .served import PEERS, served
from .strangers import Raised, Row, Steps, check, short_name

PYTHON, NODE_FOLDER = os.environ.get("SDKS_PYTHON"), os.environ.get("NODE_SDKS")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not PYTHON or not NODE_FOLDER,
        reason="SDKS_PYTHON and NODE_SDKS do not name the SDKs; run `make interop`",
    ),
]

HI, BIRD, SEVEN = "You said: hi", {"name": "text", "wings": 0}, "count returned: seven of text"
BOTH = "count returned: seven count\nlocate returned: seven locate"
ARGUMENTS = {"species": "text"}
USED = [11, 35, 32, 46]  # input, output, thereof reasoning, in total
ASKED, FAILED = "responses 200", "responses 500"
LIMITED = "responses 429"
REFRESHED = ["responses 401", "token 200", ASKED]
# What an SDK raises when the usage limit of the plan is reached: once, for it is told not to ask again.
USAGE_LIMIT = ["RateLimitError", 429, "usage_limit_reached", True]
LENGTH = ["BadRequestError", 400, "context_length_exceeded", True]
POLICY = ["BadRequestError", 400, "content_filter", True]
NO_MODEL = ["NotFoundError", 404, "model_not_found", True]
WRONG_KEY = ["AuthenticationError", 401, "invalid_api_key", True]


class Client(NamedTuple):
    """Whose table it is, and the program."""

    name: str
    program: str


OPENAI_PYTHON = [
    Row("responses.create", [HI, "completed", "gpt-5.5", "Be brief.", USED], [ASKED]),
    Row(
        "responses.create, streaming",
        [HI, True, True, ["response.created", "response.completed", HI, USED]],
        [ASKED],
    ),
    Row("responses.stream", [HI, True, "**Reading the request**", USED], [ASKED]),
    Row("responses.parse", BIRD, [ASKED]),
    Row("responses, an image", HI, [ASKED]),
    Row("responses, ignored parameters", [HI, "temperature, user"], [ASKED]),
    Row("responses, max_output_tokens", ["incomplete", "max_output_tokens", 2], [ASKED]),
    Row(
        "responses, tools and previous_response_id",
        [
            [[name, '{"species":"text"}', "completed"] for name in ("count", "locate")],
            BOTH,
            True,
        ],
        [ASKED, ASKED],
    ),
    Row("responses, tools in a stream", [[ARGUMENTS, ARGUMENTS], BOTH], [ASKED, ASKED]),
    Row("responses.retrieve, input_items, delete", [HI, ["hi"]], [ASKED]),
    Row("responses.retrieve, what was deleted", ["NotFoundError", 404, "response_not_found", True], []),
    Row(
        "responses, an unknown previous_response_id",
        ["BadRequestError", 400, "previous_response_not_found", True],
        [],
    ),
    Row("responses.connect", [["count", "locate"], BOTH, "You said: and now?"], [ASKED] * 3),
    Row(
        "responses.connect, refusals",
        [[[400, "previous_response_not_found"], [429, "usage_limit_reached"]], HI],
        [LIMITED, ASKED],
    ),
    Row("chat.create", [HI, "stop", "gpt-5.5", USED], [ASKED]),
    Row("chat.create, streaming", [HI, True, ["stop"], True, USED], [ASKED]),
    Row(
        "chat, tools in a stream",
        [[["count", ARGUMENTS], ["locate", ARGUMENTS]], "tool_calls", [BOTH, "stop"]],
        [ASKED, ASKED],
    ),
    Row("chat, one tool required", [[["locate", '{"species":"text"}']], "tool_calls", None], [ASKED]),
    Row("chat.parse", BIRD, [ASKED]),
    Row("chat, stop", ["You said: one ", "stop", "stop"], [ASKED]),
    Row("chat.parse, max_completion_tokens", Raised("LengthFinishReasonError"), [ASKED]),
    Row("models", [True, "gpt-5.5"], []),
    Row("images.generate", "PNG", ["generations 200"]),
    Row("images.edit", "PNG", ["edits 200"]),
    Row("what a plan has not", ["NotFoundError", 404, "unknown_url", True], []),
    *[
        Row(f"{fault}, {api}", expected, [upstream])
        for fault, expected, upstream in (
            ("usage_limit_429", USAGE_LIMIT, LIMITED),
            ("usage_limit_in_stream", USAGE_LIMIT, ASKED),
            ("context_length_exceeded", LENGTH, "responses 400"),
            ("content_policy", POLICY, "responses 400"),
        )
        for api in ("responses", "chat", "chat, streaming")
    ],
    Row("a wrong key", WRONG_KEY, []),
    Row("an unknown model, responses", NO_MODEL, ["responses 400"]),
    Row("an unknown model, chat", NO_MODEL, ["responses 400"]),
    Row("an unknown model, models", NO_MODEL, []),
]
for _fault in ("eof_without_terminal", "response_failed_after_text"):
    OPENAI_PYTHON += [
        Row(f"{_fault}, chat", Raised("APIError"), [ASKED]),
        Row(f"{_fault}, responses.create", Raised("APIError"), [ASKED]),
        Row(f"{_fault}, responses.stream", Raised("APIError"), [ASKED]),
        Row(f"{_fault}, not streaming", ["InternalServerError", 502, "upstream_error", True], [ASKED]),
    ]
OPENAI_PYTHON += [
    Row("overloaded_in_stream, responses", [1, HI], [ASKED, ASKED]),
    Row("overloaded_in_stream, chat", HI, [ASKED, ASKED]),
    Row("server_error_500, responses", [1, HI], [FAILED, ASKED]),
    Row("server_error_500, chat", HI, [FAILED, ASKED]),
    Row("an expired token", HI, REFRESHED),
    Row("empty output in the terminal event", [HI, HI, HI], [ASKED] * 3),
    Row("AsyncOpenAI, eight at once", True, [ASKED] * 8),
]
OPENAI_NODE = [
    Row("responses.create", [HI, "completed", "gpt-5.5", "Be brief.", USED], [ASKED]),
    Row(
        "responses.create, streaming",
        [HI, True, True, ["response.created", "response.completed", HI, USED]],
        [ASKED],
    ),
    Row("responses.stream", [HI, "completed", "response.completed", USED], [ASKED]),
    Row("responses.parse", BIRD, [ASKED]),
    Row(
        "responses, tools and previous_response_id",
        [[[name, '{"species":"text"}', "completed"] for name in ("count", "locate")], BOTH],
        [ASKED, ASKED],
    ),
    Row("responses.retrieve, input_items, delete", [HI, ["hi"], ["NotFoundError", 404]], [ASKED]),
    Row("ResponsesWS", [["count", "locate"], BOTH], [ASKED, ASKED]),
    Row("chat.create", [HI, "stop", "gpt-5.5", USED], [ASKED]),
    Row("chat.create, streaming", [HI, ["stop"], USED], [ASKED]),
    Row(
        "chat.stream, tools",
        [[["function", name, '{"species":"text"}'] for name in ("count", "locate")], "tool_calls", BOTH],
        [ASKED, ASKED],
    ),
    Row("chat.runTools", "count returned: 7 text", [ASKED, ASKED]),
    Row("chat.parse", BIRD, [ASKED]),
    Row("models", [True, "gpt-5.5"], []),
    Row("images.generate", "PNG", ["generations 200"]),
    Row("images.edit", "PNG", ["generations 200", "edits 200"]),
]
for _api in ("responses", "chat"):
    OPENAI_NODE += [
        Row(f"a usage limit, {_api}", USAGE_LIMIT, [LIMITED]),
        Row(f"an unknown model, {_api}", NO_MODEL, ["responses 400"]),
    ]
OPENAI_NODE += [
    Row("a wrong key", WRONG_KEY, []),
    Row("overloaded inside a 200, chat", HI, [ASKED, ASKED]),
    Row("overloaded inside a 200, responses", HI, [ASKED, ASKED]),
]
for _fault in ("response_failed_after_text", "eof_without_terminal"):
    OPENAI_NODE += [
        Row(f"{_fault}, {how}", Raised("APIError"), [ASKED])
        for how in ("chat", "chat.stream", "responses", "responses.stream")
    ]
OPENAI_NODE.append(Row("an expired token", HI, REFRESHED))

AI_SDK = []
for _api in ("responses", "chat", "compatible"):
    AI_SDK += [
        Row(f"generateText, {_api}", [HI, "stop", USED], [ASKED]),
        Row(f"streamText, {_api}", [HI, True, "stop", USED, []], [ASKED]),
        Row(f"generateText with tools, {_api}", [["tool-calls", "stop"], SEVEN], [ASKED, ASKED]),
        Row(
            f"streamText with tools, {_api}",
            [[["count", ARGUMENTS]], SEVEN, "stop", []],
            [ASKED, ASKED],
        ),
        Row(f"Output.object, {_api}", BIRD, [ASKED]),
        Row(f"overloaded inside a 200, {_api}", [HI, []], [ASKED, ASKED]),
        Row(f"a usage limit, {_api}", Raised("APICallError", "usage limit"), [LIMITED]),
        Row(f"response_failed_after_text, {_api}", ["error", True], [ASKED]),
        Row(f"eof_without_terminal, {_api}", ["error", True], [ASKED]),
    ]
AI_SDK += [
    Row("reasoning, responses", ["**Reading the request**", SEVEN], [ASKED, ASKED]),
    Row("reasoning, compatible", [True, HI], [ASKED]),
    Row("an expired token", HI, REFRESHED),
]

LANGCHAIN = []
for _api in ("chat", "responses"):
    LANGCHAIN += [
        Row(f"invoke, {_api}", [HI, USED], [ASKED]),
        Row(f"stream, {_api}", [HI, True, USED], [ASKED]),
        Row(f"bind_tools, {_api}", ["count", ARGUMENTS, SEVEN], [ASKED, ASKED]),
        Row(f"bind_tools in a stream, {_api}", [["count", ARGUMENTS]], [ASKED]),
        Row(f"with_structured_output, {_api}", BIRD, [ASKED]),
        Row(f"ainvoke, four at once, {_api}", [f"You said: number {n}" for n in range(4)], [ASKED] * 4),
        Row(f"overloaded inside a 200, {_api}", HI, [ASKED, ASKED]),
        Row(f"a usage limit, {_api}", Raised("OpenAIRateLimitError", "usage limit"), [LIMITED]),
        Row(
            f"a usage limit, in a stream, {_api}",
            Raised("OpenAIRateLimitError", "usage limit"),
            [LIMITED],
        ),
        Row(f"a stream that breaks, {_api}", Raised("APIError"), [ASKED]),
        Row(f"a stream that ends early, {_api}", Raised("APIError"), [ASKED]),
    ]
LANGCHAIN += [
    Row("previous_response_id", "count returned: seven", [ASKED, ASKED]),
    Row("an expired token", HI, REFRESHED),
]

PYDANTIC_AI = []
for _api in ("chat", "responses"):
    PYDANTIC_AI += [
        Row(f"run, {_api}", [HI, USED[:3]], [ASKED]),
        Row(f"run_stream, {_api}", [HI, True, USED[:3]], [ASKED]),
        Row(f"calls a tool, {_api}", SEVEN, [ASKED, ASKED]),
        Row(f"goes on with the history, {_api}", "You said: and now?", [ASKED]),
        Row(f"calls a tool in a stream, {_api}", SEVEN, [ASKED, ASKED]),
        Row(f"typed output by a tool, {_api}", BIRD, [ASKED]),
        Row(f"typed output by a schema, {_api}", BIRD, [ASKED]),
        Row(f"overloaded inside a 200, {_api}", HI, [ASKED, ASKED]),
        Row(f"a usage limit, {_api}", Raised("ModelRateLimitError", "usage_limit_reached"), [LIMITED]),
        Row(f"a stream that breaks, {_api}", Raised("ModelServerError", "upstream_error"), [ASKED]),
        Row(f"a stream that ends early, {_api}", Raised("ModelServerError", "upstream_error"), [ASKED]),
    ]
PYDANTIC_AI.append(Row("an expired token", HI, REFRESHED))

LLM = []
for _api in ("responses", "chat"):
    LLM += [
        Row(f"prompt, {_api}", HI, [ASKED]),
        Row(f"prompt, not streaming, {_api}", HI, [ASKED]),
        Row(f"goes on, {_api}", "You said: and now?", [ASKED]),
        Row(f"calls a tool, {_api}", SEVEN, [ASKED, ASKED]),
        Row(f"schema, {_api}", '{"name":"text"}', [ASKED]),
        Row(f"overloaded inside a 200, {_api}", HI, [ASKED, ASKED]),
        Row(f"a usage limit, {_api}", Raised("ClickException", "usage limit"), [LIMITED]),
        Row(f"a stream that breaks, {_api}", Raised("ClickException"), [ASKED]),
        Row(f"a stream that ends early, {_api}", Raised("ClickException"), [ASKED]),
    ]
LLM.append(Row("an expired token", HI, REFRESHED))

AGENTS_SDK = []
for _api in ("responses", "chat"):
    # It asks for no thinking by itself, which the model refuses; the server asks for a little from then on.
    _first, _used = (["responses 400", ASKED], [11, 19]) if _api == "responses" else ([ASKED], USED[:2])
    AGENTS_SDK += [
        Row(f"Runner.run, {_api}", [HI, _used], _first),
        Row(f"run_streamed, {_api}", [HI, True], [ASKED]),
        Row(f"a tool, {_api}", SEVEN, [ASKED, ASKED]),
        Row(f"a tool in a stream, {_api}", [SEVEN, True], [ASKED, ASKED]),
        Row(f"goes on with the history, {_api}", "You said: and now?", [ASKED]),
        Row(f"a session, {_api}", "You said: and now?", [ASKED, ASKED]),
        Row(f"typed output, {_api}", BIRD, [ASKED]),
        Row(f"a handoff, {_api}", "plain", [ASKED, ASKED]),
        Row(f"a usage limit, {_api}", Raised("RateLimitError", "usage limit"), [LIMITED]),
        Row(f"a stream that breaks, {_api}", Raised("APIError"), [ASKED]),
    ]
AGENTS_SDK.append(Row("previous_response_id", SEVEN, [ASKED, ASKED]))

CLIENTS = {
    Client("openai-python", "served_openai.py"): OPENAI_PYTHON,
    Client("openai-node", "served_openai.mjs"): OPENAI_NODE,
    Client("Vercel AI SDK", "served_ai_sdk.mjs"): AI_SDK,
    Client("LangChain, ChatOpenAI", "served_langchain.py"): LANGCHAIN,
    Client("pydantic-ai, OpenAI", "served_pydantic.py"): PYDANTIC_AI,
    Client("OpenAI Agents SDK", "served_agents_sdk.py"): AGENTS_SDK,
    Client("llm", "served_llm.py"): LLM,
}


def command(program: str, folder: Path) -> list[str | Path]:
    """How it is run. A program for Node finds its packages in the folder beside it."""
    if program.endswith(".py"):
        return [str(PYTHON), PEERS / program]
    for source in PEERS.glob("*.mjs"):
        shutil.copy(source, folder)
    packages = Path(str(NODE_FOLDER)) / "node_modules"
    (folder / "node_modules").symlink_to(packages)
    return [packages / ".bin" / "node", folder / program]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Steps]:
    """What a client did; it does it once."""
    known: dict[str, Steps] = {}

    def found(program: str) -> Steps:
        if program not in known:
            folder = tmp_path_factory.mktemp("served")
            with served(folder) as server:
                own = {"LLM_USER_PATH": str(folder / "llm")}
                known[program] = server.steps(*command(program, folder), **own)
        return known[program]

    return found


def upstream_name(request: dict[str, Any]) -> str | None:
    """A request of the server's: over which transport it asks, and when for the models, is its own affair."""
    name = short_name(request).replace("message", "responses")
    return None if name in ("models 200", "upgrade 101") else name


ROWS = [
    pytest.param(
        client.program,
        row,
        marks=pytest.mark.stranger(f"{client.name} at serve", row.what),
        id=f"{client.name}: {row.what}",
    )
    for client, rows in CLIENTS.items()
    for row in rows
]


@pytest.mark.parametrize(("program", "row"), ROWS)
def test_a_client_finds_what_it_expects(steps: Callable[[str], Steps], program: str, row: Row) -> None:
    """Its user gets what the row expects, after exactly these requests to the backend."""
    check(steps(program)[row.what], row, upstream_name)


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_step_has_its_row(steps: Callable[[str], Steps], client: Client) -> None:
    """What a client does without being judged proves nothing."""
    assert list(steps(client.program)) == [row.what for row in CLIENTS[client]]
