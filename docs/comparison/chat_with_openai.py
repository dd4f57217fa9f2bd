"""A chat, a line of stdin each time, that goes on where it was killed, with the openai SDK."""

import json
import sys
from pathlib import Path

from openai import OpenAI

import onplan

plan = onplan.Client()
client = OpenAI(api_key=lambda: plan.credentials().access_token)
path = Path("talk.json")
history = json.loads(path.read_text()) if path.exists() else []


def keep(*items: dict) -> None:
    history.extend(items)
    path.with_suffix(".new").write_text(json.dumps(history))
    path.with_suffix(".new").replace(path)  # at once, so that the file is whole whenever we are killed


def answer() -> None:
    with client.responses.stream(
        model="gpt-5.5",
        instructions="Be brief.",
        input=history,
        store=False,
        include=["reasoning.encrypted_content"],
    ) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
        response = stream.get_final_response()
    print()
    keep(*(item.to_dict(exclude_none=True) for item in response.output))


if history and history[-1].get("role") == "user":
    answer()
for said in sys.stdin:
    keep({"role": "user", "content": said.strip()})
    answer()
