"""Which parameters a backend takes, the conversation's name, the tool that is chosen: as values."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any

import pytest

from onplan.backends import OPENAI_CODEX, Backend, ParameterSupport
from onplan.errors import ConfigurationError, InvalidRequestError
from onplan.parameters import (
    CutAt,
    asked_by,
    emulating_stop,
    given_by,
    offered_effort,
    output_format_of,
    raises,
    reports_on,
    session_id_of,
    takes_custom_tools,
    tool_choice_of,
    uuid_text,
    with_extra,
)
from onplan.types import CompletionRequest, HostedTool, Message, ModelInfo, Text, ToolChoice, ToolDefinition

TOOL = ToolDefinition("search", "Searches.", {"type": "object"})
BACKEND: Backend = dataclasses.replace(
    OPENAI_CODEX,
    name="some-backend",
    parameter_support={
        "temperature": ParameterSupport.DROP,
        "tool_choice": ParameterSupport.WITH_TOOLS,
        "top_p": ParameterSupport.FORWARD,
        "stop": ParameterSupport.EMULATE,
        "max_tokens": ParameterSupport.EMULATE,
    },
)


def asking(text: str = "hi", **more: Any) -> CompletionRequest:
    return CompletionRequest(**{"messages": [Message("user", [Text(text)])], **more})


@pytest.mark.parametrize(("word", "expected"), [("raise", True), ("report", False)])
def test_two_words_say_what_becomes_of_a_parameter(word: str, expected: bool) -> None:
    """`raise` raises, `report` leaves out and lists."""
    assert raises(word) is expected


@pytest.mark.parametrize("word", ["", "refuse", "Raise", "rise", "drop", "reports"])
def test_any_other_word_is_refused(word: str) -> None:
    """A misspelt `raise` must not drop anything."""
    with pytest.raises(ConfigurationError, match="neither"):
        raises(word)


@pytest.mark.parametrize(
    ("more", "given"),
    [
        ({}, []),
        ({"temperature": 0.0}, ["temperature"]),
        ({"temperature": None}, []),
        ({"tools": [TOOL], "stop": ["x"]}, ["tools", "stop"]),
        ({"tools": []}, []),
    ],
)
def test_which_parameters_were_given(more: dict[str, Any], given: list[str]) -> None:
    """Those that differ from their defaults; 0 is a value."""
    assert sorted(given_by(asking(**more))) == sorted(given)


@pytest.mark.parametrize(
    ("given", "tools", "ignored"),
    [
        (["temperature"], [], ("temperature",)),
        (["tool_choice"], [], ("tool_choice",)),
        (["tool_choice"], [TOOL], ()),
        (["top_p", "seed"], [], ()),
        (["temperature", "top_p", "tool_choice"], [], ("temperature", "tool_choice")),
        (["stop", "temperature"], [], ("temperature",)),
        ([], [], ()),
    ],
)
def test_which_parameters_are_left_out(
    given: list[str], tools: list[ToolDefinition], ignored: tuple[str, ...]
) -> None:
    """Those that the row drops, and those that mean nothing without tools; the rest is sent or emulated."""
    request = asking(tools=tools)

    assert reports_on(given, request, BACKEND, raising=False).ignored == ignored
    if not ignored:
        assert reports_on(given, request, BACKEND, raising=True).ignored == ()
        return
    with pytest.raises(InvalidRequestError, match=f"some-backend does not take {', '.join(ignored)}"):
        reports_on(given, request, BACKEND, raising=True)


@pytest.mark.parametrize(
    ("more", "emulated", "cut_at"),
    [
        ({"stop": "END"}, ("stop",), CutAt(("END",))),
        ({"max_tokens": 5}, ("max_tokens",), CutAt(max_tokens=5)),
        ({"stop": ["a", "b"], "max_tokens": 5}, ("max_tokens", "stop"), CutAt(("a", "b"), 5)),
        ({"temperature": 0.5}, (), None),
    ],
)
def test_which_parameters_are_emulated(
    more: dict[str, Any], emulated: tuple[str, ...], cut_at: CutAt | None
) -> None:
    """Also where what is left out raises: nothing is lost."""
    request = asking(**more)
    raising = "temperature" not in more
    reports = reports_on(given_by(request), request, BACKEND, raising=raising)

    assert (reports.emulated, reports.cut_at) == (emulated, cut_at)


def test_tools_that_the_backend_cannot_run_are_refused() -> None:
    """Whether or not what is left out raises: nothing could stand for them."""
    row = dataclasses.replace(BACKEND, parameter_support={"hosted_tools": ParameterSupport.RAISE})
    request = asking(tools=[TOOL, HostedTool("web_search")])

    assert reports_on(["tools"], asking(tools=[TOOL]), row, raising=True).ignored == ()
    assert reports_on(["tools"], request, BACKEND, raising=True).ignored == ()
    with pytest.raises(InvalidRequestError, match="does not run tools itself over this API: web_search"):
        reports_on(["tools"], request, row, raising=False)


@pytest.mark.parametrize(
    ("body", "extra", "sent"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": {"b": 1, "c": {"d": 2}}}, {"a": {"c": {"e": 3}}}, {"a": {"b": 1, "c": {"d": 2, "e": 3}}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"include": ["a"]}, {"include": ["b", "a"]}, {"include": ["a", "b"]}),
        ({}, {"include": ["b"]}, {"include": ["b"]}),
    ],
)
def test_extra_fields_are_merged(body: dict[str, Any], extra: dict[str, Any], sent: dict[str, Any]) -> None:
    """Objects with objects, lists of what is included; else the new value counts. Neither is changed."""
    before = str((body, extra))

    assert with_extra(body, asking(extra_body=extra), BACKEND) == sent
    assert str((body, extra)) == before


@pytest.mark.parametrize("name", ["model", "input", "messages", "stream", "store"])
def test_what_a_backend_needs_is_no_extra(name: str) -> None:
    """The row's own fields, and what a request says in another way."""
    with pytest.raises(InvalidRequestError, match=f"extra_body cannot change {name}"):
        with_extra({}, asking(extra_body={name: 1, "other": 2}), BACKEND)
    with pytest.raises(InvalidRequestError, match=r"extra_body\.include is not a list"):
        with_extra({"include": ["a"]}, asking(extra_body={"include": "b"}), BACKEND)


@pytest.mark.parametrize(
    ("strict", "asked"), [(None, {"tools"}), (True, {"tools", "strict"}), (False, {"tools", "strict"})]
)
def test_a_program_asks_for_strict_by_its_tools(strict: bool | None, asked: set[str]) -> None:
    """So that it is not left out where a server refuses it."""
    request = asking(tools=[HostedTool("web_search"), ToolDefinition("a", strict=strict)])

    assert asked_by(request, ["tools"]) == asked


@pytest.mark.parametrize(
    ("wanted", "efforts", "asked"),
    [
        ("high", ["low", "high"], "high"),
        ("ultra", ["low", "medium", "high", "xhigh"], "xhigh"),
        ("medium", ["low", "high"], "low"),
        ("minimal", ["low", "high"], "low"),
        ("low", ["high", "medium"], "medium"),
        ("none", ["low", "high"], "none"),
        ("enormous", ["low", "high"], "enormous"),
        ("high", [], "high"),
        ("high", ["odd"], "high"),
    ],
)
def test_an_effort_is_one_that_the_model_offers(wanted: str, efforts: list[str], asked: str) -> None:
    """The next shorter one, else the shortest; words that are not known are the backend's to judge."""
    model = ModelInfo("m", "M", "some-backend", reasoning_efforts=efforts)

    assert offered_effort(wanted, model, raising=False) == asked
    if wanted == asked:
        assert offered_effort(wanted, model, raising=True) == asked
        return
    with pytest.raises(InvalidRequestError, match=f"does not offer .*'{wanted}'") as caught:
        offered_effort(wanted, model, raising=True)
    assert all(effort in caught.value.hint for effort in efforts)


def test_a_conversation_keeps_its_name_as_it_grows() -> None:
    """It is derived from the messages up to the first of the user, and from nothing after that."""
    first = [Message("system", [Text("Be short.")]), Message("user", [Text("hi")])]
    later = [*first, Message("assistant", [Text("hello")]), Message("user", [Text("and?")])]
    name = session_id_of(CompletionRequest(messages=first))

    assert session_id_of(CompletionRequest(messages=later)) == name
    assert session_id_of(CompletionRequest(messages=first[1:])) != name
    assert session_id_of(CompletionRequest(messages=[first[0], later[-1]])) != name
    assert session_id_of(asking("ho")) != session_id_of(asking("hi"))
    assert session_id_of(asking(temperature=1.0)) == session_id_of(asking())
    assert (len(name), name[14]) == (36, "5")


@pytest.mark.parametrize("name", ["mine", "a b", "~"])
def test_a_programs_own_name_is_taken(name: str) -> None:
    """A session id that a header can hold is used as it is."""
    assert session_id_of(asking(session_id=name)) == name


@pytest.mark.parametrize("name", ["é", "a\nb", "\x7f", "a\0"])
def test_a_name_that_no_header_can_hold(name: str) -> None:
    """Other characters than printable ASCII are refused."""
    with pytest.raises(InvalidRequestError, match="session_id"):
        session_id_of(asking(session_id=name))


@pytest.mark.parametrize("choice", [None, "auto", "none", "required", ToolChoice("search")])
def test_a_tool_choice_is_passed_on(choice: Any) -> None:
    """The three words, and the name of a tool of the request."""
    assert tool_choice_of(asking(tools=[TOOL], tool_choice=choice)) == choice


@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_a_tool_that_is_not_offered_cannot_be_chosen(tools: list[ToolDefinition]) -> None:
    """The error names it."""
    with pytest.raises(InvalidRequestError, match="'find'"):
        tool_choice_of(asking(tools=tools, tool_choice=ToolChoice("find")))


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"title": "City"}, "City"),
        ({"title": "My city-1_x"}, "My_city-1_x"),
        ({"title": "Größe"}, "Gr__e"),
        ({"title": "x" * 65}, "x" * 64),
        ({"title": ""}, "response"),
        ({"title": 7}, "7"),
        ({}, "response"),
    ],
)
def test_the_name_of_a_schema(schema: dict[str, Any], name: str) -> None:
    """Its title in the characters that the API takes, at most 64; else a word that fits any."""
    output = output_format_of(CompletionRequest(messages="x", response_format=schema))

    assert output
    assert output.name == name


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("data", [bytes(16), b"\xff" * 16, bytes(range(16))], ids=bytes.hex)
def test_a_uuid_is_that_of_the_standard_library(data, version):
    """Version and variant stand where RFC 9562 wants them."""
    assert str(uuid.UUID(bytes=data, version=version)) == uuid_text(data, version)


def test_a_stop_that_is_refused_is_emulated() -> None:
    """Whatever else is cut for the program stays."""
    reports = reports_on([], CompletionRequest(messages="hi"), OPENAI_CODEX, raising=False)
    one = emulating_stop(reports, "END")
    two = emulating_stop(dataclasses.replace(reports, cut_at=CutAt(max_tokens=5)), ["END", "STOP"])

    assert (one.emulated, one.cut_at) == (("stop",), CutAt(stop=("END",)))
    assert two.cut_at == CutAt(stop=("END", "STOP"), max_tokens=5)


def test_custom_tools_are_taken_unless_the_row_says_otherwise() -> None:
    """A server that is not known is asked."""
    refusing = dataclasses.replace(OPENAI_CODEX, parameter_support={"custom_tools": ParameterSupport.RAISE})
    assert takes_custom_tools(OPENAI_CODEX)
    assert not takes_custom_tools(refusing)
