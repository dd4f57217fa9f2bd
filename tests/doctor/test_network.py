"""The doctor on the way to the issuer and the backend: every obstacle is named, once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from email.utils import formatdate

import pytest

from onplan import doctor
from onplan.doctor import network
from onplan.emulator import Emulator

Find = Callable[..., dict[str, doctor.check.Result]]

PAGE = b"<!DOCTYPE html><html><body>Sorry, you have been blocked</body></html>"


def states(found: dict[str, doctor.check.Result], *names: str) -> list[str]:
    return [found[name].state for name in names]


def test_all_is_well(signed_in: Emulator, find: Find) -> None:
    """With everything in order nothing is a problem, and all but TLS on loopback was examined."""
    found = find()

    assert {name for name, result in found.items() if result.state != "ok"} == {"issuer-tls", "backend-tls"}
    assert found["catalogue"].message == "11 models, the first of them gpt-6.2-sol."
    assert "gpt-6.2-sol began to answer after" in found["request"].message
    assert "a little of the plan" in found["request"].message


def test_what_is_sent(signed_in: Emulator, find: Find) -> None:
    """Whether the two answer is asked without a credential; the model is asked once; nothing is refreshed."""
    find()

    rows = [(row["method"], row["path"], "authorization" in row["headers"]) for row in signed_in.journal()]
    models = "/backend-api/codex/models"
    assert rows == [
        ("GET", "/.well-known/openid-configuration", False),
        ("GET", models, False),
        ("GET", models, True),
        ("GET", models, True),
        ("POST", "/backend-api/codex/responses", True),
    ]


def test_offline_talks_to_nobody(signed_in: Emulator, find: Find) -> None:
    """With offline the rest is examined as ever."""
    found = find(offline=True)

    assert signed_in.journal() == []
    assert states(found, "proxy", "issuer", "clock", "catalogue", "request") == ["skipped"] * 5
    assert states(found, "configuration", "store", "lock", "refresh", "token") == ["ok"] * 5


def test_without_the_request(signed_in: Emulator, find: Find) -> None:
    """Without the request the catalogue is read and the model left alone."""
    found = find(request=False)

    assert states(found, "catalogue", "request") == ["ok", "skipped"]
    assert {row["method"] for row in signed_in.journal()} == {"GET"}


def test_a_dead_port(
    signed_in: Emulator, find: Find, unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that is down is one problem, and what needs it is skipped; the issuer is examined."""
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", unused_url)
    found = find()

    assert [name for name, result in found.items() if result.state == "problem"] == ["backend"]
    assert found["backend"].exit_code == 40
    assert unused_url in found["backend"].message
    assert "Start the server on this machine" in (found["backend"].fix or "")
    assert states(found, "issuer", "token", "catalogue", "request") == ["ok", "ok", "skipped", "skipped"]
    assert found["request"].message == "Not examined because of the problem with backend."


def test_a_name_that_is_none(signed_in: Emulator, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without an address is told with the variable that it came from."""
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", "https://nowhere.invalid/v1")
    found = find()

    assert [name for name, result in found.items() if result.state == "problem"] == ["backend-name"]
    assert "nowhere.invalid cannot be resolved" in found["backend-name"].message
    assert "DNS server, and ONPLAN_CODEX_BASE_URL" in (found["backend-name"].fix or "")
    assert states(found, "backend-tls", "backend", "catalogue") == ["skipped"] * 3


@pytest.mark.parametrize(
    ("answer", "exit_code", "told"),
    [
        (
            (403, PAGE, {"content-type": "text/html", "cf-ray": "8c0-FRA"}),
            32,
            "A firewall in front of the backend refused this connection (cf-ray 8c0-FRA).",
        ),
        ((200, PAGE, {"content-type": "text/html"}), 33, "A web page came back instead of an answer"),
        ((302, b"", {"location": "http://login.example/"}), 33, "not the protocol's (HTTP 302)"),
        ((404, b'{"detail":"Not Found"}'), 33, "does not know this address"),
        ((503, b"{}"), 30, "The service failed (HTTP 503)"),
    ],
    ids=["cloudflare", "captive portal", "redirect", "another service", "failure"],
)
def test_an_answer_that_is_none(
    signed_in: Emulator,
    find: Find,
    serve: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[object, ...],
    exit_code: int,
    told: str,
) -> None:
    """A firewall's page, a captive portal, a redirect, another service and a failure are told apart."""
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", f"http://127.0.0.1:{serve(*answer)}")
    found = find()

    assert [name for name, result in found.items() if result.state == "problem"] == ["backend"]
    assert found["backend"].exit_code == exit_code
    assert told in found["backend"].message
    assert found["backend"].fix


def test_the_request_meets_a_firewall(signed_in: Emulator, find: Find) -> None:
    """A firewall that only minds the model's address is found by the request."""
    signed_in.arm("cloudflare_403")
    found = find()

    assert (found["request"].state, found["request"].exit_code) == ("problem", 32)
    assert "The sign-in is valid" in (found["request"].fix or "")


@pytest.mark.parametrize(("ahead", "told"), [(-7200, "ahead of"), (7200, "behind")])
def test_a_wrong_clock(
    find: Find, serve: Callable[..., int], monkeypatch: pytest.MonkeyPatch, ahead: float, told: str
) -> None:
    """A clock that is two hours off is told, with the direction and a command."""
    url = f"http://127.0.0.1:{serve(date=formatdate(time.time() + ahead, usegmt=True))}"
    monkeypatch.setenv("ONPLAN_ISSUER", url)
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", url)
    found = find()

    assert found["clock"].state == "problem"
    assert f"seconds {told} 127.0.0.1's" in found["clock"].message
    assert "`" in (found["clock"].fix or "")


def test_a_server_that_never_answers(find: Find, monkeypatch: pytest.MonkeyPatch, unused_url: str) -> None:
    """A server that is silent is given up after the step's time."""
    monkeypatch.setattr(network, "STEP", 0.2)
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", unused_url)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ONPLAN_ISSUER", f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = find()

    assert (found["issuer"].state, found["issuer"].exit_code) == ("problem", 42)


# --- proxies ------------------------------------------------------------------------------------------


@pytest.fixture
def proxy() -> Iterator[Callable[[bytes], int]]:
    """A proxy that answers every CONNECT with the same line, and closes; gives its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        answers: list[bytes] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        if connection.recv(65536):
                            connection.sendall(answers[0])

        thread = threading.Thread(target=serve)
        thread.start()

        def start(answer: bytes) -> int:
            answers.append(answer)
            return int(listener.getsockname()[1])

        yield start
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that only a proxy could reach."""
    monkeypatch.setenv("ONPLAN_ISSUER", "https://auth.invalid")
    monkeypatch.setenv("ONPLAN_CODEX_BASE_URL", "https://backend.invalid/codex")


def test_a_proxy_that_refuses(
    far_away: None, find: Find, proxy: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy answers is told as the proxy's, with its variable, and without its password."""
    port = proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:marked-password@127.0.0.1:{port}")
    found = find()

    address = f"127.0.0.1:{port}"
    assert found["proxy"].message == f"From HTTPS_PROXY: issuer through {address}; backend through {address}."
    assert found["issuer-name"].message == "The proxy looks it up."
    told = f"The proxy http://{address} does not connect to auth.invalid: 407 Proxy Authentication Required."
    assert (found["issuer-tls"].message, found["issuer-tls"].exit_code) == (told, 44)
    assert found["issuer-tls"].fix == "Check the user and the password in its URL."
    assert not any("marked" in f"{result}" for result in found.values())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there(
    far_away: None, find: Find, unused_url: str, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """A dead proxy is one problem, with the variable that names it; nothing is cascaded."""
    address = unused_url.removeprefix("http://")
    monkeypatch.setenv("all_proxy", f"{scheme}://{address}")
    found = find()

    problems = [name for name, result in found.items() if result.state == "problem"]
    assert problems == ["proxy", "token"]
    assert f"The proxy {address}, from all_proxy, does not answer" in found["proxy"].message
    assert "change all_proxy" in (found["proxy"].fix or "")


def test_a_proxy_that_is_not_for_these(
    signed_in: Emulator, find: Find, unused_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on this machine is not asked for through a proxy, and the doctor says so."""
    monkeypatch.setenv("HTTPS_PROXY", unused_url)
    monkeypatch.setenv("HTTP_PROXY", unused_url)
    found = find()

    assert found["proxy"].message == "HTTPS_PROXY is set, but does not apply to these addresses."
    assert not [name for name, result in found.items() if result.state == "problem"]


def test_a_proxy_for_one_of_them(
    far_away: None, find: Find, proxy: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY is honoured as the client does: the one is asked directly, the other through the proxy."""
    port = proxy(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "backend.invalid")
    found = find()

    assert found["proxy"].message == f"From HTTPS_PROXY: issuer through 127.0.0.1:{port}."
    assert states(found, "issuer-name", "issuer-tls", "backend-name") == ["skipped", "problem", "problem"]


def test_a_socks_proxy(far_away: None, find: Find, unused_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy is examined as any other."""
    address = unused_url.removeprefix("http://")
    monkeypatch.setenv("ALL_PROXY", f"socks5://{address}")
    found = find()

    assert (found["proxy"].state, found["proxy"].exit_code) == ("problem", 40)
    assert f"The proxy {address}, from ALL_PROXY, does not answer" in found["proxy"].message


@pytest.mark.parametrize(
    "proxy_url", ["socks4://user:marked@127.0.0.1:1080", "http://user:marked@127.0.0.1:port"]
)
def test_a_proxy_that_cannot_be_used(
    far_away: None, find: Find, monkeypatch: pytest.MonkeyPatch, proxy_url: str
) -> None:
    """A proxy of another kind, or none at all, is refused with its variable, and without its password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy_url)
    found = find()

    assert (found["proxy"].state, found["proxy"].exit_code) == ("problem", 2)
    assert "from HTTPS_PROXY is not a usable proxy URL" in found["proxy"].message
    assert not any("marked" in f"{result}" for result in found.values())
