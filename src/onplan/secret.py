"""Text and bytes whose ``repr`` is ``…``, so that a traceback with local variables shows no secret.

They are ordinary strings otherwise: formatting one gives its content.
"""

from __future__ import annotations


class SecretText(str):
    """A token, or text that holds one."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show no content."""
        return "…"


class SecretBytes(bytes):
    """Bytes that hold a token, such as a stored record."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show no content."""
        return "…"


_SHORTEST_SECRET = 8


def without_secrets(text: str, *secrets: str | None) -> str:
    """``text``, such as a server's error message, with ``secrets`` replaced by ``…``.

    A secret of fewer than 8 characters is not replaced: it protects nothing, and occurs in ordinary words.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):  # one may contain another
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "…")
    return text
