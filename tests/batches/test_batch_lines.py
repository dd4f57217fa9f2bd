"""Lines of batch files: what is read of them, and what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

import onplan
from onplan.batches.batch_lines import (
    BatchRequest,
    answered_line,
    failed_line,
    read_output,
    read_requests,
)

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
RESPONSE = onplan.CompletionResponse(
    message=onplan.Message(
        "assistant",
        [onplan.Thinking("Hm.", "sealed"), onplan.Text("A wren"), onplan.ToolCall("call_1", "look", "{}")],
    ),
    finish_reason=onplan.FinishReason.TOOL_CALLS,
    usage=onplan.Usage(prompt_tokens=3, completion_tokens=5, total_tokens=8, reasoning_tokens=2),
    model="gpt-5.5",
    response_id="resp_1",
    request_id="req_1",
)


def line(custom_id: str = "a", url: str = CHAT, **more: Any) -> bytes:
    body = {"messages": [{"role": "user", "content": "hi"}]} if url == CHAT else {"input": "hi"}
    row = {"custom_id": custom_id, "method": "POST", "url": url, "body": body, **more}
    return json.dumps(row).encode() + b"\n"


def test_requests_are_read_line_by_line() -> None:
    """Both APIs may be asked in one file; empty lines are passed over."""
    found = list(read_requests([line("a"), b"\n", line("b", RESPONSES)]))

    assert [(request.custom_id, request.url) for request in found] == [("a", CHAT), ("b", RESPONSES)]
    for request in found:
        parsed, ignored = request.completion_request()
        assert [message.text for message in parsed.messages] == ["hi"]
        assert ignored == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"{", "it is no JSON object"),
        (b"[]", "it is no JSON object"),
        (b'{"custom_id": "caf\xe9"}', "it is no JSON object"),  # Latin-1
        (b"[" * 20_000, "it is no JSON object"),
        (line(""), "its custom_id is no text"),
        (line(5), "its custom_id is no text"),  # type: ignore[arg-type]
        (line(method="GET"), "its method is 'GET'"),
        (line(url="/v1/embeddings"), "its url is '/v1/embeddings'"),
        (line(body="hi"), "its body is no object"),
    ],
)
def test_a_line_that_is_no_request_is_named(given: bytes, words: str) -> None:
    """By its number, and what is wrong with it."""
    with pytest.raises(onplan.InvalidRequestError, match=f"^Line 2 is no request of a batch: {words}"):
        list(read_requests([line(), given]))


def test_the_example_in_the_hint_is_a_request() -> None:
    """A person who gave a file of plain prompts can copy that line and change it."""
    with pytest.raises(onplan.InvalidRequestError) as caught:
        list(read_requests([b"Name three birds\n"]))
    (request,) = read_requests([caught.value.hint.splitlines()[-1].encode()])

    assert request.completion_request()[0].messages[0].text == "Name three birds"


def test_the_method_may_be_left_out() -> None:
    """There is only one."""
    row = json.loads(line("a"))
    del row["method"]

    assert [request.custom_id for request in read_requests([json.dumps(row).encode()])] == ["a"]


def test_two_lines_with_one_name_are_refused() -> None:
    """Their answers could not be told apart."""
    with pytest.raises(onplan.InvalidRequestError, match="Lines 1 and 3 have the same custom_id, 'a'"):
        list(read_requests([line("a"), line("b"), line("a")]))


def test_the_parameters_of_the_responses_api_are_read() -> None:
    """Each into its field; what has no effect on the answer is passed over, what is unknown is reported."""
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    body = {
        "model": "gpt-5.5",
        "instructions": "Be brief.",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "max_output_tokens": 9,
        "reasoning": {"effort": "low", "summary": None},
        "text": {"format": {"type": "json_schema", "name": "a", "schema": schema}, "verbosity": "low"},
        "tools": [{"type": "function", "name": "look", "parameters": schema}],
        "tool_choice": {"type": "function", "name": "look"},
        "parallel_tool_calls": False,
        "store": True,
        "stream": False,
        "top_logprobs": 3,
    }
    request, ignored = BatchRequest("a", RESPONSES, body).completion_request()

    assert [(message.role, message.text) for message in request.messages] == [
        ("system", "Be brief."),
        ("user", "hi"),
    ]
    assert (request.model, request.max_tokens, request.reasoning_effort, request.verbosity) == (
        *("gpt-5.5", 9),
        *("low", "low"),
    )
    assert (request.parallel_tool_calls, request.tool_choice) == (False, onplan.ToolChoice("look"))
    assert request.response_format == body["text"]["format"]  # type: ignore[index]
    assert [tool.name for tool in request.tools] == ["look"]  # type: ignore[union-attr]
    assert ignored == ("top_logprobs",)


FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    # in the body, in the request
    ({"prompt_cache_key": "s"}, {"session_id": "s"}),
    ({"max_output_tokens": 9}, {"max_tokens": 9}),
    ({"temperature": 0.5, "top_p": 1}, {"temperature": 0.5, "top_p": 1.0}),
    ({"service_tier": "flex"}, {"service_tier": "flex"}),
    ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
    ({"reasoning": {"summary": "concise"}}, {"reasoning_summary": "concise"}),
    ({"text": {"format": {"type": "text"}}}, {"response_format": None}),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    ({"tool_choice": "required"}, {"tool_choice": "required"}),
    ({"tool_choice": {"type": "web_search"}}, {"tool_choice": onplan.ToolChoice("web_search")}),
    ({"parallel_tool_calls": True}, {"parallel_tool_calls": True}),
    ({"parallel_tool_calls": None}, {"parallel_tool_calls": None}),
    (
        {"instructions": "Be brief."},
        {"messages": [onplan.Message.system("Be brief."), onplan.Message.user("hi")]},
    ),
    ({"instructions": None, "temperature": None, "stream": None}, {"messages": [onplan.Message.user("hi")]}),
]


@pytest.mark.parametrize(("given", "read"), FIELDS, ids=str)
def test_where_a_parameter_of_the_responses_api_goes(given: dict[str, Any], read: dict[str, Any]) -> None:
    """Null is as good as nothing."""
    request, ignored = BatchRequest("a", RESPONSES, {"input": "hi", **given}).completion_request()

    assert {name: getattr(request, name) for name in read} == read
    assert ignored == ()


def test_what_has_no_effect_is_passed_over() -> None:
    """It is not reported as ignored, for the answer is the same."""
    given = {"store": True, "include": ["x"], "truncation": "auto", "user": "u", "safety_identifier": "s"}

    assert BatchRequest("a", RESPONSES, {"input": "hi", **given}).completion_request()[1] == ()


@pytest.mark.parametrize(
    ("url", "body", "words"),
    [
        (RESPONSES, {}, "input is missing"),
        (RESPONSES, {"input": "hi", "stream": True}, "stream is not supported"),
        (RESPONSES, {"input": "hi", "previous_response_id": "x"}, "previous_response_id is not supported"),
        (RESPONSES, {"input": "hi", "reasoning": "low"}, "reasoning must be an object"),
        (RESPONSES, {"input": "hi", "text": "low"}, "text must be an object"),
        (RESPONSES, {"input": "hi", "background": True}, "background is not supported"),
        (RESPONSES, {"input": "hi", "conversation": "x"}, "conversation is not supported"),
        (RESPONSES, {"input": "hi", "prompt": {"id": "x"}}, "prompt is not supported"),
        (RESPONSES, {"input": "hi", "temperature": "warm"}, "temperature has the wrong type"),
        (CHAT, {}, "messages is missing"),
        (CHAT, {"messages": [{"role": "user", "content": "hi"}], "stream": True}, "no streams"),
    ],
)
def test_a_body_that_cannot_be_sent_is_refused(url: str, body: dict[str, Any], words: str) -> None:
    """With the name of what is wrong."""
    with pytest.raises(onplan.InvalidRequestError, match=words):
        BatchRequest("a", url, body).completion_request()


def test_answers_have_the_body_of_their_api() -> None:
    """A ``chat.completion`` or a ``response``, as the API would have answered without streaming."""
    for url, expected in ((CHAT, "chat.completion"), (RESPONSES, "response")):
        row = json.loads(
            answered_line(BatchRequest("a", url, {}), RESPONSE, line_id="batch_req_1", created=7)
        )
        assert (row["id"], row["custom_id"], row["error"]) == ("batch_req_1", "a", None)
        assert (row["response"]["status_code"], row["response"]["request_id"]) == (200, "req_1")
        body = row["response"]["body"]
        assert (body["object"], body["model"], body["id"]) == (expected, "gpt-5.5", "resp_1")
    assert [item["type"] for item in body["output"]] == ["reasoning", "message", "function_call"]
    assert len({item["id"] for item in body["output"]}) == 3
    assert body["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert body["output"][1]["content"] == [{"type": "output_text", "text": "A wren", "annotations": []}]
    assert (body["status"], body["incomplete_details"], body["created_at"]) == ("completed", None, 7)
    assert (body["usage"]["input_tokens"], body["usage"]["total_tokens"]) == (3, 8)


def test_the_items_of_an_answer() -> None:
    """As the API has them; a part that it has no item for is left out."""
    parts: list[onplan.ContentPart] = [
        onplan.Thinking("", "sealed"),
        onplan.Refusal("No."),
        onplan.ToolCall("c", "f", "{}"),
    ]
    response = onplan.CompletionResponse(
        onplan.Message("assistant", parts), RESPONSE.usage, onplan.FinishReason.STOP, "m"
    )
    row = json.loads(answered_line(BatchRequest("a", RESPONSES, {}), response, line_id="x", created=7))
    items = [{**item, "id": ""} for item in row["response"]["body"]["output"]]

    assert items == [
        {"id": "", "type": "reasoning", "summary": [], "encrypted_content": "sealed"},
        {
            "id": "",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "refusal", "refusal": "No."}],
        },
        {
            "id": "",
            "type": "function_call",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
            "status": "completed",
        },
    ]
    assert row["response"]["body"]["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 8,
    }


@pytest.mark.parametrize(
    ("reason", "told"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut_off_says_so(reason: str, told: str) -> None:
    """As ``incomplete``, with the API's word for the reason."""
    cut = onplan.CompletionResponse(
        RESPONSE.message, finish_reason=onplan.FinishReason(reason), usage=RESPONSE.usage, model="m"
    )
    row = json.loads(answered_line(BatchRequest("a", RESPONSES, {}), cut, line_id="x", created=7))

    assert row["response"]["body"]["status"] == "incomplete"
    assert row["response"]["body"]["incomplete_details"] == {"reason": told}


def test_failures_are_what_the_api_said_or_what_came_before() -> None:
    """An HTTP status where there was one, or the request was at fault; else an error of the batch."""
    request = BatchRequest("a", CHAT, {})
    for error, status in (
        (onplan.ServerError("broken", status_code=502, request_id="req_2"), 502),
        (onplan.InvalidRequestError("wrong"), 400),
    ):
        row = json.loads(failed_line(request, error, line_id="x"))
        assert (row["response"]["status_code"], row["response"]["request_id"]) == (status, error.request_id)
        assert error.message in row["response"]["body"]["error"]["message"]
        assert row["error"] is None
    row = json.loads(failed_line(request, onplan.ConnectError("no way"), line_id="x"))
    assert (row["response"], row["error"]) == (None, {"code": "connect", "message": "no way"})


GOOD = answered_line(BatchRequest("a", CHAT, {}), RESPONSE, line_id="x", created=7)
BAD = failed_line(BatchRequest("b", CHAT, {}), onplan.ServerError("broken"), line_id="x")


@pytest.mark.parametrize(
    ("lines", "answered", "clean"),
    [
        ([], set(), True),
        ([GOOD], {"a"}, True),
        ([GOOD, BAD], {"a"}, False),  # a failure is asked again
        ([GOOD, GOOD], {"a"}, False),
        ([GOOD, GOOD[:-30]], {"a"}, False),  # torn
        ([GOOD, b""], {"a"}, True),
        ([GOOD[:-1]], {"a"}, False),  # only its line end is missing
    ],
)
def test_what_is_kept_of_an_earlier_run(lines: list[bytes], answered: set[str], clean: bool) -> None:
    """Each answer, once, as a whole line."""
    earlier = read_output(line for line in lines if line)

    assert (earlier.answered, earlier.is_clean) == (answered, clean)
    assert earlier.kept == ([GOOD] if answered else [])


OTHER = [
    line(),
    b"notes\n",
    b"{}\n",
    b"[]\n",
    b'{"custom_id": 1, "response": null, "error": null}\n',
    b'{"custom_id": "a", "response": "x", "error": null}\n',
]


@pytest.mark.parametrize("other", OTHER)
def test_another_file_is_not_taken_for_an_output(other: bytes) -> None:
    """Not even an input file, whose lines have a custom_id as well."""
    with pytest.raises(onplan.InvalidRequestError, match="line 1 is none of its lines"):
        read_output([other, GOOD])
