"""What processes cost, with all that they started: CPU and memory, from /proc."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
MANY_FILES = 20_000


def allow_many_files() -> None:
    """As many open files as this process may have, and those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if most == resource.RLIM_INFINITY else min(MANY_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _fields(pid: int) -> list[str]:
    """Those of /proc/PID/stat from the third on: the second may contain blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_fields(int(folder.name))[1])
        except (OSError, IndexError):  # it has ended
            continue
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the family, with that of its members that have ended. In steps of 10 ms."""
    total = 0
    for member in family(pid):
        try:
            total += sum(int(ticks) for ticks in _fields(member)[11:15])
        except OSError:
            continue
    return total / _TICK


def resident_megabytes(pid: int) -> float:
    """Resident memory of the family; what its members share is counted in each."""
    pages = 0
    for member in family(pid):
        try:
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * resource.getpagesize() / 2**20
