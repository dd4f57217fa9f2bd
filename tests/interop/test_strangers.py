"""Other people's Codex clients against the emulator: each judges how faithful it is.

They are as they are released. Their own settings point them at the emulator; where an address is fixed in
one, the network below it leads there. Each is one process for all its rows, for importing one takes seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator, Options

from ..conftest import browser_lock
from .strangers import Raised, Row, Steps, check

PYTHON = os.environ.get("STRANGERS_PYTHON")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        not PYTHON, reason="STRANGERS_PYTHON names no Python with the strangers; run `make interop`"
    ),
]

HI, BIRD, SEVEN = "You said: hi", {"name": "text", "wings": 0}, "count returned: seven of text"
STREAMED = [HI, True]  # and in more than one piece
ASKED = "responses 200"
UPGRADED, SENT = "upgrade 101", "message 200"  # over WebSocket
REFRESHED = ["responses 401", "token 200", ASKED]
REFUSED = ["responses 401", "token 401"]


STRANGERS: dict[str, tuple[str, list[Row]]] = {
    "pydantic-ai, Codex": (
        "pydantic_codex.py",
        [
            Row("reads the CLI's auth.json", HI, [ASKED]),
            Row("signs in by browser", "acct-emulated-0001", ["authorize 302", "token 200"]),
            Row("refreshes an aged token", [HI, 1], ["token 200", ASKED]),
            Row("refreshes after a 401", [HI, 2], REFRESHED),
            Row("streams", STREAMED, [ASKED]),
            Row("calls a tool", SEVEN, [ASKED, ASKED]),
            Row("goes on with the history", SEVEN, [ASKED, ASKED]),
            Row("typed output by a tool", BIRD, [ASKED]),
            Row("typed output by a schema", BIRD, [ASKED]),
            Row("settings of the platform are left out", HI, [ASKED]),
            # A limit is one that it waits for, as for any 429.
            Row("a usage limit", Raised("ModelRateLimitError", "usage_limit_reached"), ["responses 429"] * 3),
            Row("a refresh that is refused", Raised("CredentialsRefreshError", "sign in again"), REFUSED),
        ],
    ),
    "pydantic-ai, ChatGPT": (
        "pydantic_chatgpt.py",
        [
            Row("registers and signs in", [True, True], ["authorize 302", "token 200"]),
            Row("signs in again, known by its ID token", True, ["authorize 302", "token 200"]),
            Row("refreshes an aged token", HI, ["token 200", ASKED]),
            Row("streams", STREAMED, [ASKED]),
            Row("calls a tool", SEVEN, [ASKED, ASKED]),
            Row("typed output by a schema", BIRD, [ASKED]),
            Row("refreshes after a 401", HI, REFRESHED),
            Row("declined plan usage", False, ["authorize 302", "token 200"]),
            Row(
                "a usage limit",
                Raised("ModelRateLimitError", "usage_limit_reached"),
                ["authorize 302", "token 200", *["responses 429"] * 3],
            ),
        ],
    ),
    "LiteLLM, chatgpt/": (
        "litellm_chatgpt.py",
        [
            Row(
                "signs in by device code and completes",
                HI,
                ["usercode 200", "token 403", "token 200", "token 200", ASKED],
            ),
            Row("refreshes an aged token", HI, ["token 200", ASKED]),
            Row("streams", STREAMED, [ASKED]),
            Row("streams in a loop", HI, [ASKED]),
            Row("system message", HI, [ASKED]),
            Row("calls a tool", [{"species": "text"}, "count returned: seven"], [ASKED, ASKED]),
            Row("calls a tool in a stream", [{"species": "text"}, "count returned: seven"], [ASKED, ASKED]),
            Row("typed output", BIRD, [ASKED]),
            Row("responses", HI, [ASKED]),
            Row("responses in a stream", [HI, "response.completed"], [ASKED]),
            # It sends what the backend does not take (protocol notes, section 16).
            Row("max_tokens", Raised("BadRequestError", "parameter: max_output_tokens"), ["responses 400"]),
            Row("a usage limit", Raised("RateLimitError", "usage_limit_reached"), ["responses 429"]),
            # It refreshes by the clock alone.
            Row("a 401", Raised("AuthenticationError", "Unauthorized"), ["responses 401"]),
        ],
    ),
    "gpt-codex-client": (
        "gpt_codex.py",
        [
            Row("signs in by browser and completes", HI, ["authorize 302", "token 200", ASKED]),
            Row("refreshes an aged token", HI, ["token 200", ASKED]),
            Row("streams over sse", STREAMED, [ASKED]),
            Row("calls a tool over sse", "count returned: seven", [ASKED, ASKED]),
            Row("streams over websocket", STREAMED, [UPGRADED, SENT]),
            Row("calls a tool over websocket", "count returned: seven", [UPGRADED, SENT, SENT]),
            Row("chat completions", [HI, HI], [ASKED, ASKED]),
            Row("typed output", BIRD, [ASKED]),
            # It looks for the words in `code`, and they stand in `type`.
            Row("a usage limit", Raised("RateLimitError", "usage limit"), ["responses 429"] * 3),
            Row("an unknown model", Raised("InvalidRequestError", "not supported"), ["responses 400"]),
            # It refreshes by the clock alone.
            Row("a 401", Raised("AuthError", "Unauthorized"), ["responses 401"]),
        ],
    ),
    "codex-auth-helper": (
        "codex_helper.py",
        [
            Row("completes over WebSocket", [HI, "websocket"], [UPGRADED, SENT]),
            Row("streams over WebSocket", STREAMED, [UPGRADED, SENT]),
            Row("calls a tool over one WebSocket", SEVEN, [UPGRADED, SENT, SENT]),
            Row("typed output over WebSocket", BIRD, [UPGRADED, SENT]),
            Row("falls back to SSE", [HI, True], ["upgrade 426", ASKED]),
            Row("Responses Lite over SSE", HI, [ASKED]),
            Row(
                "refreshes after a 401 to the upgrade",
                HI,
                ["upgrade 401", "token 200", UPGRADED, SENT],
            ),
            # It says of an error message that there was one, and no more.
            Row(
                "a usage limit",
                Raised("CodexResponsesProtocolError", "error event"),
                [UPGRADED, "message 429"],
            ),
            Row(
                "a refresh that is refused",
                Raised("CodexResponsesConnectionError"),
                ["upgrade 401", "token 401"],
            ),
        ],
    ),
    "langchain-codex-plus": (
        "langchain_codex.py",
        [
            Row("completes", [HI, True], [ASKED]),
            Row("reads the limits", [12.5, 34.0], []),
            Row("streams", STREAMED, [ASKED]),
            Row("streams in a loop", STREAMED, [ASKED]),
            Row("calls a tool", SEVEN, [ASKED, ASKED]),
            Row("typed output", BIRD, [ASKED]),
            Row("stops at a word", "You said: one ", [ASKED]),
            Row("refreshes after a 401", HI, REFRESHED),
            Row("a usage limit", Raised("CodexResponseError", "usage limit"), ["responses 429"]),
            Row(
                "an effort that the model has not",
                Raised("CodexResponseError", "'none' is not supported"),
                ["responses 400"],
            ),
            Row("a refresh that is refused", Raised("CodexAuthRefreshError", "401"), REFUSED),
        ],
    ),
}
# It comes back to a port that other tests sign in at, too.
WITH_BROWSER = "pydantic_codex.py"


def run(peer: str, folder: Path) -> Steps:
    """All that a stranger does, in an environment that knows nothing of this machine's user."""
    options = Options(codex_home=folder / "codex", codex_auth=True, public_url="https://auth.openai.com")
    lock = browser_lock() if peer == WITH_BROWSER else nullcontext()
    with lock, Emulator(options) as emulator:
        urls = (emulator.issuer, emulator.codex_base_url, emulator.plan_base_url)
        done = subprocess.run(
            [str(PYTHON), Path(__file__).parent / "peers" / peer, *urls, folder],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)},
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Steps]:
    """What a stranger did; it does it once."""
    known: dict[str, Steps] = {}

    def found(peer: str) -> Steps:
        if peer not in known:
            known[peer] = run(peer, tmp_path_factory.mktemp("stranger"))
        return known[peer]

    return found


ROWS = [
    pytest.param(peer, row, marks=pytest.mark.stranger(name, row.what), id=f"{name}: {row.what}")
    for name, (peer, rows) in STRANGERS.items()
    for row in rows
]


@pytest.mark.parametrize(("peer", "row"), ROWS)
def test_a_stranger_finds_what_it_expects(steps: Callable[[str], Steps], peer: str, row: Row) -> None:
    """Its user gets the result or the error, after exactly the requests, that the row expects."""
    check(steps(peer)[row.what], row)


@pytest.mark.parametrize("peer", [peer for peer, _ in STRANGERS.values()])
def test_every_step_has_its_row(steps: Callable[[str], Steps], peer: str) -> None:
    """What a stranger does without being judged proves nothing."""
    (rows,) = (rows for other, rows in STRANGERS.values() if other == peer)
    assert list(steps(peer)) == [row.what for row in rows]


def bodies(steps: Callable[[str], Steps], peer: str, what: str) -> list[dict[str, Any]]:
    """Of the turns of a step."""
    requests = steps(peer)[what]["requests"]
    return [row["body"] for row in requests if row["method"] == "POST" and row["path"].endswith("/responses")]


def test_a_turn_goes_on_over_one_websocket(steps: Callable[[str], Steps]) -> None:
    """The second message names the first answer and carries the call's output alone."""
    first, second = bodies(steps, "gpt_codex.py", "calls a tool over websocket")
    assert "previous_response_id" not in first
    assert second["previous_response_id"].startswith("resp_")
    assert [item["type"] for item in second["input"]] == ["function_call_output"]


@pytest.mark.parametrize(
    ("peer", "what"),
    [
        ("pydantic_codex.py", "goes on with the history"),
        ("gpt_codex.py", "calls a tool over sse"),
        # pydantic-ai 2.68.0 sends the whole history even where the helper would let it go on.
        ("codex_helper.py", "calls a tool over one WebSocket"),
    ],
)
def test_what_was_thought_comes_back_sealed(steps: Callable[[str], Steps], peer: str, what: str) -> None:
    """Sealed by the emulator, sent back, and accepted."""
    last = bodies(steps, peer, what)[-1]
    (thought, *_) = (item for item in last["input"] if item.get("type") == "reasoning")
    assert thought["encrypted_content"]
