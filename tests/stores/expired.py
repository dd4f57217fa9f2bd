"""A sign-in that has to be refreshed before it can be used."""

from __future__ import annotations

import time

import onplan
from onplan.emulator import Emulator
from onplan.oauth.issuer import CODEX
from onplan.stores import Record


def expired_sign_in(emulator: Emulator) -> Record:
    """One that the emulator honours, and whose access token has expired by what it says."""
    tokens = emulator.issue_tokens()
    credentials = onplan.OAuthCredentials(
        **{name: tokens[name] for name in ("id_token", "access_token", "refresh_token")},
        expires_at=time.time() - 60,
        account_id="acct-emulated-0001",
        issuer=emulator.issuer,
        client_id=CODEX.client_id,
    )
    return Record(credentials=credentials)
