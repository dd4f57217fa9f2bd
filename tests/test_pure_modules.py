"""What decides is pure, and tested to the last line by tests of its own: no such module can be forgotten.

Three lists agree: what imports nothing that touches the outside (found in the code), what must not
(`pyproject.toml`, which import-linter checks), and what `make coverage` measures (`tools/rooms.py`).
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import grimp
import pytest

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "tools"
CONTRACT = "what decides touches no socket, clock, disk, thread or event loop"

# What imports nothing from outside and decides nothing that could be tested by values alone.
OTHERWISE_TESTED = {
    "onplan._version": "a number",
    "onplan.cli.chat": "the terminal's: tests/cli types and reads on a real one",
    "onplan.cli.logs": "sets up logging, with Python's own handlers",
    "onplan.doctor.certificate": "reads certificates, which tests/doctor makes",
    "onplan.emulator": "plays the services; the official clients are its tests (make interop)",
    "onplan.search.searches": "a shell: what it asks and reads is in onplan.search.request and reply",
    "onplan.search.searches_async": "a shell: what it asks and reads is in onplan.search.request and reply",
    "onplan.stores.vault.errors": "what real servers answer: tests/stores asks one",
    "onplan.transports.base": "what transports have in common; each is asked over sockets",
    "onplan.transports.readiness": "what transports have in common; each is asked over sockets",
    "onplan.transports.tracebacks": "what transports have in common; each is asked over sockets",
}


def _loaded(name: str) -> ModuleType:
    """A module of `tools`, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


ROOMS = _loaded("rooms")


@cache
def graph() -> grimp.ImportGraph:
    """Who imports whom, as import-linter sees it."""
    return grimp.build_graph("onplan", include_external_packages=True, cache_dir=None)


@cache
def contract() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modules that must be pure, and what they must not import."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (found,) = (each for each in linter["contracts"] if each["name"] == CONTRACT)
    return tuple(found["source_modules"]), tuple(found["forbidden_modules"])


def _is_below(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def path_of(module: str) -> str:
    """The path of a module, below `src/onplan`."""
    place = module.partition(".")[2].replace(".", "/")
    package = f"{place}/__init__.py".lstrip("/")
    return package if (ROOT / "src/onplan" / package).exists() else f"{place}.py"


def says_nothing(module: str) -> bool:
    """Whether it is only the docstring of a package, or the names that it exports."""
    return path_of(module).endswith("__init__.py") and (
        len((ROOT / "src/onplan" / path_of(module)).read_text().splitlines()) <= 4 or module == "onplan"
    )


def test_what_is_pure_is_declared_as_pure() -> None:
    """A module that touches nothing must not begin to do so; or it is one that is tested otherwise."""
    declared, forbidden = contract()
    impure: set[str] = set()
    for name in forbidden:
        if name in graph().modules:
            impure |= graph().find_downstream_modules(name)
    pure = {name for name in graph().modules if name.startswith("onplan")} - impure
    known = (*declared, *OTHERWISE_TESTED)

    assert sorted(each for each in pure if not _is_below(each, known) and not says_nothing(each)) == []


def test_what_is_declared_as_pure_is_measured() -> None:
    """In the environment of the tests, or in that of the framework without which it cannot be imported."""
    declared, _ = contract()
    pure = {path_of(name) for name in graph().modules if _is_below(name, declared)}
    measured = {*ROOMS.modules_named([]), *ROOMS.IN_FRAMEWORKS}

    assert sorted(pure - measured) == []


def test_what_is_measured_has_tests_of_its_own() -> None:
    """And each name in the tables is a module, or a folder of modules."""
    modules = ROOMS.modules_named([])
    assert [each for each in modules if not ROOMS.tests_of(each)] == []
    for name in (*ROOMS.MODULES, *ROOMS.PURE, *ROOMS.TESTS, *ROOMS.IN_FRAMEWORKS):
        assert (ROOT / "src/onplan" / name).exists(), name
    for places in (*ROOMS.TESTS.values(), ROOMS.SLOW):
        assert [each for each in places if not (ROOT / each.partition("::")[0]).exists()] == []


def test_only_what_needs_a_framework_is_left_to_its_environment() -> None:
    """The package of such a module imports it; and its row is one that `make frameworks` has."""
    rows = _loaded("frameworks").ROWS
    for name, environment in ROOMS.IN_FRAMEWORKS.items():
        assert environment in rows
        package = (ROOT / "src/onplan" / name).with_name("__init__.py").read_text()
        assert "MissingFrameworkError" in package


@pytest.mark.parametrize("module", sorted(OTHERWISE_TESTED))
def test_each_exception_is_a_module(module: str) -> None:
    """One that is gone, or that is declared as pure by now, is none."""
    assert module in graph().modules
    assert not _is_below(module, contract()[0])
