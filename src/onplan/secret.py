"""Text and bytes without a printed form: a traceback that shows local variables shows ``…`` instead.

They are ordinary strings everywhere else; whoever formats one on purpose gets its content.
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
