"""OpenAI's own SDK on your plan: real clients of it, whose requests onplan answers.

>>> from onplan.integrations.openai import OpenAI
>>> client = OpenAI()
>>> client.responses.create(model="gpt-5.5", input="Name three birds").output_text  # doctest: +SKIP

What the SDK does with answers stays as it is: ``stream``, ``parse``, tools, its error classes. A token is
never where the SDK could send it: its ``api_key`` is a placeholder, and no request leaves by its transport.
Needs the package ``openai``, 2.0 or newer; 2.x is given clients of httpx, and 3.x of httpx2.
"""

from __future__ import annotations

import importlib
import inspect
from difflib import get_close_matches
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onplan.assembly import AsyncClientOptions
from onplan.async_client import AsyncClient
from onplan.errors import ConfigurationError
from onplan.integrations.divided_options import divided
from onplan.integrations.missing import MissingFrameworkError
from onplan.integrations.sdk_failures import SDKFailures, failure_of
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
        options: those of ``onplan.AsyncClient``, such as ``profile``, ``store``, ``timeout`` and ``retry``;
            all others go to the SDK, such as ``default_headers``. Its ``max_retries`` is 0 unless you give
            it, for onplan tries again.

    Raises:
        ConfigurationError: the SDK is not installed, or an option cannot be used.
    """
    sdk, http = _sdk()
    sync, _ = _transports(sdk, http)
    for_sdk, parts = _parts(options, sdk.OpenAI)
    made = _sync_class(sdk)
    client: openai.OpenAI = made(
        http_client=http.Client(transport=sync(*parts), base_url=BASE_URL), **for_sdk
    )
    return client


def AsyncOpenAI(**options: Any) -> openai.AsyncOpenAI:  # noqa: N802 - it is used in place of the SDK's class
    """An asynchronous client of the SDK on your plan; options and errors as for ``OpenAI``."""
    sdk, http = _sdk()
    _, asynchronous = _transports(sdk, http)
    for_sdk, parts = _parts(options, sdk.AsyncOpenAI)
    made = _async_class(sdk)
    http_client = http.AsyncClient(transport=asynchronous(*parts), base_url=BASE_URL)
    client: openai.AsyncOpenAI = made(http_client=http_client, **for_sdk)
    return client


def _parts(options: dict[str, Any], kind: type[Any]) -> tuple[dict[str, Any], tuple[AsyncClient, Service]]:
    """The options that go to the SDK, and what answers its requests."""
    for name in _OURS & options.keys():
        raise ConfigurationError(
            f"{name} is set by onplan here.", hint=f"Leave {name} out: requests go to your plan."
        )
    _require_known(options, kind)
    known = set(AsyncClientOptions.__optional_keys__)
    if hasattr(options.get("timeout"), "pool"):  # an openai.Timeout, as programs for the SDK have it
        known.remove("timeout")
    own, given = divided(options, known)
    # No timeout of the SDK's unless one is given: onplan has its own.
    for_sdk = {"api_key": PLACEHOLDER, "base_url": BASE_URL, "timeout": None, "max_retries": 0, **given}
    client = AsyncClient(**own)
    service = Service(client, ServiceOptions(strict=own.get("unsupported") == "raise"))
    return for_sdk, (client, service)


def _require_known(options: dict[str, Any], kind: type[Any]) -> None:
    """Raise a ConfigurationError if neither onplan nor the SDK's class has such an option."""
    known = AsyncClientOptions.__optional_keys__ | inspect.signature(kind).parameters.keys()
    for name in options.keys() - known:
        near = get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(known - _OURS))}."
        raise ConfigurationError(f"{kind.__name__} has no option {name!r}.", hint=hint)


_OURS = frozenset(("base_url", "http_client", "websocket_base_url", "organization", "project"))


def _sdk() -> tuple[Any, ModuleType]:
    """The SDK, and the HTTP library that its clients are made of."""
    try:
        sdk = importlib.import_module("openai")
    except ImportError:
        raise MissingFrameworkError("OpenAI's SDK", "openai") from None
    major = int(sdk.__version__.partition(".")[0])
    # For either: 2.x looks with each request whether httpx2 is there, and takes it while another thread is
    # still importing it. onplan would import it on a thread of its own, with its first refresh of a token.
    httpx2 = importlib.import_module("httpx2")
    return sdk, httpx2 if major >= 3 else importlib.import_module("httpx")


_made: dict[str, tuple[type[Any], type[Any]]] = {}


def _transports(sdk: Any, http: ModuleType) -> tuple[type[Any], type[Any]]:
    if http.__name__ not in _made:
        _made[http.__name__] = transports(http, SDKFailures(sdk))
    return _made[http.__name__]


_NO_WEBSOCKET = (
    "This client has no WebSockets: they would not go through the transport that onplan answers. Use "
    "responses.create(..., stream=True), or the WebSocket of `onplan serve`."
)


def _without_websockets(kind: type[Any], error: type[Exception]) -> type[Any]:
    """The SDK's class whose WebSockets are refused where they are asked for, in copies of a client, too."""

    def refused(*_: object, **__: object) -> Any:
        raise error(_NO_WEBSOCKET)

    def refusing(resource: Any) -> Any:
        resource.connect = refused
        return resource

    class Client(kind):
        @cached_property
        def responses(self) -> Any:
            return refusing(super().responses)

        @cached_property
        def realtime(self) -> Any:
            return refusing(super().realtime)

        @cached_property
        def live(self) -> Any:
            return refusing(super().live)

    return Client


@cache
def _sync_class(sdk: Any) -> type[Any]:
    """The SDK's class, whose requests without an answer fail as they do over a network.

    The transport cannot raise that: openai 2.0 puts an error without our message in its place.
    """

    class Client(_without_websockets(sdk.OpenAI, sdk.OpenAIError)):  # type: ignore[misc]
        def request(self, *given: Any, **named: Any) -> Any:
            try:
                return super().request(*given, **named)
            except sdk.APIStatusError as error:
                if (failure := failure_of(error)) is None:
                    raise
            try:
                raise failure
            finally:
                del failure  # which refers to this frame

    return _called(Client, sdk.OpenAI)


@cache
def _async_class(sdk: Any) -> type[Any]:
    """The same for asynchronous clients."""

    class Client(_without_websockets(sdk.AsyncOpenAI, sdk.OpenAIError)):  # type: ignore[misc]
        async def request(self, *given: Any, **named: Any) -> Any:
            try:
                return await super().request(*given, **named)
            except sdk.APIStatusError as error:
                if (failure := failure_of(error)) is None:
                    raise
            try:
                raise failure
            finally:
                del failure  # which refers to this frame

    return _called(Client, sdk.AsyncOpenAI)


def _called(kind: type[Any], as_: type[Any]) -> type[Any]:
    kind.__name__ = kind.__qualname__ = as_.__name__
    return kind
