"""Starting, stopping, and the files written on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from onplan.emulator import Emulator, Options, Scenario

from ..conftest import unused_port

SERVE = """
import sys
from pathlib import Path
from onplan.emulator import Options, serve
options = Options(ready_file=Path(sys.argv[1]))
serve(options, env=sys.argv[2] == "env", announce=lambda text: print(text, flush=True))
"""
KEYS = {"issuer", "codex_base_url", "plan_base_url", "openai_base_url", "pid"}


def test_the_urls_are_on_one_loopback_port():
    """Every key is there from the start, and every URL begins with http://127.0.0.1:PORT."""
    with Emulator(Options()) as emulator:
        assert set(emulator.urls) == KEYS
        base = emulator.issuer
        assert urlsplit(base).hostname == "127.0.0.1"
        assert all(str(value).startswith(base) for key, value in emulator.urls.items() if key != "pid")
        assert emulator.codex_base_url == f"{base}/backend-api/codex"
        assert emulator.urls["pid"] == os.getpid()


def test_the_ready_file_is_whole_once_the_port_listens(tmp_path, connect):
    """It holds the URLs, and nothing else was left in the folder."""
    ready = tmp_path / "ready.json"
    with Emulator(Options(ready_file=ready)) as emulator:
        assert json.loads(ready.read_text()) == emulator.urls
        assert connect(emulator).get("/.well-known/jwks.json").status_code == 200
    assert list(tmp_path.iterdir()) == [ready]


def test_the_port_can_be_chosen_and_is_free_again(connect):
    """Leaving the block stops the server, also while a stream stalls."""
    before = set(threading.enumerate())
    with unused_port() as port:
        with Emulator(Options(port=port)) as emulator:
            assert urlsplit(emulator.issuer).port == port
            emulator.arm("stall")
            client = connect(emulator)
            stream = client.http.stream(
                "POST",
                f"{emulator.codex_base_url}/responses",
                json={"model": "gpt-5.5", "stream": True, "store": False, "input": []},
                headers=client.headers(),
            )
            reply = stream.__enter__()
            next(reply.iter_bytes())
        reply.close()
        begun = set(threading.enumerate()) - before
        assert "onplan-emulator" not in {thread.name for thread in begun}
        with Emulator(Options(port=port)) as again:
            assert urlsplit(again.issuer).port == port


def test_a_port_in_use_is_an_error():
    """At once, from the constructor's block."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Emulator(Options(port=taken.getsockname()[1])).__enter__()


@pytest.mark.parametrize(("how", "number"), [("json", signal.SIGTERM), ("env", signal.SIGINT)])
def test_serve_announces_and_ends_cleanly(tmp_path, how, number):
    """One line of JSON or five exports; a signal ends it with status 0 and an empty stderr."""
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(ready), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        lines = [process.stdout.readline().rstrip("\n") for _ in range(5 if how == "env" else 1)]
        urls = json.loads(ready.read_text())
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=20)
    assert urls["pid"] == process.pid
    if how == "json":
        assert json.loads(lines[0]) == urls
    else:
        assert lines == [
            f"export ONPLAN_ISSUER={urls['issuer']}",
            f"export ONPLAN_CODEX_BASE_URL={urls['codex_base_url']}",
            f"export ONPLAN_PLAN_BASE_URL={urls['plan_base_url']}",
            f"export ONPLAN_OPENAI_BASE_URL={urls['openai_base_url']}",
            "export OPENAI_API_KEY=sk-emulated",
        ]
    assert (process.returncode, rest, complaints) == (0, "", "")


def test_a_codex_home_is_written(tmp_path, connect):
    """config.toml names the server in two ways; auth.json has the official client's keys in its order."""
    home = tmp_path / "home"
    with Emulator(Options(codex_home=home, codex_auth=True)) as emulator:
        port = urlsplit(emulator.issuer).port
        config = tomllib.loads((home / "config.toml").read_text())
        auth = json.loads((home / "auth.json").read_text())
        client = connect(emulator)
        headers = client.headers(authorization=f"Bearer {auth['tokens']['access_token']}")
        assert client.turn(headers=headers).status_code == 200
        assert client.refresh(auth["tokens"]["refresh_token"]).status_code == 200
    assert config["chatgpt_base_url"] == f"http://127.0.0.1:{port}/backend-api"
    assert config["openai_base_url"] == f"http://localhost:{port}/backend-api/codex"
    assert list(auth) == ["auth_mode", "OPENAI_API_KEY", "tokens", "last_refresh"]
    assert list(auth["tokens"]) == (
        ["id_token", "access_token", "refresh_token", "oauth_provenance", "login_owner_id", "account_id"]
    )
    assert auth["tokens"]["oauth_provenance"]["issuer"] == emulator.issuer
    assert len(auth["tokens"]["login_owner_id"]) == 43
    assert (home / "auth.json").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_codex_home_of_another_program_is_left_alone(tmp_path):
    """A sign-in that is not the emulator's is never overwritten; its own may be."""
    (tmp_path / "auth.json").write_text("mine")
    with pytest.raises(FileExistsError, match=r"auth\.json"):
        Emulator(Options(codex_home=tmp_path, codex_auth=True)).__enter__()
    assert (tmp_path / "auth.json").read_text() == "mine"
    for _ in range(2):
        with Emulator(Options(codex_home=tmp_path / "own", codex_auth=True)):
            pass


def test_a_scenario_is_a_file(tmp_path, connect):
    """Everything in it is optional."""
    path = tmp_path / "scenario.json"
    path.write_text(
        json.dumps(
            {
                "faults": [{"name": "overloaded_503", "times": 1}],
                "answer": {"text": "Yes."},
                "plan": "pro",
                "reuse": "revoke-family",
                "access_token_lifetime": 60,
            }
        )
    )
    with Emulator(Options(scenario=Scenario.from_file(path))) as emulator:
        client = connect(emulator)
        assert client.turn().status_code == 503
        assert client.completed()["output"][-1]["content"][0]["text"] == "Yes."
        assert emulator.issue_tokens()["expires_in"] == 60
        assert emulator.world.ledger.reuse == "revoke-family"
    path.write_text("{}")
    assert Scenario.from_file(path) == Scenario()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "is not valid"),
        ('{"sparkle": 1}', "sparkle"),
        ('{"answer": {"deltas": "many"}}', "answer.deltas"),
        ('{"answer": {"deltas": 0}}', "answer.deltas must be at least 1"),
        ('{"answer": {"interval": -1}}', "answer.interval must not be negative"),
        ('{"reuse": "never"}', "reuse must be one of refuse, revoke-family"),
        ('{"models": [{}]}', "needs a slug"),
        ('{"faults": [{"name": "sparkle"}]}', "There is no fault 'sparkle'"),
        ('{"faults": [{"name": "stall", "times": 0}]}', "at least one time"),
    ],
)
def test_a_bad_scenario_is_a_sentence(tmp_path, text, says):
    """A ValueError that says what is wrong and where."""
    path = tmp_path / "scenario.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        Scenario.from_file(path)


def test_a_missing_scenario_is_a_sentence(tmp_path):
    """It names the file."""
    with pytest.raises(ValueError, match="cannot be read"):
        Scenario.from_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "https://", "https://a.example/?b"])
def test_a_public_url_is_one(url):
    """A sentence says what it must be."""
    with pytest.raises(ValueError, match="http or https URL"):
        Options(public_url=url)


def test_options_are_checked():
    """An unknown policy is refused when it is chosen."""
    with pytest.raises(ValueError, match="revoke-family"):
        Options(reuse="sometimes")


def test_the_package_shares_nothing_with_its_clients():
    """It imports nothing of onplan outside itself, nor a web framework it does not need."""
    package = Path(__file__).parents[2] / "src" / "onplan" / "emulator"
    imported = {
        line.split()[1]
        for module in package.glob("*.py")
        for line in module.read_text().splitlines()
        if line.strip().startswith(("from onplan", "import onplan"))
    }
    assert imported
    assert all(name.startswith("onplan.emulator") for name in imported)
