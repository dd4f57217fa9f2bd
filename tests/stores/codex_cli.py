"""A program that treats auth.json as the official Codex CLI does, with none of our code.

``codex_cli.py HOME``; reads commands from stdin and answers each with a line:

``lock``             take the two locks; ``unlock`` gives them back and answers what auth.json said until then
``refresh URL``      spend the refresh token in the file at URL, as JSON
``put JSON``         or be given the tokens
``save``             write what came of it, if the file still has the token that was spent
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import Any

HOME = Path(sys.argv[1])
AUTH = HOME / "auth.json"


def lock() -> list[int]:
    target = os.path.realpath(AUTH)
    held = []
    for path, mode in ((HOME / "auth.lock", 0o644), (f"{target}.lock", 0o600)):
        held.append(os.open(path, os.O_RDWR | os.O_CREAT, mode))
        fcntl.flock(held[-1], fcntl.LOCK_EX)
    return held


def unlock(held: list[int]) -> None:
    for descriptor in reversed(held):
        os.close(descriptor)


def refresh(url: str, document: dict[str, Any]) -> dict[str, Any]:
    body = {
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "grant_type": "refresh_token",
        "refresh_token": document["tokens"]["refresh_token"],
    }
    request = urllib.request.Request(
        url, json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    answer: dict[str, Any] = json.load(opener.open(request, timeout=30))
    return answer


def save(spent: str, tokens: dict[str, Any]) -> str:
    held = lock()
    try:
        document = json.loads(AUTH.read_text())
        if document["tokens"]["refresh_token"] != spent:
            return "lost"
        names = ("id_token", "access_token", "refresh_token")
        document["tokens"].update({name: tokens[name] for name in names})
        document["last_refresh"] = "2026-11-22T12:00:00.123456789Z"
        target = Path(os.path.realpath(AUTH))
        descriptor, name = tempfile.mkstemp(prefix=".auth-", dir=target.parent)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
        return "saved"
    finally:
        unlock(held)


def main() -> None:
    held: list[int] = []
    tokens: dict[str, Any] = {}
    spent = ""
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        answer = "done"
        if command == "lock":
            held = lock()
        elif command == "unlock":
            answer = sha256(AUTH.read_bytes()).hexdigest()
            unlock(held)
        elif command == "save":
            answer = save(spent, tokens)
        else:
            document = json.loads(AUTH.read_text())
            spent = document["tokens"]["refresh_token"]
            tokens = refresh(argument, document) if command == "refresh" else json.loads(argument)
        print(answer, flush=True)


main()
