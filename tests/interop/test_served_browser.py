"""A web page in a real browser tries to use `onplan serve`, with the key and without: it can do nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from onplan.emulator import Emulator

CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.interop

# What a page can send: each with the key that it may have found, and without. Each gives what it could read.
ATTEMPTS = """
async ([base, key]) => {
  const ask = {model: "gpt-5.5", input: "steal", messages: [{role: "user", content: "steal"}]};
  const body = JSON.stringify(ask);
  const read = async (path, options) => {
    try {
      const answer = await fetch(base + path, options);
      return answer.type === "opaque" ? "opaque" : answer.status + " " + (await answer.text());
    } catch (error) { return "refused"; }
  };
  const socket = (path, protocols) => new Promise((resolve) => {
    const opened = new WebSocket(base.replace("http", "ws") + path, protocols);
    opened.onopen = () => {
      opened.send(JSON.stringify({type: "response.create", ...ask}));
      resolve("open");
    };
    opened.onerror = () => resolve("refused");
  });
  const events = () => new Promise((resolve) => {
    const source = new EventSource(base + "/v1/models");
    source.onopen = () => resolve("open");
    source.onerror = () => { source.close(); resolve("refused"); };
  });
  const form = (type) => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.name = "frame-" + type;
    document.body.append(frame);
    const sent = document.createElement("form");
    Object.assign(sent, {method: "POST", action: base + "/v1/responses", enctype: type, target: frame.name});
    const field = document.createElement("input");
    field.name = body.slice(0, -1) + ', "ignored": "';
    field.value = '"}';
    sent.append(field);
    document.body.append(sent);
    frame.onload = () => resolve("sent");
    sent.submit();
  });
  const bearer = {authorization: "Bearer " + key};
  const typed = {"content-type": "application/json"};
  const found = {};
  for (const path of ["/v1/models", "/v1/usage", "/metrics", "/v1/models?key=" + key]) {
    found["GET " + path.split("?")[0]] = await read(path);
    found["GET with the key " + path.split("?")[0]] = await read(path, {headers: bearer});
    found["GET no-cors " + path.split("?")[0]] = await read(path, {mode: "no-cors"});
  }
  for (const path of ["/v1/responses", "/v1/chat/completions"]) {
    found["POST as text " + path] = await read(path, {method: "POST", body});
    found["POST no-cors " + path] = await read(path, {method: "POST", body, mode: "no-cors"});
    const headers = {...bearer, ...typed};
    found["POST with the key " + path] = await read(path, {method: "POST", body, headers});
    found["beacon " + path] = navigator.sendBeacon(base + path, body) ? "sent" : "refused";
    found["socket " + path] = await socket(path);
    found["socket with the key " + path] = await socket(path, ["realtime", "openai-insecure-api-key." + key]);
  }
  found["events"] = await events();
  found["form"] = await form("text/plain");
  found["form multipart"] = await form("multipart/form-data");
  return found;
}
"""

ONE_REQUEST = """
async ([base, key]) => (await fetch(base + "/v1/models", {headers: {authorization: "Bearer " + key}})).status
"""


class Page(BaseHTTPRequestHandler):
    """An empty page, for any path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body>")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def page_server() -> Iterator[str]:
    """The origin of a page of other people's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def onplan_serve(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """The URL of a server in a process of its own, and its key."""
    ready, command = folder / "ready.json", [sys.executable, "-m", "onplan", "serve"]
    given = [*command, "--port", "0", "--ready-file", str(ready), *options]
    process = subprocess.Popen(given, stderr=subprocess.PIPE)
    try:
        while not ready.exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.02)
        key = subprocess.run([*command, "--show-key"], capture_output=True, text=True, check=True).stdout
        yield json.loads(ready.read_text())["url"], key.strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.stranger("Chromium", "a page of another origin, and one by DNS rebinding, against serve")
@pytest.mark.skipif(
    not CHROMIUM, reason="Chromium is not installed; `make interop` does that as root on Debian"
)
def test_a_web_page_gets_nothing(signed_in: Emulator, tmp_path: Path) -> None:
    """Whatever it sends, nothing reaches the backend, and it can read no answer but refusals.

    A page whose origin was allowed by the person reads what it asks for with the key.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    with ExitStack() as stack:
        origin = stack.enter_context(page_server())
        allowed = origin.replace("127.0.0.1", "localhost")
        url, key = stack.enter_context(onplan_serve(tmp_path, "--allow-origin", allowed))
        running = stack.enter_context(playwright.sync_playwright())
        port = urlsplit(url).port
        rules = "MAP rebound.test 127.0.0.1"  # as after DNS rebinding: the page's own host is our address
        flags = ("--no-sandbox", "--disable-background-networking", f"--host-resolver-rules={rules}")
        browser = running.chromium.launch(executable_path=CHROMIUM, args=list(flags))
        signed_in.clear_journal()
        found = {}
        page = browser.new_page()
        page.goto(origin)
        found["another origin"] = page.evaluate(ATTEMPTS, [url, key])
        page.goto(f"http://rebound.test:{port}/")
        found["rebound"] = page.evaluate(ATTEMPTS, [f"http://rebound.test:{port}", key])
        assert signed_in.journal() == []
        page.goto(allowed)
        assert page.evaluate(ONE_REQUEST, [url, key]) == 200
        browser.close()

        for name, attempts in found.items():
            harmless = ("opaque", "refused", "sent")
            read = {each: said for each, said in attempts.items() if said not in harmless}
            if name == "another origin":
                assert read == {}, "a page of another origin reads nothing at all"
            assert all(said.startswith(("403 ", "421 ")) for said in read.values()), read
            assert key not in str(read.values())
