"""The journal: one row for each request received, without secrets; the oldest rows go when it is full."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from typing import Any

from onplan.emulator.wire.replies import Request

MOST_ROWS = 10_000
MOST_BYTES = 64 * 1024 * 1024

SECRET_FIELDS = frozenset(
    [
        "access_token",
        "client_secret",
        "code",
        "code_verifier",
        "id_token",
        "id_token_hint",
        "refresh_token",
        "subject_token",
        "token",
    ]
)
SECRET_HEADERS = frozenset(["authorization", "cookie", "proxy-authorization", "x-api-key"])


def fingerprint(secret: str) -> str:
    """A short name for a secret: the same secret has the same name, and the name does not give it away."""
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()[:8]


class Journal:
    """The requests received, oldest first; the oldest leave when there are too many."""

    def __init__(self) -> None:
        self._rows: deque[tuple[dict[str, Any], int]] = deque()
        self._bytes = 0
        self._count = 0

    def record(self, request: Request) -> dict[str, Any]:
        """Add a row; its status is filled in when the reply starts, `ended` when it ends."""
        self._count += 1
        row = {
            "n": self._count,
            "time": time.time(),
            "method": request.method,
            "path": request.path,
            "query": _without_secrets(dict(request.query)),
            "headers": {name: _masked_header(name, value) for name, value in request.headers.items()},
            "body": _shown(request),
            "status": None,
            "ended": None,
        }
        self._rows.append((row, len(request.raw)))
        self._bytes += len(request.raw)
        while len(self._rows) > MOST_ROWS or (self._bytes > MOST_BYTES and len(self._rows) > 1):
            self._bytes -= self._rows.popleft()[1]
        return row

    def rows(self) -> list[dict[str, Any]]:
        """Copies of the rows."""
        return [dict(row) for row, _ in self._rows]

    def clear(self) -> None:
        """Forget everything; numbering goes on."""
        self._rows.clear()
        self._bytes = 0


_LONGEST_URL = 200


def _shown(request: Request) -> Any:
    """The body without secrets. Of images to be edited only their beginnings: they are megabytes."""
    body = request.body
    if not isinstance(body, dict):
        return body
    shown = _without_secrets(body)
    if request.path.endswith("/images/edits") and isinstance(shown.get("images"), list):
        shown["images"] = [_shortened(image) for image in shown["images"]]
    return shown


def _shortened(image: Any) -> Any:
    url = image.get("image_url") if isinstance(image, dict) else None
    if not isinstance(url, str) or len(url) <= _LONGEST_URL:
        return image
    return {**image, "image_url": f"{url[:_LONGEST_URL]}… ({len(url)} characters)"}


def _without_secrets(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: fingerprint(value) if name in SECRET_FIELDS and isinstance(value, str) else value
        for name, value in fields.items()
    }


def _masked_header(name: str, value: str) -> str:
    if name not in SECRET_HEADERS:
        return value
    # The scheme stays readable; the fingerprint is that of the token alone.
    scheme, _, secret = value.rpartition(" ")
    return f"{scheme} {fingerprint(secret)}".lstrip()
