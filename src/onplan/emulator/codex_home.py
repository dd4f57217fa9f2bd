"""Writes the files that the official client needs to talk to an emulator."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from onplan.emulator.options import Scenario
from onplan.emulator.tokens.ledger import CODEX_CLIENT_ID

MARK = "# Written by the onplan emulator, which replaces this file when it starts.\n"
# The two URLs name the same server differently on purpose: the client keeps a plain-http model URL
# only while its origin is not that of the account calls.
CONFIG = (
    MARK
    + """chatgpt_base_url = "http://127.0.0.1:{port}/backend-api"
openai_base_url = "http://localhost:{port}/backend-api/codex"

[features]
apps = false
plugins = false
remote_plugin = false

[analytics]
enabled = false
"""
)


def write_codex_home(
    home: Path, urls: dict[str, Any], scenario: Scenario, tokens: dict[str, Any] | None
) -> None:
    """Write config.toml, and with tokens auth.json; FileExistsError if the folder holds others."""
    home = Path(home)
    config, auth = home / "config.toml", home / "auth.json"
    ours = config.exists() and config.read_text().startswith(MARK)
    foreign = [path.name for path in (config, auth) if path.exists() and not ours]
    if foreign:
        raise FileExistsError(f"{home} has its own {' and '.join(foreign)}; choose an empty folder.")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_private(config, CONFIG.format(port=urlsplit(urls["issuer"]).port).encode())
    if tokens is not None:
        document = msgspec.json.encode(_auth(urls["issuer"], scenario, tokens))
        _write_private(auth, msgspec.json.format(document, indent=2))


def _auth(issuer: str, scenario: Scenario, tokens: dict[str, Any]) -> dict[str, Any]:
    """auth.json, with its keys in the official client's order."""
    now = datetime.now(UTC)
    return {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": {
            "id_token": tokens["id_token"],
            "access_token": tokens["access_token"],
            "refresh_token": tokens["refresh_token"],
            "oauth_provenance": {"issuer": issuer, "client_id": CODEX_CLIENT_ID},
            "login_owner_id": secrets.token_urlsafe(32),
            "account_id": scenario.account_id,
        },
        "last_refresh": f"{now:%Y-%m-%dT%H:%M:%S.%f}000Z",
    }


def _write_private(path: Path, data: bytes) -> None:
    """Mode 0600 from creation, complete or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    temporary.replace(path)
