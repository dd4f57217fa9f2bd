"""``onplan serve`` as it is run: processes, keys, signals, workers, units; answers come from the emulator."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator

from ..conftest import eventually

RunCLI = Callable[..., subprocess.CompletedProcess[str]]


class Server:
    """A running ``onplan serve``."""

    def __init__(self, folder: Path, *options: str, **variables: str) -> None:
        self.ready = folder / "ready.json"
        self.ready.unlink(missing_ok=True)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "onplan",
                    "serve",
                    "--port",
                    "0",
                    "--ready-file",
                    self.ready,
                    *options,
                ],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: self.ready.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        self.url = json.loads(self.ready.read_bytes())["url"]

    def ask(self, path: str, key: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read()

    def end(self) -> int:
        """Send SIGTERM, and wait."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server; it ends with the test."""
    started: list[Server] = []

    def run(*options: str, **variables: str) -> Server:
        started.append(Server(tmp_path, *options, **variables))
        return started[-1]

    yield run
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(timeout=30)


def key_of(home: Path) -> str:
    """The server's key."""
    return (home / "server-key").read_text().strip()


def test_a_program_is_answered_from_the_plan(
    signed_in: Emulator, start: Callable[..., Server], clean_environment: Path, run_cli: RunCLI
) -> None:
    """The key is made once, kept private and shown; with it a question is answered; SIGTERM ends it well."""
    server = start("--access-log")
    key = run_cli("serve", "--show-key").stdout.strip()

    assert key == key_of(clean_environment)
    assert stat.S_IMODE((clean_environment / "server-key").stat().st_mode) == 0o600
    status, body = server.ask("/v1/responses", key, {"model": "gpt-5.5", "input": "one two three"})
    assert (status, json.loads(body)["status"]) == (200, "completed")
    assert json.loads(server.ask("/readyz", key)[1]) == {"status": "ready"}
    plan = json.loads(server.ask("/v1/usage", key)[1])["plan"]
    assert plan["windows"]
    assert server.ask("/v1/models", "wrong")[0] == 401
    assert server.end() == 0
    assert "server POST /v1/responses 200" in server.log.read_text()
    assert key not in server.log.read_text()


def test_keys_of_clients_come_and_go_at_sighup(
    signed_in: Emulator, start: Callable[..., Server], clean_environment: Path, run_cli: RunCLI
) -> None:
    """A named key is shown once and kept as a hash; a running server learns of both at SIGHUP."""
    server = start("--json")
    assert server.ready.read_text() in server.log.read_text()
    own = json.loads(run_cli("serve", "--show-key", "--json").stdout)
    assert own == {"name": "server", "key": key_of(clean_environment)}
    key = run_cli("serve", "--add-key", "editor", "--requests-per-minute", "60").stdout.strip()
    assert key not in (clean_environment / "server-keys.json").read_text()
    assert json.loads(run_cli("serve", "--list-keys", "--json").stdout) == [
        {"name": "editor", "requests_per_minute": 60}
    ]
    assert server.ask("/v1/models", key)[0] == 401
    server.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: server.ask("/v1/models", key)[0] == 200)
    assert run_cli("serve", "--add-key", "editor").returncode == 2
    assert json.loads(run_cli("serve", "--remove-key", "editor", "--json").stdout) == {"removed": "editor"}
    server.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: server.ask("/v1/models", key)[0] == 401)
    (clean_environment / "server-keys.json").write_text("damaged")
    server.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: "is not a list of keys" in server.log.read_text())
    assert server.ask("/v1/models", key_of(clean_environment))[0] == 200


def test_a_worker_that_is_killed_is_replaced(
    signed_in: Emulator, start: Callable[..., Server], clean_environment: Path
) -> None:
    """The others go on, and what they keep is one: responses, usage, metrics. SIGTERM ends them all."""
    server = start("--workers", "2")
    key = key_of(clean_environment)
    before = _children(server.process.pid)
    assert len(before) == 2

    os.kill(min(before), signal.SIGKILL)
    assert eventually(lambda: len(_children(server.process.pid) - before) == 1)
    bodies = [
        server.ask("/v1/responses", key, {"model": "gpt-5.5", "input": f"question {number}"})
        for number in range(8)
    ]
    assert {status for status, _ in bodies} == {200}
    ids = [json.loads(body)["id"] for _, body in bodies]
    assert {server.ask(f"/v1/responses/{each}", key)[0] for each in ids for _ in range(3)} == {200}
    assert eventually(lambda: _requests(server, key) == 8)
    counted = 'onplan_requests_total{route="/responses",status="200"} 8.0'
    assert eventually(lambda: counted in server.ask("/metrics", key)[1].decode())
    assert "another one takes its place" in server.log.read_text()
    assert server.end() == 0
    assert not any(Path(f"/proc/{process}").exists() for process in before)


def test_a_broken_configuration_ends_no_server_that_works(
    signed_in: Emulator, start: Callable[..., Server], clean_environment: Path
) -> None:
    """A worker that cannot be replaced is missing until it can; the other one answers."""
    server = start("--workers", "2")
    key = key_of(clean_environment)
    before = _children(server.process.pid)
    began = time.monotonic()
    assert eventually(lambda: time.monotonic() - began > 2.0)  # as long as a worker must have lived to count

    (clean_environment / "config.toml").write_text("[server")
    os.kill(min(before), signal.SIGKILL)
    assert eventually(lambda: server.log.read_text().count("a worker cannot begin") >= 5)
    assert server.ask("/v1/models", key)[0] == 200
    (clean_environment / "config.toml").write_text("")
    assert eventually(lambda: len(_children(server.process.pid) - before) == 1)
    assert server.ask("/v1/models", key)[0] == 200
    assert server.end() == 0


def test_a_ready_file_that_cannot_be_written_ends_the_server(signed_in: Emulator) -> None:
    """With its workers, which say nothing: what is wrong is the last that is said."""
    command = [sys.executable, "-m", "onplan", "serve", "--port", "0", "--workers", "2"]
    ended = subprocess.run(
        [*command, "--ready-file", "/dev/null/ready"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-2].startswith("error: /dev/null")


def _children(process: int) -> set[int]:
    return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def _requests(server: Server, key: str) -> int:
    found = json.loads(server.ask("/v1/usage", key)[1])
    return int(found["keys"][0]["requests"])


def test_workers_end_when_the_first_process_is_killed(
    signed_in: Emulator, start: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would hold the port otherwise. They remove the files of the server, which it can no longer do."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = start("--workers", "2")
    workers = _children(server.process.pid)
    assert list(tmp_path.glob("onplan-server-*"))
    server.process.kill()
    server.process.wait(timeout=30)
    assert eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in workers))
    assert not list(tmp_path.glob("onplan-server-*"))


def test_systemd_hands_over_its_socket(signed_in: Emulator, tmp_path: Path, clean_environment: Path) -> None:
    """The server answers on the socket with number 3, and leaves the variables to no other program."""
    ready = tmp_path / "ready.json"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
            "os.execv(sys.executable, [sys.executable, '-m', 'onplan', 'serve', '--ready-file', sys.argv[2]])"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(listener.fileno()), ready],
            env={**os.environ, "LISTEN_FDS": "1"},
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: ready.exists() or process.poll() is not None)
            port = listener.getsockname()[1]
            assert json.loads(ready.read_bytes())["url"] == f"http://127.0.0.1:{port}"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
                assert answer.status == 200
        finally:
            process.terminate()
            assert process.wait(timeout=30) == 0


REFUSALS = [
    (["--host", "0.0.0.0"], {}, "lets other machines in"),
    (["--host", "0.0.0.0", "--allow-remote"], {}, "ONPLAN_SERVER_KEY"),
    (["--host", "0.0.0.0", "--allow-remote"], {"ONPLAN_SERVER_KEY": "short"}, "not a key of at least 24"),
    (["--host", "example.com"], {}, "not an IP address"),
    (["--host", "192.0.2.1", "--allow-remote"], {"ONPLAN_SERVER_KEY": "x" * 24}, "cannot listen"),
    (["--backend", "chatgpt-plan"], {}, "is not served"),
    (["--allow-host", "host:80"], {}, "not the name of a host"),
    (["--allow-origin", "app.example"], {}, "not an origin"),
    (["--allow-origin", "*"], {}, "not an origin"),
    (["--requests-per-minute", "5"], {}, "--add-key"),
    (["--add-key", "../x"], {}, "cannot be the name of a key"),
    (["--remove-key", "none"], {}, "no key for none"),
]


@pytest.mark.parametrize(("options", "variables", "words"), REFUSALS, ids=str)
def test_what_cannot_be_is_refused_before_anything_listens(
    run_cli: RunCLI, options: list[str], variables: dict[str, str], words: str
) -> None:
    """One sentence on stderr, and the exit code of a wrong setting."""
    done = run_cli("serve", "--port", "0", *options, env={**os.environ, **variables})
    assert done.returncode == 2
    assert words in done.stderr.replace("\n", " ")
    assert done.stdout == ""


WRONG_TABLES = [
    ("prot = 1", "Did you mean `port`?"),
    ('port = "8399"', "port in [server] must be a whole number"),
    ("port = 70000", "70000 is not a port"),
    ("allow_hosts = [1]", "allow_hosts in [server] must be a list of strings"),
    ("aliases = {a = 1}", "aliases in [server] must be a table of strings"),
    ("workers = 0", "workers must be 1 or more"),
    ('host = "0.0.0.0"', "lets other machines in"),
]


@pytest.mark.parametrize(("line", "words"), WRONG_TABLES)
def test_the_table_in_the_config_file_is_checked(
    run_cli: RunCLI, clean_environment: Path, line: str, words: str
) -> None:
    """What is wrong in [server] is said before anything listens."""
    clean_environment.mkdir()
    (clean_environment / "config.toml").write_text(f"[server]\n{line}\n")
    done = run_cli("serve")
    assert done.returncode == 2
    assert words in done.stderr.replace("\n", " ")


def test_units_are_written_for_systemd(run_cli: RunCLI, clean_environment: Path, tmp_path: Path) -> None:
    """A socket, and a service that runs this onplan with these options; systemd accepts them.

    What stands in config.toml is read there at each start, and no key is written into a unit.
    """
    clean_environment.mkdir(parents=True, exist_ok=True)
    (clean_environment / "config.toml").write_text("[server]\nstrict = true\n")
    done = run_cli(
        "serve",
        "--install",
        "--workers",
        "2",
        "--store",
        "file:/odd $name %h",
        "--json",
        env={
            **os.environ,
            "XDG_CONFIG_HOME": str(tmp_path / "a folder"),
            "ONPLAN_SERVER_KEY": "a-key-that-the-person-has-chosen",
        },
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    service, listening = Path(written["service"]), Path(written["socket"])
    assert service.parent == tmp_path / "a folder/systemd/user"
    text = service.read_text()
    assert f'ExecStart="{sys.executable}" "-m" "onplan" "serve" "--store" "file:/odd $$name %%h"' in text
    assert '"--workers" "2"\n' in text
    assert "has-chosen" not in text + done.stderr
    assert "ONPLAN_SERVER_KEY is left out" in done.stderr
    assert f'Environment="ONPLAN_HOME={os.environ["ONPLAN_HOME"]}"' in text
    assert "ListenStream=127.0.0.1:8399" in listening.read_text()
    assert "systemctl --user" in done.stderr
    assert "systemd-analyze says" not in done.stderr


def test_a_unit_has_what_the_sign_in_needs(run_cli: RunCLI, tmp_path: Path) -> None:
    """The store and the proxy that the environment names, but no password; no store that systemd has not."""
    told = {"XDG_CONFIG_HOME": str(tmp_path), "ONPLAN_STORE": "codex:/x", "NO_PROXY": "a.example"}
    secret = {"HTTPS_PROXY": "http://me:marked@127.0.0.1:1"}
    done = run_cli("serve", "--install", env={**os.environ, **told, **secret})
    text = Path(done.stdout.splitlines()[0]).read_text()
    assert 'Environment="ONPLAN_STORE=codex:/x"' in text
    assert 'Environment="NO_PROXY=a.example"' in text
    assert "marked" not in text + done.stderr
    assert "HTTPS_PROXY is left out" in done.stderr

    refused = run_cli("serve", "--install", env={**os.environ, **told, "ONPLAN_STORE": "env:TOKEN"})
    assert refused.returncode == 2
    assert "A unit cannot sign in" in refused.stderr


def test_one_thing_at_a_time(run_cli: RunCLI) -> None:
    """Options that each end the command are not given together: none of them is carried out."""
    done = run_cli("serve", "--add-key", "one", "--remove-key", "two")
    assert done.returncode == 2
    assert "one of --add-key and --remove-key" in done.stderr
    assert run_cli("serve", "--list-keys").stdout == ""


def test_a_server_without_a_sign_in_says_so(
    emulator: Emulator, start: Callable[..., Server], clean_environment: Path
) -> None:
    """On stderr, with the command that helps; it answers as soon as there is a sign-in."""
    server = start()
    assert eventually(lambda: "onplan login" in server.log.read_text())
    assert "no request can be answered: " in server.log.read_text()


def test_the_server_listens_before_heavy_modules_are_loaded(signed_in: Emulator) -> None:
    """Neither rich nor a client for HTTP is loaded before the first request needs it."""
    code = (
        "import sys, os, signal, threading\n"
        "from onplan.server import process\n"
        "from onplan.cli import main\n"
        "run = process.run\n"
        "async def noted(app, listeners, options, stop, *, on_ready, **others):\n"
        "    def ready():\n"
        "        names = {'rich', 'httpx2', 'aiohttp', 'prompt_toolkit', 'markdown_it', 'cryptography'}\n"
        "        print(sorted(names & set(sys.modules)))\n"
        "        stop.ask()\n"
        "    await run(app, listeners, options, stop, on_ready=ready, **others)\n"
        "process.run = noted\n"
        "main(['serve', '--port', '0'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_ends_with_its_terminal(signed_in: Emulator, workers: str) -> None:
    """SIGHUP reads the configuration again, but where the terminal was closed it means the end."""
    import pty

    ours, theirs = pty.openpty()
    script = (
        "import os, sys; os.open(sys.argv[1], os.O_RDWR)\n"  # which makes it the terminal of the session
        "os.execv(sys.executable, [sys.executable, '-m', 'onplan', 'serve', '--port', '0', *sys.argv[2:]])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, os.ttyname(theirs), "--workers", workers],
        start_new_session=True,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while b"Listening" not in shown:
        shown += os.read(ours, 4_096)
    os.close(ours)
    assert process.wait(timeout=30) == 0


def test_a_missing_extra_is_named(clean_environment: Path) -> None:
    """Without its packages the command says what to install, and its keys can be managed all the same."""
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from onplan.cli import main; main(['serve', *sys.argv[1:]])"
    )
    done, shown = (
        subprocess.run(
            [sys.executable, "-c", code, *options], capture_output=True, text=True, timeout=60, check=False
        )
        for options in ([], ["--show-key"])
    )
    assert done.returncode != 0
    assert "onplan[server]" in done.stderr
    assert shown.stdout.strip() == key_of(clean_environment)
