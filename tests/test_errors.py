from __future__ import annotations

import inspect
import json
import pickle
import re
import traceback

import pytest

from onplan import errors
from onplan.errors import MissingExtraError, OnplanError
from onplan.types import Image

CLASSES = [
    value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, OnplanError)
]

# "│   ├── NotSignedInError        not_signed_in          3   a remark": depth, name, code, exit code
ROW = re.compile(r"^((?:│   |    )*)(├── |└── |)([A-Z]\w*Error)\s+([a-z_]+)\s+(\d+)(?:\s{2,}\S.*)?$")


def drawn_tree():
    """Name, parent, code and exit code of every row of the module's docstring."""
    path: list[str] = []
    for line in inspect.cleandoc(errors.__doc__).splitlines():
        found = ROW.match(line.removeprefix("    "))
        if not found:
            continue
        indent, branch, name, code, exit_code = found.groups()
        depth = len(indent) // 4 + bool(branch)
        path[depth:] = [name]
        yield name, path[depth - 1] if depth else "Exception", code, int(exit_code)


def test_the_drawn_tree_is_the_real_one():
    """The tree in the module's docstring shows every class with its parent, code and exit code."""
    real = [(cls.__name__, cls.__base__.__name__, cls.code, cls.exit_code) for cls in CLASSES]

    assert sorted(real) == sorted(drawn_tree())


def test_every_class_is_drawn_wherever_it_is_defined():
    """A program that catches the documented codes meets no others: no module adds a code of its own."""
    import onplan.oauth.refresh  # noqa: F401 - defines one

    def below(cls):
        return {cls} | {deeper for child in cls.__subclasses__() for deeper in below(child)}

    ours = {cls for cls in below(OnplanError) if cls.__module__.startswith("onplan.")}
    assert {cls.code for cls in ours} <= {code for _, _, code, _ in drawn_tree()}


def test_codes_and_exit_codes_are_unique():
    """Every failure can be told from every other, except that a missing extra is a configuration error."""
    drawn = [row for row in drawn_tree() if row[0] != "MissingExtraError"]

    assert len(CLASSES) == len({cls.code for cls in CLASSES})
    assert len(drawn) == len({exit_code for *_, exit_code in drawn})
    assert not {0, 130} & {exit_code for *_, exit_code in drawn}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_says_what_to_do_next(cls):
    """A failure has a hint and a class docstring."""
    assert cls.hint.strip()
    assert cls.hint.strip()[-1] in ".`" or "://" in cls.hint
    assert cls.__doc__


def test_the_json_shape():
    """The JSON of an error has its code, message and hint, and of the facts those that are known."""
    error = errors.UsageLimitError("Used up.", status_code=429, resets_at=5.0)

    assert {
        "code": "usage_limit",
        "message": "Used up.",
        "hint": errors.UsageLimitError.hint,
        "status_code": 429,
        "resets_at": 5.0,
    } == json.loads(json.dumps(error.to_dict()))
    assert "Used up." == str(error)


def test_a_hint_may_be_more_precise():
    """An instance's own hint replaces its class's, for it alone."""
    assert "Look here." == errors.StoreError("x", hint="Look here.").hint
    assert errors.StoreError.hint == errors.StoreError("x").hint


def test_a_missing_extra_says_what_to_install():
    """The hint is the command that installs the missing part."""
    error = MissingExtraError("emulator", "`onplan emulator`")

    assert "`onplan emulator` needs" in str(error)
    assert "pip install 'onplan[emulator]'" in error.hint


@pytest.mark.parametrize(
    ("unix_seconds", "shown"),
    [
        (None, None),
        (0, "1970-01-01T00:00:00+00:00"),
        (1_790_000_000.5, "2026-09-21T14:13:20.500000+00:00"),
        (-1, None),
        (2.99e10, "2917-06-29T19:33:20+00:00"),
        (3e10, None),
        (float("nan"), None),
    ],
)
def test_a_time_is_aware_and_in_utc(unix_seconds, shown):
    """What is before 1970 or centuries away is a mistake, and unknown."""
    for found in (
        errors.utc_time(unix_seconds),
        errors.UsageLimitError("x", resets_at=unix_seconds).reset_time,
    ):
        assert (found.isoformat() if found else None) == shown


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_of_another_process_arrives_as_it_was(kind):
    """With all that was added to it, whatever it is made from."""
    error = kind.__new__(kind, "It failed.")
    OnplanError.__init__(error, "It failed.", hint="Do it.")
    error.request_id, error.own = "req-1", {"a": 1}
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is kind
    assert (copied.args, vars(copied)) == (error.args, vars(error))
    assert str(copied) == str(error)


def test_what_some_errors_have_beside_a_message():
    """For programs that go on by themselves."""
    damaged = errors.StoreDamagedError("x", version="7", hint="Delete it.")
    assert (damaged.version, damaged.hint, errors.StoreDamagedError("x").version) == ("7", "Delete it.", "")
    output = errors.OutputError("x", text="{", path="$.a", problem="It ends.")
    assert (output.text, output.path, output.problem) == ("{", "$.a", "It ends.")
    plain = errors.OutputError("x")
    assert (plain.text, plain.path, plain.problem, plain.hint) == ("", "$", "", errors.OutputError.hint)
    assert errors.RunLimitError("x").limit == "max_turns"
    assert errors.RunLimitError("x", limit="token_budget").limit == "token_budget"


def test_an_error_as_json_says_what_is_known():
    """Zero is known; what is not known is left out."""
    error = errors.RateLimitError("x", hint="y", status_code=429, retry_after=0.0)
    assert error.to_dict() == {
        "code": "rate_limit",
        "message": "x",
        "hint": "y",
        "status_code": 429,
        "retry_after": 0.0,
    }


def test_a_traceback_shows_what_to_do():
    """Below every error stands its hint as it is now, also before a client was made; and others' notes."""
    with pytest.raises(errors.InvalidRequestError) as made:
        Image("a.png")
    error = made.value
    error.add_note("in the morning")
    shown = traceback.format_exception(error)
    assert shown[-2:] == [f"{error.hint}\n", "in the morning\n"]

    error.hint = "Ask about secret-1234."
    error.hide("secret-1234")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["Ask about ….", "in the morning"]
    assert OnplanError("No.", hint="").__notes__ == []


def test_notes_can_be_set() -> None:
    """As tblib does, which brings errors from one process to another: the hint is told once."""
    error = errors.UsageLimitError("The limit is reached.")
    error.add_note("in the third batch")
    notes = list(error.__notes__)

    error.__notes__ = notes

    assert error.hint
    assert error.__notes__ == notes == [error.hint, "in the third batch"]
