"""Promise 4: no secret is printable. Marked tokens go through everything, and no mark comes out."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
            driver(store=store, retry=onplan.RetryPolicy(attempts=2, base=0.001)).complete(
                onplan.CompletionRequest(messages="one two three", model="gpt-5.5")
            )
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    told = "".join(
        [
            seen.getvalue(),
            repr(caught.value),
            str(caught.value.to_dict()),
            *traceback.format_exception(caught.value, chain=True),
        ]
    )

    assert told
    assert [secret for secret in secrets if secret in told] == []


def test_nothing_that_is_printed_holds_a_token(emulator: Emulator) -> None:
    """The printed forms of credentials, records, requests, responses and sign-ins in progress are masked."""
    from onplan.oauth import authorization_code
    from onplan.oauth.credentials import TokenResponse
    from onplan.oauth.issuer import CODEX
    from onplan.turn import Refresh
    from onplan.wire import Request, Response

    credentials, secrets = marks(emulator)
    started = authorization_code.start(CODEX, "http://localhost:1455/auth/callback")
    callback = authorization_code.read_callback(f"code={secrets[0]}&state=x", "x")
    values = [
        credentials,
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
    script.write_text(f'#!/bin/sh\nprintf "%s" "$*" > {record}\n')
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{script} %s")
    from onplan import login
    from onplan.settings import load_settings

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
