"""Docs that cannot lie: every example in them is run, and every path they name exists."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import onplan
from onplan import backends
from onplan.cli.sign_in_notes import PLAN_SIGN_INS
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings
from onplan.emulator import Emulator
from onplan.stores import open_store

from .conftest import issued

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "src/onplan/what-is-permitted.md"]
)


# Where a path in a page may begin: at the root, or in the package.
BASES = (ROOT, ROOT / "src" / "onplan", ROOT / "tests")
# Names of loggers, spans' attributes and metrics, as they stand in the source.
TOLD = {
    name
    for path in (ROOT / "src/onplan").rglob("*.py")
    for name in re.findall(r'"(onplan\.[a-z_.]+)"', path.read_text())
}
FOLDERS = {path.name for base in BASES for path in base.iterdir() if path.is_dir() and path.name[0] != "_"}


@pytest.fixture
def services(signed_in: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """An emulator at which two profiles are signed in, ``default`` and ``plan``, and a platform's key."""
    plan = load_settings(profile="plan", backend="chatgpt-plan")
    open_store(plan.store).save(issued(signed_in.issue_plan_tokens(), plan.issuer), None)
    for settings in (plan, load_settings(profile="default")):
        remember_profile(settings)
    monkeypatch.setenv("ONPLAN_OPENAI_BASE_URL", signed_in.urls["openai_base_url"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-any")
    return signed_in


# Pages whose Python examples need other people's libraries, and are run by the tests of tests/frameworks.
WITH_OTHERS = "docs/integrations/"


def blocks(language: str) -> list[str]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    pages = [page for page in PAGES if not page.startswith(WITH_OTHERS)]
    return [block for page in pages for block in pattern.findall((ROOT / page).read_text())]


@pytest.mark.parametrize("code", blocks("python"))
def test_every_python_example_runs(services: Emulator, code: str) -> None:
    """A Python example, copied into a file, does what it says without an error or a warning."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_every_console_example_runs(services: Emulator) -> None:
    """Every command line of the docs exits with 0."""
    commands = [
        line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")
    ]
    onplan_ = f"{shlex.quote(sys.executable)} -m onplan"

    assert len(commands) > 4
    for command in commands:
        line = re.sub(r"\bonplan (?=[a-z])", f"{onplan_} ", command)
        shell = ["sh", "-c", f"({line}) </dev/null"]
        result = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, f"{command}: {result.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """Relative links and pictures exist."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text())

    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_path_and_name_in_code_marks_exists(page: str) -> None:
    """A page names files and public objects as they are called now; the changelog tells of the past."""
    if page == "CHANGELOG.md":
        pytest.skip("it names what was")
    prose = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    marks = re.findall(r"`([\w./]+)`", prose)
    paths = [mark for mark in marks if mark.split("/")[0] in FOLDERS and "/" in mark]
    names = [mark for mark in marks if mark.startswith("onplan.")]

    assert [mark for mark in paths if not any((base / mark).exists() for base in BASES)] == []
    assert [name for name in names if name not in TOLD and not _is_importable(name)] == []


def _is_importable(name: str) -> bool:
    """Whether ``name`` is a module, or can be reached from one by attributes."""
    module, *attributes = name.split(".")
    found: object = importlib.import_module(module)
    while attributes:
        module = f"{module}.{attributes[0]}"
        with suppress(ModuleNotFoundError):
            importlib.import_module(module)
        found = getattr(found, attributes.pop(0), None)
    return found is not None


def test_the_tree_in_the_architecture_is_the_tree() -> None:
    """ARCHITECTURE.md names every module and folder of the package, and none that is not there."""
    tree = re.search(
        r"^src/onplan/\n(.*?)^```$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert tree
    named = {name.rstrip("/") for name in re.findall(r"\b[a-z_]+(?:\.py\b|/(?=\s))", tree[1])} - {
        "terminal.py"
    }
    package = ROOT / "src" / "onplan"
    there = {
        path.name
        for path in package.iterdir()
        if path.name[0] not in "_."
        and (path.suffix == ".py" or (path.is_dir() and (path / "__init__.py").exists()))
    }

    assert there == named


def test_the_settings_table_names_every_variable() -> None:
    """README lists every ONPLAN_ variable that the modules of config/ read."""
    text = "".join(path.read_text() for path in (ROOT / "src" / "onplan" / "config").glob("*.py"))
    read = set(re.findall(r'"(ONPLAN_[A-Z_]+)"', text)) | {
        row.base_url_variable for row in backends.BACKENDS.values()
    }
    readme = (ROOT / "README.md").read_text()

    assert [name for name in sorted(read) if f"`{name}`" not in readme] == []


def test_the_exit_codes_in_the_readme_are_the_classes() -> None:
    """README's table has the code of every error class but the roots of the tree, and no other of theirs."""
    table = (ROOT / "README.md").read_text().partition("| exit | meaning |")[2].partition("\n\n")[0]
    dash = "\N{EN DASH}"
    cells = re.findall(rf"\| ([\d{dash}, ]+) (?=\|)", table)
    spans = [span.split(dash) for cell in cells for span in cell.split(",")]
    listed = {code for span in spans for code in range(int(span[0]), int(span[-1]) + 1)}
    classes = [value for value in vars(onplan.errors).values() if isinstance(value, type)]
    errors = {error.exit_code for error in classes if issubclass(error, onplan.OnplanError)}
    roots = {29, 39, 49, 59}  # of limits, backends, transports and streams: raised as what they are
    others = {1, 70, 74, 130}  # a reader that has ended, a defect, files and output, Ctrl-C

    assert listed == (errors - roots) | others


def test_the_readme_says_what_login_says_of_each_sign_in() -> None:
    """Both have the same line for each way to sign in with a plan."""
    readme = (ROOT / "README.md").read_text()

    assert [name for name, line in PLAN_SIGN_INS.items() if line not in readme] == []


def test_the_speed_in_the_readme_was_measured() -> None:
    """Each row of README's table stands in docs/speed.md, under the same headings."""
    section = (ROOT / "README.md").read_text().partition("\n## Speed\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    measured = (ROOT / "docs/speed.md").read_text().splitlines()

    assert len(rows) == 5
    assert [row for row in rows if row not in measured] == []


def test_the_strangers_are_named_as_they_are_installed() -> None:
    """docs/emulator.md gives the versions of the clients that `make interop` installs."""
    wanted = re.findall(r"^([\w-]+)", (ROOT / "requirements/strangers.in").read_text(), re.MULTILINE)
    pins = dict(
        re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements/strangers.txt").read_text(), re.MULTILINE)
    )
    programs = r"^(?!PYRIGHT|OPENAI_OAUTH)\w+_VERSIONS? \?= (.+)$"
    by_npm = re.findall(programs, (ROOT / "Makefile").read_text(), re.MULTILINE)
    page = (ROOT / "docs/emulator.md").read_text()

    versions = [pins[name] for name in wanted] + [version for row in by_npm for version in row.split()]
    assert len(versions) == 8
    assert [version for version in versions if version not in page] == []
