"""Checks what the image endpoints ask of a request; both services have the same body."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from onplan.emulator.checks.refusals import of_type
from onplan.emulator.wire.replies import Refusal, Request, api_error

KNOWN = frozenset(["background", "images", "model", "n", "prompt", "quality", "size"])
WORDS = {
    "background": ("transparent", "opaque", "auto"),
    "quality": ("low", "medium", "high", "auto", "xhigh", "max"),
}
# What a size may be, by IgorWarzocha/howaboua-pi-stuff issue 404.
STEP, LONGEST_SIDE, LEAST, MOST, WIDEST = 16, 3840, 655_360, 8_294_400, 3
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")
LONGEST_URL = 20_971_520


def check_images(request: Request, most_references: int) -> dict[str, Any]:
    """The body of a request. Raises a Refusal for what is wrong with it."""
    body = request.body
    if "content-encoding" in request.headers or request.media_type != "application/json":
        raise Refusal(api_error("The body must be plain JSON.", code="unsupported_content", status=415))
    if not isinstance(body, dict):
        raise _refused("The body must be a JSON object.", None)
    for name in body:
        if name not in KNOWN:
            raise _refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    _check_words(body)
    _check_size(body.get("size", "auto"))
    if request.path.endswith("/edits"):
        _check_references(body.get("images"), most_references)
    elif "images" in body:
        raise _refused("Unknown parameter: 'images'.", "images", "unknown_parameter")
    return body


def _check_words(body: dict[str, Any]) -> None:
    for name in ("prompt", "model"):
        if name not in body:
            raise _refused(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
        of_type(body[name], (str,), name, "a string")
        if not body[name]:
            raise _refused(f"Invalid '{name}': empty string.", name, "empty_string")
    if not body["model"].startswith("gpt-image-"):
        message = f"The model '{body['model']}' does not exist."
        raise _refused(message, "model", "model_not_found")
    for name, words in WORDS.items():
        if body.get(name, words[0]) not in words:
            raise _refused(f"Invalid value: '{body[name]}'.", name)
    count = body.get("n", 1)
    if type(count) is not int or not 1 <= count <= 10:
        raise _refused("Invalid 'n': expected an integer from 1 to 10.", "n")


def _refused(message: str, param: str | None, code: str = "invalid_value") -> Refusal:
    return Refusal(api_error(message, param=param, code=code))


def _check_size(size: object) -> None:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size) if isinstance(size, str) else None
    if match is None and size != "auto":
        raise _refused(f"Invalid size '{size}'.", "size")
    if match is None:
        return
    width, height = int(match[1]), int(match[2])
    fits = (
        width % STEP == height % STEP == 0
        and max(width, height) <= LONGEST_SIDE
        and LEAST <= width * height <= MOST
        and max(width, height) <= WIDEST * min(width, height)
    )
    if not fits:
        raise _refused(f"Invalid size '{size}'. It is not supported by this model.", "size")


def _check_references(images: object, most: int) -> None:
    if not isinstance(images, list) or not 1 <= len(images) <= most:
        raise _refused(f"Invalid 'images': expected an array of 1 to {most} objects.", "images")
    for index, image in enumerate(images):
        param = f"images[{index}].image_url"
        url = image.get("image_url") if isinstance(image, dict) else None
        if not isinstance(url, str):
            raise _refused("Missing required parameter: 'image_url'.", param, "missing_required_parameter")
        head, _, payload = url.partition(",")
        if not head.startswith("data:image/"):
            raise _refused("Error while downloading file.", param, "invalid_value")
        try:
            data = base64.b64decode(payload, validate=True)
        except binascii.Error:
            data = b""
        if len(url) > LONGEST_URL or not data.startswith(SIGNATURES):
            raise _refused("The image data you provided does not represent a valid image.", param)
