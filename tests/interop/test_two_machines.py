"""Two machines on one Vault credential, each with a network of its own: namespaces joined by a bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from onplan.emulator import Emulator

from ..tokens.test_machines import Machine, freeze_everywhere, surroundings

NAMES = ("onplan-one", "onplan-two")
BRIDGE, BRIDGE_ADDRESS = "onplan-bridge", "10.213.77.1"


def ip(*arguments: str) -> int:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode


def missing() -> str | None:
    """Why there can be no namespaces here, or None."""
    if sys.platform != "linux" or not shutil.which("ip"):
        return "network namespaces need Linux and iproute2 (`apt-get install iproute2`)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    return None


pytestmark = [pytest.mark.interop, pytest.mark.skipif(bool(missing()), reason=missing() or "")]


def remove() -> None:
    for name in NAMES:
        ip("netns", "delete", name)
    ip("link", "delete", BRIDGE)


@pytest.fixture
def networks() -> Iterator[None]:
    """Two namespaces that reach this machine at the bridge's address, and nothing else."""
    remove()
    try:
        steps = [
            ["link", "add", BRIDGE, "type", "bridge"],
            ["address", "add", f"{BRIDGE_ADDRESS}/24", "dev", BRIDGE],
            ["link", "set", BRIDGE, "up"],
        ]
        for number, name in enumerate(NAMES, 2):
            steps += [
                ["netns", "add", name],
                ["link", "add", f"onplan{number}", "type", "veth", "peer", "name", "eth0", "netns", name],
                ["link", "set", f"onplan{number}", "master", BRIDGE, "up"],
                ["-netns", name, "address", "add", f"10.213.77.{number}/24", "dev", "eth0"],
                ["-netns", name, "link", "set", "eth0", "up"],
                ["-netns", name, "link", "set", "lo", "up"],
            ]
        failed = [" ".join(step) for step in steps if ip(*step)]
        if failed:
            pytest.skip(f"`ip {failed[0]}` is not permitted here")
        yield
    finally:
        remove()


@pytest.fixture
def machines(networks: None, vault: Any, emulator: Emulator, tmp_path: Path) -> Iterator[list[Machine]]:
    """One in each namespace. A token goes to loopback only, so both servers are handed on to there."""
    ports = [str(urlsplit(url).port) for url in (vault.address, emulator.issuer)]
    with ExitStack() as stack:
        stack.callback(start_forwarding([], BRIDGE_ADDRESS, "127.0.0.1", *ports))
        started = []
        for name in NAMES:
            inside = ["ip", "netns", "exec", name]
            stack.callback(start_forwarding(inside, "127.0.0.1", BRIDGE_ADDRESS, *ports))
            started.append(Machine(tmp_path / name, surroundings(vault, emulator), inside))
            stack.callback(started[-1].end)
        yield started


def start_forwarding(inside: list[str], *arguments: str) -> Callable[[], None]:
    process = subprocess.Popen(
        [*inside, sys.executable, str(Path(__file__).parent / "forward.py"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )

    def end() -> None:
        process.kill()
        process.communicate(timeout=60)

    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return end


@pytest.mark.parametrize("spec", ["vault"], indirect=True)
def test_machines_that_share_only_a_bridge_share_one_sign_in(
    machines: list[Machine],
    vault: Any,
    spec: str,
    sign_in: Callable[..., Any],
    refreshes: Callable[[], list[int]],
) -> None:
    """As in one network: wherever one of them freezes, the other goes on, and neither is signed out."""
    freeze_everywhere(machines, vault, sign_in, refreshes)
