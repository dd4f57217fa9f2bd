"""The options of an image besides its prompt, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import msgspec

from onplan.backends import ImageSupport
from onplan.errors import InvalidRequestError
from onplan.field_types import require_known
from onplan.turn.side_request import TIMEOUT, require_seconds

ImageQuality: TypeAlias = Literal["auto", "low", "medium", "high", "xhigh", "max"]
ImageBackground: TypeAlias = Literal["auto", "opaque", "transparent"]

_QUALITIES: tuple[str, ...] = get_args(ImageQuality)
_BACKGROUNDS: tuple[str, ...] = get_args(ImageBackground)
_SIZE = re.compile(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}")
MOST_IMAGES = 10  # images of one request, as the platform documents it


class ImageOptions(TypedDict, total=False):
    """The keywords of ``client.images.generate`` and ``edit``, all of them optional.

    Attributes:
        model: the image model; ``gpt-image-2`` by default. The model catalogue does not list image models.
        size: in pixels, ``"1024x1536"`` or ``(1024, 1536)``, or ``auto``. Services may make another size.
        quality: ``auto``, ``low``, ``medium``, ``high``; some models also know ``xhigh`` and ``max``.
        background: ``opaque``, ``transparent`` or ``auto``.
        n: how many images, up to 10. Whether a plan allows more than one at once is not known.
        timeout: seconds that the service may take; 300 by default. One image takes 40 to 120.
        extra_body: further fields of the request's body.
    """

    model: str
    size: str | tuple[int, int]
    quality: ImageQuality
    background: ImageBackground
    n: int
    timeout: float
    extra_body: Mapping[str, Any]


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an image, as requested or as the service reports them; None for those not mentioned.

    Attributes:
        model: the image model.
        size: ``WIDTHxHEIGHT`` in pixels, or ``auto``.
        quality: in the service's words.
        background: in the service's words.
        n: how many images.
        format: such as ``png``; reported only.
    """

    model: str | None = None
    size: str | None = None
    quality: str | None = None
    background: str | None = None
    n: int | None = None
    format: str | None = None


class CheckedOptions(msgspec.Struct, frozen=True):
    """The options of one request, checked.

    Attributes:
        settings: what is asked for.
        timeout: in seconds.
        extra_body: further fields.
    """

    settings: ImageSettings
    timeout: float
    extra_body: Mapping[str, Any]

    def fields(self) -> dict[str, Any]:
        """The fields of the body but for the prompt."""
        said = msgspec.structs.asdict(self.settings)
        n = said.pop("n")
        fields = {name: value for name, value in said.items() if value is not None}
        return {**fields, **({"n": n} if n != 1 else {}), **self.extra_body}


def checked_options(options: Mapping[str, Any], support: ImageSupport) -> CheckedOptions:
    """Check the options, and add the backend's defaults for those that are missing.

    Raises:
        InvalidRequestError: there is no such option, or its value cannot be used.
    """
    given = {name: value for name, value in options.items() if value is not None}
    require_known(given, ImageOptions.__optional_keys__, "An image")
    said = {**support.defaults, "model": support.model, **given}
    settings = ImageSettings(
        model=_model(said["model"]),
        size=_size(said["size"]) if "size" in said else None,
        quality=_word("quality", said.get("quality"), _QUALITIES),
        background=_word("background", said.get("background"), _BACKGROUNDS),
        n=_count(said.get("n", 1)),
    )
    return CheckedOptions(
        settings, require_seconds(said.get("timeout", TIMEOUT)), _extra(said.get("extra_body", {}))
    )


def _model(given: object) -> str:
    if isinstance(given, str) and given.strip():
        return given
    raise InvalidRequestError(
        f"model is {given!r}, and not the name of an image model.", hint='Write `model="gpt-image-2"`.'
    )


def _size(given: object) -> str:
    text: object = given
    if isinstance(given, tuple | list) and len(given) == 2:
        text = f"{given[0]}x{given[1]}"
    if isinstance(text, str) and (text == "auto" or _SIZE.fullmatch(text)):
        return text
    raise InvalidRequestError(
        f"size is {given!r}, and not a width and a height in pixels.",
        hint='Write `size="1024x1536"`, `size=(1024, 1536)` or `size="auto"`.',
    )


def _word(name: str, given: object, known: tuple[str, ...]) -> str | None:
    if given is None or (isinstance(given, str) and given in known):
        return given
    raise InvalidRequestError(f"{name} is {given!r}.", hint=f"Use one of: {', '.join(known)}.")


def _count(given: object) -> int:
    if type(given) is int and 1 <= given <= MOST_IMAGES:
        return given
    raise InvalidRequestError(
        f"n is {given!r}, and not a number of images from 1 to {MOST_IMAGES}.",
        hint="Write `n=1`, or leave it out for one image. Nothing was sent.",
    )


def _extra(given: object) -> Mapping[str, Any]:
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        try:
            msgspec.json.encode(dict(given))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            pass
        else:
            return given
    raise InvalidRequestError(
        "extra_body is not a dict of JSON values.", hint='Write `extra_body={"field": "value"}`.'
    )
