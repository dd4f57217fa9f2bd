"""Promise 4: no secret is printable. Marked tokens go through everything, and no mark comes out."""

from __future__ import annotations

import io
import logging
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import onplan
from onplan import errors
from onplan.cli.logs import redact
from onplan.emulator import Emulator
from onplan.stores import Record, open_store

FAULTS = [
    "unauthorized_once",
    "server_error_500",
    "html_instead_of_json",
    "connection_reset",
    "cut_mid_event",
    "garbage_event",
    "usage_limit_429",
    "token_500",
    "token_html",
    "token_truncated",
    "token_connection_reset",
    "token_invalid_grant",
    "refresh_token_reused",
]


def marks(emulator: Emulator) -> tuple[onplan.OAuthCredentials, list[str]]:
    """Real tokens of the emulator, and what must not be seen of them."""
    tokens = emulator.issue_tokens()
    credentials = onplan.OAuthCredentials(
        access_token=tokens["access_token"],
        refresh_token=tokens["refresh_token"],
        id_token=tokens["id_token"],
        account_id="acct-emulated-0001",
        issuer=emulator.issuer,
    )
    return credentials, [tokens[name] for name in ("access_token", "refresh_token", "id_token")]


def everything_about(error: BaseException) -> str:
    """Its printed forms, its traceback, and the local variables of every frame of ours in it."""
    parts = [repr(error), str(error), *traceback.format_exception(error, chain=True)]
    if isinstance(error, onplan.OnplanError):
        parts.append(str(error.to_dict()))
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        todo += [found.__cause__, found.__context__]
        for frame, _ in traceback.walk_tb(found.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("onplan."):
                parts += [
                    f"{frame.f_code.co_name}: {name} = {value!r}" for name, value in frame.f_locals.items()
                ]
    return "\n".join(parts)


@pytest.mark.parametrize("fault", FAULTS)
def test_errors_logs_and_tracebacks_hold_no_token(
    emulator: Emulator, driver: Any, fault: str, clean_environment: Path
) -> None:
    """Whatever fails: error texts, their causes, tracebacks and DEBUG logs of every library show no token."""
    credentials, secrets = marks(emulator)
    store = open_store(f"file:{clean_environment / 'c.json'}")
    store.save(Record(credentials=credentials), None)
    emulator.arm(fault, times=9)
    if fault.startswith(("token", "refresh")):
        emulator.expire_access_tokens()
    seen = io.StringIO()
    handler = logging.StreamHandler(seen)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with pytest.raises(onplan.OnplanError) as caught:
            driver(store=store, retry=onplan.RetryPolicy(attempts=2, wait_initial=0.001)).complete(
                onplan.CompletionRequest(messages="one two three", model="gpt-5.5")
            )
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    told = seen.getvalue() + everything_about(caught.value)

    assert told
    leaks = [line[:200] for line in told.splitlines() if any(secret in line for secret in secrets)]
    assert leaks == []


def _damage(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    """A record cut in the middle."""
    path.write_bytes(path.read_bytes()[:-40])
    onplan.Client(store=store).credentials()


def _readable(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    path.chmod(0o644)
    onplan.Client(store=store).credentials()


def _newer(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"schema": 2', b'"schema": 9'))
    onplan.Client(store=store).credentials()


def _conflict(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    store.save(Record(credentials=credentials), "another version")


def _unprintable(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    odd = msgspec.structs.replace(credentials, access_token=credentials.access_token + "\u00e9")
    store.save(Record(credentials=odd), store.load().version)
    onplan.Client(store=store).complete("hi")


def _foreign_issuer(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    odd = msgspec.structs.replace(credentials, issuer="http://example.com", expires_at=1.0)
    store.save(Record(credentials=odd), store.load().version)
    onplan.Client(store=store).credentials()


def _not_renewable(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    odd = msgspec.structs.replace(credentials, refresh_token=None, expires_at=1.0)
    store.save(Record(credentials=odd, borrowed_from="codex:"), store.load().version)
    onplan.Client(store=store).credentials()


def _unreachable(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    odd = msgspec.structs.replace(credentials, issuer="http://127.0.0.1:9", expires_at=1.0)
    store.save(Record(credentials=odd), store.load().version)
    onplan.Client(store=store).credentials()


def _tool_misuse(store: Any, credentials: onplan.OAuthCredentials, path: Path) -> None:
    onplan.Client(store=store, unsupported="raise").complete(
        onplan.CompletionRequest(messages="hi", model="gpt-5.5", temperature=0.5)
    )


MISHAPS = [
    _damage,
    _readable,
    _newer,
    _conflict,
    _unprintable,
    _foreign_issuer,
    _not_renewable,
    _unreachable,
    _tool_misuse,
]


@pytest.mark.parametrize("mishap", MISHAPS)
def test_what_goes_wrong_here_shows_no_token(
    emulator: Emulator, clean_environment: Path, mishap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Damaged, foreign, unreadable or useless credentials: neither the error nor our frames show a token."""
    credentials, secrets = marks(emulator)
    path = clean_environment / "c.json"
    store = open_store(f"file:{path}")
    store.save(Record(credentials=credentials), None)
    with caplog.at_level(logging.DEBUG), pytest.raises(onplan.OnplanError) as caught:
        mishap(store, credentials, path)
    told = caplog.text + everything_about(caught.value)

    leaks = [line[:200] for line in told.splitlines() if any(secret[:-40] in line for secret in secrets)]
    assert leaks == []


@pytest.mark.parametrize("fault", [None, "token_500", "token_not_json", "token_invalid_grant", "token_html"])
def test_a_failing_sign_in_shows_no_secret(
    emulator: Emulator, fault: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever ends a sign-in: neither the code, nor the verifier, nor the state is seen."""
    from onplan.config.settings import load_settings
    from onplan.sign_in import login

    kept: list[Any] = []
    code = "ac_marked-code-of-the-sign-in"
    if fault:
        emulator.arm(fault, times=9)

    def paste() -> str:
        return f"http://localhost:1455/auth/callback?code={code}&state={kept[0].state}"

    settings = load_settings()
    with caplog.at_level(logging.DEBUG), pytest.raises(onplan.OnplanError) as caught:
        login.sign_in_by_pasting(settings, open_store(settings.store), kept.append, paste)
    told = caplog.text + everything_about(caught.value)

    secrets = [code, kept[0].verifier, kept[0].state]
    assert [line[:200] for line in told.splitlines() if any(secret in line for secret in secrets)] == []


def test_nothing_that_is_printed_holds_a_token(emulator: Emulator) -> None:
    """The printed forms of credentials, records, requests, responses and sign-ins in progress are masked."""
    from onplan.flow import Request, Response
    from onplan.oauth import authorization_code
    from onplan.oauth.credentials import TokenResponse
    from onplan.oauth.device_code import DeviceAuthorization
    from onplan.oauth.issuer import CODEX
    from onplan.turn.steps import Refresh

    credentials, secrets = marks(emulator)
    started = authorization_code.start(CODEX, "http://localhost:1455/auth/callback")
    callback = authorization_code.read_callback(f"code={secrets[0]}&state=x", "x")
    device = DeviceAuthorization(
        verification_uri="https://example.com",
        user_code=secrets[0],
        device_auth_id=secrets[1],
        interval=5.0,
        expires_at=1.0,
    )
    values = [
        credentials,
        device,
        Record(credentials=credentials),
        TokenResponse(access_token=secrets[0], refresh_token=secrets[1]),
        Request.json(
            "https://example.com", {"refresh_token": secrets[1]}, headers={"authorization": secrets[0]}
        ),
        Response(200, {"set-cookie": secrets[0]}, secrets[1].encode()),
        Refresh(secrets[0]),
        started,
        callback,
    ]
    printed = "".join(f"{value!r}{value!s}" for value in values)

    hidden = [*secrets, started.state, started.verifier]
    assert [secret for secret in hidden if secret in printed] == []


def test_process_arguments_hold_no_secret(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_cli: Callable[..., Any]
) -> None:
    """The browser is given the authorize URL and nothing else, and the verifier is not in it."""
    record = tmp_path / "arguments"
    script = tmp_path / "browser.sh"
    script.write_text(f'#!/bin/sh\nprintf "%s" "$*" > {shlex.quote(str(record))}\n')
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{shlex.quote(str(script))} %s")
    from onplan.config.settings import load_settings
    from onplan.sign_in import login

    settings, kept = load_settings(), []
    with pytest.raises(onplan.SignInError):
        login.sign_in_with_browser(settings, open_store(settings.store), kept.append, timeout=2)

    assert record.read_text() == kept[0].url
    assert kept[0].verifier not in kept[0].url


@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer SECRET",
        '{"access_token": "SECRET"}',
        "refresh_token=SECRET&x=1",
        "http://localhost/auth/callback?code=SECRET&state=SECRET",
        "token eyJhbGciOiJub25lIn0.SECRET.SECRET",
    ],
)
def test_the_log_filter_is_a_second_line(text: str) -> None:
    """Even a message that held a secret would be shown by -v without it."""
    assert "SECRET" not in redact(text)


def test_no_error_class_is_without_advice() -> None:
    """Every error class has a code, an exit code and the next thing to do."""
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.OnplanError)
    ]

    assert len(classes) > 25
    assert all(cls.code and cls.exit_code and cls.hint for cls in classes)


_HELPER = """
import pathlib, sys
kept, seen = (pathlib.Path(place) for place in sys.argv[1:3])
with seen.open("ab") as file:
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for what in ("cmdline", "environ"):
            try:
                file.write((process / what).read_bytes() + b"\\n")
            except OSError:
                pass
if sys.argv[3] == "get" and kept.exists():
    sys.stdout.write(kept.read_text())
elif sys.argv[3] == "store":
    kept.write_text(sys.stdin.read())
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="this system does not show arguments")
def test_no_process_is_given_a_token(
    emulator: Emulator, tmp_path: Path, run_cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the command line reads, refreshes, keeps and uses a token, no process has one in its arguments.

    A helper of `command:` looks at every process each time it is asked.
    """
    credentials, secrets = marks(emulator)
    helper, kept, seen = (tmp_path / name for name in ("helper.py", "kept", "seen"))
    helper.write_text(_HELPER)
    spec = f"command:{shlex.join(map(str, (sys.executable, helper, kept, seen)))}"
    expired = msgspec.structs.replace(credentials, expires_at=1.0)
    open_store(spec).save(Record(credentials=expired), None)

    assert run_cli("ask", "hi", "--store", spec).returncode == 0
    refreshed = open_store(spec).load().record.credentials  # type: ignore[union-attr]
    assert run_cli("logout", "--store", spec).returncode == 0

    assert refreshed.access_token != credentials.access_token
    told = seen.read_bytes().decode("utf-8", "replace")
    hidden = [*secrets, refreshed.access_token, refreshed.refresh_token, refreshed.id_token]
    assert str(helper) in told
    assert [secret for secret in hidden if secret in told] == []
