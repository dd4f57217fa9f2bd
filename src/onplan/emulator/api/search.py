"""The Codex backend's `alpha/search`: searches the web and opens its pages, without a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from onplan.emulator.api.codex_account import authenticate
from onplan.emulator.checks.search import check_search
from onplan.emulator.searches import Session
from onplan.emulator.web import Page, found
from onplan.emulator.wire.replies import Reply, Request, json_reply
from onplan.emulator.world import World

Result = dict[str, str]
Told = Iterator[tuple[str, Result | None]]
Command = Callable[[World, Session, dict[str, Any]], Told]


def search(world: World, request: Request) -> Reply:
    """What the commands found, as text. It also says which commands failed: the status is 200."""
    authenticate(world, request)
    check_search(world, request)
    body = request.body
    session = world.searches.session(str(body["id"]))
    session.turn += 1
    texts: list[str] = []
    results: list[Result] = []
    for name, carry_out in COMMANDS.items():
        for command in body["commands"].get(name) or ():
            for text, result in carry_out(world, session, command):
                texts.append(text)
                results += [result] if result else []
    output = "\n\n".join(texts) or "Nothing was found."
    limit = 4 * body.get("max_output_tokens", 10_000)
    return json_reply({"output": output[:limit], "encrypted_output": "gAAAA", "results": results})


def _search(world: World, session: Session, command: dict[str, Any]) -> Told:
    domains = command.get("domains")
    for page in found(command["q"], world.scenario.pages):
        if domains and not any(f"//{domain}/" in f"{page.url}/" for domain in domains):
            continue
        ref_id = session.name("search", page)
        yield f"[{ref_id}] {page.title}\n{page.url}", _result(ref_id, page)


def _open(world: World, session: Session, command: dict[str, Any]) -> Told:
    wanted = command["ref_id"]
    page = session.pages.get(wanted) or _at(world, wanted)
    if page is None:
        yield _unknown(wanted), None
    else:
        yield _shown(session, page, command.get("lineno") or 1)


def _click(world: World, session: Session, command: dict[str, Any]) -> Told:
    page = session.pages.get(command["ref_id"])
    links = page.links if page else []
    if not 1 <= command["id"] <= len(links):
        yield f"Error: there is no link {command['id']} at {command['ref_id']}.", None
        return
    url = links[command["id"] - 1]
    target = _at(world, url)
    yield (_unknown(url), None) if target is None else _shown(session, target, 1)


def _find(world: World, session: Session, command: dict[str, Any]) -> Told:
    page = session.pages.get(command["ref_id"])
    if page is None:
        yield _unknown(command["ref_id"]), None
        return
    pattern = command["pattern"]
    hits = [f"L{at}: {line}" for at, line in enumerate(page.lines, 1) if pattern in line]
    yield "\n".join(hits) or f"No match for {pattern!r} in {page.url}.", None


def _shown(session: Session, page: Page, first: int) -> tuple[str, Result]:
    ref_id = session.name("view", page)
    lines = [f"L{at}: {line}" for at, line in enumerate(page.lines, 1) if at >= first]
    return "\n".join([f"[{ref_id}] {page.title}\n{page.url}", *lines]), _result(ref_id, page)


def _result(ref_id: str, page: Page) -> Result:
    return {"type": "text_result", "ref_id": ref_id, "url": page.url, "title": page.title}


def _at(world: World, url: str) -> Page | None:
    return next((page for page in world.scenario.pages if page.url == url), None)


def _unknown(ref_id: str) -> str:
    if re.match(r"https?://", ref_id):
        return f"Error: {ref_id} could not be fetched."
    return f"Error: the reference {ref_id} is not known."


# The other commands of the service (images, finance, weather, …) find nothing here.
COMMANDS: dict[str, Command] = {"search_query": _search, "open": _open, "click": _click, "find": _find}
