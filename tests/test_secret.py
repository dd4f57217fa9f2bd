"""Text and bytes without a printed form, and texts without secrets."""

from __future__ import annotations

import pytest

from onplan.secret import SecretBytes, SecretText, without_secrets

TOKEN = "token-of-a-person"


def test_a_secret_is_not_printed() -> None:
    """Not in a list either, nor among the local variables of a traceback."""
    for secret in (SecretText(TOKEN), SecretBytes(TOKEN.encode())):
        assert repr(secret) == "…"
        assert repr([secret]) == "[…]"
        assert f"{secret!r}" == "…"


def test_a_secret_is_text_otherwise() -> None:
    """A header is made of it as of any other text."""
    assert f"Bearer {SecretText(TOKEN)}" == f"Bearer {TOKEN}"
    assert SecretText(TOKEN) == TOKEN
    assert SecretBytes(b"a") + b"b" == b"ab"
    assert hash(SecretText(TOKEN)) == hash(TOKEN)


@pytest.mark.parametrize(
    ("text", "secrets", "told"),
    [
        (f"{TOKEN} is not {TOKEN}", [TOKEN], "… is not …"),
        ("all is well", [TOKEN, None, ""], "all is well"),
        ("a 1234567 b", ["1234567"], "a 1234567 b"),
        ("a 12345678 b", ["12345678"], "a … b"),
        ("a 12345678.90 b", ["12345678", "12345678.90"], "a … b"),
        ("a 12345678.90 b", ["12345678.90", "12345678"], "a … b"),
        ("a 12345678 b 87654321", ["87654321", "12345678"], "a … b …"),
        ("a b", [], "a b"),
    ],
)
def test_secrets_are_taken_out_of_a_text(text: str, secrets: list[str | None], told: str) -> None:
    """Each wherever it stands, the longest first, for one may contain another; words are left alone."""
    assert without_secrets(text, *secrets) == told
