"""Seals encrypted reasoning, and recognises what it sealed for the same account and model."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

PREFIX = "gAAAAA"


class Seals:
    """Makes opaque texts and recognises its own; nothing is in them to decrypt."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def seal(self, *, account_id: str, model: str) -> str:
        """A text that only `verifies` for the same account and model."""
        nonce = secrets.token_bytes(32)
        return PREFIX + base64.urlsafe_b64encode(nonce + self._mac(nonce, account_id, model)).decode()

    def verifies(self, sealed: str, *, account_id: str, model: str) -> bool:
        """Whether a text was sealed here for this account and model."""
        try:
            raw = base64.urlsafe_b64decode(sealed.removeprefix(PREFIX))
        except ValueError:
            return False
        return hmac.compare_digest(raw[32:], self._mac(raw[:32], account_id, model))

    def _mac(self, nonce: bytes, account_id: str, model: str) -> bytes:
        subject = b"\0".join((nonce, account_id.encode(), model.encode()))
        return hmac.digest(self._key, subject, hashlib.sha256)
