"""Bytes over the network. The seam is one event at a time, above framing: the turn does not know the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# An error body or a token response is small; a catalogue with its prompts is some megabytes.
MAXIMUM_BODY_SIZE = 32 * 1024 * 1024


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds.

    Attributes:
        connect: for a connection to be made.
        idle: between two reads of an answer; models think in silence for minutes.
    """

    connect: float = 15.0
    idle: float = 300.0


def lower_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers under lower-case names."""
    return {name.lower(): value for name, value in headers.items()}
