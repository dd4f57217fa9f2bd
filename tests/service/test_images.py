"""``/v1/images/generations`` and ``/v1/images/edits``: requests as OpenAI's SDKs send them."""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from onplan.emulator import Emulator
from onplan.service import ServiceOptions

from .conftest import Answer, serving

PIXEL = (Path(__file__).parents[1] / "pixel.png").read_bytes()
PIXEL_URL = f"data:image/png;base64,{b64encode(PIXEL).decode()}"
BOUNDARY = "0f9a1c"


def generate(options: ServiceOptions | None = None, path: str = "generations", **body: Any) -> Answer:
    return serving(lambda asking: asking.ask("POST", f"/v1/images/{path}", body), options)


def form(*fields: tuple[str, bytes], files: tuple[str, ...] = ("image", "image[]")) -> bytes:
    """A form as openai-python sends it."""
    parts = []
    for name, value in fields:
        upload = '; filename="a.png"\r\nContent-Type: image/png' if name in files else ""
        parts.append(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{upload}\r\n\r\n'.encode()
            + value
            + b"\r\n"
        )
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def send(body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Answer:
    headers = {"content-type": content_type}
    return serving(lambda asking: asking.ask("POST", "/v1/images/edits", body, headers))


def sent(emulator: Emulator) -> Mapping[str, Any]:
    """The body that the backend got last."""
    row = emulator.journal()[-1]
    assert "/images/" in row["path"]
    body: dict[str, Any] = row["body"]
    return body


def test_an_image_is_generated(signed_in: Emulator) -> None:
    """The reply has the fields of OpenAI's API, and the size of the image itself."""
    answer = generate(prompt="a fox", size="1024x1536", quality="high", response_format="b64_json")

    assert answer.status == 200
    reply = answer.json
    assert b64decode(reply["data"][0]["b64_json"]).startswith(b"\x89PNG")
    assert {name: reply[name] for name in ("size", "quality", "output_format", "background")} == {
        "size": "1024x1536",
        "quality": "medium",
        "output_format": "png",
        "background": "opaque",
    }
    assert type(reply["created"]) is int
    assert (sent(signed_in)["quality"], sent(signed_in)["model"]) == ("high", "gpt-image-2")
    assert answer.reply.model == "gpt-image-2"


def test_parameters_are_named_that_are_left_out_or_carried_out(signed_in: Emulator) -> None:
    """What asks for nothing special is not named; nor is what is no name."""
    answer = generate(
        ServiceOptions(aliases={"dall-e-3": "gpt-image-2"}),
        model="dall-e-3",
        prompt="a fox",
        quality="hd",
        style="vivid",
        user="me",
        output_format="webp",
        moderation="auto",
        n=1,
        images=[PIXEL_URL],
        **{"a\r\nb": 1},
    )

    assert answer.status == 200
    ignored = answer.headers["x-onplan-ignored-parameters"]
    assert sorted(ignored.split(", ")) == ["images", "output_format", "style", "user"]
    assert answer.headers["x-onplan-emulated-parameters"] == "quality"
    assert sent(signed_in) == {
        "prompt": "a fox",
        "model": "gpt-image-2",
        "quality": "high",
        "background": "opaque",
        "size": "auto",
    }


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "prompt", "missing_required_parameter"),
        ({"prompt": ""}, "prompt", "missing_required_parameter"),
        ({"prompt": 5}, "prompt", "invalid_type"),
        ({"prompt": "x", "n": "2"}, "n", "invalid_type"),
        ({"prompt": "x", "response_format": "url"}, "response_format", "unsupported_value"),
        ({"prompt": "x", "stream": True}, "stream", "unsupported_value"),
        ({"prompt": "x", "mask": PIXEL_URL}, "mask", "unsupported_parameter"),
        ({"prompt": "x", "n": 11}, "n", "invalid_value"),
        ({"prompt": "x", "size": "big"}, "size", "invalid_value"),
        ({"prompt": "x", "quality": "best"}, "quality", "invalid_value"),
        ({"prompt": "x", "background": "blue"}, "background", "invalid_value"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_sent(
    signed_in: Emulator, body: dict[str, Any], param: str | None, code: str
) -> None:
    """With the status, the code and the name of the field that OpenAI's API has."""
    answer = generate(**body)

    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)
    assert signed_in.journal() == []


def test_strict_refuses_what_would_be_left_out(signed_in: Emulator) -> None:
    """The first such parameter is named."""
    answer = generate(ServiceOptions(strict=True), prompt="x", style="vivid", output_format="png")

    assert (answer.status, answer.error["param"]) == (400, "style")


def test_uploads_are_edited(signed_in: Emulator) -> None:
    """Numbers in a form are text; several uploads are the images in their order."""
    one = send(form(("image", PIXEL), ("prompt", b"blue"), ("n", b"1"), ("stream", b"false")))
    two = send(form(("prompt", "grün".encode()), ("image[]", PIXEL), ("image[]", PIXEL)))

    assert (one.status, two.status) == (200, 200)
    assert [image["image_url"] for image in sent(signed_in)["images"]] == [PIXEL_URL, PIXEL_URL]
    assert sent(signed_in)["prompt"] == "grün"


@pytest.mark.parametrize(
    "given",
    [
        {"images": [{"image_url": PIXEL_URL}]},
        {"image": PIXEL_URL},
        {"image": [{"image_url": {"url": PIXEL_URL}}]},
    ],
)
def test_images_in_json_are_data_urls(signed_in: Emulator, given: dict[str, Any]) -> None:
    """In the form of OpenAI's API, and in those that programs use for messages."""
    assert generate(path="edits", prompt="blue", **given).status == 200
    assert [image["image_url"] for image in sent(signed_in)["images"]] == [PIXEL_URL]


@pytest.mark.parametrize("given", [str(Path(__file__).parents[1] / "pixel.png"), "https://a.example/fox.png"])
def test_neither_a_file_of_this_machine_nor_an_address_is_read(signed_in: Emulator, given: str) -> None:
    """The path of a file is no image, also where the file is there; nothing is sent."""
    for name, value in (("image", given), ("images", [{"image_url": given}]), ("images", [{"file_id": "f"}])):
        answer = generate(path="edits", prompt="blue", **{name: value})
        assert (answer.status, answer.error["param"]) == (400, "image")
    upload = send(form(("image", given.encode()), ("prompt", b"x")))
    text = send(form(("image", given.encode()), ("prompt", b"x"), files=()))

    assert (upload.status, upload.error["code"]) == (400, "invalid_image")
    assert (text.status, text.error["param"]) == (400, "image")
    assert signed_in.journal() == []


WHOLE = form(("image", PIXEL), ("prompt", b"x"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        WHOLE[:-30],
        WHOLE[20:],
        WHOLE.replace(b'name="prompt"', b"x=y"),
        WHOLE.replace(b"Content-Disposition: form-data", b"X" * 5_000 + b": y"),
        form(*[(f"field{number}", b"") for number in range(101)]),
        form(("prompt", b"x"), ("prompt", b"y"), ("image", PIXEL)),
        form(("prompt", b"x"), ("n", b"two"), ("image", PIXEL)),
        form(("prompt", b"x")),
    ],
)
def test_a_damaged_form_is_refused(signed_in: Emulator, body: bytes) -> None:
    """What is cut, has no names or too many, or another boundary, is the client's mistake."""
    assert send(body).status == 400
    assert signed_in.journal() == []


def test_a_form_without_its_boundary_is_refused(signed_in: Emulator) -> None:
    """Nothing says where a field ends."""
    for content_type in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'x' * 600}",
    ):
        assert send(WHOLE, content_type).error["code"] == "invalid_form"


def test_uploads_need_the_extra(signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where python-multipart is not installed, the reply says what to type."""
    monkeypatch.setitem(sys.modules, "python_multipart.exceptions", None)

    assert "onplan[server]" in send(WHOLE).error["message"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("images_rate_limited", 429, "rate_limit_exceeded"),
        ("images_refused", 400, "content_filter"),
        ("images_forbidden", 403, "usage_not_included"),
        ("images_empty", 502, "upstream_error"),
        ("images_url", 502, "upstream_error"),
        ("images_bad_base64", 502, "upstream_error"),
        ("images_not_an_image", 502, "upstream_error"),
        ("images_list", 502, "upstream_error"),
        ("images_404", 502, "upstream_error"),
        ("images_odd", 200, None),
        ("images_unauthorized", 200, None),
        ("images_500", 200, None),
    ],
)
def test_what_goes_wrong_at_the_backend_is_told_or_mended(
    signed_in: Emulator, fault: str, status: int, code: str | None
) -> None:
    """An error with the status and the code that clients know; or an image, after another try."""
    signed_in.arm(fault)
    answer = generate(prompt="x")

    assert (answer.status, answer.error["code"] if code else None) == (status, code)
    assert "retry-after" not in answer.headers or 1 <= int(answer.headers["retry-after"]) <= 60


def test_a_backend_without_images_has_no_such_path(unused_url: str) -> None:
    """As any path that is not there; nothing is sent."""
    answer = serving(
        lambda asking: asking.ask("POST", "/v1/images/generations", {"prompt": "x"}),
        backend="openai",
        base_url=unused_url,
        api_key="sk-any",
    )

    assert (answer.status, answer.error["code"]) == (404, "unknown_url")


def test_a_model_that_is_none_is_not_found(signed_in: Emulator) -> None:
    """As the models of texts are."""
    refused = generate(prompt="x", model="dall-e-3")

    assert (refused.status, refused.error["code"]) == (404, "model_not_found")
    assert "gpt-image-2" in refused.error["message"]
