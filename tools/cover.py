"""Measure of each module how many of its lines its own room's tests run; exit status 1 below the floor.

    .venv/bin/python tools/cover.py             # the modules in `rooms.MODULES`
    .venv/bin/python tools/cover.py oauth chat  # of some rooms, with the lines that no test runs
    .venv/bin/python tools/cover.py --frameworks            # what decides for adapters
    .venv/bin/python tools/cover.py --frameworks langchain  # of some (`rooms.IN_FRAMEWORKS`)

What other rooms' tests run does not count: a test at the other end of the program executes a line without
noticing what it does. Adapters are measured in the environments of `make frameworks`, those that are there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import coverage
from rooms import IN_FRAMEWORKS, ROOT, modules_named, tests_of, without_slow

from frameworks import ROWS, TESTS

FLOOR = 95.0  # per cent of the lines of every module
ENVIRONMENTS = Path(sys.prefix, "frameworks")


def measured(tests: tuple[str, ...], framework: str | None = None) -> dict[str, tuple[float, list[int]]]:
    """By module the percentage of its lines that these tests run, and the lines that they do not.

    ``framework``: the environment in which they are run, if not in that of this program.

    Raises:
        SystemExit: one of the tests fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder, "data"), Path(folder, "report.json")
        python, environment = sys.executable, dict(os.environ)
        if framework:
            # Coverage is none of its packages: the same version of Python can use ours.
            Path(folder, "coverage").symlink_to(Path(coverage.__file__).parent)
            python = str(ENVIRONMENTS / framework / "bin/python")
            environment["PYTHONPATH"] = os.pathsep.join((folder, str(ROOT / "src")))
            environment["ONPLAN_TESTS_OF_FRAMEWORKS"] = framework
        run = [
            python,
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
        if subprocess.run([*run, *chosen], cwd=ROOT, env=environment, check=False).returncode:
            raise SystemExit(f"The tests {' '.join(tests)} fail.")
        export = [sys.executable, "-m", "coverage", "json", f"--data-file={data}", "-q", "-o", str(report)]
        subprocess.run(export, cwd=ROOT, check=True)
        files = json.loads(report.read_text())["files"]
    return {
        name.removeprefix("src/onplan/"): (found["summary"]["percent_covered"], found["missing_lines"])
        for name, found in files.items()
    }


def _of_frameworks(names: list[str]) -> dict[tuple[tuple[str, ...], str | None], list[str]]:
    """The modules of adapters by their tests, and the environments in which those are run."""
    rooms: dict[tuple[tuple[str, ...], str | None], list[str]] = {}
    for module, framework in IN_FRAMEWORKS.items():
        if names and framework not in names:
            continue
        if (ENVIRONMENTS / framework / ".installed").exists():
            tests = tuple(str((TESTS / each).relative_to(ROOT)) for each in ROWS[framework].tests)
            rooms.setdefault((tests, framework), []).append(module)
        else:
            print(f"        {module}: not measured. First: make frameworks FRAMEWORKS={framework}")
    return rooms


def main() -> int:
    """Print a line for each module, and give the exit status."""
    names = sys.argv[1:]
    if names[:1] == ["--frameworks"]:
        rooms = _of_frameworks(names[1:])
    else:
        rooms = {}
        for module in modules_named(names):
            rooms.setdefault((tests_of(module), None), []).append(module)
    below = 0
    for (tests, framework), modules in rooms.items():
        found = measured(tests, framework) if tests else {}
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
