"""One request to the image endpoints, as a flow: it is checked, sent, and its answer read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from onplan.backends import Backend, ImageSupport
from onplan.errors import (
    ConfigurationError,
    InvalidRequestError,
    ModelNotAvailableError,
    NotIncludedError,
)
from onplan.flow import NOTHING
from onplan.images.response import ImageResponse, response_of
from onplan.images.settings import checked_options
from onplan.turn.context import Context
from onplan.turn.side_request import SideRequest, post
from onplan.turn.steps import Flow
from onplan.types import Credential, OAuthCredentials

_PURPOSE = "Image generation"


def generation(
    prompt: str, references: Sequence[str], options: Mapping[str, Any], context: Context
) -> Flow[ImageResponse]:
    """Generate images, or edit some.

    Args:
        prompt: what the images show, or what is to be changed.
        references: ``data:`` URLs of the images to begin with; empty for new ones.
        options: those of ``ImageOptions``.
        context: what all requests of the client have in common.

    Raises:
        ConfigurationError: the backend generates no images. This and the next are raised at once.
        InvalidRequestError: the prompt or an option cannot be used.
        NotIncludedError: the plan does not include it. The flow raises this and the next two.
        UnexpectedReplyError: an answer without images.
        OnplanError: as ``side_request.post``.
    """
    support = support_of(context.backend)
    checked = checked_options(options, support)
    images = {"images": [{"image_url": url} for url in references]} if references else {}
    request = SideRequest.json(
        _PURPOSE,
        "images/edits" if references else "images/generations",
        {**images, "prompt": _prompt(prompt), **checked.fields()},
        headers={support.id_header: str(uuid4())} if support.id_header else NOTHING,
        timeout=checked.timeout,
        permit=partial(_require_included, support),
        uses_plan=True,
    )

    def asked() -> Flow[ImageResponse]:
        try:
            reply = yield from post(request, context)
        except ModelNotAvailableError as error:
            error.hint = f"Images are made by {support.model}, also where no model is named."
            raise
        return response_of(reply, checked.settings, context.now())

    return asked()


def support_of(backend: Backend) -> ImageSupport:
    """How ``backend`` generates images. Raises ConfigurationError if it does not."""
    if backend.images is not None:
        return backend.images
    if backend.is_compatible:
        raise ConfigurationError(
            "Servers other than OpenAI's generate images in different ways, which onplan does not know.",
            hint="Use `--backend openai-codex` or OpenAI's own API, or that server's own client.",
        )
    raise ConfigurationError(
        f"{backend.name} makes no images.",
        hint="Use a plan through `openai-codex`, or an API key: `--backend openai`.",
    )


def _require_included(support: ImageSupport, credential: Credential) -> None:
    plan = credential.plan if isinstance(credential, OAuthCredentials) else None
    if plan and plan.lower() in support.without:
        raise NotIncludedError(
            f"The {plan} plan does not include image generation.",
            hint="Sign in with a plan that does: `onplan login`. Do so after an upgrade, too.",
        )


def _prompt(given: object) -> str:
    if isinstance(given, str) and given.strip():
        return given
    what = "is empty" if isinstance(given, str) else f"is of the type {type(given).__name__}"
    raise InvalidRequestError(
        f"The prompt of an image {what}.", hint='Write `client.images.generate("a red fox")`.'
    )
