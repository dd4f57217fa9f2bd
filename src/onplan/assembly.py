"""The parts of a client, made from its keyword options: settings, store, tokens, limits, what turns share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from onplan.attachments import read_attachments
from onplan.config.environment import telemetry_variable
from onplan.config.settings import Settings, load_settings
from onplan.config.store_spec import spec_of_file
from onplan.errors import ConfigurationError, InvalidRequestError, OnplanError
from onplan.parameters import raises
from onplan.plan.budget import budget_of
from onplan.secret import SecretText
from onplan.stores import CredentialStore, open_store
from onplan.tokens.api_key import KeyHolder, token_manager_for
from onplan.tokens.manager import TokenManager
from onplan.transports import AsyncWebSockets, Timeouts, choose_websocket, require_http, timeouts_of
from onplan.transports.lazy_http import LazyHTTPTransport
from onplan.transports.route import Route
from onplan.turn.amendments import Call
from onplan.turn.context import Context, Recorder
from onplan.turn.fallback import Fallback
from onplan.turn.flows import prepare
from onplan.turn.retry import RetryPolicy, policy_of
from onplan.types import CompletionRequest, RequestDefaults

if TYPE_CHECKING:
    import aiohttp
    import httpx2

    from onplan.telemetry.options import Telemetry


class CommonOptions(RequestDefaults, total=False):
    """The options of every client, all of them optional: these, and defaults for the fields of its requests.

    Attributes:
        profile: the sign-in to use; without it the profile in use, which `onplan profiles` marks.
        store: a store spec, the path of a file, or a ``CredentialStore``.
        base_url: where the backend's API is: https, or http on this machine.
        api: ``chat`` (Chat Completions) or ``responses``, where a backend has both.
        api_key: the key, for backends that take one.
        unsupported: what happens to parameters that the backend does not support: ``report`` leaves them
            out and lists them in ``ignored_parameters``, ``raise`` raises InvalidRequestError. Those that
            onplan carries out itself are listed in ``emulated_parameters`` either way.
        retry: how many times to ask in all, as a number or an ``onplan.RetryPolicy``; 1 never asks again.
        on_retry: called before each wait with the error and the seconds.
        resume: when an answer breaks off, ask again and go on from its finished parts. The chunk ``resumed``
            says which they are; discard what else had been streamed. Without it the error is raised.
        max_window_share: how much of each usage window of the plan this client may use, 0.2 for a fifth; then
            it raises BudgetError. What other programs use in the meantime counts as well.
        proxy: ``http://USER:PASSWORD@HOST:PORT``, ``https://…`` or ``socks5://…``, instead of what
            ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say.
        ca_file: certificates (PEM) of authorities to trust as well, such as a company's own.
        telemetry: True for spans and metrics of OpenTelemetry, or an ``onplan.Telemetry`` that says which;
            without it, what ``ONPLAN_TELEMETRY`` says.
        timeout: seconds for each of connecting, sending and waiting, or an ``onplan.Timeouts`` with a limit
            for each. The synchronous client checks that of a turn only between steps until the head of an
            answer has come.
    """

    profile: str | None
    store: str | os.PathLike[str] | CredentialStore | None
    base_url: str | None
    api: Literal["chat", "responses"] | None
    api_key: str | None
    unsupported: Literal["report", "raise"]
    retry: RetryPolicy | int | None
    on_retry: Callable[[OnplanError, float], object] | None
    resume: bool
    max_window_share: float | None
    proxy: str | None
    ca_file: str | os.PathLike[str] | None
    telemetry: bool | Telemetry | None
    timeout: float | Timeouts | None


class ClientOptions(CommonOptions, total=False):
    """The options of ``Client``.

    Attributes:
        backend: the backend's name.
        transport: ``auto`` and ``sse`` are the same here: HTTP. WebSocket is for ``AsyncClient``.
        http_client: your own ``httpx2.Client``, for requests to the backend; it is not closed. ``proxy`` and
            ``ca_file`` are then used for refreshing tokens only.
    """

    backend: str | None
    transport: Literal["auto", "sse"]
    http_client: httpx2.Client | None


class ProviderOptions(CommonOptions, total=False):
    """The options of ``OpenAICodexProvider``.

    Attributes:
        transport: ``auto`` speaks WebSocket where the backend does, the extra ``ws`` is installed and there
            is no ``http_client``, and falls back to SSE where WebSocket is blocked; ``websocket`` never falls
            back; ``sse`` is HTTP alone. The chunks are the same.
        http_client: your own ``httpx2.AsyncClient`` or ``aiohttp.ClientSession``, for requests to the
            backend; it is not closed. ``proxy`` and ``ca_file`` are then used for refreshing tokens only.
    """

    transport: Literal["auto", "websocket", "sse"]
    http_client: httpx2.AsyncClient | aiohttp.ClientSession | None


class AsyncClientOptions(ProviderOptions, total=False):
    """The options of ``AsyncClient``.

    Attributes:
        backend: the backend's name.
    """

    backend: str | None


@dataclass(frozen=True)
class Assembly:
    """What the two clients have in common.

    Attributes:
        tokens: hands out credentials.
        token_transport: sends the requests of ``tokens``, on the thread that refreshes.
        sockets: opens WebSockets; None where all goes over HTTP.
        context: what all turns have in common.
        on_retry: the program's, called before each wait.
        options: those that the program gave.
    """

    settings: Settings
    timeouts: Timeouts
    route: Route
    tokens: TokenManager | KeyHolder
    token_transport: LazyHTTPTransport
    sockets: AsyncWebSockets | None
    context: Context
    on_retry: Callable[[OnplanError, float], object] | None
    options: Mapping[str, object]

    def prepare(self, request: CompletionRequest, model: str) -> Call:
        """Read the files of ``request`` and make it ready to send. Raises InvalidRequestError."""
        return prepare(read_attachments(request), self.context, model)


def assemble(
    options: ClientOptions | AsyncClientOptions, client: Literal["Client", "AsyncClient"]
) -> Assembly:
    """Make the parts of a ``client`` from its ``options``, without reading the store or sending anything.

    Raises:
        ConfigurationError: there is no such option, or a setting cannot be used.
    """
    hide_secrets(options)
    defaults = check_options(options, client)
    timeouts, route = timeouts_of(options.get("timeout")), Route(options.get("proxy"), options.get("ca_file"))
    settings, store = _settings_and_store(options)
    transport = LazyHTTPTransport(timeouts, route=route)
    wanted, sockets = options.get("transport", "auto"), None
    if client == "AsyncClient":
        sockets = choose_websocket(wanted, timeouts, route, settings.backend, options.get("http_client"))
    else:
        require_http(wanted)
    fallback = Fallback(allowed=wanted == "auto") if sockets else None
    recorder = _recorder(options, settings)
    return Assembly(
        settings=settings,
        timeouts=timeouts,
        route=route,
        tokens=token_manager_for(
            settings,
            store,
            transport.fetch,
            options.get("api_key"),
            prepare=transport.prepare,
            recorder=recorder,
        ),
        token_transport=transport,
        sockets=sockets,
        context=_context(options, settings, defaults, fallback, recorder),
        on_retry=options.get("on_retry"),
        options={**options},
    )


def _settings_and_store(options: ClientOptions | AsyncClientOptions) -> tuple[Settings, CredentialStore]:
    """What arguments, environment and files say together, and the store that they name."""
    store = options.get("store")
    if isinstance(store, os.PathLike):
        store = spec_of_file(store)
    named = store if isinstance(store, str) else None
    settings = load_settings(
        profile=options.get("profile"),
        backend=options.get("backend"),
        store=named,
        base_url=options.get("base_url"),
        api=options.get("api"),
    )
    if store is None or isinstance(store, str):
        store = open_store(settings.store, settings.backend)
    return settings, store


def _context(
    options: CommonOptions,
    settings: Settings,
    defaults: Mapping[str, object],
    fallback: Fallback | None,
    recorder: Recorder | None,
) -> Context:
    """What all turns have in common."""
    return Context(
        backend=settings.backend,
        base_url=settings.base_url,
        now=time.time,
        model=options.get("model") or settings.model,
        defaults=defaults,
        policy=policy_of(options.get("retry")),
        resume=options.get("resume", False),
        raise_unsupported=raises(options.get("unsupported", "report")),
        fallback=fallback,
        budget=budget_of(options.get("max_window_share"), settings.backend),
        recorder=recorder,
    )


def _recorder(options: CommonOptions, settings: Settings) -> Recorder | None:
    wanted = options.get("telemetry")
    if wanted is None:
        wanted = telemetry_variable()
    if wanted is False:
        return None
    from onplan.telemetry import recorder_for

    return recorder_for(wanted, settings)


def portable_options(assembly: Assembly) -> dict[str, Any]:
    """The options of a client for a client in another process; the profile is the one in use here.

    Raises:
        ConfigurationError: an option is a secret, or belongs to this process.
    """
    pinned = {"profile": assembly.settings.profile, "backend": assembly.settings.backend.name}
    return {**pinned, **portable(assembly.options)}


def portable(given: Mapping[str, object]) -> dict[str, Any]:
    """The options in ``given`` for a client in another process. Raises as ``portable_options``."""
    options = {name: value for name, value in given.items() if value is not None}
    for name, (stays, why, hint) in _NOT_PORTABLE.items():
        if name in options and stays(options[name]):
            raise ConfigurationError(
                f"This client cannot be given to another process: its {name} {why}.", hint=hint
            )
    proxy = options.get("proxy")
    secrets = {"proxy": str(proxy)} if proxy is not None else {}
    return {**options, **secrets}


def is_portable(name: str, value: object) -> bool:
    """Whether an option of a client may be written down: no secret, and the same in another process."""
    return value is not None and not (name in _NOT_PORTABLE and _NOT_PORTABLE[name][0](value))


# What a client is not pickled with: which values, why not, and what to do instead.
_NOT_PORTABLE: Mapping[str, tuple[Callable[[Any], bool], str, str]] = {
    "api_key": (
        lambda key: True,
        "is a secret, which is not written into a pickle",
        "Leave it out, and set the backend's variable in the environment of the processes.",
    ),
    "proxy": (
        lambda proxy: "@" in proxy,
        "has a password, which is not written into a pickle",
        "Set HTTPS_PROXY in the environment of the processes instead.",
    ),
    "store": (
        lambda store: not isinstance(store, str | os.PathLike),
        "is an object of this process",
        'Give it a store spec, such as `store="file:PATH"`, or make the client there.',
    ),
    "telemetry": (
        lambda telemetry: not (isinstance(telemetry, bool) or telemetry.is_portable),
        "has providers of this process",
        "Use `telemetry=True`, and set up global providers in each process.",
    ),
    "http_client": (
        lambda client: True,
        "is an object of this process",
        "Leave it out, or make the client there.",
    ),
}


def hide_secrets(options: CommonOptions) -> None:
    """Give the secrets no printed form, in place: a traceback may show the variables of a frame."""
    key: object = options.get("api_key")
    if key is not None and not isinstance(key, str):
        kind = type(options.pop("api_key")).__name__
        key = None
        raise ConfigurationError(f"api_key is not a string, but of the type {kind}.")
    if isinstance(key, str):
        options["api_key"] = key = SecretText(key)
    if (proxy := options.get("proxy")) is not None:
        options["proxy"] = proxy = SecretText(proxy)
    if isinstance(url := options.get("base_url"), str):  # in which someone may have written a password
        options["base_url"] = url = SecretText(url)


_KNOWN = {"Client": ClientOptions.__optional_keys__, "AsyncClient": AsyncClientOptions.__optional_keys__}


def check_options(options: CommonOptions, client: Literal["Client", "AsyncClient"]) -> Mapping[str, object]:
    """See that the options of a client have names and kinds of values that there are.

    Returns what its requests are to have that do not say it; the model is the context's.

    Raises:
        ConfigurationError: one has not.
    """
    require_options(options, _KNOWN[client], client)
    _require_kinds(options)
    return _defaults(options)


def require_options(given: Iterable[str], known: Collection[str], owner: str) -> None:
    """Raise ConfigurationError, with the name that is meant, if ``owner`` has not all ``given`` options."""
    for name in given:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{owner} has no option {name!r}.", hint=advice)


def _defaults(options: CommonOptions) -> Mapping[str, object]:
    """What requests that do not say it are to have; the model is the context's."""
    given: Mapping[str, object] = options
    named = {name: given[name] for name in sorted(RequestDefaults.__optional_keys__ & given.keys())}
    try:
        request = CompletionRequest(messages="", **named)  # type: ignore[arg-type] # which it checks
    except InvalidRequestError as error:
        raise ConfigurationError(error.message, hint=error.hint) from None
    return {name: getattr(request, name) for name in named if name != "model" and named[name] is not None}


# What an option may be besides None, and in words; the others are checked where they are used.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("profile", "backend", "base_url", "api"), ((str,), "a string")),
    "store": ((str, os.PathLike, CredentialStore), "a store spec, a path or a CredentialStore"),
    "resume": ((bool,), "True or False"),
    "ca_file": ((str, os.PathLike), "a path"),
}


def _require_kinds(options: CommonOptions) -> None:
    """Raise ConfigurationError for an option of another kind, whose value, perhaps a secret, is not named."""
    given: Mapping[str, object] = options
    for name, (kinds, words) in _KINDS.items():
        value = given.get(name)
        if value is not None and not isinstance(value, kinds):
            raise ConfigurationError(f"{name} is not {words}, but of the type {type(value).__name__}.")
    if given.get("on_retry") is not None and not callable(given["on_retry"]):
        raise ConfigurationError("on_retry cannot be called: it is no function.")
