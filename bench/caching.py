"""How much of a long prompt the backend finds in its cache, turn after turn: `python -m bench caching`.

The emulator keeps a prompt for the `session-id` that it came with, and for no other key. Others measured that
at the service (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onplan
from bench.clients import MODEL, Target
from bench.tables import Table

TURNS = 10
PREFIX = "What follows is about birds, and every word of it matters to the answer. " * 330  # 6,000 tokens
QUESTIONS = [f"Question {number}: which of them sings?" for number in range(TURNS)]

Counts = tuple[int, int]  # tokens of a prompt, and how many of them were cached


def conversation() -> Iterator[Counts]:
    """A `Conversation`, which has one session."""
    with onplan.Client(model=MODEL) as client:
        talk = client.conversation(PREFIX)
        for question in QUESTIONS:
            usage = talk.say(question).usage
            yield usage.prompt_tokens, usage.cache_read_tokens


def history() -> Iterator[Counts]:
    """The program keeps the history; onplan derives the session from how it begins."""
    messages = [onplan.Message.system(PREFIX)]
    with onplan.Client(model=MODEL) as client:
        for question in QUESTIONS:
            response = client.complete([*messages, onplan.Message.user(question)])
            messages += [onplan.Message.user(question), response.message]
            yield response.usage.prompt_tokens, response.usage.cache_read_tokens


def sdk(*, session: bool) -> Iterator[Counts]:
    """The SDK, with a `prompt_cache_key`; with the session's header as well if the program adds it."""
    from openai import OpenAI

    target, name = Target.from_environment(), f"bench-{session}"
    headers = {"chatgpt-account-id": target.account_id, **({"session-id": name} if session else {})}
    with OpenAI(api_key=target.access_token, base_url=target.base_url, default_headers=headers) as client:
        items = [{"role": "developer", "content": PREFIX}]
        for question in QUESTIONS:
            items.append({"role": "user", "content": question})
            with client.responses.create(
                model=MODEL, input=items, store=False, stream=True, prompt_cache_key=name
            ) as events:
                (last,) = [event.response for event in events if event.type == "response.completed"]
            items.append({"role": "assistant", "content": last.output_text})
            yield last.usage.input_tokens, last.usage.input_tokens_details.cached_tokens


@dataclass(frozen=True)
class Way:
    """A row."""

    label: str
    ask: Callable[[], Iterator[Counts]]


WAYS = (
    Way("onplan, a conversation", conversation),
    Way("onplan, `complete` with the history", history),
    Way("openai SDK, `session-id` added by hand", lambda: sdk(session=True)),
    Way("openai SDK, `prompt_cache_key` alone", lambda: sdk(session=False)),
)


def table() -> Table:
    """Way by way."""
    rows = []
    for way in WAYS:
        counts = list(way.ask())
        asked, cached = (sum(column) for column in zip(*counts, strict=True))
        later = sum(prompt for prompt, _ in counts[1:])
        rows.append(
            (way.label, f"{asked:,}", f"{cached:,}", f"{cached / asked:.0%}", f"{cached / later:.0%}")
        )
    columns = ("way", "prompt tokens", "cached", "share", "share from turn 2")
    note = (
        f"The prefix has {len(PREFIX) // 4:,} tokens; the first turn finds nothing. A prompt is found again "
        "by its session, which onplan names in every request. The key in the body alone does nothing: others "
        "measured that at the service."
    )
    return Table(f"{TURNS} turns after one long prefix", columns, rows, [note])
