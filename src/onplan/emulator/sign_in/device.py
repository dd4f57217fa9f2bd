"""Sign-in by device code, for machines without a browser."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from datetime import UTC, datetime

from onplan.emulator.tokens.ledger import DEFAULT_SCOPE, DeviceSignIn
from onplan.emulator.wire.pages import form, page
from onplan.emulator.wire.replies import DEVICE_PENDING, Reply, Request, api_error, json_reply
from onplan.emulator.world import World

LIFETIME = 900.0
INTERVAL = "1"
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ23456789"


def user_code(world: World, request: Request) -> Reply:
    """Start a device sign-in. `interval` is a string: the official client refuses a number."""
    client_id = request.fields.get("client_id")
    if not isinstance(client_id, str) or not client_id.startswith("app_"):
        return api_error("Invalid client_id.", param="client_id", code="invalid_client")
    code = "-".join("".join(secrets.choice(ALPHABET) for _ in range(n)) for n in (4, 5))
    expires_at = time.time() + LIFETIME
    device_auth_id = "deviceauth_" + secrets.token_hex(16)
    world.devices[device_auth_id] = DeviceSignIn(
        user_code=code,
        client_id=client_id,
        redirect_uri=f"{_own_url(world, request)}/deviceauth/callback",
        expires_at=expires_at,
    )
    return json_reply(
        {
            "device_auth_id": device_auth_id,
            "user_code": code,
            "interval": INTERVAL,
            "expires_at": datetime.fromtimestamp(expires_at, UTC).isoformat(),
        }
    )


def _own_url(world: World, request: Request) -> str:
    """The issuer's URL for this client: the public URL, or else the Host that it used."""
    return world.options.public_url or f"http://{request.headers.get('host', '')}"


def poll(world: World, request: Request) -> Reply:
    """Hand over an authorization code and its PKCE pair once the sign-in is approved; 403 until then."""
    device_auth_id = request.fields.get("device_auth_id")
    sign_in = world.devices.get(device_auth_id) if isinstance(device_auth_id, str) else None
    typed = request.fields.get("user_code")
    if sign_in is None or sign_in.user_code != typed or time.time() > sign_in.expires_at:
        return DEVICE_PENDING
    if not sign_in.approved:
        sign_in.approved = not world.options.interactive
        return DEVICE_PENDING
    del world.devices[str(device_auth_id)]
    verifier = secrets.token_urlsafe(64)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    code = world.ledger.new_code(
        client_id=sign_in.client_id,
        redirect_uri=sign_in.redirect_uri,
        challenge=challenge,
        scope=DEFAULT_SCOPE,
    )
    pair = {"code_challenge": challenge, "code_verifier": verifier}
    return json_reply({"authorization_code": code, **pair, "status": "ok"})


def show_page(world: World, request: Request) -> Reply:
    """The page where a person types the user code."""
    box = '<p><label>Code <input name="user_code" autocomplete="off" required></label></p>'
    approve = form("/codex/device", {}, {"approve": "Continue"}).replace(">", f">{box}", 1)
    return page("Sign in on another device", "Enter the code that the other device shows.", more=approve)


def approve(world: World, request: Request) -> Reply:
    """Approve the sign-in whose code was typed."""
    typed = str(request.fields.get("user_code", "")).strip().upper()
    for sign_in in world.devices.values():
        if sign_in.user_code == typed and time.time() <= sign_in.expires_at:
            sign_in.approved = True
            return page("Signed in", "You can return to the other device.")
    return page("Not signed in", "This code is unknown or has expired.", status=400)
