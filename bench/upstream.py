"""What is read from: emulators in processes of their own, and what a reader must be told to find them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.clients import BODY

ROOT = Path(__file__).parents[1]
PADDING = 6  # characters of a delta

# A setting of the person who runs this reaches no reader, and no proxy stands in between.
_FOREIGN = ("ONPLAN_", "OPENAI_", "CODEX_", "CHATGPT_", "LITELLM_", "LLM_", "SSL_CERT_")


@dataclass(frozen=True)
class Upstream:
    """An emulator, signed in at.

    Attributes:
        environment: of a process that reads from it.
        deltas: pieces of text in a stream.
        seconds: between two of them.
    """

    environment: Mapping[str, str]
    deltas: int
    seconds: float = 0.0

    def events(self) -> int:
        """How many events a stream has: the deltas and what stands around them."""
        target = self.environment
        headers = {
            "authorization": f"Bearer {target['BENCH_ACCESS_TOKEN']}",
            "chatgpt-account-id": target["BENCH_ACCOUNT_ID"],
            "content-type": "application/json",
        }
        url = f"{target['ONPLAN_ISSUER']}{urlsplit(target['BENCH_BASE_URL']).path}/responses"
        request = urllib.request.Request(url, BODY, headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as body:
            return sum(line.startswith(b"data: ") for line in body)


def clean_environment() -> dict[str, str]:
    """Ours, without what could change what a reader does."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and not name.lower().endswith("_proxy")
    }


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """A process that says in one line of JSON where it listens."""
    errors = folder / f"{arguments[1]}.log"
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{errors.read_text()[-4000:]}")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def upstream(
    parent: Path, name: str, deltas: int, seconds: float = 0.0, text: str | None = None
) -> Iterator[Upstream]:
    """An emulator that answers everything with so many deltas, of ``text`` if there is one.

    It is the backend of a plan and, for clients that cannot ask that, the platform, which takes an API key.
    """
    folder = parent / name
    folder.mkdir()
    scenario = folder / "scenario.json"
    answer = {"deltas": deltas, "interval": seconds, "padding": PADDING, "text": text}
    scenario.write_text(json.dumps({"answer": answer}))
    with started(folder, "-m", "onplan", "emulator", "--scenario", str(scenario)) as urls:
        environment = {
            **clean_environment(),
            "HOME": str(folder),
            "BENCH_HOME": str(folder),
            "BENCH_BASE_URL": urls["codex_base_url"],
            "BENCH_PLATFORM_URL": urls["openai_base_url"],
            "ONPLAN_HOME": str(folder / "onplan"),
            "ONPLAN_ISSUER": urls["issuer"],
            "ONPLAN_CODEX_BASE_URL": urls["codex_base_url"],
        }
        with process_environment(environment):
            access_token, account_id = sign_in()
        environment |= {"BENCH_ACCESS_TOKEN": access_token, "BENCH_ACCOUNT_ID": account_id}
        yield Upstream(environment, deltas, seconds)


@contextmanager
def behind_tls(plain: Upstream, parent: Path) -> Iterator[Upstream]:
    """The same emulator, through TLS."""
    url = urlsplit(plain.environment["BENCH_BASE_URL"])
    with started(parent, "-m", "bench.tls", str(url.port), str(parent)) as place:
        base_url = f"https://127.0.0.1:{place['port']}{url.path}"
        environment = {
            **plain.environment,
            "BENCH_BASE_URL": base_url,
            "ONPLAN_CODEX_BASE_URL": base_url,
            "SSL_CERT_FILE": place["authority"],
        }
        yield Upstream(environment, plain.deltas, plain.seconds)


@contextmanager
def process_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Our own variables, for a while."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def sign_in() -> tuple[str, str]:
    """As a person would, with a thread in the browser's place. Gives the access token and account id."""
    from onplan.config.settings import load_settings
    from onplan.sign_in.login import sign_in_with_browser
    from onplan.stores import open_store

    def browse(url: str) -> None:
        threading.Thread(target=lambda: urllib.request.urlopen(url, timeout=20).close(), daemon=True).start()

    settings = load_settings()
    credentials = sign_in_with_browser(
        settings, open_store(settings.store), lambda started: None, browse=browse
    )
    return credentials.access_token, str(credentials.account_id)
