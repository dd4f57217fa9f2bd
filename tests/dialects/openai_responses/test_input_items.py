"""Input items of every kind, as clients send them and as the backend gets them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from onplan.dialects.openai_responses.input_items import paired, sent_items

Item = dict[str, Any]
TEXT = {"type": "input_text", "text": "hi"}
USER = {"type": "message", "role": "user", "content": [TEXT]}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ho"}]}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "x"}
CUSTOM = {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "*** Begin"}
SEALED = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "s"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}


def told(text: str) -> Item:
    return {**USER, "content": [{"type": "input_text", "text": text}]}


def sent(*items: Item) -> list[Item]:
    return sent_items([msgspec.Raw(json.dumps(item).encode()) for item in items], "developer")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (USER, [USER]),
        ({"role": "user", "content": "hi"}, [USER]),
        ({"role": "user", "content": [TEXT], "id": "msg_1", "status": "completed"}, [USER]),
        ({"role": "system", "content": "hi"}, [{**USER, "role": "developer"}]),
        ({"role": "developer", "content": "hi"}, [{**USER, "role": "developer"}]),
        ({"role": "user", "content": [TEXT, IMAGE]}, [{**USER, "content": [TEXT, IMAGE]}]),
        ({"role": "user", "content": []}, [{**USER, "content": []}]),
        # An assistant's message: a text, OpenAI's own item, one of the AI SDK, one without anything said.
        ({"role": "assistant", "content": "ho"}, [SAID]),
        (
            {
                **SAID,
                "id": "msg_1",
                "status": "completed",
                "content": [{"type": "output_text", "text": "ho", "annotations": [], "logprobs": []}],
            },
            [SAID],
        ),
        ({**SAID, "phase": "commentary"}, [{**SAID, "phase": "commentary"}]),
        ({"role": "assistant", "content": []}, []),
        ({"role": "assistant", "content": ""}, []),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            [{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        ),
        ({**CALL, "id": "fc_1", "status": "completed"}, [CALL]),
        ({**CALL, "arguments": "not JSON"}, [{**CALL, "arguments": '{"invalid_arguments":"not JSON"}'}]),
        ({**CUSTOM, "id": "ctc_1", "status": "completed"}, [CUSTOM]),
        ({**RESULT, "id": "fco_1", "status": None}, [RESULT]),
        ({**RESULT, "output": [TEXT, IMAGE]}, [{**RESULT, "output": [TEXT, IMAGE]}]),
        ({**SEALED, "id": "rs_1", "status": "completed"}, [SEALED]),
        # Without what is sealed the backend cannot use it.
        ({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": None}, []),
        ({"type": "item_reference", "id": "msg_1"}, [{"type": "item_reference", "id": "msg_1"}]),
        ({"id": "msg_1"}, [{"type": "item_reference", "id": "msg_1"}]),
        ({"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}},
         [{"type": "web_search_call", "action": {"type": "search"}}]),
        ({"type": "compaction_trigger"}, [{"type": "compaction_trigger"}]),
        ({"type": "additional_tools", "id": "at_1", "role": "developer", "tools": []},
         [{"type": "additional_tools", "role": "developer", "tools": []}]),
        ({"type": "of_tomorrow", "id": "x", "anything": 1}, [{"type": "of_tomorrow", "anything": 1}]),
    ],
)  # fmt: skip
def test_an_item_is_sent_as_backends_take_it(given: Item, expected: list[Item]) -> None:
    """Without ids and states, which a backend that keeps nothing does not know; empty items are left out."""
    assert sent(given) == expected


def test_every_call_has_a_result_and_every_result_a_call() -> None:
    """In its place; what was changed is told."""
    other = {**RESULT, "call_id": "d"}
    none = "No result: the call was interrupted."
    custom_result = {"type": "custom_tool_call_output", "call_id": "c", "output": none}
    for items, expected, changes in (
        ([CALL, RESULT], [CALL, RESULT], 0),
        ([CALL, USER, RESULT], [CALL, USER, RESULT], 0),
        ([CALL, USER], [CALL, {**RESULT, "output": none}, USER], 1),
        ([CUSTOM], [CUSTOM, custom_result], 1),
        ([RESULT, CALL, RESULT], [told("x"), CALL, RESULT], 1),
        ([USER, other], [USER, told("x")], 1),
        ([{**other, "output": [TEXT]}], [USER], 1),
        ([{**other, "output": {"a": 1}}], [told('{"a":1}')], 1),
    ):  # fmt: skip
        got, repairs = paired(items)
        assert got == expected
        assert len(repairs) == changes
