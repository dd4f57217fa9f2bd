"""The lines of OpenAI's batch files: a request with its ``custom_id``, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from onplan.batches.responses_body import read_responses_body, write_responses_body
from onplan.dialects.openai_chat.answer import response_body
from onplan.dialects.openai_chat.request import read_request
from onplan.dialects.openai_errors import error_fields
from onplan.errors import InvalidRequestError, OnplanError
from onplan.flow import JSON_ERRORS
from onplan.types import CompletionRequest, CompletionResponse

_CHAT, _RESPONSES = "/v1/chat/completions", "/v1/responses"
URLS = (_CHAT, _RESPONSES)
_EXAMPLE = (
    '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", '
    '"body": {"messages": [{"role": "user", "content": "Name three birds"}]}}'
)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One line of the input.

    Attributes:
        custom_id: its name, which no other line has.
        url: the API that its body is written for.
        body: as it is sent to that API.
    """

    custom_id: str
    url: str
    body: dict[str, Any]

    def completion_request(self) -> tuple[CompletionRequest, tuple[str, ...]]:
        """The request, and the names of parameters that were left out. Raises InvalidRequestError."""
        if self.url == _RESPONSES:
            return read_responses_body(self.body)
        parsed = read_request(msgspec.json.encode(self.body))
        if parsed.stream:
            raise InvalidRequestError("A batch has no streams.", hint="Leave stream out.")
        return parsed.request, parsed.ignored_parameters


def read_requests(lines: Iterable[bytes]) -> Iterator[BatchRequest]:
    """The requests of an input file; empty lines are passed over.

    Raises:
        InvalidRequestError: a line is none, or has the ``custom_id`` of another one.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        request = _read_request(line, number)
        if (other := seen.setdefault(request.custom_id, number)) != number:
            raise InvalidRequestError(
                f"Lines {other} and {number} have the same custom_id, {request.custom_id!r}.",
                hint="Give each line a custom_id of its own; nothing has been asked.",
            )
        yield request


def _read_request(line: bytes, number: int) -> BatchRequest:
    try:
        read: Any = msgspec.json.decode(line)
    except JSON_ERRORS:
        read = None
    complaint = _complaint(read)
    if complaint:
        raise InvalidRequestError(
            f"Line {number} is no request of a batch: {complaint}.",
            hint=f"Nothing has been asked. Each line is a request like this one:\n  {_EXAMPLE}",
        )
    return BatchRequest(read["custom_id"], read["url"], read["body"])


def _complaint(read: Any) -> str | None:
    if not isinstance(read, dict):
        return "it is no JSON object"
    custom_id, method, url = read.get("custom_id"), read.get("method", "POST"), read.get("url")
    complaints = (
        (not isinstance(custom_id, str) or not custom_id, "its custom_id is no text"),
        (method != "POST", f"its method is {method!r}, and not POST"),
        (url not in URLS, f"its url is {url!r}, and neither {_CHAT} nor {_RESPONSES}"),
        (not isinstance(read.get("body"), dict), "its body is no object"),
    )
    return next((sentence for wrong, sentence in complaints if wrong), None)


def answered_line(
    request: BatchRequest, response: CompletionResponse, *, line_id: str, created: int
) -> bytes:
    """The output line of an answer. ``created``: Unix seconds."""
    answer_id = response.response_id or line_id
    if request.url == _RESPONSES:
        body = write_responses_body(response, answer_id, created)
    else:
        body = response_body(response, answer_id, response.model, created)
    return _line(request, line_id, {"status_code": 200, "request_id": response.request_id, "body": body})


def failed_line(request: BatchRequest, error: OnplanError, *, line_id: str) -> bytes:
    """The output line of a failure: what the API answered, or what went wrong before it did."""
    status = error.status_code or (400 if isinstance(error, InvalidRequestError) else None)
    if status is None:
        told = {"code": error.code, "message": error.message}
        return _line(request, line_id, None, told)
    response = {"status_code": status, "request_id": error.request_id, "body": {"error": error_fields(error)}}
    return _line(request, line_id, response)


def _line(request: BatchRequest, line_id: str, response: Any, error: Any = None) -> bytes:
    row = {"id": line_id, "custom_id": request.custom_id, "response": response, "error": error}
    return msgspec.json.encode(row) + b"\n"


@dataclass(slots=True)
class Earlier:
    """What an output file holds of an earlier run.

    Attributes:
        answered: the ``custom_id`` of each request that was answered.
        kept: the lines of these, each with its line end.
        is_clean: whether the file holds nothing else: no failure, which is asked again, and no torn line.
    """

    answered: set[str] = field(default_factory=set)
    kept: list[bytes] = field(default_factory=list)
    is_clean: bool = True


def read_output(lines: Iterable[bytes]) -> Earlier:
    """What is to be kept of an output file. Its last line may be torn: the process was killed.

    Raises:
        InvalidRequestError: the file is something else.
    """
    earlier = Earlier()
    for number, line in enumerate(lines, 1):
        row = _decoded(line)
        if row is None and not line.endswith(b"\n"):
            earlier.is_clean = False
        elif row is None:
            raise InvalidRequestError(
                f"The output file is not the output of a batch: line {number} is none of its lines.",
                hint="Name another file; this one was not changed.",
            )
        elif (row["response"] or {}).get("status_code") == 200 and row["custom_id"] not in earlier.answered:
            earlier.answered.add(row["custom_id"])
            earlier.kept.append(line if line.endswith(b"\n") else line + b"\n")
            earlier.is_clean = earlier.is_clean and line.endswith(b"\n")
        else:
            earlier.is_clean = False
    return earlier


def _decoded(line: bytes) -> dict[str, Any] | None:
    try:
        row: Any = msgspec.json.decode(line)
    except JSON_ERRORS:
        return None
    if not isinstance(row, dict) or not row.keys() >= {"custom_id", "response", "error"}:
        return None
    is_one = isinstance(row["custom_id"], str) and isinstance(row["response"], dict | None)
    return row if is_one else None
