"""Servers in front of the plan's backend: how each is started. A row each; none is installed by this module.

Whatever a relay has to know is in ``Place``. None of them reaches the internet: where one looks for updates,
prices or models of its own accord, its row says how that is switched off.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

from bench.clients import MODEL
from bench.playback import PREFIX

PATHS = {"responses": "/v1/responses", "chat": "/v1/chat/completions"}
PEERS = Path(sys.prefix, "relays")  # the environment of requirements/relays.in
CONCURRENT = 4_096  # streams that a relay is told to allow, where it has a limit


class MissingError(Exception):
    """A relay that is not installed here. Its sentence stands below the tables."""


@dataclass(frozen=True)
class Place:
    """What a relay is told.

    Attributes:
        folder: its own, empty at first; its HOME.
        port: where it is to listen.
        upstream: scheme, host and port of what it relays to.
        access_token: what the upstream wants.
        environment: of its process.
    """

    folder: Path
    port: int
    upstream: str
    access_token: str
    account_id: str
    environment: Mapping[str, str]

    @property
    def base_url(self) -> str:
        """Of the plan's backend."""
        return self.upstream + PREFIX.decode()

    def write(self, name: str, content: str) -> str:
        """A file of the relay's. Gives its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)
        return str(path)

    def codex_home(self) -> str:
        """A folder with an auth.json as the Codex CLI writes it. Gives its path."""
        tokens = {
            "id_token": self.access_token,
            "access_token": self.access_token,
            "refresh_token": "not to be used",
            "account_id": self.account_id,
        }
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        content = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": now}
        return str(Path(self.write("codex/auth.json", json.dumps(content))).parent)


def program(name: str) -> str:
    """A program of the peers' environment. Raises MissingError."""
    path = PEERS / "bin" / name
    if not path.exists():
        raise MissingError(f"there is no {path}")
    return str(path)


def version(name: str) -> str:
    """Of a distribution in the peers' environment."""
    places = [str(path) for path in PEERS.glob("lib/python*/site-packages")]
    return next((found.version for found in distributions(path=places, name=name)), "")


@dataclass(frozen=True)
class Command:
    """A relay's process.

    Attributes:
        arguments: what is run.
        environment: besides that of the place.
        version: of what is run.
        key: what its clients must show.
    """

    arguments: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    key: str = "any"


@dataclass(frozen=True)
class Relay:
    """A row of the tables.

    Attributes:
        label: its name there; ``{}`` is where the version goes.
        command: what runs it. Raises MissingError.
        kind: whose it is; ``limit`` is what the others are compared with.
        paths: what it answers, by dialect.
        starts: how often it is started to see how long that takes.
    """

    label: str
    command: Callable[[Place], Command]
    kind: Literal["ours", "limit", "peer"] = "peer"
    paths: Mapping[str, str] = field(default_factory=lambda: PATHS)
    starts: int = 3


# --- the limit --------------------------------------------------------------------------------------

_NGINX = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream backend {{ server {address}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /v1/responses {{
      proxy_pass http://backend{prefix}/responses;
      proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {token}";
    }}
  }}
}}
"""


def nginx(place: Place) -> Command:
    """It understands nothing of what it hands on."""
    program = shutil.which("nginx", path=place.environment["PATH"] + ":/usr/sbin")
    if program is None:
        raise MissingError("nginx is not installed")
    configuration = _NGINX.format(
        folder=place.folder,
        port=place.port,
        address=place.upstream.removeprefix("http://"),
        prefix=PREFIX.decode(),
        token=place.access_token,
    )
    path = place.write("nginx.conf", configuration)
    return Command([program, "-c", path, "-p", str(place.folder), "-e", str(place.folder / "error.log")])


# --- ours -------------------------------------------------------------------------------------------


def onplan(workers: int) -> Callable[[Place], Command]:
    """``onplan serve``, with as many processes."""

    def command(place: Place) -> Command:
        serve = [sys.executable, "-m", "onplan", "serve"]
        environment = {"ONPLAN_CODEX_BASE_URL": place.base_url}
        showing = subprocess.run(
            [*serve, "--show-key"],
            env={**place.environment, **environment},
            check=False,
            capture_output=True,
            text=True,
        )
        if showing.returncode:
            raise MissingError(showing.stderr.strip())
        arguments = [*serve, "--port", str(place.port), *(["--workers", str(workers)] if workers > 1 else [])]
        return Command(arguments, environment, key=showing.stdout.strip())

    return command


# --- others' ----------------------------------------------------------------------------------------


def go_server(place: Place) -> Command:
    """openai-api-server-via-codex, a binary in a wheel: 10 streams at once unless it is told otherwise."""
    arguments = [
        program("openai-api-server-via-codex"),
        *("--auth-json", f"{place.codex_home()}/auth.json", "--backend-base-url", place.base_url),
        *("--port", str(place.port), "--max-concurrent-requests", str(CONCURRENT)),
        *("--config", place.write("config.toml", "")),
    ]
    return Command(arguments, version=version("openai-api-server-via-codex"))


_OAUTH_SERVER = """\
import {{ startOpenAIOAuthServer }} from "{module}";
await startOpenAIOAuthServer({options});
"""


def openai_oauth(place: Place) -> Command:
    """Through the function that its command calls: the command asks npm's registry for a newer version."""
    found = sorted(Path(sys.prefix).glob("openai-oauth-*/node_modules/openai-oauth"))
    node = shutil.which("node", path=place.environment["PATH"])
    if node is None or not found:
        raise MissingError("Node.js is not installed" if node is None else "npm has not installed it")
    package = found[-1]
    options = {
        "port": place.port,
        "baseURL": place.base_url,
        "authFilePath": f"{place.codex_home()}/auth.json",
        "models": [MODEL],  # else it asks for those of the newest Codex CLI, and npm's registry which that is
        "codexVersion": "0.171.0",
    }
    script = _OAUTH_SERVER.format(
        module=(package / "dist" / "index.js").as_uri(), options=json.dumps(options)
    )
    installed = json.loads((package / "package.json").read_text())["version"]
    return Command([node, place.write("server.mjs", script)], version=installed)


_CHATMOCK = """\
import sys
from chatmock.cli import main
for name, module in list(sys.modules.items()):
    if name.startswith("chatmock") and hasattr(module, "CHATGPT_CODEX_BASE_URL"):
        module.CHATGPT_CODEX_BASE_URL = {base_url!r}
    if name.startswith("chatmock") and hasattr(module, "CHATGPT_RESPONSES_URL"):
        module.CHATGPT_RESPONSES_URL = {base_url!r} + "/responses"
main()
"""


def chatmock(place: Place) -> Command:
    """Its upstream is a constant that its modules share: a script names another one before it begins."""
    script = place.write("serve.py", _CHATMOCK.format(base_url=place.base_url))
    arguments = [program("python"), script, "serve", "--port", str(place.port), "--no-model-sync"]
    return Command(arguments, {"CHATGPT_LOCAL_HOME": place.codex_home()}, version("chatmock"))


def litellm(place: Place) -> Command:
    """Its proxy with its chatgpt provider."""
    model = {"model_name": MODEL, "litellm_params": {"model": f"chatgpt/{MODEL}"}}
    configuration = {"model_list": [model], "litellm_settings": {"telemetry": False}}
    tokens = {
        "access_token": place.access_token,
        "account_id": place.account_id,
        "expires_at": time.time() + 86_400,
    }
    path = place.write("chatgpt/auth.json", json.dumps(tokens))
    arguments = [
        program("litellm"),
        *("--config", place.write("config.yaml", json.dumps(configuration))),  # JSON is YAML
        *("--host", "127.0.0.1", "--port", str(place.port), "--telemetry", "False"),
    ]
    environment = {
        "CHATGPT_API_BASE": place.base_url,
        "CHATGPT_TOKEN_DIR": str(Path(path).parent),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks a server for its price list
        "PATH": f"{PEERS}/bin:{place.environment['PATH']}",
    }
    return Command(arguments, environment, version("litellm"))


RELAYS = {
    "nginx": Relay("nginx, plain pass-through", nginx, "limit", {"responses": PATHS["responses"]}),
    "onplan": Relay("onplan serve", onplan(1), "ours"),
    "onplan-2": Relay("onplan serve --workers 2", onplan(2), "ours"),
    "go": Relay("openai-api-server-via-codex {}", go_server),
    "oauth": Relay("openai-oauth {}", openai_oauth),
    "chatmock": Relay("ChatMock {}", chatmock),
    "litellm": Relay("LiteLLM {}, its proxy", litellm, starts=1),
}


# --- what they are asked ----------------------------------------------------------------------------


def request(path: str, port: int, key: str, prompt: str) -> str:
    """The bytes of a request, as an openai SDK's program would make it."""
    question: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
    if path.endswith("/responses"):
        question = {"input": prompt}
    body = json.dumps({"model": MODEL, **question, "stream": True})
    fields = {
        "host": f"127.0.0.1:{port}",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": "OpenAI/Python 3.57.0",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n{body}"
