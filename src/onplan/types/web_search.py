"""The hosted web search as a tool of a request, and what both kinds of search have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Never, TypeAlias, TypedDict

from onplan.errors import InvalidRequestError
from onplan.field_types import require_known
from onplan.types.parts import WEB_SEARCH
from onplan.types.tools import HostedTool

ContextSize: TypeAlias = Literal["low", "medium", "high"]


class Location(TypedDict, total=False):
    """Roughly where the person is. ``country`` has two letters; ``timezone`` is one like Europe/Rome."""

    country: str
    region: str
    city: str
    timezone: str


def web_search(
    *,
    live: bool | None = True,
    allowed_domains: Iterable[str] | None = None,
    location: Location | None = None,
    context_size: ContextSize | None = None,
    **unknown: Never,
) -> HostedTool:
    """The web search that the backend runs itself, for ``tools`` of a request.

    ``client.complete("Who won?", model="gpt-5.5", tools=[onplan.web_search()])``. The model decides whether
    it searches; ``tool_choice="web_search"`` makes it. ``response.citations`` are the
    pages that the answer names, and ``response.searches`` what was searched for.

    Args:
        live: whether pages are fetched now. False searches only the backend's own index; None leaves it to
            the backend.
        allowed_domains: pages of other domains are not used, such as ``["example.org"]``.
        location: roughly where the person is.
        context_size: how much of the pages the model reads.
        unknown: there are no others.

    Raises:
        InvalidRequestError: an argument cannot be used.
    """
    require_known(unknown, _OPTIONS, "onplan.web_search", OTHER_NAMES)
    if live not in (True, False, None):
        raise _wrong("live", "True, False or None")
    options: dict[str, Any] = {} if live is None else {"external_web_access": live}
    if domains := domains_from(allowed_domains, "allowed_domains"):
        options["filters"] = {"allowed_domains": domains}
    return HostedTool(WEB_SEARCH, {**options, **search_settings(location, context_size)})


_OPTIONS = ("live", "allowed_domains", "location", "context_size")
# What the backend calls them.
OTHER_NAMES: Mapping[str, str] = {
    "domains": "allowed_domains",
    "search_context_size": "context_size",
    "user_location": "location",
    "external_web_access": "live",
}


def search_settings(location: Location | None, context_size: ContextSize | None) -> dict[str, Any]:
    """The fields of a search that say where the person is and how much is read, as the backend names them.

    Raises InvalidRequestError if one cannot be used.
    """
    settings: dict[str, Any] = {}
    if context_size is not None:
        if context_size not in ("low", "medium", "high"):
            raise _wrong("context_size", "low, medium or high")
        settings["search_context_size"] = context_size
    if location is not None:
        given: Any = location
        names = Location.__optional_keys__
        if not isinstance(given, Mapping) or not all(
            name in names and isinstance(value, str) for name, value in given.items()
        ):
            raise _wrong("location", "a dict of strings: country, region, city, timezone")
        settings["user_location"] = {"type": "approximate", **given}
    return settings


def domains_from(given: Iterable[str] | None, field: str) -> list[str]:
    """The domains as a list. Raises InvalidRequestError if one is not a domain."""
    if given is None:
        return []
    values: Any = given
    domains = [values] if isinstance(values, str) or not isinstance(values, Iterable) else list(values)
    for domain in domains:
        if not isinstance(domain, str) or not _DOMAIN.fullmatch(domain):
            raise _wrong(field, 'names of domains, such as `["example.org"]`, without https:// and paths')
    return domains


_DOMAIN = re.compile(r"[^\s/:@?#\x00-\x1f]{1,253}")


def _wrong(field: str, expected: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} has a wrong value.", hint=f"Give it {expected}.")
