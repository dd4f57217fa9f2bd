"""Reads the bodies of ``POST /v1/images/generations`` and ``/v1/images/edits``.

What the image endpoints of a plan take is handed on. The rest is left out and named, or refused where the
image would be another one without it (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from onplan.dialects.openai_errors import ParameterError, parameter_error
from onplan.field_types import prepare
from onplan.flow import JSON_ERRORS
from onplan.types import Image


class FormField(msgspec.Struct, frozen=True):
    """A field of a form.

    Attributes:
        name: as the client calls it.
        data: its content.
        is_file: whether it is an upload.
    """

    name: str
    data: bytes
    is_file: bool

    def __repr__(self) -> str:
        """Without the content."""
        return f"FormField({self.name!r}, {len(self.data):,} bytes)"


class _Body(msgspec.Struct):
    """The fields that are understood."""

    prompt: str | None = None
    model: str | None = None
    n: int | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    response_format: str | None = None
    stream: bool | None = None
    image: str | dict[str, Any] | list[str | dict[str, Any]] | None = None
    images: list[str | dict[str, Any]] | None = None


prepare(_Body)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesRequest:
    """What a client asks for.

    Attributes:
        prompt: what the images show, or what is to be changed.
        references: the images to begin with; empty for a new one.
        options: those of ``client.images`` that the client gave.
        ignored: parameters that are left out.
        emulated: parameters that onplan carries out.
    """

    prompt: str = field(repr=False)
    references: Sequence[Image] = field(default=(), repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()


_FIELDS = msgspec.json.Decoder(dict[str, Any])
_KNOWN = frozenset(_Body.__struct_fields__)
# The values with which a parameter asks for nothing special.
_DEFAULTS: Mapping[str, Any] = {"output_format": "png", "moderation": "auto", "partial_images": 0}
# Words of models that are gone; programs still send them.
_QUALITIES = {"standard": "auto", "hd": "high"}
_OPTIONS = ("model", "n", "size", "background")


def read_json(body: bytes, *, edit: bool, strict: bool = False) -> ImagesRequest:
    """The request in a JSON body.

    Args:
        body: JSON.
        edit: whether it begins with images.
        strict: refuse parameters that are not taken.

    Raises:
        ParameterError: something in it is wrong, or cannot be had.
    """
    try:
        fields = _FIELDS.decode(body)
    except msgspec.ValidationError as error:
        raise parameter_error(error) from None
    except JSON_ERRORS:
        raise ParameterError("The body is not JSON.", code="invalid_json") from None
    return _read(fields, None, edit=edit, strict=strict)


def read_form_fields(form: Iterable[FormField], *, strict: bool = False) -> ImagesRequest:
    """The request in the fields of a form, which begins with uploads. Raises as ``read_json``."""
    fields: dict[str, Any] = {}
    uploads: list[Image] = []
    for each in form:
        name = each.name.removesuffix("[]")
        if name in ("image", "images") and each.is_file:
            uploads.append(Image(data=each.data))
        elif name in fields:
            raise ParameterError(f"{name} is given twice.", param=name)
        else:
            fields[name] = each.data.decode("utf-8", "replace")
    return _read(fields, uploads, edit=True, strict=strict)


def _read(
    fields: Mapping[str, Any], uploads: list[Image] | None, *, edit: bool, strict: bool
) -> ImagesRequest:
    try:  # what stands in a form is text
        read = msgspec.convert(
            {name: fields[name] for name in _KNOWN & fields.keys()}, _Body, strict=uploads is None
        )
    except msgspec.ValidationError as error:
        raise parameter_error(error) from None
    _refuse(read, fields)
    ignored = [name for name in fields if name not in _KNOWN and not _says_nothing(name, fields[name])]
    if not edit:
        ignored += [name for name in ("image", "images") if fields.get(name) is not None]
    if strict and ignored:
        message = f"The image endpoints do not take {', '.join(ignored)}."
        raise ParameterError(message, param=ignored[0], code="unsupported_parameter")
    options = {name: value for name in _OPTIONS if (value := getattr(read, name)) is not None}
    if read.quality is not None:
        options["quality"] = _QUALITIES.get(read.quality, read.quality)
    return ImagesRequest(
        prompt=read.prompt or "",
        references=_references(read, uploads) if edit else (),
        options=options,
        ignored=tuple(ignored),
        emulated=("quality",) if read.quality in _QUALITIES else (),
    )


def _says_nothing(name: str, value: Any) -> bool:
    return value is None or str(value) == str(_DEFAULTS.get(name))


def _refuse(read: _Body, fields: Mapping[str, Any]) -> None:
    if not read.prompt:
        raise ParameterError("prompt is missing.", param="prompt", code="missing_required_parameter")
    if read.response_format not in (None, "b64_json"):
        raise ParameterError(
            "Images are in the reply, as base64 (b64_json). They have no address: leave response_format out.",
            param="response_format",
            code="unsupported_value",
        )
    if read.stream:
        raise ParameterError(
            "Images are not streamed: they come in one piece.", param="stream", code="unsupported_value"
        )
    for name in ("mask", "markup"):
        if fields.get(name) is not None:
            raise ParameterError(
                f"No {name} can be sent to the image endpoints. Say in the prompt what is to be changed.",
                param=name,
                code="unsupported_parameter",
            )


def _references(read: _Body, uploads: list[Image] | None) -> list[Image]:
    given: list[Any] = [*(read.images or [])]
    if read.image is not None:
        given += read.image if isinstance(read.image, list) else [read.image]
    found = [*(uploads or []), *map(_referred, given)]
    if not found:
        raise ParameterError("image is missing.", param="image", code="missing_required_parameter")
    return found


def _referred(given: str | dict[str, Any]) -> Image:
    """An image in a JSON body: a ``data:`` URL, or an object that has one. Never the path of a file."""
    url = given.get("image_url") if isinstance(given, dict) else given
    if isinstance(url, dict):
        url = url.get("url")
    if isinstance(url, str) and url[:5].lower() == "data:":
        return Image(url=url)
    raise ParameterError(
        "An image to begin with is a data: URL, such as data:image/png;base64,…, or an upload in a form. "
        "Addresses are not fetched, and there are no files to refer to.",
        param="image",
    )
