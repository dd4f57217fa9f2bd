"""OpenAI's own SDK on your plan: real clients of it, whose requests onplan answers.

>>> from onplan.integrations.openai import OpenAI
>>> client = OpenAI()
>>> client.responses.create(model="gpt-5.5", input="Name three birds").output_text  # doctest: +SKIP

What the SDK does with answers stays as it is: ``stream``, ``parse``, tools, its error classes. A token is
never where the SDK could send it: its ``api_key`` is a placeholder, and no request leaves by its transport.
Needs the package ``openai``. Tried with 3.54; not with 2.x, for which httpx is chosen instead of httpx2.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onplan.assembly import AsyncClientOptions
from onplan.async_client import AsyncClient
from onplan.errors import ConfigurationError
from onplan.integrations.service_transport import HOST, transports
from onplan.service import Service, ServiceOptions

if TYPE_CHECKING:
    import openai

PLACEHOLDER = "on-plan"
"""The ``api_key`` of the clients. It is never sent."""
BASE_URL = f"https://{HOST}/v1"


def OpenAI(**options: Any) -> openai.OpenAI:  # noqa: N802 - it is used in place of the SDK's class
    """A synchronous client of the SDK on your plan.

    Args:
        options: those of ``onplan.AsyncClient``, such as ``profile``, ``store`` and ``timeout``; all others
            go to the SDK, such as ``max_retries`` and ``default_headers``.

    Raises:
        ConfigurationError: the SDK is not installed, or an option cannot be used.
    """
    sdk, http = _sdk()
    sync, _ = _transports(http)
    for_sdk, parts = _parts(options)
    client = http.Client(transport=sync(*parts), base_url=BASE_URL)
    return sdk.OpenAI(api_key=PLACEHOLDER, base_url=BASE_URL, http_client=client, **for_sdk)


def AsyncOpenAI(**options: Any) -> openai.AsyncOpenAI:  # noqa: N802 - it is used in place of the SDK's class
    """An asynchronous client of the SDK on your plan; options and errors as for ``OpenAI``."""
    sdk, http = _sdk()
    _, asynchronous = _transports(http)
    for_sdk, parts = _parts(options)
    client = http.AsyncClient(transport=asynchronous(*parts), base_url=BASE_URL)
    return sdk.AsyncOpenAI(api_key=PLACEHOLDER, base_url=BASE_URL, http_client=client, **for_sdk)


def _parts(options: dict[str, Any]) -> tuple[dict[str, Any], tuple[AsyncClient, Service]]:
    """The options that go to the SDK, and what answers its requests."""
    for name in _OURS & options.keys():
        raise ConfigurationError(
            f"{name} is set by onplan here.", hint=f"Leave {name} out: requests go to your plan."
        )
    known = AsyncClientOptions.__optional_keys__
    own = {name: value for name, value in options.items() if name in known}
    for_sdk = {name: value for name, value in options.items() if name not in known}
    client = AsyncClient(**own)
    service = Service(client, ServiceOptions(strict=own.get("unsupported") == "raise"))
    return for_sdk, (client, service)


_OURS = frozenset(("base_url", "http_client", "websocket_base_url", "organization", "project"))


def _sdk() -> tuple[Any, ModuleType]:
    """The SDK, and the HTTP library that its clients are made of."""
    try:
        sdk = importlib.import_module("openai")
    except ImportError:
        raise ConfigurationError(
            "OpenAI's SDK is not installed.", hint="Install it: `pip install openai`."
        ) from None
    major = int(sdk.__version__.partition(".")[0])
    return sdk, importlib.import_module("httpx2" if major >= 3 else "httpx")


_made: dict[str, tuple[type[Any], type[Any]]] = {}


def _transports(http: ModuleType) -> tuple[type[Any], type[Any]]:
    if http.__name__ not in _made:
        _made[http.__name__] = transports(http)
    return _made[http.__name__]
