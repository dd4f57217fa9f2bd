"""The names of conversations at the backend: the same for every turn, never the same for two callers."""

from __future__ import annotations

import uuid

import pytest

from onplan.dialects.conversation_names import beginning_of, named_by_client, session_name
from onplan.types import Message

BEGINNING = [{"role": "user", "content": "Hi"}]


def test_a_conversation_keeps_its_name() -> None:
    """It is a UUID, found from the beginning, which the whole conversation has in common."""
    name = session_name("ann", None, BEGINNING)
    assert name == session_name("ann", None, [dict(each) for each in BEGINNING])
    assert str(uuid.UUID(name)) == name
    assert name != session_name("ann", None, [{"role": "user", "content": "Ho"}])


@pytest.mark.parametrize("named", [None, "mine"])
def test_callers_are_kept_apart(named: str | None) -> None:
    """Whatever they call it, and also if one is called like the other's conversation."""
    callers = ("", "ann", "bob", '["ann"', "mine")
    assert len({session_name(caller, named, BEGINNING) for caller in callers}) == len(callers)


def test_a_name_is_no_beginning() -> None:
    """A client cannot name its conversation so that it gets the name of an unnamed one."""
    assert session_name("ann", '"Hi"', "x") != session_name("ann", None, "Hi")
    assert session_name("ann", "Hi", "x") != session_name("ann", None, ["Hi"])


def test_the_caller_without_a_name_keeps_its_names() -> None:
    """One that is longer than backends take gets another, and not that of all that begin like it."""
    assert session_name("", "mine", BEGINNING) == "mine"
    assert session_name("", "x" * 64, BEGINNING) == "x" * 64
    long = [session_name("", "x" * 64 + end, BEGINNING) for end in "ab"]
    assert len({*long, "x" * 64}) == 3
    assert all(len(name) <= 64 for name in long)


@pytest.mark.parametrize(
    ("in_body", "headers", "expected"),
    [
        ("a", {"session-id": "b"}, "a"),
        (None, {"session-id": "b", "x-session-id": "c"}, "b"),
        (None, {"x-session-id": "c", "x-session-affinity": "d"}, "c"),
        (None, {"x-session-affinity": "d"}, "d"),
        ("", {"session-id": "b"}, "b"),
        ("é", {}, None),
        ("a\r\nb: c", {"session-id": "b"}, "b"),
        (None, {}, None),
    ],
)
def test_where_clients_name_it(in_body: str | None, headers: dict[str, str], expected: str | None) -> None:
    """The body first, then the headers; what no header can hold is no name."""
    assert named_by_client(in_body, headers) == expected


SYSTEM, USER, OTHER = Message.system("Be brief."), Message.user("Hi"), Message.assistant("Hello")


@pytest.mark.parametrize(
    ("messages", "count"),
    [
        ([], 0),
        ([SYSTEM], 1),
        ([SYSTEM, OTHER], 2),
        ([USER], 1),
        ([SYSTEM, USER], 2),
        ([SYSTEM, USER, OTHER, USER], 2),
        ([USER, SYSTEM], 1),
    ],
)
def test_a_conversation_begins_with_what_all_of_its_requests_have(
    messages: list[Message], count: int
) -> None:
    """All up to the user's first message; what follows differs from turn to turn."""
    assert beginning_of(messages) == messages[:count]
