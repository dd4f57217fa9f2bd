"""Token counts of either API, in every spelling that servers have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onplan.answers.usage import _usage_by_any_name, usage_of
from onplan.types import Usage

COUNTS: dict[str, tuple[Any, Usage]] = {
    "Chat Completions": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        Usage(10, 5, 15, 4, 2, 3),
    ),
    "Responses API": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 3},
        },
        Usage(10, 5, 15, 4, 0, 3),
    ),
    "names of both": ({"prompt_tokens": 10, "output_tokens": 5}, Usage(10, 5, 15)),
    "zeros beside the other names": (
        {"prompt_tokens": 0, "input_tokens": 10, "completion_tokens": 0, "output_tokens": 5},
        Usage(10, 5, 15),
    ),
    "DeepSeek's hits": ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 4}, Usage(10, 0, 10, 4)),
    "cached tokens beside the rest": ({"prompt_tokens": 10, "cached_tokens": 4}, Usage(10, 0, 10, 4)),
    "reasoning tokens beside the rest": (
        {"completion_tokens": 5, "reasoning_tokens": 3},
        Usage(0, 5, 5, reasoning_tokens=3),
    ),
    "a total that is no sum": ({"prompt_tokens": 10, "total_tokens": 99}, Usage(10, 0, 99)),
    "numbers as text": ({"prompt_tokens": "10", "completion_tokens": "5"}, Usage(10, 5, 15)),
    "numbers with a point": ({"prompt_tokens": 10.0, "completion_tokens": 5.0}, Usage(10, 5, 15)),
    "text that is no number": ({"prompt_tokens": "many", "completion_tokens": "\u0665"}, Usage()),
    "as many digits as a count may have": ({"prompt_tokens": "1" + "0" * 12}, Usage(10**12, 0, 10**12)),
    "more than any answer takes": (
        {"input_tokens": 10**12 + 1, "output_tokens": 1e300, "total_tokens": 5},
        Usage(0, 0, 5),
    ),
    "less than nothing": ({"input_tokens": -5, "output_tokens": -0.5, "total_tokens": "-1"}, Usage()),
    "more digits than any count has": ({"prompt_tokens": "9" * 20}, Usage()),
    "a list": ({"prompt_tokens": [10], "completion_tokens": {"all": 5}}, Usage()),
    "true": ({"prompt_tokens": True}, Usage()),
    "details of another shape": ({"prompt_tokens": 10, "prompt_tokens_details": [1]}, Usage(10, 0, 10)),
    "nothing": ({}, Usage()),
    "null": (None, Usage()),
    "a text": ("none", Usage()),
}


@pytest.mark.parametrize(("usage", "expected"), COUNTS.values(), ids=COUNTS)
def test_counts_are_read_in_any_spelling(usage, expected):
    """A count that is missing or no number is 0, and the total is the sum where none is given."""
    assert usage_of(usage) == expected


NUMBERS = st.sampled_from([None, 0, 3, -1, 2.0, 2.5, True, "4", "x", [], {}, 2**70])
_NAMED = (
    "input_tokens output_tokens total_tokens prompt_tokens completion_tokens cached_tokens "
    "cache_write_tokens reasoning_tokens prompt_cache_hit_tokens other"
)
NAMES = st.sampled_from(_NAMED.split())
DETAILS = st.dictionaries(NAMES, NUMBERS, max_size=3) | NUMBERS
WHOLE = st.fixed_dictionaries(
    {"input_tokens": NUMBERS, "output_tokens": NUMBERS},
    optional={
        "input_tokens_details": DETAILS,
        "output_tokens_details": DETAILS,
        "prompt_tokens_details": DETAILS,
    },
)


@given(whole=WHOLE, more=st.dictionaries(NAMES, NUMBERS, max_size=2))
def test_the_usual_counts_are_read_as_all_others(whole: dict[str, Any], more: dict[str, Any]) -> None:
    """What is read at once where the shape is the usual one is what a look at each name finds."""
    assert usage_of({**whole, **more}) == _usage_by_any_name({**whole, **more})
