"""Errors for frameworks that show the text of an error and nothing else."""

from __future__ import annotations

import pickle
import traceback
from pathlib import Path

import pytest

import onplan
from onplan.integrations.hints import HAYSTACK
from onplan.integrations.told_errors import telling, told

LIMIT = onplan.TotalTimeoutError("It took too long.")


def with_os_error(kind: type[onplan.OnplanError]) -> tuple[type, ...]:
    """A framework's class."""
    return (OSError,) if kind.retryable else (LookupError,)


def test_the_text_ends_with_what_to_do() -> None:
    """In the framework's words, once, in the text and below a traceback; the error is of the same class."""
    cause = ValueError("why")
    with pytest.raises(onplan.TotalTimeoutError) as caught, telling(HAYSTACK):
        raise LIMIT from cause
    advice = "Allow more time: `OnplanChatGenerator(timeout=onplan.Timeouts(total=…))`."
    assert str(caught.value) == f"It took too long. {advice}"
    assert caught.value.hint == advice
    assert caught.value.code == "total_timeout"
    assert caught.value.__cause__ is cause
    caught.value.add_note("at noon")
    assert "".join(traceback.format_exception(caught.value)).count(advice) == 1
    assert caught.value.__notes__ == ["at noon"]
    assert Path(__file__).name in "".join(traceback.format_exception(caught.value))


def test_it_may_be_of_the_framework_too() -> None:
    """Its classes are the same ones each time, in another process, too; an error is not told twice."""
    made, other = told(LIMIT, HAYSTACK, with_os_error), told(LIMIT, HAYSTACK)
    assert isinstance(made, LookupError)
    assert not isinstance(other, LookupError)
    assert type(told(LIMIT, HAYSTACK, with_os_error)) is type(made)
    assert told(made, HAYSTACK) is made
    again = pickle.loads(pickle.dumps(made))
    assert (type(again), str(again), vars(again)) == (type(made), str(made), vars(made))
