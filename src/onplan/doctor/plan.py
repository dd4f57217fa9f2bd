"""Checks what the plan gives, through the client that programs use: the models, and an answer."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, cast

from onplan.client import Client
from onplan.client_parts import listing_of
from onplan.doctor.check import Examination, NotExaminedError
from onplan.oauth.credentials import is_fresh
from onplan.transports.base import Timeouts
from onplan.turn.retry import RetryPolicy
from onplan.types import OAuthCredentials

if TYPE_CHECKING:
    from onplan.types import Done

_CONNECT, _IDLE = 10.0, 60.0  # seconds
_PROMPT = "Answer with: ok"


def catalogue(examination: Examination) -> str:
    """Whether the backend lists its models for this sign-in; refreshes the access token if it has expired."""
    signs_in = examination.settings.backend.credential is OAuthCredentials
    credentials = examination.record.credentials if examination.record and signs_in else None
    if credentials and not is_fresh(credentials, time.time()):
        examination.require("issuer", "lock")
    with _client(examination) as client:
        listing = listing_of(client)
        if listing.problem:
            raise listing.problem
        refreshed = credentials and client.credentials() != credentials
        note = " The access token was refreshed for it." if refreshed else ""
    return f"{len(listing.models)} models, the first of them {listing.models[0].id}.{note}"


def request(examination: Examination) -> str:
    """Whether a request is answered, and how fast."""
    if not examination.request:
        raise NotExaminedError("Left out because of --no-request.")
    began = time.monotonic()
    with _client(examination) as client, closing(client.complete_stream(_PROMPT)) as chunks:
        last = next(chunks)
        first = time.monotonic() - began
        for last in chunks:  # noqa: B007 - the last one is wanted
            pass
    whole, response = time.monotonic() - began, cast("Done", last).response
    return (
        f"{response.model} began to answer after {first:.1f} s and ended after {whole:.1f} s "
        f"({response.finish_reason}). {_cost(examination)}"
    )


def _cost(examination: Examination) -> str:
    backend = examination.settings.backend
    if backend.credential is OAuthCredentials:
        return "This used a little of the plan."
    return f"This was billed to {backend.billed_to}."


def _client(examination: Examination) -> Client:
    """A client that sends each request once, so that a retry does not hide a failure."""
    return Client(
        profile=examination.profile,
        backend=examination.backend,
        store=examination.store,
        retry=RetryPolicy(attempts=1),
        timeout=Timeouts(connect=_CONNECT, idle=_IDLE),
    )
