"""A chat, a line of stdin each time, that goes on where it was killed, with pydantic-ai."""

import sys
from pathlib import Path

from pydantic_ai import Agent, ModelMessagesTypeAdapter, ModelRequest

agent = Agent("openai-codex:gpt-5.5", instructions="Be brief.")
path = Path("talk.json")
history = ModelMessagesTypeAdapter.validate_json(path.read_bytes()) if path.exists() else []


def keep() -> None:
    path.with_suffix(".new").write_bytes(ModelMessagesTypeAdapter.dump_json(history))
    path.with_suffix(".new").replace(path)  # at once, so that the file is whole whenever we are killed


def answer() -> None:
    result = agent.run_stream_sync(message_history=history)
    for text in result.stream_text(delta=True):
        print(text, end="", flush=True)
    print()
    history[:] = result.all_messages()
    keep()


if history and isinstance(history[-1], ModelRequest):
    answer()
for said in sys.stdin:
    history.append(ModelRequest.user_text_prompt(said.strip()))
    keep()
    answer()
