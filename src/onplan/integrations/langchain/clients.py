"""The clients of a model, and which key they use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from onplan.config.settings import load_settings
from onplan.integrations.client_pair import ClientPair
from onplan.types import APIKey

logger = logging.getLogger("onplan.integrations.langchain")


class ModelClients(ClientPair):
    """The clients of a model, and of those that are made of it with the same options.

    Attributes:
        asked_for: the options; an ``api_key`` is used where the backend takes one, and nowhere else.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.asked_for = {**options}
        super().__init__(_without_useless_key(options))


def _without_useless_key(options: Mapping[str, Any]) -> Mapping[str, Any]:
    if "api_key" not in options:
        return options
    named = {name: options.get(name) for name in ("profile", "backend", "base_url", "api")}
    store = options.get("store")
    settings = load_settings(store=store if isinstance(store, str) else None, **named)
    if settings.backend.credential is APIKey:
        return options
    logger.warning("%s takes no API key, so api_key is not used.", settings.backend.name)
    return {name: value for name, value in options.items() if name != "api_key"}
