"""How near the estimate of tokens is, and what it counts."""

from __future__ import annotations

import base64
import struct
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onplan
from onplan import File, Image, Message, Thinking, ToolCall
from onplan.request.token_counts import tokens_in

from ..amount_of_work import lines_run
from .measured_texts import MEASURED


@pytest.mark.parametrize(("text", "counted"), MEASURED.values(), ids=MEASURED)
def test_a_paragraph_is_counted_within_fifteen_percent(text: str, counted: int) -> None:
    """As the documentation says, in each language."""
    assert abs(tokens_in(text) - counted) <= 0.15 * counted


def test_over_all_texts_the_errors_are_small() -> None:
    """Neither too many nor too few."""
    counted = sum(count for _, count in MEASURED.values())
    assert abs(sum(tokens_in(text) for text, _ in MEASURED.values()) - counted) <= 0.03 * counted


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        (" ".join(str(number * 7919) for number in range(60)), 178),
        (("    " * 5 + "x\n") * 20, 60),
        (base64.b64encode(bytes((n * n * 31 + n * 7) % 256 for n in range(900))).decode(), 800),
        ("", 0),
        ("hello", 1),
        ("=" * 64, 1),
    ],
    ids=["numbers", "white space", "base64", "nothing", "a word", "a rule"],
)
def test_what_is_no_language(text: str, counted: int) -> None:
    """Counted on 2026-11-30, too."""
    assert abs(tokens_in(text) - counted) <= max(0.1 * counted, 4)


# For a hundred of them, without a space after the last.
COSTS: dict[str, int] = {
    **{f"{'a' * length} ": cost for length, cost in zip(range(1, 5), (100, 100, 101, 102), strict=True)},
    **dict(
        zip(
            (f"{'a' * length} " for length in range(5, 16)),
            (110, 118, 120, 130, 140, 155, 172, 190, 205, 225, 255),
            strict=True,
        )
    ),
    f"{'a' * 16} ": 282,
    f"{'a' * 20} ": 390,
    "Aaaaaa ": 118,
    "AA ": 100,
    "AAAA ": 176,
    "aaaAaa ": 202,
    "AAAaa ": 110,
    "it's ": 100,
    "it'so ": 200,
    "=a ": 199,
    "== ": 106,
    "=== ": 112,
    "=+ ": 100,
    "=+- ": 130,
    "=+-=+ ": 190,
    "123 ": 199,
    "1234 ": 299,
    "a\n": 200,
    "+\n": 100,
    "+/\n": 100,
    "   a": 200,
    "\x00": 100,
}
# For a hundred characters of each script.
RATES = {
    "\x80": 52,
    "é": 52,
    "ł": 135,
    "ɐ": 100,
    "\u03b1": 40,
    "\u0431": 25,
    "\u0561": 60,
    "א": 47,
    "ب": 36,
    "ހ": 60,
    "क": 33,
    "ก": 48,
    "ა": 70,
    "—": 100,
    "⿰": 90,
    "か": 75,
    "中": 84,
    "ꀀ": 100,
    "한": 72,
    "\ue000": 100,
    "\uf900": 90,
    "\ufe0f": 60,
    "﹐": 100,
    "\uff0c": 90,
    "🎉": 130,
    "\U000e0061": 190,
}


@pytest.mark.parametrize(("text", "cost"), COSTS.items(), ids=repr)
def test_what_a_piece_costs(text: str, cost: int) -> None:
    """In hundredths of a token: by its length, its capitals, and what stands before it."""
    assert tokens_in((text * 100).removesuffix(" ")) == cost


@pytest.mark.parametrize(("character", "rate"), RATES.items(), ids=ascii)
def test_what_a_character_costs(character: str, rate: int) -> None:
    """In hundredths of a token, by its script; among others a Latin letter less."""
    assert tokens_in(character * 100) == rate
    assert tokens_in(("a" + character) * 100) == rate + 22
    assert tokens_in(character) == -(-max(100, rate) // 100)


@pytest.mark.parametrize(
    ("first", "before", "after"),
    [
        *((0x100, 52, 135), (0x250, 135, 100), (0x370, 100, 40), (0x400, 40, 25), (0x530, 25, 60)),
        *(
            (0x590, 60, 47),
            (0x600, 47, 36),
            (0x780, 36, 60),
            (0x900, 60, 33),
            (0xE00, 33, 48),
            (0xF00, 48, 70),
        ),
        *((0x2E80, 100, 90), (0x3040, 90, 75), (0x3100, 75, 84), (0xA000, 84, 100), (0xAC00, 100, 72)),
        *((0xD7B0, 72, 100), (0xF900, 100, 90), (0xFE00, 90, 60), (0xFE10, 60, 100), (0xFF00, 100, 90)),
        *((0x10000, 90, 130), (0x30000, 130, 190)),
    ],
    ids=hex,
)
def test_where_a_script_begins(first: int, before: int, after: int) -> None:
    """The character before costs what the other script costs."""
    assert tokens_in(chr(first - 1) * 100) == before
    assert tokens_in(chr(first) * 100) == after


def test_encoded_data_costs_by_its_length() -> None:
    """From 64 characters on."""
    assert tokens_in("aB" * 32 + "==") == 41
    assert tokens_in("a" * 64) == 40
    assert tokens_in("a" * 63) == 16


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_has_a_number_of_tokens(one: str, other: str) -> None:
    """It is a whole number, at most about two for a character, and two texts have about those of both."""
    assert 0 <= tokens_in(one) <= 2 * len(one) + 1
    assert abs(tokens_in(one + other) - tokens_in(one) - tokens_in(other)) <= 60


@pytest.mark.parametrize(
    "piece", ["a", " ", "\n", "é", "(", "aB", " \n", "-a", "'s", "a" * 63 + " ", "🎉", " ("]
)
def test_the_work_grows_with_the_length(piece: str) -> None:
    """Four times the text is four times the work."""
    small, large = (lines_run(partial(tokens_in, piece * count)) for count in (300, 1_200))
    assert large < 5 * small + 50


def counted(*content: Any, **fields: Any) -> int:
    """What is counted for parts of one message, beside what stands around it."""
    return onplan.estimate_tokens([Message.user(*content)], **fields) - onplan.estimate_tokens(
        [Message.user()]
    )


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"


# A JPEG whose size stands after three segments of the longest kind, as of a camera that keeps a preview.
LATE = (
    b"\xff\xd8"
    + (b"\xff\xe1\xff\xff" + bytes(65_533)) * 3
    + b"\xff\xc0\x00\x11\x08\x02\x00\x02\x00"
    + bytes(20)
)


@pytest.mark.parametrize(
    ("image", "tokens"),
    [
        (Image(data=png(512, 512)), 70 + 140),
        (Image(data=png(1024, 1024)), 70 + 140 * 4),
        (Image(data=png(4096, 8192)), 70 + 140 * 6),
        (Image(data=png(4096, 8192), detail="low"), 70),
        (Image(data=png(2048, 2048), detail="original"), 70 + 140 * 16),
        (Image(data=png(60_000, 1)), 70 + 140 * 4),
        (Image(url=f"data:image/png;base64,{base64.b64encode(png(512, 512)).decode()}"), 70 + 140),
        (Image(url=f"data:image/jpeg;base64,{base64.b64encode(LATE).decode()}"), 70 + 140),
        (Image(url="https://a.example/a.png"), 70 + 140 * 4),
        (Image(url="data:image/png;base64,iVBORw0KGgo="), 70 + 140 * 4),
        (Image(data=png(0, 5)), 70 + 140 * 4),
    ],
)
def test_images_are_counted_by_their_size(image: Image, tokens: int) -> None:
    """In tiles of 512 pixels; one whose size is not known as the usual one."""
    assert counted(image) == tokens


def test_an_image_that_the_backend_made_is_counted_as_one() -> None:
    """And not by its bytes."""
    fields = {"id": "ig_1", "result": base64.b64encode(png(512, 512) + b"\0" * 500_000).decode()}
    history = [Message.user("hi"), Message.assistant(onplan.HostedToolCall("image_generation", fields))]
    assert onplan.estimate_tokens(history) in range(220, 260)


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (871, 0), (872, 1), (4_000, 587)])
def test_encrypted_reasoning_is_counted_by_its_length(characters: int, tokens: int) -> None:
    """Beyond 650 bytes, which the encryption adds, four bytes are a token."""
    history = [Message.user("hi"), Message.assistant(Thinking("", encrypted="A" * characters))]
    assert onplan.estimate_tokens(history) == onplan.estimate_tokens("hi") + 4 + tokens


def test_files_are_counted_by_what_is_in_them(tmp_path: Path) -> None:
    """Text by its text, a PDF by its pages, and anything else by its size; local ones are read."""
    (tmp_path / "a.txt").write_text("hello " * 100)
    assert counted(File(path=tmp_path / "a.txt")) in range(100, 120)
    two = b"%PDF-1.7\n1 0 obj <</Type /Pages>> <</Type/Page>> <</Type /Page /A 1>>"
    assert counted(File(data=two)) == 2_200
    assert counted(File(data=b"%PDF-1.7" + b"\0" * 120_000)) == 3_300
    assert counted(File(data=b"\xff" * 60_000)) == 2_200
    assert counted(File(url="https://a.example/a.pdf")) == 1_100
    assert counted(File(data=b"hello", filename="of.the.day.txt")) == sum(
        map(tokens_in, ("hello", "of.the.day.txt"))
    )
    with pytest.raises(onplan.InvalidRequestError, match="cannot be read"):
        counted(File(path=tmp_path / "none"))


def test_everything_of_a_request_counts() -> None:
    """Tools, results, the reasoning that goes back, what a search did, and the format of the answer."""
    alone = onplan.estimate_tokens("hi")
    weather = onplan.ToolDefinition("weather", "The weather in a city " * 10)
    long = "word " * 100
    history = [
        Message.user("hi"),
        Message.assistant(Thinking("a", "A" * 4_000), ToolCall("c", "weather", f'{{"city": "{long}"}}')),
        Message.tool("c", long),
        Message.assistant(
            onplan.HostedToolCall("web_search", {"action": {"query": long}}), onplan.Refusal(long)
        ),
    ]
    assert alone == 3 + 4 + tokens_in("hi")
    hosted = onplan.HostedTool("web_search")
    assert onplan.estimate_tokens("hi", tools=[hosted]) == alone + 8 + tokens_in("web_search")
    function = onplan.ToolDefinition("f", "Of all.")
    parameters = tokens_in('{"type":"object","properties":{}}')
    assert onplan.estimate_tokens("hi", tools=[function]) == alone + 8 + 1 + tokens_in("Of all.") + parameters
    assert onplan.estimate_tokens(["hi", Message.assistant(Thinking("not counted"))]) == alone + 4
    assert onplan.estimate_tokens("hi", tools=[weather]) > alone + 50
    assert onplan.estimate_tokens("hi", tools=[onplan.web_search()]) > alone + 8
    assert onplan.estimate_tokens("hi", response_format=dict[str, int]) > alone + 10
    assert onplan.estimate_tokens(history) in range(alone + 980, alone + 1_100)
    assert onplan.estimate_tokens(onplan.CompletionRequest(messages="hi")) == alone
    with pytest.raises(onplan.InvalidRequestError):
        onplan.estimate_tokens()


def test_a_call_is_counted_by_its_name_and_what_it_says() -> None:
    """Each beside what stands around a message; a hosted one by its fields."""
    alone = onplan.estimate_tokens("hi") + 4
    called = Message.assistant(ToolCall("c", "weather", '{"city":"Rome"}'))
    said = tokens_in("weather") + tokens_in('{"city":"Rome"}')
    assert onplan.estimate_tokens([Message.user("hi"), called]) == alone + 4 + said
    searched = Message.assistant(onplan.HostedToolCall("web_search", {"query": "Rome"}))
    assert onplan.estimate_tokens([Message.user("hi"), searched]) == alone + 4 + tokens_in('{"query":"Rome"}')


def test_a_custom_tool_is_counted_with_its_grammar() -> None:
    """Its definition is a part of the prompt."""
    grammar = onplan.Grammar("regex", "SELECT " + "[a-z]+ " * 50)
    one, other = (counted("hi", tools=[onplan.CustomTool("sql", format=each)]) for each in ("text", grammar))
    assert other > one + 100
