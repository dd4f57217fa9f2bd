"""Text and bytes without a printed form: a traceback that shows local variables shows ``…`` instead.

They are ordinary strings otherwise: formatting one gives its content.
"""

from __future__ import annotations


class SecretText(str):
    """A token, or text that holds one."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Nothing of the content."""
        return "…"


class SecretBytes(bytes):
    """Bytes that hold a token, such as a stored record."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Nothing of the content."""
        return "…"


_SHORTEST_SECRET = 8


def without_secrets(text: str, *secrets: str | None) -> str:
    """``text`` of another side's, such as a server's error message, with ``secrets`` replaced by ``…``.

    A secret of fewer than 8 characters is left in: it guards nothing, and would be found in ordinary words.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):  # one may contain another
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "…")
    return text
