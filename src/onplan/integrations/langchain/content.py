"""LangChain's content blocks as onplan's parts. No block can name a file of this machine."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from onplan.errors import InvalidRequestError
from onplan.integrations.arguments import several, wrong_kind
from onplan.types import ContentPart, File, Image, Refusal, Text


def given_parts(content: Any, where: str) -> list[Text | Image | File]:
    """The parts of what a user, a tool or the system says.

    Raises InvalidRequestError, which names the place, for a block that cannot be sent.
    """
    parts: list[Text | Image | File] = []
    for index, block in enumerate(_blocks(content, where)):
        if isinstance(block, str):
            parts.append(Text(block))
        else:
            parts.append(_given(block, f"{where}.content[{index}]"))
    return parts


def _blocks(content: Any, where: str) -> list[str | Mapping[str, Any]]:
    if isinstance(content, str):
        return [content]
    blocks = several(f"{where}.content", content, "a text, or a list of content blocks")
    for index, block in enumerate(blocks):
        if not isinstance(block, str | Mapping):
            raise wrong_kind(f"{where}.content[{index}]", block, "a text, or a content block")
    return blocks


def answered_parts(content: Any, where: str) -> list[ContentPart]:
    """The texts and refusals in what a model said, perhaps another provider's.

    The other blocks repeat what a message has in its fields, such as calls, or are of use only to the model
    that made them: reasoning, searches, images.

    Raises InvalidRequestError, which names the place, for what is no content.
    """
    parts: list[ContentPart] = []
    for block in _blocks(content, where):
        given = {"type": "text", "text": block} if isinstance(block, str) else block
        kind, text = str(given.get("type")), given.get("text")
        if kind in _TEXTS and isinstance(text, str):
            parts += [Text(text)] if text else []
        elif kind == "refusal":
            parts.append(Refusal(str(given.get("refusal") or "")))
    return parts


_TEXTS = frozenset({"text", "text-plain", "input_text", "output_text"})


def _given(block: Mapping[str, Any], where: str) -> Text | Image | File:
    kind, text = str(block.get("type")), block.get("text")
    if kind in _TEXTS and isinstance(text, str):
        return Text(text)
    read = _READERS.get(kind)
    if read is None:
        if kind in _TEXTS:
            raise _wrong(where, kind)
        raise InvalidRequestError(f"{where} is of the type {kind!r}, which cannot be sent.", hint=_HINT)
    try:
        part = read(block, where)
    except (AttributeError, TypeError) as error:  # something in the block is no dict or string
        raise _wrong(where, kind) from error
    except InvalidRequestError as error:
        if where in error.message:
            raise
        field = error.message.removeprefix("Image.").removeprefix("File.")
        raise InvalidRequestError(f"{where} cannot be sent: {field}", hint=error.hint) from None
    if isinstance(part, Image | File) and not (part.url or part.data):
        raise _wrong(where, kind)
    return part


_HINT = "Models on a plan take text, images and files (PDF)."


def _wrong(where: str, kind: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{where} is a block of the type {kind!r} without usable content.",
        hint='Give it "base64" and "mime_type", or "url". Ids of uploaded files mean nothing here.',
    )


def _image_url(block: Mapping[str, Any], where: str) -> Image:
    given = block.get("image_url")
    url, detail = (given.get("url"), given.get("detail")) if isinstance(given, Mapping) else (given, None)
    return Image(url=url, detail=detail or block.get("detail"))


def _image(block: Mapping[str, Any], where: str) -> Image:
    url, data, mime_type = _source(block, where)
    return Image(url=url, data=data, mime_type=mime_type, detail=block.get("detail"))


def _file(block: Mapping[str, Any], where: str) -> File:
    url, data, mime_type = _source(block, where)
    return File(url=url, data=data, mime_type=mime_type, filename=_filename(block))


def _input_file(block: Mapping[str, Any], where: str) -> File:
    return _file({**block, "url": block.get("file_url"), "data": block.get("file_data")}, where)


def _source(block: Mapping[str, Any], where: str) -> tuple[str | None, bytes | None, str | None]:
    """URL, bytes and MIME type of LangChain's, OpenAI's and Anthropic's blocks."""
    inner = next((block[name] for name in ("source", "file") if isinstance(block.get(name), Mapping)), block)
    mime_type = inner.get("mime_type") or inner.get("media_type")
    data = inner.get("base64") or inner.get("data") or inner.get("file_data")
    if data is None:
        return inner.get("url"), None, mime_type
    if isinstance(data, bytes):
        return None, data, mime_type
    head, comma, encoded = data.rpartition(",")
    if comma:  # a data URL
        mime_type = mime_type or head.removeprefix("data:").partition(";")[0]
    try:
        return None, b64decode("".join(encoded.split()), validate=True), mime_type
    except ValueError:  # binascii.Error is one
        raise InvalidRequestError(f"{where} holds data that are not base64.") from None


def _filename(block: Mapping[str, Any]) -> str | None:
    places: Iterable[Any] = (block, block.get("extras"), block.get("file"), block.get("metadata"))
    found = (place.get(name) for place in places if isinstance(place, Mapping) for name in _NAMES_OF_FILES)
    return next((name for name in found if isinstance(name, str) and name), None)


_NAMES_OF_FILES = ("filename", "title", "name")

_READERS: Mapping[str, Callable[[Mapping[str, Any], str], Text | Image | File]] = {
    "image_url": _image_url,
    "input_image": _image_url,
    "image": _image,
    "file": _file,
    "document": _file,
    "text-plain": _file,
    "input_file": _input_file,
}
