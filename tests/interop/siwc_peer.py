"""Runs llm-chatgpt-plan, in its own Python, with its services played by the emulator; prints what it found.

``siwc_peer.py ISSUER PLAN_BASE_URL``; more arguments are a command line of ``llm``. The client is as it is:
only the network below it leads elsewhere, as a resolver of names would.
"""

from __future__ import annotations

import json
import sys
import threading
import webbrowser

import httpx
from click.testing import CliRunner
from llm.cli import cli
from llm_chatgpt_plan import client

issuer, plan = (httpx.URL(url) for url in sys.argv[1:3])


class Emulated(httpx.HTTPTransport):
    """Its two hosts are the emulator's."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.host == "api.openai.com":
            url = plan.copy_with(raw_path=plan.raw_path + url.raw_path.removeprefix(b"/v1"))
        elif url.host == "auth.openai.com":
            url = issuer.copy_with(raw_path=url.raw_path)
        request.url = url
        return super().handle_request(request)


def emulated(timeout: float = 30) -> httpx.Client:
    return httpx.Client(timeout=timeout, transport=Emulated(), follow_redirects=False)


def browse(url: str) -> bool:
    """The person approves at once, and the browser comes back."""

    def follow() -> None:
        with emulated() as http:
            http.get(http.get(url).headers["location"])

    threading.Thread(target=follow).start()
    return True


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    if result.exit_code:
        sys.exit(f"{arguments}: {result.output}")
    return result.output


def lifetime(seconds: int) -> None:
    with emulated() as http:
        http.post(f"{issuer}/_emulator/tokens", json={"access_token_lifetime": seconds})


client.make_http_client = emulated
webbrowser.open = browse
if sys.argv[3:]:
    cli(sys.argv[3:])  # which ends this program
lifetime(30)  # so that the first question has to refresh it
run("chatgpt-plan", "login")
models = run("chatgpt-plan", "models")
lifetime(3600)
answer = run("-m", "chatgpt-plan/gpt-5.5", "hi").strip()
refreshed = run("-m", "chatgpt-plan/gpt-5.5", "again").strip()
ended = run("chatgpt-plan", "logout")
found = {
    "models": [line.split("\t")[0].removeprefix("chatgpt-plan/") for line in models.splitlines()],
    "answer": answer.splitlines()[-1],
    "refreshed": refreshed.splitlines()[-1],
    "signed_out": "unconfirmed" not in ended.lower() and "could not" not in ended.lower(),
    "said": ended,
}
sys.stdout.write(f"{json.dumps(found)}\n")
