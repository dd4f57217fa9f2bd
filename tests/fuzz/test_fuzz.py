"""Damaged bytes of every kind that onplan reads: a right answer or an OnplanError, within limits.

``make fuzz`` tries 200,000, and others with ``ONPLAN_FUZZ_SEED=2``. One case again:
``ONPLAN_FUZZ_CASE=4711 pytest tests/fuzz -k record``, with the seed that it had.
"""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

import onplan

from .damage import Damage
from .limits import limited_memory, limited_time
from .targets import TARGETS

_CASES = int(os.environ.get("ONPLAN_FUZZ_CASES", "4000"))
_SEED = os.environ.get("ONPLAN_FUZZ_SEED", "1")
_ONE = os.environ.get("ONPLAN_FUZZ_CASE")
_PARTS = 4  # of each target's cases, so that several processes share them


@pytest.mark.parametrize("part", range(_PARTS))
@pytest.mark.parametrize("name", TARGETS)
def test_damage_is_an_answer_or_an_error(name: str, part: int) -> None:
    """Whatever bytes come: what must hold holds, or an OnplanError says what is wrong, and soon."""
    target = TARGETS[name]
    good = target.good()
    cases = [int(_ONE)] if _ONE else range(part, _CASES // len(TARGETS), _PARTS)
    with limited_memory():
        for case in cases:
            damage = Damage(f"{_SEED} {name} {case}", good)
            data = damage.of(damage.random.choice(good))
            try:
                with limited_time(), suppress(onplan.OnplanError):
                    target.check(data, damage)
            except BaseException as error:
                raise AssertionError(
                    f"case {case} of {name}: {type(error).__name__}: {error}\n{data!r}"
                ) from error


@pytest.mark.parametrize("name", TARGETS)
def test_the_good_bytes_are_accepted(name: str) -> None:
    """What the damage begins with is read without an error, so that the damage is what is tried."""
    target = TARGETS[name]
    for data in target.good():
        target.check(data, Damage("none", [data]))
