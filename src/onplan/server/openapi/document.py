"""The whole document."""

from __future__ import annotations

from typing import Any

from onplan._version import __version__
from onplan.server.openapi.paths import PATHS, REFUSALS
from onplan.server.openapi.schemas import SCHEMAS, ref

_ABOUT = (
    "OpenAI's API for programs of this machine, answered on a ChatGPT plan. "
    "Every path below /v1 is there without /v1 as well."
)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document (version 3.2, which can describe events) of the server."""
    return {
        "openapi": "3.2.0",
        "info": {"title": "onplan serve", "version": __version__, "description": _ABOUT},
        "security": [{"key": []}],
        "paths": PATHS,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "As `onplan serve --show-key` prints it.",
                }
            },
            "responses": {
                status: {"description": words, "content": {"application/json": {"schema": ref("Error")}}}
                for status, words in REFUSALS.items()
            },
            "schemas": SCHEMAS,
        },
    }
