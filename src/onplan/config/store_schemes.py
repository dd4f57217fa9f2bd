"""What the stores of each scheme can be used for: a table that is read without loading a store.

Authors of other stores declare the same: a class attribute ``capabilities``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a kind of store can be used for; the defaults are those of an unknown one.

    Attributes:
        lasting: whether a record is still there when the process has ended.
        writable: whether a sign-in can be stored there at all.
        exclusive: whether onplan on this machine alone uses a record, so that it may be moved to another
            machine, and goes with its profile.
        shareable: whether another program or machine that uses the same store finds there what onplan has
            refreshed.
        instant: whether loading asks no person, no other program and no network.
        not_for_local_sign_ins: why a sign-in that must stay on the person's own machine, with its registered
            client, is not stored there: the end of a sentence; empty if it may be.
    """

    lasting: bool = True
    writable: bool = True
    exclusive: bool = False
    shareable: bool = False
    instant: bool = False
    not_for_local_sign_ins: str = ""


CAPABILITIES: Mapping[str, Capabilities] = {
    "file": Capabilities(exclusive=True, shareable=True, instant=True),
    "keyring": Capabilities(exclusive=True, shareable=True),  # it may ask for a passphrase
    "command": Capabilities(exclusive=True),
    "vault": Capabilities(
        shareable=True,
        not_for_local_sign_ins="the terms of its sign-in want that on your own machine, and not on a server",
    ),
    "codex": Capabilities(
        shareable=True,
        instant=True,
        not_for_local_sign_ins="that file is the Codex CLI's, which knows Codex sign-ins only",
    ),
    "env": Capabilities(
        writable=False,
        not_for_local_sign_ins="a variable holds a token, and not the registration that it belongs to",
    ),
    "memory": Capabilities(lasting=False, exclusive=True),
}


def scheme_of(spec: str) -> str:
    """The scheme of a store spec: what stands before its first colon."""
    return spec.partition(":")[0]


def declared(spec: str) -> Capabilities:
    """What the store that ``spec`` names can be used for; of another package's, as of an unknown one."""
    return CAPABILITIES.get(scheme_of(spec), Capabilities())
