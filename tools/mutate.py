"""Change the code in one small place at a time, and see whether a test of that module fails.

    .venv/bin/python tools/mutate.py oauth/credentials.py      # every change to one module
    .venv/bin/python tools/mutate.py oauth tokens --count 200  # 200 of all changes to two rooms, by --seed
    .venv/bin/python tools/mutate.py --count 500               # of all modules in MODULES
    .venv/bin/python tools/mutate.py --all

A mutant is run against the tests of its room (TESTS): first those that ran the changed line, quickest
first, and those that generate their cases last; if none of them fails, all that ran anything of the module,
unless the room is PURE. It is killed if one fails, crashes, or takes far longer than it did. What survives
is printed with its place and both lines. `tools/survivors.toml` explains those that no test can
tell from the original; the exit status is 1 if fewer than 95 % of the others were killed.

The changes are made in copies of the work tree, below the temporary folder. Most mutants are run in a process
forked from one that has imported the code and collected the tests: there the function gets its changed code,
or the module's constant its changed value. What else runs at import, and what survived that, is run by a
pytest of its own that imports the changed module.
"""

from __future__ import annotations
import __future__

import argparse
import ast
import gc
import hashlib
import inspect
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from mutations import Mutant, mutants_of
from rooms import PURE, ROOT, modules_named, room_of, tests_of, without_slow

FLOOR = 95.0  # per cent

PYTEST = (
    "-q",
    "-x",
    "--tb=no",
    "--no-header",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-p",
    "no:anyio",
    "-m",
    "not interop",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
LIBRARIES = (
    "aiohttp",
    "anyio",
    "click",
    "cryptography",
    "filelock",
    "httpx2",
    "hypothesis",
    "jwt",
    "msgspec",
    "pytest",
)


_TOO_LONG = (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM)


# --- one run of some tests, in a process of its own -------------------------------------------------------


class Run:
    """A function that runs tests in a process of its own, forked here; its value is the exit status.

    Args:
        copy: the copy of the tree that it works in.
        function: what to run.
        seconds: how long the tests took on the code as it is.
        writes: whether it leaves compiled files.
    """

    def __init__(
        self, copy: Path, function: Callable[[], int], seconds: float, *, writes: bool = False
    ) -> None:
        self._deadline = time.monotonic() + 10 * seconds + 60  # other programs may keep the machine busy
        self.pid = os.fork()
        if self.pid:
            return
        status = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(4 * seconds + 5), resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30,) * 2)
            with (copy.parent / f"{copy.name}.log").open("wb") as log:
                for stream in (1, 2):
                    os.dup2(log.fileno(), stream)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _enter(copy, writes=writes)
            status = int(function())
        except BaseException:  # noqa: BLE001 - this process ends here
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def result(self) -> str | None:
        """How it ended: `killed`, `survived` or `timeout`; None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid and time.monotonic() < self._deadline:
            return None
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if not pid:
            os.waitpid(self.pid, 0)
            return "timeout"
        if os.WIFSIGNALED(status):
            return "timeout" if os.WTERMSIG(status) in _TOO_LONG else "killed"
        # 5: no test was left. 4: a test's id is made of what was changed, so that was noticed.
        return "survived" if os.WEXITSTATUS(status) in (0, 5) else "killed"

    def wait(self) -> str:
        """How it ended, once it has."""
        while (result := self.result()) is None:
            time.sleep(0.02)
        return result


def _enter(copy: Path, *, writes: bool) -> None:
    """Make this process, and what it starts, import from a copy."""
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy / "src")
    sys.path[:1] = [str(copy / "src")]
    if not writes:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True


def run_pytest(copy: Path, tests: Iterable[str], plugins: Iterable[object] = ()) -> int:
    """Run tests in this process."""
    import pytest

    options = ("--hypothesis-seed=0", f"--basetemp={_temporary(copy)}")
    return pytest.main([*PYTEST, *options, *tests], list(plugins))


def _temporary(copy: Path) -> Path:
    return copy.parent / f"t{copy.name}"  # short: some tests listen on sockets below it


# --- which tests run which line ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Map:
    """What the tests of a room ran.

    Attributes:
        lines: by module and line the tests. What ran outside any test, when modules were imported, has an
            empty name in place of a test's.
        seconds: how long each test took.
        generating: those that generate their cases, with hypothesis.
    """

    lines: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]
    generating: frozenset[str]

    def task_for(self, mutant: Mutant) -> Task:
        """First the tests that ran the mutant's lines, then others that ran its module; quickest first."""
        module = self.lines.get(mutant.module, {})
        touched = {test for tests in module.values() for test in tests if test}
        begin, end = mutant.lines
        near = {test for line in range(begin, end + 1) for test in module.get(line, ())}
        at_import, is_pure = mutant.at_import or "" in near, mutant.module.startswith(PURE)
        near = near - {""}
        if mutant.at_import:  # may also be read by tests that run nothing else of the module
            own = {test for test in self.seconds if f"/test_{Path(mutant.module).stem}.py" in test}
            near, far = touched | own, set(self.seconds) - touched - own
        else:
            far = set() if is_pure and not at_import else touched - near
        first, last = near - self.generating, near & self.generating
        rounds = [sorted(tests, key=self.seconds.__getitem__) for tests in (first, last, far) if tests]
        return Task(mutant, rounds, self.seconds, at_import)


class _Watchdog:
    """A plugin of pytest that kills the process when one test takes far longer than it did.

    A change to a lock makes a test wait for ever: without this, it would wait as long as all tests may.
    """

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, 10 * self._seconds.get(nodeid, 1.0) + 15)

    def pytest_runtest_logfinish(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Recorder:
    """A plugin of pytest that records for each test which lines it ran."""

    def __init__(self, copy: Path) -> None:
        import coverage

        self.seconds: dict[str, float] = {}
        self.generating: list[str] = []
        source = [str(copy / "src" / "onplan")]
        self.coverage = coverage.Coverage(data_file=None, config_file=False, source=source, messages=False)
        self.coverage.start()

    def pytest_collection_finish(self, session: Any) -> None:
        self.generating = [each.nodeid for each in session.items if each.get_closest_marker("hypothesis")]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)
        self.seconds[nodeid] = 0.0

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration

    def pytest_runtest_logfinish(self) -> None:
        self.coverage.switch_context("")


def _record(copy: Path, tests: tuple[str, ...], into: Path) -> int:
    recorder = _Recorder(copy)
    status = run_pytest(copy, [*tests, *without_slow()], [recorder])
    recorder.coverage.stop()
    data = recorder.coverage.get_data()
    lines = {
        Path(name).relative_to(copy / "src" / "onplan").as_posix(): {
            line: list(ran) for line, ran in data.contexts_by_lineno(name).items()
        }
        for name in data.measured_files()
    }
    found = {"lines": lines, "seconds": recorder.seconds, "generating": recorder.generating}
    into.write_text(json.dumps(found))
    return status


def map_of(copy: Path, tests: tuple[str, ...]) -> Map:
    """What the tests run, from the last time if neither they nor the code have changed since.

    Raises:
        SystemExit: one of them fails on the code as it is.
    """
    digest = hashlib.sha256(repr(tests).encode())  # of what they may import, and of how it is recorded
    digest.update(Path(__file__).read_bytes())
    folders = {test.rpartition("/")[0] if test.endswith(".py") else test for test in tests}
    for name in sorted(_files(copy)):
        if name.startswith("tests/") and name.count("/") > 1 and not name.endswith("conftest.py"):
            room = "/".join(name.split("/")[:2])
            if room not in folders:
                continue
        digest.update(name.encode() + (copy / name).read_bytes())
    kept = Path(tempfile.gettempdir(), f"onplan-mutate-{os.getuid()}", f"{digest.hexdigest()[:24]}.json")
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True, mode=0o700)
        started, new = time.monotonic(), kept.with_suffix(f".{os.getpid()}")
        result = Run(copy, lambda: _record(copy, tests, new), seconds=1200).wait()
        if result != "survived":
            log = (copy.parent / f"{copy.name}.log").read_text(errors="replace")
            raise SystemExit(
                f"{log[-3000:]}\n{result}: the tests {' '.join(tests)} fail on the code as it is."
            )
        new.replace(kept)
        _say(f"{' '.join(tests)}: recorded in {time.monotonic() - started:.0f} s")
    found = json.loads(kept.read_text())
    lines = {name: {int(line): ran for line, ran in by.items()} for name, by in found["lines"].items()}
    return Map(lines, found["seconds"], frozenset(found["generating"]))


def _files(folder: Path) -> Iterator[str]:
    for part in ("src", "tests"):
        for path in (folder / part).rglob("*.py"):
            yield path.relative_to(folder).as_posix()


# --- the mutants ------------------------------------------------------------------------------------------


@dataclass
class Task:
    """A mutant, the rounds of tests that are left for it, and how it ended: `survived` if they are over.

    Attributes:
        at_import: what was changed runs when modules are imported, as well or only then.
    """

    mutant: Mutant
    rounds: list[list[str]]
    seconds: dict[str, float]
    at_import: bool
    result: str = ""


class Slot:
    """One copy of the tree, in which one mutant at a time is run: by `runner`, in a process forked here."""

    def __init__(self, copy: Path, runner: Callable[[Path, Task, list[str]], int]) -> None:
        self.copy, self._runner = copy, runner
        self.task: Task | None = None
        self._run: Run | None = None
        self._times = 0

    def begin(self, task: Task) -> None:
        """Change the copy, and run the first tests."""
        self.task = task
        path = self.copy / "src" / "onplan" / task.mutant.module
        self._original, self._modified = path.read_bytes(), int(path.stat().st_mtime)
        path.write_bytes(task.mutant.apply(self._original))
        # Another time in whole seconds, or Python takes the compiled file of the code as it was.
        self._times += 1
        os.utime(path, (self._modified + self._times,) * 2)
        self._next(task)

    def _next(self, task: Task) -> None:
        if not task.rounds:
            task.result = "survived"
            return
        tests = task.rounds.pop(0)
        seconds = sum(task.seconds.get(each, 1.0) for each in tests)
        shutil.rmtree(_temporary(self.copy), ignore_errors=True)
        self._run = Run(self.copy, lambda: self._runner(self.copy, task, tests), seconds)

    def poll(self) -> Task | None:
        """The task, if it has ended."""
        task = self.task
        assert task
        if not task.result and self._run:
            result = self._run.result()
            if result == "survived":
                self._next(task)
            else:
                task.result = result or ""
        if not task.result:
            return None
        path = self.copy / "src" / "onplan" / task.mutant.module
        path.write_bytes(self._original)
        os.utime(path, (self._modified,) * 2)
        self.task = self._run = None
        return task


def run_all(tasks: list[Task], slots: list[Slot], report: Callable[[Task], None]) -> None:
    """Run every task, as many at once as there are slots."""
    waiting = tasks[::-1]
    while waiting or any(slot.task for slot in slots):
        for slot in slots:
            if slot.task is None and waiting:
                slot.begin(waiting.pop())
            if slot.task and (ended := slot.poll()):
                report(ended)
        time.sleep(0.005)


def by_pytest(copy: Path, task: Task, tests: list[str]) -> int:
    """Run tests by a pytest of their own, which imports the changed module."""
    return run_pytest(copy, tests, [_Watchdog(task.seconds)])


# --- many mutants, with the code imported and the tests collected once ------------------------------------


class Collected:
    """A plugin of pytest that runs mutants with the collected tests, each mutant in a process forked here."""

    def __init__(self, copies: list[Path], tasks: list[Task], results: Any) -> None:
        self._tasks, self._results = tasks, results
        self._slots = [Slot(copy, self.by_items) for copy in copies]
        self._failed = False

    def pytest_runtestloop(self, session: Any) -> bool:
        """Run the mutants, instead of the tests themselves."""
        self._items = {item.nodeid: item for item in session.items}
        self._session = session
        self._originals = {}
        for module in {task.mutant.module for task in self._tasks}:
            path = self._slots[0].copy / "src" / "onplan" / module
            source = path.read_bytes()
            self._originals[module] = path, source, _functions(source, path)
            __import__(_dotted(module))
        self._functions = {
            (each.__code__.co_filename, each.__code__.co_qualname, each.__code__.co_firstlineno): each
            for each in gc.get_objects()
            if isinstance(each, FunctionType)
        }
        gc.freeze()  # forked processes share these pages
        numbers = {id(task): number for number, task in enumerate(self._tasks)}

        def report(task: Task) -> None:
            print(numbers[id(task)], task.result, file=self._results, flush=True)

        run_all(self._tasks, self._slots, report)
        return True

    def by_items(self, copy: Path, task: Task, tests: list[str]) -> int:
        """Give the changed function its new code, and run the tests until one fails."""
        if not self._patch(task.mutant):
            return 0  # not to be had this way
        factory = self._session.config._tmp_path_factory  # each process needs its own folder
        factory._basetemp = _temporary(copy)
        factory._basetemp.mkdir()
        items = [self._items[test] for test in tests if test in self._items]
        self._session.config.pluginmanager.register(_Watchdog(task.seconds))
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return 1
        return 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a failure."""
        self._failed |= report.failed

    def _patch(self, mutant: Mutant) -> bool:
        path, source, before = self._originals[mutant.module]
        if mutant.at_import:
            return _assign(mutant, source, sys.modules[_dotted(mutant.module)])
        after = _functions(mutant.apply(source), path)
        found = [
            name
            for name, code in before.items()
            if name[1] <= mutant.lines[0] <= max(line for *_, line in code.co_lines() if line)
            and (str(path), *name) in self._functions
            and name in after
        ]
        if len(found) != 1:
            return False
        function = self._functions[str(path), *found[0]]
        try:
            function.__code__ = after[found[0]]
        except ValueError:  # other variables of the scope around it
            return False
        return True


_FLAGS = __future__.annotations.compiler_flag  # names in annotations need not exist


def _dotted(module: str) -> str:
    return f"onplan/{module}".removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _assign(mutant: Mutant, source: bytes, module: ModuleType) -> bool:
    """Run a changed assignment of a module once more, and what is made of it; whether it is one.

    Other modules that have imported its names get the new values.
    """
    (first,) = (
        each.lineno
        for each in ast.parse(source).body
        if each.lineno <= mutant.lines[0] <= (each.end_lineno or 0) or each.lineno == mutant.lines[0]
    )
    changed: set[str] = set()
    for statement in ast.parse(mutant.apply(source)).body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            if statement.lineno == first:
                return False
            continue
        loaded = {each.id for each in ast.walk(statement) if isinstance(each, ast.Name)}
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        stored = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        if statement.lineno == first or changed & (loaded - stored):
            before = {name: vars(module).get(name) for name in stored}
            try:
                code = compile(ast.Module([statement], []), module.__file__ or "", "exec", _FLAGS)
                exec(code, vars(module))
            except Exception:  # noqa: BLE001 - the module could not be imported
                traceback.print_exc()
                os._exit(1)
            for other in list(sys.modules.values()):
                if getattr(other, "__name__", "").startswith(("onplan", "tests")):
                    for name in stored & vars(other).keys():
                        if vars(other)[name] is before[name]:
                            setattr(other, name, vars(module)[name])
            changed |= stored
    return True


def _functions(source: bytes, path: Path) -> dict[tuple[str, int], CodeType]:
    """The functions of a module's text by their qualified names and first lines."""
    codes = _outermost(compile(source, path, "exec"))
    return {(code.co_qualname, code.co_firstlineno): code for code in codes}


def _outermost(code: CodeType) -> Iterator[CodeType]:
    """The functions of a module and of its classes, but not those within functions."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            if each.co_flags & inspect.CO_OPTIMIZED:
                yield each
            else:
                yield from _outermost(each)


def run_collected(
    copies: list[Path], tests: tuple[str, ...], tasks: list[Task]
) -> Iterator[tuple[Task, str]]:
    """Run the tasks of one room; each task as it ends, with its result."""
    reading, writing = os.pipe()

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)
        with os.fdopen(writing, "w") as results:
            options = (*tests, *without_slow(), "-s")
            return run_pytest(copies[0], options, [Collected(copies, tasks, results)])

    run = Run(copies[0], work, seconds=100_000)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            number, result = line.split()
            yield tasks[int(number)], result
    if run.wait() != "survived":
        log = copies[0].parent / f"{copies[0].name}.log"
        raise SystemExit(
            f"{log.read_text(errors='replace')[-3000:]}\nThe run of {' '.join(tests)} broke off."
        )


# --- what is explained, and the command -------------------------------------------------------------------


@cache
def explained_survivors() -> dict[tuple[str, str, str, str], str]:
    """The reasons in `tools/survivors.toml`, by module, function, and the lines before and after."""
    entries = tomllib.loads((ROOT / "tools" / "survivors.toml").read_text(encoding="utf-8")).get(
        "survivor", []
    )
    keys = ("module", "function", "was", "now")
    found: dict[tuple[str, str, str, str], str] = {}
    for entry in entries:
        for now in entry["now"] if isinstance(entry["now"], list) else [entry["now"]]:
            module, function, was, _ = (entry.get(key, "") for key in keys)
            found[module, function, was, now] = entry["reason"]
    return found


@cache
def original(module: str) -> bytes:
    """The text of a module as it was when this program began."""
    return (ROOT / "src" / "onplan" / module).read_bytes()


def is_explained(mutant: Mutant) -> bool:
    """Whether `tools/survivors.toml` has a reason for it."""
    key = (mutant.module, mutant.function, *mutant.diff(original(mutant.module)))
    return key in explained_survivors()


def _shown(mutant: Mutant) -> str:
    """Where a mutant is, and the lines before and after."""
    was, now = mutant.diff(original(mutant.module))
    return f"src/onplan/{mutant.module}:{mutant.lines[0]}  {mutant.function}\n  - {was}\n  + {now}"


def _say(text: str) -> None:
    print(text, flush=True)


def _copies(count: int, folder: Path) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for number in range(count):
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                target = folder / str(number) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
    return [folder / str(number) for number in range(count)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Mutation tests of onplan; see the top of this file.")
    parser.add_argument("modules", nargs="*", help="modules or folders below src/onplan; default: MODULES")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample (default 1)")
    parser.add_argument(
        "--count", type=int, help="how many mutants to run; default: all of the modules named, else 500"
    )
    parser.add_argument("--all", action="store_true", help="every mutant")
    parser.add_argument("--function", help="only those in functions whose qualified name holds this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many run at once")
    parser.add_argument(
        "--toml", action="store_true", help="print survivors as entries for tools/survivors.toml"
    )
    return parser.parse_args()


def run_mutants(mutants: list[Mutant], copies: list[Path]) -> Iterator[tuple[Mutant, str]]:
    """Run mutants; each with its result, in the order in which they end."""
    again: list[Task] = []
    rooms: dict[tuple[str, ...], list[Mutant]] = {}
    for mutant in mutants:
        rooms.setdefault(tests_of(mutant.module), []).append(mutant)
    for tests, members in rooms.items():
        if not tests:
            yield from ((mutant, "survived") for mutant in members)
            continue
        seen = map_of(copies[0], tests)
        for task, result in run_collected(copies, tests, [seen.task_for(mutant) for mutant in members]):
            if result == "survived" and is_explained(task.mutant):
                yield task.mutant, "explained"
            elif result == "survived":
                print(f"survives so far: {_shown(task.mutant)}", file=sys.stderr, flush=True)
                # A process of its own again: the other was not changed where the code runs at import.
                once_more = seen.task_for(task.mutant)
                if not task.at_import:
                    del once_more.rounds[1:]
                again.append(once_more)
            else:
                yield task.mutant, result
    ended: list[Task] = []
    slots = [Slot(copy, by_pytest) for copy in copies]
    while again:
        some, again = again[:50], again[50:]
        run_all(some, slots, ended.append)
        yield from ((task.mutant, task.result) for task in ended)
        ended.clear()


def main() -> int:
    """Run the mutants, print what survives, and give the exit status."""
    options = _arguments()
    for library in LIBRARIES:
        __import__(library)
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        run_pytest(Path(tempfile.gettempdir()), ["--version"])  # imports its plugins
    mutants = [each for module in modules_named(options.modules) for each in mutants_of(ROOT, module)]
    if options.function:
        mutants = [each for each in mutants if options.function in each.function]
    total = len(mutants)
    count = options.count or (total if options.all or options.modules else 500)
    if count < total:
        chosen = random.Random(options.seed).sample(range(total), count)
        mutants = [mutants[index] for index in sorted(chosen)]
    for mutant in mutants:
        original(mutant.module)  # also if it is changed in the meantime
    rooms: dict[str, Counter[str]] = {}
    told = time.monotonic()

    def report(mutant: Mutant, result: str) -> None:
        rooms.setdefault(room_of(mutant.module), Counter())[result] += 1
        if result == "survived" and options.toml:
            was, now = mutant.diff(original(mutant.module))
            quoted = (
                f"{key} = {json.dumps(value, ensure_ascii=False)}"
                for key, value in zip(
                    ("module", "function", "was", "now", "reason"),
                    (mutant.module, mutant.function, was, now, ""),
                    strict=True,
                )
            )
            _say("\n[[survivor]]\n" + "\n".join(quoted))
        elif result in ("survived", "timeout"):
            _say(f"{result}  {_shown(mutant)}")
        nonlocal told
        if time.monotonic() > told + 30:
            told = time.monotonic()
            so_far = sum(rooms.values(), Counter[str]())
            print(f"{so_far.total()} of {len(mutants)}: {dict(so_far)}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="mu", dir="/tmp") as folder:
        copies = _copies(options.jobs, Path(folder))
        _say(f"{len(mutants)} mutants of {total}")
        places = sorted({place for each in mutants for place in tests_of(each.module)})
        for copy in copies:  # the compiled files: made once, then only read
            subprocess.run([sys.executable, "-m", "compileall", "-q", "src"], cwd=copy, check=True)
            Run(copy, lambda copy=copy: run_pytest(copy, ["--collect-only", *places]), 60, writes=True).wait()
        for mutant, result in run_mutants(mutants, copies):
            report(mutant, result)
    for room in sorted(rooms):
        _say(f"{room:{max(map(len, rooms))}}  {_line(rooms[room])}")
    total_of_all = sum(rooms.values(), Counter[str]())
    _say(f"{_line(total_of_all)}; {total_of_all['timeout']} were killed by the time they took")
    return int(_rate(total_of_all) < FLOOR)


def _rate(results: Counter[str]) -> float:
    """Per cent that were killed, of those that a test can tell from the original."""
    counted = results.total() - results["explained"]
    return 100 * (results["killed"] + results["timeout"]) / counted if counted else 100.0


def _line(results: Counter[str]) -> str:
    killed, counted = results["killed"] + results["timeout"], results.total() - results["explained"]
    return (
        f"{_rate(results):5.1f} %: {killed} of {counted} killed, {results['survived']} survived; "
        f"{results['explained']} more are explained"
    )


if __name__ == "__main__":
    sys.exit(main())
