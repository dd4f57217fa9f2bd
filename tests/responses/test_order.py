"""Texts that come mixed up: what a program sees, joined, is what the finished answer says."""

from __future__ import annotations

import pytest

from onplan.errors import StreamCorruptError
from onplan.types import Text, Thinking

TEXT, THINKING = "response.output_text", "response.reasoning_summary_text"


def delta(text, index=0, section=0, kind=TEXT):
    return {"type": f"{kind}.delta", "delta": text, **_where(index, section, kind)}


def section_done(text, index=0, section=0, kind=TEXT):
    return {"type": f"{kind}.done", "text": text, **_where(index, section, kind)}


def _where(index, section, kind):
    place = "content_index" if kind == TEXT else "summary_index"
    return {"item_id": f"item{index}", "output_index": index, place: section}


def item(*texts, index=0, kind=TEXT):
    if kind == TEXT:
        content = [{"type": "output_text", "text": text} for text in texts]
        return {"type": "message", "role": "assistant", "id": f"item{index}", "content": content}
    summary = [{"type": "summary_text", "text": text} for text in texts]
    return {"type": "reasoning", "id": f"item{index}", "summary": summary}


def added(index, kind=TEXT):
    return {"type": "response.output_item.added", "output_index": index, "item": item(index=index, kind=kind)}


def done(*texts, index=0, kind=TEXT):
    whole = item(*texts, index=index, kind=kind)
    return {"type": "response.output_item.done", "output_index": index, "item": whole}


def completed(*output):
    return {"type": "response.completed", "response": {"id": "r", "output": list(output)}}


ORDERS = {
    "one after the other": ([delta("a"), done("a"), delta("1", 1), done("1", index=1)], ["a", "1"]),
    "without their ends": ([delta("a"), delta("1", 1)], ["a", "1"]),
    "by turns": ([delta("a"), delta("1", 1), delta("b"), delta("2", 1)], ["ab", "12"]),
    "by turns, three": (
        [delta("a"), delta("1", 1), delta("x", 2), delta("b"), done("ab"), delta("y", 2), delta("2", 1)],
        ["ab", "12", "xy"],
    ),
    "the second is finished first": (
        [delta("a"), delta("1", 1), done("1", index=1), delta("b"), done("ab")],
        ["ab", "1"],
    ),
    "the rest only at its end": (
        [delta("a"), delta("1", 1), done("ab"), done("1", index=1)],
        ["ab", "1"],
    ),
    "the rest only in the output": ([delta("a"), delta("1", 1), done("1", index=1)], ["a", "1"]),
    "announced first, spoken last": (
        [added(0), added(1), delta("1", 1), done("1", index=1), delta("a"), done("a")],
        ["1", "a"],
    ),
    "announced, and only in the output": (
        [added(0), added(1), delta("1", 1), done("1", index=1), completed(item("a"), item("1", index=1))],
        ["1", "a"],
    ),
    "two sections by turns": ([delta("a"), delta("1", 0, 1), delta("b"), done("ab", "1")], ["ab", "1"]),
    "the second section first": ([delta("1", 0, 1), delta("a"), done("a", "1")], ["1", "a"]),
    "an empty delta first": ([delta("", 0, 1), delta("a"), delta("1", 0, 1), done("a", "1")], ["a", "1"]),
    "sections of two items by turns": (
        [delta("a"), section_done("a"), delta("1", 1), delta("b", 0, 1), done("a", "b"), delta("2", 1)],
        ["a", "b", "12"],
    ),
    "more after its end, and another item's": (
        [delta("a"), section_done("a"), delta("1", 1), delta("b"), done("ab")],
        ["ab", "1"],
    ),
    "more after its end": ([delta("a"), section_done("a"), delta("b"), done("ab")], ["ab"]),
}


@pytest.mark.parametrize(("events", "parts"), ORDERS.values(), ids=ORDERS)
def test_joined_texts_are_the_finished_parts(events, parts, listen):
    """However the texts of an answer come, the program sees them in the order of the finished parts."""
    heard = listen(*events, completed())

    assert heard.failure is None
    assert [Text(text) for text in parts] == heard.parts
    assert "".join(parts) == heard.text


THOUGHTS = {
    "one after the other": ([(0, 0, "a"), (0, 1, "1")], ["a\n\n1"]),
    "sections by turns": ([(0, 0, "a"), (0, 1, "1"), (0, 0, "b"), (0, 1, "2")], ["ab\n\n12"]),
    "items by turns": ([(0, 0, "a"), (1, 0, "1"), (0, 0, "b"), (1, 1, "2")], ["ab", "1\n\n2"]),
}


@pytest.mark.parametrize(("pieces", "parts"), THOUGHTS.values(), ids=THOUGHTS)
def test_joined_thoughts_are_the_finished_parts(pieces, parts, listen):
    """The same for thinking, whose sections are paragraphs of one part."""
    heard = listen(*(delta(text, index, section, THINKING) for index, section, text in pieces), completed())

    assert heard.failure is None
    assert [Thinking(text) for text in parts] == heard.parts
    assert "".join(parts) == heard.thinking


def test_thoughts_of_a_message_are_parts_of_their_own(listen):
    """They are no paragraphs of one part, so nothing stands between their deltas."""
    content = [{"type": "reasoning_text", "text": text} for text in ("Hm", "So")]
    heard = listen({**done(), "item": {**item(), "content": content}}, completed())

    assert [Thinking("Hm"), Thinking("So")] == heard.parts
    assert "HmSo" == heard.thinking


def test_text_does_not_wait_for_thinking(listen):
    """What is said beside thinking that goes on is handed out at once."""
    heard = listen(delta("Hm", 0, 0, THINKING), delta("a", 1), delta(", so", 0, 0, THINKING), completed())

    assert ["thinking", "text", "thinking"] == [chunk.type for chunk in heard.chunks[:3]]
    assert [Thinking("Hm, so"), Text("a")] == heard.parts


def test_a_text_is_handed_out_as_soon_as_the_one_before_is_whole(listen):
    """A section's own end is enough, and nothing is held back beyond it."""
    heard = listen(delta("a"), delta("1", 0, 1), section_done("a"), delta("2", 0, 1))

    assert ["a", "1", "2"] == [chunk.text for chunk in heard.of("text")]


def test_a_section_that_goes_on_after_a_later_one_is_an_error(listen):
    """It was called whole, and the later one was seen: no order of the parts is what was seen."""
    heard = listen(delta("a"), section_done("a"), delta("1", 0, 1), delta("b"), completed())

    assert isinstance(heard.failure, StreamCorruptError)


def _message(name, text):
    return {"type": "message", "id": name, "content": [{"type": "output_text", "text": text}]}


def _thought(name, text):
    return {"type": "reasoning", "id": name, "summary": [{"type": "summary_text", "text": text}]}


STREAMED = [
    _thought("rs_1", "Hm."),
    _message("msg_1", "One"),
    _message("msg_2", "Two"),
    _message("msg_3", "One"),
]
# The output of the response, and what the answer is then.
OUTPUTS = {
    "all of it": (STREAMED, "OneTwoOne"),
    "other ids": ([{**item, "id": f"n_{item['id']}"} for item in STREAMED], "OneTwoOne"),
    "other ids, some of it": ([{**STREAMED[1], "id": "n_1"}, {**STREAMED[3], "id": "n_2"}], "OneTwoOne"),
    "its ids in another order": ([STREAMED[3], STREAMED[1]], "OneTwoOne"),
    "one more of the same words": ([*STREAMED, _message("msg_4", "One")], "OneTwoOneOne"),
    "one more of the same words, first": ([_message("msg_4", "Two"), *STREAMED], "OneTwoOneTwo"),
}


@pytest.mark.parametrize("index", [{}, {"output_index": 0}], ids=["without an index", "all at one index"])
@pytest.mark.parametrize(("output", "text"), OUTPUTS.values(), ids=OUTPUTS)
def test_items_are_known_again_in_the_output(listen, output, text, index):
    """An item that was streamed comes once, although the response's output calls it something else."""
    done = [{"type": "response.output_item.done", "item": item, **index} for item in STREAMED]
    end = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output}}

    heard = listen(*done, end)

    assert (text, "Hm.") == (heard.text, heard.thinking)
    assert text == heard.done.response.text
