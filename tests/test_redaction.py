"""Secrets that the other side repeats in its message are left out of ours, by one rule."""

from __future__ import annotations

import pytest

from onplan.errors import OnplanError
from onplan.secret import without_secrets


@pytest.mark.parametrize(
    ("text", "secrets", "said"),
    [
        ("Bad token: secret-1234.", ("secret-1234",), "Bad token: …."),
        ("secret-1234 and secret-1234", ("secret-1234",), "… and …"),
        ("of secret-1, secret-1234 too", ("secret-1", "secret-1234"), "of …, … too"),
        ("of secret-1, secret-1234 too", ("secret-1234", "secret-1"), "of …, … too"),
        ("eight: 12345678", ("12345678",), "eight: …"),
        ("seven: 1234567", ("1234567",), "seven: 1234567"),
        ("none at all", (None, ""), "none at all"),
        ("none at all", (), "none at all"),
    ],
)
def test_a_secret_is_left_out(text: str, secrets: tuple[str | None, ...], said: str) -> None:
    """Every occurrence, the longest secret first; what is too short to guard anything stays."""
    assert without_secrets(text, *secrets) == said


def test_an_error_hides_in_its_message_and_its_hint() -> None:
    """``str``, ``message``, ``hint`` and ``args`` agree."""
    error = OnplanError("No: secret-1234", hint="Ask about secret-1234.")
    error.hide("secret-1234", None)

    assert (str(error), error.message, error.hint) == ("No: …", "No: …", "Ask about ….")
    assert error.args == ("No: …",)
