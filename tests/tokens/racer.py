"""One of the processes of test_races.py: eight tasks that want a token at the same time, round after round.

Reads a line for each round: ``clock`` begins with a new client, ``refused`` goes on with the one it has.
Answers with a JSON list: for each task a fingerprint of the token it used, or what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
from hashlib import sha256

import onplan

TASKS = 8


async def use(client: onplan.AsyncClient, kind: str) -> str:
    try:
        if kind == "refused":
            await client.complete(onplan.CompletionRequest(messages="hi", model="gpt-5.5"))
        credentials = await client.credentials()
    except onplan.OnplanError as error:
        return f"{type(error).__name__}: {error}"
    return sha256(credentials.access_token.encode()).hexdigest()[:16]


async def main() -> None:
    client = None
    print("ready", flush=True)
    while kind := sys.stdin.readline().strip():
        if client is None or kind == "clock":
            if client:
                await client.close()
            client = onplan.AsyncClient()
        outcomes = await asyncio.gather(*(use(client, kind) for _ in range(TASKS)))
        print(json.dumps(outcomes), flush=True)
    if client:
        await client.close()


asyncio.run(main())
