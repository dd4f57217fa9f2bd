"""What stores can be used for, by the scheme of their spec."""

from __future__ import annotations

import pytest

from onplan.config.store_schemes import CAPABILITIES, Capabilities, declared, scheme_of


@pytest.mark.parametrize(
    ("spec", "scheme"),
    [("file:/a:b", "file"), ("memory:", "memory"), ("vault", "vault"), ("", ""), (":x", "")],
)
def test_the_scheme_stands_before_the_first_colon(spec: str, scheme: str) -> None:
    """A location may have colons of its own."""
    assert scheme_of(spec) == scheme
    assert declared(spec) == CAPABILITIES.get(scheme, Capabilities())


@pytest.mark.parametrize(
    ("capability", "schemes"),
    [
        ("lasting", {"file", "keyring", "command", "vault", "codex", "env"}),
        ("writable", {"file", "keyring", "command", "vault", "codex", "memory"}),
        ("exclusive", {"file", "keyring", "command", "memory"}),
        ("shareable", {"file", "keyring", "vault", "codex"}),
        ("instant", {"file", "codex"}),
        ("not_for_local_sign_ins", {"vault", "codex", "env"}),
    ],
)
def test_which_stores_can_do_what(capability: str, schemes: set[str]) -> None:
    """The whole table."""
    assert {name for name, each in CAPABILITIES.items() if getattr(each, capability)} == schemes


def test_an_unknown_store_keeps_records_and_no_more_is_known() -> None:
    """Nothing is moved away from it, and it is asked again each time."""
    assert declared("mine:x") == Capabilities()
    assert Capabilities() == Capabilities(
        lasting=True,
        writable=True,
        exclusive=False,
        shareable=False,
        instant=False,
        not_for_local_sign_ins="",
    )
