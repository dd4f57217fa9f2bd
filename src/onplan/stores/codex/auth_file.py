"""Reads and changes the Codex CLI's ``auth.json`` as a value, and the overlay that onplan keeps beside it.

No file is opened here. A document is the fields in their order, each as the text in the file, so that fields
which are not understood here are written back unchanged::

    auth_mode, OPENAI_API_KEY,
    tokens: id_token, access_token, refresh_token, oauth_provenance: issuer, client_id;
            login_owner_id, account_id
    last_refresh

What a record has beyond that is an *overlay*: the fields to change in the record of the document, stored
under that record's key. A document that another program has changed has another record, and so no overlay.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypeAlias

import msgspec

from onplan.oauth.claims import with_claims
from onplan.secret import SecretBytes
from onplan.stores import Record, record_from, version_of, with_current_names
from onplan.types import OAuthCredentials

Document: TypeAlias = Mapping[str, msgspec.Raw]
"""Fields by name. ``msgspec.Raw`` has no printed form, so neither has a document."""


class Overlay(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fields of a record, and of its credentials, to change; None for one that is absent."""

    record: dict[str, Any] = {}
    credentials: dict[str, Any] = {}


UNCHANGED = Overlay()

_TOKENS = ("id_token", "access_token", "refresh_token")
_HIDDEN = ("credentials", *_TOKENS)  # these are in the document itself
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


# --- reading ----------------------------------------------------------------------------------------


def decode(data: bytes) -> Document | None:
    """The document in ``data``, or None if it is no JSON object."""
    return _fields(data)


def is_damaged(document: Document | None) -> bool:
    """Whether it claims tokens and has no access token, or is no document at all.

    An object without any token is what the CLI leaves after a sign-out.
    """
    if document is None:
        return True
    return not (_is_null(document.get("tokens")) or _has_no_tokens(document)) and not _text(
        _tokens(document).get("access_token")
    )


def record_in(document: Document) -> Record | None:
    """The record of a document, or None if the CLI is not signed in with a plan."""
    tokens = _tokens(document)
    if not tokens or _has_no_tokens(document):
        return None
    provenance = _fields(tokens.get("oauth_provenance")) or {}
    kept = OAuthCredentials(
        access_token=_text(tokens.get("access_token")) or "",
        refresh_token=_text(tokens.get("refresh_token")),
        id_token=_text(tokens.get("id_token")),
        account_id=_text(tokens.get("account_id")),
        client_id=_text(provenance.get("client_id")),
        issuer=_text(provenance.get("issuer")),
    )
    obtained_at = decode_moment(_text(document.get("last_refresh")))
    return Record(credentials=with_claims(kept), obtained_at=obtained_at)


# What the CLI can be signed in with instead of a plan: the value of auth_mode, the field, and the start of
# a sentence (names: docs/protocol.md). Where auth_mode is absent, the fields decide.
_OTHERWISE: tuple[tuple[str, str, str], ...] = (
    ("apikey", "OPENAI_API_KEY", "The Codex CLI is signed in with an API key, not with a plan"),
    ("agentIdentity", "agent_identity", "The Codex CLI is signed in with an agent identity, not with a plan"),
    (
        "personalAccessToken",
        "personal_access_token",
        "The Codex CLI is signed in with a personal access token, which onplan does not read",
    ),
    ("bedrockApiKey", "bedrock_api_key", "The Codex CLI is signed in with Amazon Bedrock, not with a plan"),
    ("bedrock", "bedrock_access_keys", "The Codex CLI is signed in with Amazon Bedrock, not with a plan"),
    ("chatgptAuthTokens", "", "The Codex CLI is given its tokens by another program, and keeps none"),
)


def instead_of_a_plan(document: Document) -> str | None:
    """A sentence, without its full stop, about what the CLI is signed in with instead of a plan.

    None if nothing of it is known.
    """
    mode = _text(document.get("auth_mode"))
    by_mode = (sentence for known, _, sentence in _OTHERWISE if known == mode)
    by_field = (sentence for _, field, sentence in _OTHERWISE if not _is_null(document.get(field)))
    signed_out = "The Codex CLI is signed out: its file has an empty set of tokens"
    empty = signed_out if isinstance(_fields(document.get("tokens")), dict) else None
    return next(by_mode, None) or next(by_field, None) or empty


def _has_no_tokens(document: Document) -> bool:
    """Whether ``tokens`` is an object without any token in it."""
    tokens = _fields(document.get("tokens"))
    blank = (b"null", b'""')
    return tokens is not None and all(
        bytes(tokens.get(name, msgspec.Raw(b"null"))) in blank for name in _TOKENS
    )


def _tokens(document: Document) -> Document:
    return _fields(document.get("tokens")) or {}


def _fields(data: bytes | msgspec.Raw | None) -> dict[str, msgspec.Raw] | None:
    try:
        return None if data is None else msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _text(value: msgspec.Raw | None) -> str | None:
    try:
        return (None if value is None else msgspec.json.decode(value, type=str)) or None
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _is_null(value: msgspec.Raw | None) -> bool:
    return value is None or bytes(value) == b"null"


# --- writing ----------------------------------------------------------------------------------------


def encode(document: Document) -> SecretBytes:
    """Its text, indented as the official CLI does."""
    return SecretBytes(msgspec.json.format(msgspec.json.encode(document), indent=2))


def with_credentials(
    document: Document, wanted: OAuthCredentials, obtained_at: float | None, now: float, *, refresh: bool
) -> Document:
    """The document with the credentials ``wanted``; every other field stays.

    ``refresh``: they are the result of a refresh of those in the document, unless the account differs;
    otherwise of a new sign-in. A document that has all of it already is returned unchanged.
    """
    current = record_in(document)
    old = current.credentials if current else None
    same_account = old is not None and old.account_id in (None, wanted.account_id)
    if same_account and (refresh or (old and old.refresh_token == wanted.refresh_token)):
        return _refreshed(document, wanted, obtained_at)
    return _signed_in(document, wanted, now if obtained_at is None else obtained_at)


def _refreshed(document: Document, wanted: OAuthCredentials, obtained_at: float | None) -> Document:
    """Change the tokens and the time; add no field that an older CLI did not write."""
    tokens = _tokens(document)
    changed = {
        name: _raw(getattr(wanted, name) or "")
        for name in _TOKENS
        if _text(tokens.get(name)) != (getattr(wanted, name) or None)
    }
    after = {**document, "tokens": _raw({**tokens, **changed})} if changed else dict(document)
    if obtained_at is not None and decode_moment(_text(document.get("last_refresh"))) != obtained_at:
        after["last_refresh"] = _raw(encode_moment(obtained_at))
    return after


def _signed_in(document: Document, wanted: OAuthCredentials, obtained_at: float) -> Document:
    """The fields that the CLI writes at a sign-in. It reads no file without ``last_refresh``."""
    provenance = {"issuer": wanted.issuer, "client_id": wanted.client_id}
    tokens = {
        **{name: _raw(getattr(wanted, name) or "") for name in _TOKENS},
        "oauth_provenance": _raw(provenance),
        "login_owner_id": _raw(secrets.token_urlsafe(32)),
        "account_id": _raw(wanted.account_id),
    }
    kept = {**_tokens(document), **tokens}
    if None in provenance.values():
        del kept["oauth_provenance"]
    first = {"auth_mode": _raw("chatgpt"), "OPENAI_API_KEY": document.get("OPENAI_API_KEY", _raw(None))}
    return {
        **{name: value for name, value in first.items() if name not in document},
        **document,
        "auth_mode": first["auth_mode"],
        "tokens": _raw(kept),
        "last_refresh": _raw(encode_moment(obtained_at)),
    }


def without_tokens(document: Document) -> Document | None:
    """The document without the plan's sign-in; None if nothing of value is left."""
    rest = {name: value for name, value in document.items() if name not in ("tokens", "last_refresh")}
    valuable = [name for name, value in rest.items() if name != "auth_mode" and not _is_null(value)]
    return rest if valuable else None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


# --- time -------------------------------------------------------------------------------------------


def decode_moment(text: str | None) -> float | None:
    """Unix seconds of an RFC 3339 date and time with any number of decimals, or None if it is none."""
    match = _MOMENT.fullmatch(text or "")
    if match is None:
        return None
    second, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(second.upper() + ("+00:00" if offset in "Zz" else offset))
    except ValueError:
        return None
    return float(Decimal(int(moment.timestamp())) + Decimal(fraction or 0))


def encode_moment(moment: float) -> str:
    """RFC 3339 in UTC with nanoseconds, as the CLI writes it; ``decode_moment`` gives ``moment`` again."""
    exact = Decimal(moment).quantize(Decimal("1e-9"), ROUND_HALF_EVEN)
    whole = int(exact // 1)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{int((exact - whole) * 10**9):09d}Z"


# --- what only onplan needs to know -----------------------------------------------------------------


def key_of(record: Record) -> str:
    """Recognises the record of a document; nothing can be learned from it.

    It is the digest of that record in schema 1, so that overlays which earlier versions wrote still count.
    """
    schema_1 = {
        "schema": 1,
        "credentials": record.credentials,
        "renewed_at": record.obtained_at,
        **dict.fromkeys(("pending_refresh", "borrowed_from", "registration")),
        "unverified": False,
        **dict.fromkeys(("api_key", "api_key_for")),
    }
    return version_of(msgspec.json.format(msgspec.json.encode(schema_1), indent=2) + b"\n")


def overlay(wanted: Record, base: Record) -> Overlay:
    """The changes that make ``base`` into ``wanted``, which has the same tokens."""
    return Overlay(_changes(wanted, base), _changes(wanted.credentials, base.credentials))


def _changes(wanted: Any, base: Any) -> dict[str, Any]:
    return {
        name: msgspec.to_builtins(getattr(wanted, name))
        for name in wanted.__struct_fields__
        if name not in _HIDDEN and getattr(wanted, name) != getattr(base, name)
    }


def with_overlay(base: Record, changes: Overlay, place: str, version: str) -> Record:
    """``base`` with its overlay. Raises as ``record_from``."""
    if changes == UNCHANGED:
        return base
    return record_from(_merged(msgspec.to_builtins(base), changes), place, version)


def _merged(base: dict[str, Any], changes: Overlay) -> dict[str, Any]:
    credentials = {**base["credentials"], **changes.credentials}
    return {**base, **with_current_names(changes.record), "credentials": credentials}


def decode_overlays(data: bytes | None) -> dict[str, Overlay]:
    """Overlays by key. Damaged ones count as missing: a sign-in works without them."""
    try:
        return msgspec.json.decode(data or b"{}", type=dict[str, Overlay])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}


def encode_overlays(overlays: Mapping[str, Overlay]) -> bytes:
    """Their text."""
    return msgspec.json.format(msgspec.json.encode(overlays), indent=2) + b"\n"
