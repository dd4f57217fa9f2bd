"""What every adapter sends of a history that its program has changed.

Each adapter's tests derive a class of ``EditedHistories`` and say how messages of its framework are changed.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

import onplan
from onplan.emulator import Call, Emulator, Turn

from .asking import turns

# Arguments that the model wrote, the program's in their place, and what the model must read then. For Python
# most of them are equal.
EDITED_ARGUMENTS: list[tuple[str, dict[str, Any], str]] = [
    ('{"n" : 1}', {"n": True}, '{"n":true}'),
    ('{"n" : 1}', {"n": 1.0}, '{"n":1.0}'),
    ('{"n" : true}', {"n": 1}, '{"n":1}'),
    ('{"n" : 0}', {"n": False}, '{"n":false}'),
    ('{"n" : 0.0}', {"n": -0.0}, '{"n":-0.0}'),
    ('{"n" : [{"m": [1, false]}]}', {"n": [{"m": [1, 0]}]}, '{"n":[{"m":[1,0]}]}'),
    ('{"n" : 12345678901234567890}', {"n": 12345678901234567890.0}, '{"n":1.2345678901234567e+19}'),
    ('{"n" : null}', {}, "{}"),
    ('{"n" : {"m": null}}', {"n": {}}, '{"n":{}}'),
    ('{"n" : "a"}', {"n": "a "}, '{"n":"a "}'),
    ('{"n" : "é"}', {"n": "e\u0301"}, '{"n":"e\u0301"}'),
    ('{"n" : ""}', {"n": None}, '{"n":null}'),
    ('{"n" : [1, 2]}', {"n": [2, 1]}, '{"n":[2,1]}'),
]
# Arguments that the model wrote, as they go back if nobody changed them: to the letter.
UNCHANGED_ARGUMENTS = [
    '{"b" : 1, "a": 2}',
    '{"n" : 123456789012345678901234567890}',
    '{"n" : 0.1234567890123456789}',
    '{"n" : 1E5, "m": -0}',
    '{"n" : "\\u00e9\\ud83d\\ude00", "": null}',
    '{"n" : 1, "n": 2}',
    "{}",
    '{"n":1}',
]
CITED = "See [Oslo](https://example.org/oslo)."


def texts(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The texts that the model has said."""
    said = [each["content"] for each in items if each["type"] == "message" and each["role"] == "assistant"]
    return [part for content in said for part in content]


class EditedHistories:
    """The tests. A class of an adapter says the methods that raise NotImplementedError."""

    def answer(self) -> Any:
        """The message of the model's answer to ``Oslo?``, which may call the tool ``weather``."""
        raise NotImplementedError

    def send(self, message: Any) -> None:
        """Ask again with ``Oslo?``, ``message``, a result ``rain`` for each of its calls, and ``And?``."""
        raise NotImplementedError

    def with_arguments(self, message: Any, arguments: dict[str, Any]) -> Any:
        """``message`` with others."""
        raise NotImplementedError

    def with_id(self, message: Any, call_id: str) -> Any:
        """``message`` whose call has another id."""
        raise NotImplementedError

    def with_text(self, message: Any, text: str) -> Any:
        """``message`` with another text."""
        raise NotImplementedError

    def without_calls(self, message: Any) -> Any:
        """``message`` without its calls."""
        raise NotImplementedError

    refusal: type[Exception] = onplan.InvalidRequestError
    """The framework's error for what cannot be sent."""
    has_arguments_as_text = False
    """Whether the framework's calls have the text that the model wrote, and no dict."""

    def called(self, emulator: Emulator, arguments: str, **said: Any) -> Any:
        """The message of an answer in which the model thinks, and calls ``weather`` with ``arguments``."""
        emulator.play(Turn(thinking="Hm.", tool_calls=[Call("weather", arguments)], **said))
        return self.answer()

    def sent(self, emulator: Emulator, message: Any) -> list[dict[str, Any]]:
        """The input that comes when the program goes on with ``message``."""
        emulator.clear_journal()
        self.send(message)
        [body] = turns(emulator)
        items: list[dict[str, Any]] = body["input"]
        return items

    @pytest.mark.parametrize(("written", "edited", "expected"), EDITED_ARGUMENTS)
    def test_arguments_that_were_changed_are_sent_so(
        self, signed_in: Emulator, written: str, edited: dict[str, Any], expected: str
    ) -> None:
        """Also where Python calls the old and the new ones equal; all else goes back as it came."""
        signed_in.arm("annotated_links", 9)
        message = self.called(signed_in, written, text=CITED)
        items = self.sent(signed_in, self.with_arguments(message, edited))
        assert [each["arguments"] for each in items if each["type"] == "function_call"] == [expected]
        assert [bool(each["encrypted_content"]) for each in items if each["type"] == "reasoning"] == [True]
        [said] = texts(items)
        assert said["text"] == CITED
        assert said["annotations"][0]["url"] == "https://example.org/oslo"

    @pytest.mark.parametrize("written", UNCHANGED_ARGUMENTS)
    def test_arguments_that_were_not_changed_go_back_to_the_letter(
        self, signed_in: Emulator, written: str
    ) -> None:
        """Spaces, numbers and escapes as the model wrote them: the backend's cache finds them only so."""
        items = self.sent(signed_in, self.called(signed_in, written))
        assert [each["arguments"] for each in items if each["type"] == "function_call"] == [written]

    @pytest.mark.parametrize("written", UNCHANGED_ARGUMENTS)
    def test_the_order_of_keys_is_no_change(self, signed_in: Emulator, written: str) -> None:
        """Databases change it, and the arguments go back to the letter."""
        if self.has_arguments_as_text:
            pytest.skip("the framework stores the text")
        message, read = self.called(signed_in, written), json.loads(written)
        items = self.sent(signed_in, self.with_arguments(message, dict(sorted(read.items()))))
        assert [each["arguments"] for each in items if each["type"] == "function_call"] == [written]

    @pytest.mark.parametrize(
        ("value", "place", "words"),
        [
            (float("nan"), "n", "NaN"),
            ([1, {"m": float("inf")}], r"n\[1\]\.m", "infinite"),
        ],
    )
    def test_a_number_that_json_does_not_have(
        self, signed_in: Emulator, value: Any, place: str, words: str
    ) -> None:
        """It is refused by the name of its argument, before anything is sent: never null in its place."""
        message = self.with_arguments(self.called(signed_in, '{"n" : 1}'), {"n": value})
        signed_in.clear_journal()
        with pytest.raises(self.refusal, match=f"argument {place} of the call .* to weather is {words}"):
            self.send(message)
        assert not turns(signed_in)

    @pytest.mark.parametrize("written", ['{"n": NaN}', '{"n" : -Infinity}', '{"n":1e999}'])
    def test_a_number_that_the_model_wrote_and_json_does_not_have(
        self, signed_in: Emulator, written: str
    ) -> None:
        """An agent is not ended by it: the model reads what it wrote, inside of an object."""
        items = self.sent(signed_in, self.called(signed_in, written))
        [arguments] = [each["arguments"] for each in items if each["type"] == "function_call"]
        assert json.loads(arguments) == {"invalid_arguments": written}

    def test_a_call_that_was_copied(self, signed_in: Emulator) -> None:
        """With an id of its own it is the same call, with its result."""
        message = self.with_id(self.called(signed_in, '{"n" : 1}'), "call_of_mine")
        items = self.sent(signed_in, message)
        [call] = [each for each in items if each["type"] == "function_call"]
        [result] = [each for each in items if each["type"] == "function_call_output"]
        assert (call["call_id"], call["arguments"]) == ("call_of_mine", '{"n" : 1}')
        assert result["call_id"] == "call_of_mine"
        assert [each["type"] for each in items].index("reasoning") < items.index(call)

    @pytest.mark.parametrize("text", [f"{CITED} ", f" {CITED}", CITED.replace(" ", "  "), CITED[:-1], "No."])
    def test_a_text_that_was_changed_is_sent_so(self, signed_in: Emulator, text: str) -> None:
        """By one space, too; without annotations, which count its characters. Reasoning and call stay."""
        signed_in.arm("annotated_links", 9)
        message = self.called(signed_in, '{"n" : 1}', text=CITED)
        items = self.sent(signed_in, self.with_text(message, text))
        kinds = [each["type"] for each in items]
        at = kinds.index("reasoning")
        assert kinds[at : at + 3] == ["reasoning", "message", "function_call"]
        [said] = texts(items)
        assert said["text"] == text
        assert not said.get("annotations")
        assert items[at + 2]["arguments"] == '{"n" : 1}'

    def test_a_call_that_was_taken_out_is_not_sent(self, signed_in: Emulator) -> None:
        """The text stays."""
        message = self.called(signed_in, '{"n" : 1}', text="I look.")
        items = self.sent(signed_in, self.without_calls(message))
        assert "function_call" not in [each["type"] for each in items]
        assert "I look." in json.dumps(items)

    @pytest.mark.parametrize("text", ["Grüße \U0001f600 \u202e\u0000\t ", "\r\n", "e\u0301", "\ufeff\u2028"])
    def test_texts_of_every_kind_go_back_to_the_letter(self, signed_in: Emulator, text: str) -> None:
        """Of the model, and in arguments."""
        written = json.dumps({"n": text}, ensure_ascii=False)
        items = self.sent(signed_in, self.called(signed_in, written, text=text))
        [call] = [each for each in items if each["type"] == "function_call"]
        assert call["arguments"] == written
        assert [said["text"] for said in texts(items)] == [text]
