"""Requests for images: what becomes of each field, of a JSON body and of a form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_images import FormField, ImagesRequest, read_form_fields, read_json
from onplan.types import Image

URL = "data:image/png;base64,iVBORw0KGgo="


def read(*, edit: bool = False, strict: bool = False, **fields: Any) -> ImagesRequest:
    body = json.dumps({"prompt": "a fox", **fields}).encode()
    return read_json(body, edit=edit, strict=strict)


def refused(*, edit: bool = False, strict: bool = False, **fields: Any) -> tuple[str, str | None, str]:
    """The message, the place and the code of the error."""
    with pytest.raises(ParameterError) as caught:
        read(edit=edit, strict=strict, **fields)
    return caught.value.message, caught.value.param, caught.value.told.code


# --- what is read ---


def test_a_prompt_is_enough() -> None:
    """Nothing else is said to the backend then, and nothing reported to the client."""
    assert read() == ImagesRequest(prompt="a fox")


def test_what_is_taken_is_handed_on() -> None:
    """By the names of ``client.images``; what is null was not given."""
    asked = read(model="gpt-image-2", n=2, size="1024x1536", background="opaque", quality="low", user=None)
    assert asked == ImagesRequest(
        prompt="a fox",
        options={
            "model": "gpt-image-2",
            "n": 2,
            "size": "1024x1536",
            "background": "opaque",
            "quality": "low",
        },
    )


@pytest.mark.parametrize(
    ("asked", "sent", "emulated"),
    [
        ("standard", "auto", ("quality",)),
        ("hd", "high", ("quality",)),
        ("high", "high", ()),
        ("auto", "auto", ()),
        ("of tomorrow", "of tomorrow", ()),
    ],
)
def test_words_of_older_models_are_translated(asked: str, sent: str, emulated: tuple[str, ...]) -> None:
    """The client is told that the word was changed."""
    read_ = read(quality=asked)
    assert (read_.options, read_.emulated) == ({"quality": sent}, emulated)


@pytest.mark.parametrize(
    ("name", "value", "is_ignored"),
    [
        ("output_format", "png", False),
        ("output_format", "webp", True),
        ("moderation", "auto", False),
        ("moderation", "low", True),
        ("partial_images", 0, False),
        ("partial_images", "0", False),
        ("partial_images", 2, True),
        ("user", "me", True),
        ("user", None, False),
        ("style", "vivid", True),
        ("response_format", "b64_json", False),
        ("stream", False, False),
        ("mask", None, False),
        ("image", URL, True),
        ("images", [URL], True),
        ("image", None, False),
    ],
)
def test_what_is_not_taken_is_left_out(name: str, value: Any, is_ignored: bool) -> None:
    """And named, unless it asks for what is done anyhow. Strictly, it is refused."""
    asked = read(**{name: value})
    assert asked == ImagesRequest(prompt="a fox", ignored=(name,) if is_ignored else ())
    if is_ignored:
        told = f"The image endpoints do not take {name}."
        assert refused(strict=True, **{name: value}) == (told, name, "unsupported_parameter")
    else:
        assert read(strict=True, **{name: value}) == asked


def test_all_that_is_refused_is_named_at_once() -> None:
    """The place of the error is the first one."""
    assert refused(strict=True, user="me", style="vivid")[:2] == (
        "The image endpoints do not take user, style.",
        "user",
    )


# --- what is refused ---


@pytest.mark.parametrize(
    ("fields", "message", "param", "code"),
    [
        ({"prompt": ""}, "prompt is missing.", "prompt", "missing_required_parameter"),
        ({"prompt": None}, "prompt is missing.", "prompt", "missing_required_parameter"),
        ({"prompt": 5}, "prompt: Expected string | null, got integer.", "prompt", "invalid_type"),
        ({"n": "2"}, "n: Expected integer | null, got string.", "n", "invalid_type"),
        (
            {"response_format": "url"},
            "Images are in the reply, as base64 (b64_json). They have no address: leave response_format out.",
            "response_format",
            "unsupported_value",
        ),
        (
            {"stream": True},
            "Images are not streamed: they come in one piece.",
            "stream",
            "unsupported_value",
        ),
        *(
            (
                {name: "x"},
                f"No {name} can be sent to the image endpoints. Say in the prompt what is to be changed.",
                name,
                "unsupported_parameter",
            )
            for name in ("mask", "markup")
        ),
    ],
)
def test_where_the_image_would_be_another_one(
    fields: dict[str, Any], message: str, param: str, code: str
) -> None:
    """Nothing is left out that was meant: it is refused, in every kind of request."""
    assert refused(**fields) == (message, param, code)
    assert refused(edit=True, image=URL, **fields) == (message, param, code)


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b"{", "The body is not JSON.", "invalid_json"),
        (b"\xff", "The body is not JSON.", "invalid_json"),
        (b"[]", "Expected object, got array.", "invalid_type"),
    ],
)
def test_a_body_without_fields(body: bytes, message: str, code: str) -> None:
    """It is told what it is instead."""
    with pytest.raises(ParameterError) as caught:
        read_json(body, edit=False)
    assert (caught.value.message, caught.value.told.code) == (message, code)


# --- the images to begin with ---


@pytest.mark.parametrize(
    "given",
    [
        {"image": URL},
        {"image": [URL]},
        {"images": [URL]},
        {"image": {"image_url": URL}},
        {"images": [{"image_url": {"url": URL}}]},
    ],
)
def test_an_edit_begins_with_images(given: dict[str, Any]) -> None:
    """In each of the shapes that clients send."""
    assert read(edit=True, **given) == ImagesRequest(prompt="a fox", references=[Image(url=URL)])


def test_images_keep_their_order() -> None:
    """Those of ``images`` are first; the letters of the scheme may be capitals."""
    other = URL.replace("data:", "DATA:")
    asked = read(edit=True, images=[URL, other], image=[other])
    assert asked.references == [Image(url=URL), Image(url=other), Image(url=other)]


@pytest.mark.parametrize("given", [{}, {"image": []}, {"images": []}, {"image": None}])
def test_an_edit_without_images_is_refused(given: dict[str, Any]) -> None:
    """There is nothing to be changed."""
    assert refused(edit=True, **given) == ("image is missing.", "image", "missing_required_parameter")


@pytest.mark.parametrize(
    "given",
    [
        "https://example.org/a.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "data",
        "",
        {"image_url": "https://example.org/a.png"},
        {"image_url": {"url": 5}},
        {"image_url": {}},
        {"file_id": "file-1"},
        {},
    ],
    ids=str,
)
def test_nothing_is_fetched_or_opened(given: Any) -> None:
    """An address, the path of a file and the id of one are refused."""
    for fields in ({"image": given}, {"images": [given]}):
        message, param, code = refused(edit=True, **fields)
        assert message.startswith("An image to begin with is a data: URL")
        assert (param, code) == ("image", "invalid_value")


# --- forms ---


def field(name: str, data: bytes, *, is_file: bool = False) -> FormField:
    return FormField(name, data, is_file)


PROMPT = field("prompt", "ein Fuchs, grün".encode())


def test_a_form_has_uploads_and_text() -> None:
    """Numbers are text there; ``image[]`` is ``image``."""
    form = [
        PROMPT,
        field("image[]", b"one", is_file=True),
        field("n", b"2"),
        field("images", b"two", is_file=True),
        field("image", URL.encode()),
    ]
    assert read_form_fields(iter(form)) == ImagesRequest(
        prompt="ein Fuchs, grün",
        references=[Image(data=b"one"), Image(data=b"two"), Image(url=URL)],
        options={"n": 2},
    )


def test_what_is_no_utf_8_is_no_end_of_a_form() -> None:
    """Each such byte is replaced by the character that stands for it."""
    form = [field("prompt", b"a \xff fox"), field("image", b"one", is_file=True)]
    assert read_form_fields(form).prompt == "a � fox"


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ([PROMPT, PROMPT], "prompt is given twice."),
        ([PROMPT, field("n[]", b"1"), field("n", b"1")], "n is given twice."),
        ([PROMPT, field("n", b"two")], "n: Expected integer | null, got string."),
        ([PROMPT], "image is missing."),
        ([PROMPT, field("mask", b"one", is_file=True)], "No mask can be sent to the image endpoints."),
        ([field("image", b"one", is_file=True)], "prompt is missing."),
    ],
)
def test_a_form_that_is_refused(form: list[FormField], message: str) -> None:
    """The same as in a JSON body, and what is given twice."""
    with pytest.raises(ParameterError) as caught:
        read_form_fields(form)
    assert caught.value.message.startswith(message)


def test_a_form_is_read_strictly_where_that_is_wanted() -> None:
    """What is not taken is refused there, too."""
    form = [PROMPT, field("image", b"one", is_file=True), field("user", b"me")]
    assert read_form_fields(form).ignored == ("user",)
    with pytest.raises(ParameterError, match="do not take user"):
        read_form_fields(form, strict=True)


def test_nothing_of_a_request_is_printed() -> None:
    """The content of a field, the prompt and the images are the client's."""
    assert repr(field("image", b"x" * 1_234)) == "FormField('image', 1,234 bytes)"
    printed = repr(read(edit=True, image=URL, size="auto"))
    assert "fox" not in printed
    assert "base64" not in printed
    assert "size" in printed
