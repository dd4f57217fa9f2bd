"""The /_emulator endpoints, with which programs control the emulator; they are not journalled.

Web pages may not use them: a browser carries the requests of any page to this machine too.
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import msgspec

from onplan.emulator.allowance import Limit
from onplan.emulator.faults.register import FAULTS, UnknownFaultError
from onplan.emulator.script import Turn
from onplan.emulator.tokens.registry import Consent
from onplan.emulator.wire.replies import Reply, Request, json_reply
from onplan.emulator.world import World

PREFIX = "/_emulator/"


class ArmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /_emulator/faults."""

    name: str
    times: int = 1
    seconds: float | None = None


class TurnsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /_emulator/turns."""

    turns: list[Turn]


class LimitsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /_emulator/limits."""

    limits: list[Limit]


class TokensRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /_emulator/tokens."""

    expire_access_tokens: bool = False
    revoke_refresh_tokens: bool = False
    access_token_lifetime: float | None = None
    rotate_keys: bool = False
    forget_old_keys: bool = False


def _complaint(sentence: str, status: int = 400, **more: Any) -> Reply:
    return json_reply({"error": {"message": sentence, **more}}, status)


def complaint_of(world: World, request: Request) -> Reply | None:
    """The refusal of a request that a web page may have sent; None if no page can have sent it.

    A page can send forms and text to any address, but not JSON; a host name that is not this machine's may
    belong to a page (DNS rebinding); and browsers say in Origin which page asks.
    """
    host = request.headers.get("host", "")
    if not _is_own(world, host):
        return _complaint(
            f"The Host header names {host!r}, which is not this emulator. If it is, start the emulator with "
            "that as its public URL (`--public-url`).",
            421,
        )
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return _complaint("A web page of another origin may not control the emulator.", 403)
    if request.method == "POST" and request.media_type != "application/json":
        return _complaint("The Content-Type must be application/json.", 415)
    return None


def _is_own(world: World, host: str) -> bool:
    """Whether `host` is an IP address, or a name of this machine; a page may own any other name."""
    try:
        name = urlsplit(f"//{host}").hostname
        if name is None:
            return False
        public = urlsplit(world.options.public_url or "").hostname
        if name in ("localhost", world.options.host, public):
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def show_journal(world: World, request: Request) -> Reply:
    """List the requests received."""
    return json_reply({"requests": world.journal.rows()})


def clear_journal(world: World, request: Request) -> Reply:
    """Empty the journal."""
    world.journal.clear()
    return json_reply({"requests": []})


def show_faults(world: World, request: Request) -> Reply:
    """List the faults, and how many more times the armed ones will happen."""
    rows = [{"name": fault.name, "line": fault.line, "where": fault.where} for fault in FAULTS.values()]
    return json_reply({"faults": rows, "armed": world.faults.armed()})


def arm_fault(world: World, request: Request) -> Reply:
    """Arm a fault."""
    try:
        wanted = msgspec.json.decode(request.raw, type=ArmRequest)
        world.faults.arm(wanted.name, wanted.times, wanted.seconds)
    except UnknownFaultError as error:
        return _complaint(str(error), 404, near=error.near)
    except (msgspec.DecodeError, ValueError) as error:
        return _complaint(str(error))
    return json_reply({"armed": world.faults.armed()})


def disarm_faults(world: World, request: Request) -> Reply:
    """Disarm all faults, and end the streams that stall."""
    world.faults.disarm()
    world.release_stalled()
    return json_reply({"armed": {}})


def show_turns(world: World, request: Request) -> Reply:
    """List the turns that are still to be played, the next one first."""
    return json_reply({"turns": world.script.turns()})


def add_turns(world: World, request: Request) -> Reply:
    """Add turns after those that are still to be played."""
    try:
        world.script.add(msgspec.json.decode(request.raw, type=TurnsRequest).turns)
    except (msgspec.DecodeError, ValueError) as error:
        return _complaint(str(error))
    return show_turns(world, request)


def clear_turns(world: World, request: Request) -> Reply:
    """Forget the turns that are still to be played."""
    world.script.clear()
    return show_turns(world, request)


def show_limits(world: World, request: Request) -> Reply:
    """List the limits that fill, with the tokens used."""
    return json_reply({"limits": world.allowance.used()})


def set_limits(world: World, request: Request) -> Reply:
    """Set the usage windows of the plan anew."""
    try:
        world.allowance.set(msgspec.json.decode(request.raw, type=LimitsRequest).limits)
    except (msgspec.DecodeError, ValueError) as error:
        return _complaint(str(error))
    return show_limits(world, request)


def lift_limits(world: World, request: Request) -> Reply:
    """The usage windows of the plan no longer fill."""
    world.allowance.set(None)
    return show_limits(world, request)


def change_tokens(world: World, request: Request) -> Reply:
    """Expire or revoke tokens, change the lifetime of new ones, change the signing keys."""
    try:
        wanted = msgspec.json.decode(request.raw, type=TokensRequest)
    except msgspec.DecodeError as error:
        return _complaint(str(error))
    for ledger in world.ledgers:
        if wanted.expire_access_tokens:
            ledger.expire_access_tokens()
        if wanted.revoke_refresh_tokens:
            ledger.revoke_refresh_tokens()
        if wanted.access_token_lifetime is not None:
            ledger.lifetime = wanted.access_token_lifetime
    if wanted.rotate_keys:
        world.keys.rotate()
    if wanted.forget_old_keys:
        world.keys.forget_old()
    return json_reply({"access_token_lifetime": world.ledger.lifetime})


def change_consent(world: World, request: Request) -> Reply:
    """Set the answers on the consent page of "Sign in with ChatGPT"."""
    try:
        world.registry.consent = msgspec.json.decode(request.raw, type=Consent)
    except msgspec.DecodeError as error:
        return _complaint(str(error))
    return json_reply(msgspec.to_builtins(world.registry.consent))


def reset_consent(world: World, request: Request) -> Reply:
    """The consent page approves everything again."""
    world.registry.consent = Consent()
    return json_reply(msgspec.to_builtins(world.registry.consent))
