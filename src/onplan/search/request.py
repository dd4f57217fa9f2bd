"""Builds the request of a search, and sends it.

The commands are the backend's own (docs/protocol.md). It checks them strictly, so they are passed on as they
are, but for their outermost shape.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypedDict

from onplan.answers.limits import limits_of_headers
from onplan.backends import Backend
from onplan.errors import ConfigurationError, InvalidRequestError
from onplan.field_types import require_known
from onplan.parameters import uuid_text
from onplan.search.reply import SearchResponse, SearchResult, read_reply
from onplan.turn.context import Context
from onplan.turn.models import default_model
from onplan.turn.side_request import SideRequest, post, require_seconds
from onplan.turn.steps import Flow
from onplan.types.web_search import (
    OTHER_NAMES,
    ContextSize,
    Location,
    domains_from,
    search_settings,
)

Commands: TypeAlias = Mapping[str, Any]

_TIMEOUT = 120.0  # seconds
_MAXIMUM_SIZE = 32 * 1024 * 1024
_OUTPUT_TOKENS = 10_000  # as the official client asks for


class SearchOptions(TypedDict, total=False):
    """What each request of a search may say, all of it optional.

    Attributes:
        session_id: of an earlier ``SearchResponse``, whose references are to be known. Without it a new
            session begins.
        live: whether pages are fetched now (True, the default). False searches only the backend's own index,
            and ``indexed`` fetches only pages that are in it.
        allowed_domains: pages of other domains are not used.
        blocked_domains: pages of these domains are not used.
        location: roughly where the person is.
        context_size: how much of the pages the text holds.
        max_output_tokens: how long the text may be; 10,000 by default.
        model: the model that the text is written for; the client's by default.
        timeout: seconds to wait for the answer; 120 by default.
    """

    session_id: str | None
    live: bool | Literal["indexed"]
    allowed_domains: Iterable[str] | None
    blocked_domains: Iterable[str] | None
    location: Location | None
    context_size: ContextSize | None
    max_output_tokens: int
    model: str | None
    timeout: float


def searched(commands: Commands, options: SearchOptions, context: Context) -> Flow[SearchResponse]:
    """Carry out the commands.

    Raises:
        ConfigurationError: the backend has no search.
        InvalidRequestError: the commands or options cannot be used.
        RateLimitError: searches have a limit of their own, which is reached.
        SignInAgainError: this sign-in does not permit searches. Turns may still be possible.
        OnplanError: it failed otherwise.
    """
    path = _path(context.backend)
    session_id, body = _body(commands, options)
    body["model"] = options.get("model") or context.model or (yield from default_model(context))
    timeout = require_seconds(options.get("timeout", _TIMEOUT))
    request = SideRequest.json("Web search", path, body, timeout=timeout, maximum_size=_MAXIMUM_SIZE)
    reply = yield from post(request, context)
    limits = limits_of_headers(reply.headers, context.now())
    return read_reply(reply.value, session_id, reply.request_id, limits)


def session_of(options: SearchOptions) -> str:
    """The name of the session, a new one if the options have none. Raises InvalidRequestError."""
    session_id, _ = _body({"open": True}, options)
    return session_id


def _path(backend: Backend) -> str:
    if backend.search_path is None:
        raise ConfigurationError(
            f"{backend.name} has no web search besides its models'.",
            hint='Use `Client(backend="openai-codex")`, or give a model `tools=[onplan.web_search()]`.',
        )
    return backend.search_path


def _body(commands: Commands, options: SearchOptions) -> tuple[str, dict[str, Any]]:
    """The name of the session and the body, without the model."""
    require_known(options, SearchOptions.__optional_keys__, "A search", OTHER_NAMES)
    given: Any = commands
    if not isinstance(given, Mapping) or not any(given.values()):
        raise InvalidRequestError("There is nothing to search for.", hint="Give a query.")
    session_id, model = options.get("session_id"), options.get("model")
    texts: tuple[tuple[str, Any], ...] = (("session_id", session_id), ("model", model))
    for name, value in texts:
        if value is not None and (not isinstance(value, str) or not value):
            raise InvalidRequestError(f"{name} is not a string, or is empty.", hint=f"Leave {name} out.")
    session_id = session_id or uuid_text(secrets.token_bytes(16), version=4)
    return session_id, {
        "id": session_id,
        "commands": {name: value for name, value in commands.items() if value},
        "settings": _settings(options),
        "max_output_tokens": _output_tokens(options.get("max_output_tokens", _OUTPUT_TOKENS)),
    }


def _settings(options: SearchOptions) -> dict[str, Any]:
    live: object = options.get("live", True)
    if live not in (True, False, "indexed"):
        raise InvalidRequestError("live has a wrong value.", hint='Give it True, False or "indexed".')
    settings = {
        "allowed_callers": ["direct"],
        "external_web_access": live,
        **search_settings(options.get("location"), options.get("context_size")),
    }
    filters = {
        "allowed_domains": domains_from(options.get("allowed_domains"), "allowed_domains"),
        "blocked_domains": domains_from(options.get("blocked_domains"), "blocked_domains"),
    }
    used = {name: domains for name, domains in filters.items() if domains}
    return {**settings, "filters": used} if used else settings


def _output_tokens(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise InvalidRequestError("max_output_tokens is not a whole number above 0.", hint="Leave it out.")
    return given


# --- commands ---------------------------------------------------------------------------------------


def queries_for(queries: str | Iterable[str], recency: int | None) -> Commands:
    """The command that searches. Raises InvalidRequestError if an argument cannot be used."""
    given: Any = queries
    texts = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InvalidRequestError(
            "A query is not a string, or is empty.", hint="Give a string, or several in a list."
        )
    more: dict[str, Any] = {}
    if recency is not None:
        more["recency"] = _positive(recency, "recency", hint="Give it days: `recency=7` is the last week.")
    return {"search_query": [{"q": text, **more} for text in texts]}


def opening(page: str | SearchResult, line: int | None) -> Commands:
    """The command that opens a page, from ``line`` on."""
    more = {} if line is None else {"lineno": _positive(line, "line")}
    return {"open": [{"ref_id": _reference(page), **more}]}


def clicking(page: str | SearchResult, link: int) -> Commands:
    """The command that opens what a link of a page leads to."""
    return {"click": [{"ref_id": _reference(page), "id": _positive(link, "link", least=0)}]}


def finding(page: str | SearchResult, text: str) -> Commands:
    """The command that looks for a text on a page."""
    given: Any = text
    if not isinstance(given, str) or not given:
        raise InvalidRequestError("What is to be found is not a string, or is empty.", hint="Give a string.")
    return {"find": [{"ref_id": _reference(page), "pattern": text}]}


def _reference(page: str | SearchResult) -> str:
    given: object = page.ref_id if isinstance(page, SearchResult) else page
    if not isinstance(given, str) or not given:
        raise InvalidRequestError(
            f"A page is a search result, a reference or a URL, and not {type(page).__name__}.",
            hint="Give one of `results`, its `ref_id`, or a URL.",
        )
    return given


def _positive(given: object, name: str, *, least: int = 1, hint: str | None = None) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < least:
        raise InvalidRequestError(
            f"{name} is not a whole number, {least} at least.", hint=hint or f"Give `{name}={least}`."
        )
    return given
