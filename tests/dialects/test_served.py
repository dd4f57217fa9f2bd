"""What every reply tells beside its body."""

from __future__ import annotations

import pytest

from onplan.dialects.served import estimated_usage, limit_headers


@pytest.mark.parametrize(
    ("name", "value", "is_told"),
    [
        ("x-codex-primary-used-percent", "12.5", True),
        ("x-codex-credits-balance", "", True),
        ("x-codex-plan-type", "plus\r\nset-cookie: a=b", False),
        ("x-codex-plan-type", "pl\u00fcs", False),
        ("x-codex-\x7f", "1", False),
        ("set-cookie", "a=b", False),
    ],
)
def test_limits_are_told_as_far_as_headers_can_hold_them(name: str, value: str, is_told: bool) -> None:
    """Control characters of a backend reach no reply, and other headers of its are not handed on."""
    assert limit_headers({name: value}) == ({name: value} if is_told else {})


def test_tokens_are_estimated_by_bytes() -> None:
    """Four bytes of a request and two hundred of a stream for a token."""
    usage = estimated_usage(4_000, 2_000)

    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1_000, 10, 1_010)
