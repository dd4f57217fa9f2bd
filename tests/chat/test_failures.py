"""What in a chunk of status 200 says that something failed: values in, complaints out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.chat.decode import decode_chunk
from onplan.chat.failures import complaint_in_chunk, is_error
from onplan.chat.halves import Halves

FINE = ["", "0", "200", "ok", "success", "succeeded", "completed", "none", "null", "[]", "{}"]


@pytest.mark.parametrize("word", [*FINE, "OK", "Success", 0, 200, None, [], {}], ids=repr)
def test_words_for_success(word: object) -> None:
    """An object that says nothing else is no error."""
    assert not is_error({"code": word, "message": ""})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("boom", True),
        ("", False),
        (None, False),
        ([], False),
        (["boom"], True),
        ({}, False),
        ({"message": "boom"}, True),
        ({"code": 1004, "message": "ok"}, True),
        ({"code": "0", "message": "boom"}, True),
    ],
    ids=str,
)
def test_what_is_an_error(error: object, expected: bool) -> None:
    """What is not empty, and says anything but success."""
    assert is_error(error) is expected


def found(body: dict[str, Any]) -> tuple[Any, int | None] | None:
    """The error in a chunk and its status."""
    payload = json.dumps(body).encode()
    chunk = decode_chunk(payload, Halves())
    assert chunk is not None
    complaint = complaint_in_chunk(chunk, payload)
    return None if complaint is None else (complaint.error, complaint.status)


CHOICES = [{"index": 0, "delta": {"content": "Hi"}}]
BOOM = {"message": "boom"}
# the chunk -> the error in it, its status
IN_CHUNKS: list[tuple[dict[str, Any], Any, int | None]] = [
    ({"error": BOOM}, BOOM, None),
    ({"error": "boom"}, "boom", None),
    ({"error": BOOM, "choices": CHOICES}, BOOM, None),
    ({"error": BOOM, "status": 503}, BOOM, 503),
    ({"error": BOOM, "code": "503"}, BOOM, 503),
    ({"error": BOOM, "status_code": 503}, BOOM, 503),
    ({"error": BOOM, "statusCode": 503}, BOOM, 503),
    ({"error": BOOM, "error_code": 503}, BOOM, 503),
    ({"error": BOOM, "code": "broken", "status": 503}, BOOM, 503),
    ({"error": BOOM, "status": 7}, BOOM, None),
    ({"x_groq": {"error": "boom"}}, "boom", None),
    ({"x_groq": {"error": "boom"}, "choices": CHOICES}, "boom", None),
    (
        {"base_resp": {"status_code": 1004, "status_msg": "boom"}},
        {"status_code": 1004, "status_msg": "boom", "status": None},
        None,
    ),
    (
        {"base_resp": {"status_code": 1004, "status_msg": "boom"}, "choices": CHOICES},
        {"status_code": 1004, "status_msg": "boom", "status": None},
        None,
    ),
    ({"errors": [BOOM]}, BOOM, None),
    ({"errors": ["", BOOM]}, BOOM, None),
    ({"object": "error", "message": "boom"}, {"object": "error", "message": "boom"}, None),
    ({"type": "error", "message": "boom"}, {"type": "error", "message": "boom"}, None),
    ({"success": False, "id": "x"}, {"success": False, "id": "x"}, None),
    ({"detail": "boom"}, {"detail": "boom"}, None),
    *(
        ({"code": "x", name: "boom"}, {"code": "x", name: "boom", "status": None}, None)
        for name in ("message", "msg", "error_msg", "status_msg")
    ),
    *(
        ({name: "x1", "message": "boom"}, {name: "x1", "message": "boom", "status": None}, None)
        for name in ("error_code", "status_code", "statusCode")
    ),
    ({"status": 500, "message": "boom"}, {"status": 500, "message": "boom"}, 500),
    ({"status": "Failed", "message": "boom"}, {"status": "Failed", "message": "boom"}, None),
    ({"status": "an error", "message": "boom"}, {"status": "an error", "message": "boom"}, None),
    ({"code": 429, "status": "queued", "message": "x"}, {"code": 429, "status": None, "message": "x"}, 429),
]


@pytest.mark.parametrize(("body", "error", "status"), IN_CHUNKS, ids=str)
def test_an_error_in_a_chunk(body: dict[str, Any], error: Any, status: int | None) -> None:
    """Beside the choices it counts, and in their place by its fields, with the status that stands by it."""
    assert found(body) == (error, status)


@pytest.mark.parametrize(
    "body",
    [
        {"choices": CHOICES},
        {"choices": []},
        {"error": None},
        {"error": {}, "choices": CHOICES},
        {"base_resp": {"status_code": 0, "status_msg": "success"}},
        {"base_resp": {"status_code": 1004}},
        {"base_resp": "x"},
        {"code": "x"},
        {"status": "queued", "message": "You are number 3."},
        {"status": "ok", "message": "Hello"},
        {"code": "OK", "message": "Hello"},
        {"message": "Hello"},
        {"object": "error", "choices": CHOICES},
        {"errors": [BOOM], "choices": CHOICES},
        {"errors": "x"},
        {"success": True, "message": "Hello"},
    ],
    ids=str,
)
def test_no_error_in_a_chunk(body: dict[str, Any]) -> None:
    """A message without a code of failure, the status of a job, and what stands beside an answer."""
    assert found(body) is None
