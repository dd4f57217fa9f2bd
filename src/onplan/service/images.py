"""Answers ``/v1/images/generations`` and ``/v1/images/edits`` with the client's images."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from typing import Any

from onplan.async_client import AsyncClient
from onplan.async_client_parts import context_of
from onplan.dialects.openai_errors import ParameterError
from onplan.dialects.openai_images import ImagesRequest, read_form_fields, read_json
from onplan.dialects.served import ServedReply, ServedRequest, reported_parameters
from onplan.errors import ConfigurationError, InvalidRequestError
from onplan.images.generation import support_of
from onplan.images.response import GeneratedImage, ImageResponse
from onplan.images.settings import checked_options
from onplan.service.form import read_form
from onplan.service.options import ServiceOptions


class Images:
    """Answers requests of the Images API.

    Args:
        client: asks the models.
        options: of the service.
    """

    def __init__(self, client: AsyncClient, options: ServiceOptions) -> None:
        self._client, self._options = client, options

    async def generate(self, request: ServedRequest) -> ServedReply:
        """``POST /v1/images/generations``."""
        asked = read_json(request.body, edit=False, strict=self._options.strict)
        return _reply(asked, await self._client.images.generate(asked.prompt, **self._wishes(asked)))

    async def edit(self, request: ServedRequest) -> ServedReply:
        """``POST /v1/images/edits``, as JSON or as a form."""
        asked = await asyncio.to_thread(self._read_edit, request)
        response = await self._client.images.edit(asked.prompt, asked.references, **self._wishes(asked))
        return _reply(asked, response)

    def _read_edit(self, request: ServedRequest) -> ImagesRequest:
        strict, content_type = self._options.strict, request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
            return read_form_fields(read_form(request.body, content_type), strict=strict)
        return read_json(request.body, edit=True, strict=strict)

    def _wishes(self, asked: ImagesRequest) -> Any:
        """The options for ``client.images``. Raises ParameterError for the first that cannot be used."""
        try:
            support = support_of(context_of(self._client).backend)
        except ConfigurationError as error:
            raise ParameterError(error.message, code="unknown_url", status=404) from None
        for name, value in asked.options.items():
            try:
                checked_options({name: value}, support)
            except InvalidRequestError as error:  # its hint is for programs in Python
                raise ParameterError(error.message, param=name) from None
        model = asked.options.get("model")
        return {**asked.options, "model": self._options.aliases.get(model, model) if model else None}


def _reply(asked: ImagesRequest, response: ImageResponse) -> ServedReply:
    first = response.images[0]
    usage = response.usage
    body: dict[str, Any] = {
        "created": int(time.time() if response.created is None else response.created),
        "data": [_image_object(image) for image in response.images],
        "background": response.reported.background,
        "output_format": first.mime_type.rpartition("/")[2],
        "quality": response.reported.quality,
        "size": f"{first.size[0]}x{first.size[1]}" if first.size else response.reported.size,
    }
    if usage is not None:
        body["usage"] = {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }
    reply = ServedReply.json(body, headers=reported_parameters(asked.ignored, asked.emulated))
    reply.model, reply.usage = response.requested.model, usage
    return reply


def _image_object(image: GeneratedImage) -> dict[str, Any]:
    found: dict[str, Any] = {"b64_json": b64encode(image.data).decode()}
    return found if image.revised_prompt is None else {**found, "revised_prompt": image.revised_prompt}
