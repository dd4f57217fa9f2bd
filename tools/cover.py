"""Measure of each module how many of its lines its own room's tests run; exit status 1 below the floor.

    .venv/bin/python tools/cover.py             # the modules in `rooms.MODULES`
    .venv/bin/python tools/cover.py oauth chat  # of some rooms, with the lines that no test runs

What other rooms' tests run does not count: a test at the other end of the program executes a line without
noticing what it does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rooms import ROOT, modules_named, tests_of, without_slow

FLOOR = 95.0  # per cent of the lines of every module


def measured(tests: tuple[str, ...]) -> dict[str, tuple[float, list[int]]]:
    """By module the percentage of its lines that these tests run, and the lines that they do not.

    Raises:
        SystemExit: one of the tests fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder, "data"), Path(folder, "report.json")
        run = [
            sys.executable,
            "-m",
            "coverage",
            "run",
            f"--data-file={data}",
            "--source=src/onplan",
            "-m",
            "pytest",
        ]
        chosen = [
            *tests,
            *without_slow(),
            "-m",
            "not interop",
            "-p",
            "no:cacheprovider",
        ]
        if subprocess.run([*run, *chosen], cwd=ROOT, check=False).returncode:
            raise SystemExit(f"The tests {' '.join(tests)} fail.")
        export = [sys.executable, "-m", "coverage", "json", f"--data-file={data}", "-q", "-o", str(report)]
        subprocess.run(export, cwd=ROOT, check=True)
        files = json.loads(report.read_text())["files"]
    return {
        name.removeprefix("src/onplan/"): (found["summary"]["percent_covered"], found["missing_lines"])
        for name, found in files.items()
    }


def main() -> int:
    """Print a line for each module, and give the exit status."""
    rooms: dict[tuple[str, ...], list[str]] = {}
    for module in modules_named(sys.argv[1:]):
        rooms.setdefault(tests_of(module), []).append(module)
    below = 0
    for tests, modules in rooms.items():
        found = measured(tests) if tests else {}
        for module in modules:
            percent, missing = found.get(module, (0.0, []))
            below += percent < FLOOR
            lines = f"  not run: {', '.join(map(str, missing))}" if missing else ""
            print(f"{percent:5.1f} %  {module}{lines}", flush=True)
    print(
        f"{below} modules are below {FLOOR:.0f} %."
        if below
        else f"Every module is at or above {FLOOR:.0f} %."
    )
    return int(bool(below))


if __name__ == "__main__":
    sys.exit(main())
