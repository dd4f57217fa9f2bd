"""Assemble the sources of the documentation site in one folder, for Sphinx to read.

    PYTHONPATH=src python tools/docs/assemble.py FOLDER

Sphinx reads one folder. Here the pages lie where people look for them (README.md, CONTRIBUTING.md, docs/…)
and link to each other as files of the repository do. So they are copied side by side with their links
rewritten, and a reference is added that names everything which `onplan` and `onplan.emulator` export. Both
are imported to see which of their names are classes.
"""

from __future__ import annotations

import ast
import posixpath
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import isfunction
from pathlib import Path
from typing import is_typeddict

ROOT = Path(__file__).parent.parent.parent

# The pages in the order of the site's menu. A page of docs/ that is missing here fails the build.
MENU = {
    "Use it": [
        "docs/python.md",
        "docs/structured.md",
        "docs/tools.md",
        "docs/search.md",
        "docs/images.md",
        "docs/conversations.md",
        "docs/terminal.md",
        "docs/run.md",
        "docs/batch.md",
        "docs/server.md",
        "docs/usage.md",
        "docs/comparison.md",
        "docs/parameters.md",
        "docs/clients.md",
        "docs/backends.md",
        "docs/chatgpt-plan.md",
        "docs/stores.md",
        "docs/signed-in.md",
        "docs/network.md",
        "docs/observability.md",
        "src/onplan/what-is-permitted.md",
        "docs/glossary.md",
        "docs/speed.md",
    ],
    "Keep your framework": [
        "docs/integrations/openai.md",
        "docs/integrations/agents.md",
        "docs/integrations/pydantic-ai.md",
        "docs/integrations/instructor.md",
        "docs/integrations/smolagents.md",
        "docs/integrations/langchain.md",
        "docs/integrations/llm.md",
        "docs/integrations/litellm.md",
        "docs/integrations/llama-index.md",
        "docs/integrations/dspy.md",
        "docs/integrations/haystack.md",
        "docs/integrations/agno.md",
        "docs/integrations/agent-framework.md",
    ],
    "Test with it": ["docs/emulator.md"],
    "Work on it": [
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "docs/decisions/README.md",
        "docs/protocol.md",
        "docs/policy.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ],
}

# The pages of the reference: title, and the modules whose public names it has, in this order. A public name
# of any other module fails the build.
REFERENCE = {
    "clients": (
        "Clients",
        (
            "client",
            "async_client",
            "streams",
            "assembly",
            "providers",
            "turn",
            "transports",
            "parameters",
            "telemetry",
            "token_estimate",
        ),
    ),
    "tools": ("Tools and runs", ("tools",)),
    "images": ("Images", ("images",)),
    "search": ("Web search", ("search",)),
    "batches": ("Many prompts", ("batches",)),
    "conversations": ("Conversations", ("conversation",)),
    "plan": ("What the plan has left", ("plan",)),
    "types": ("Types", ("types",)),
    "errors": ("Errors", ("errors",)),
    "stores": ("Stores", ("stores", "tokens")),
    "emulator": ("Emulator", ("emulator",)),
}

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()((?!https?:|mailto:|#)[^)#\s]+)")


def assemble(folder: Path) -> None:
    """Write every page, picture and the reference into `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    decisions = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    pages = {page for group in MENU.values() for page in group} | {"README.md"}
    pages |= {f"docs/decisions/{name}" for name in decisions}
    written = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/integrations").glob("*.md")]
    forgotten = {path.relative_to(ROOT).as_posix() for path in written} - pages
    if forgotten:
        raise SystemExit(f"tools/docs/assemble.py: MENU does not have {', '.join(sorted(forgotten))}")
    for page in pages:
        _write(folder / _place(page), _relinked(page, folder, pages))
    _write(folder / "index.md", (folder / "README.md").read_text("utf-8") + _menu())
    (folder / "README.md").unlink()
    index = folder / "decisions/README.md"
    _write(index, index.read_text("utf-8") + _toctree(decisions))
    _write_reference(folder / "reference")
    shutil.copy(Path(__file__).parent / "conf.py", folder)


def _place(page: str) -> str:
    """Where the site has a page of the repository: docs/ and the root become one folder."""
    return page.removeprefix("src/onplan/").removeprefix("docs/")


def _relinked(page: str, folder: Path, pages: set[str]) -> str:
    """The text of a page, its links led to the site's places; a file that is linked to is copied there."""
    here = posixpath.dirname(_place(page))

    def relink(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), match[2]))
        if target == "src/onplan/errors.py":
            place = "reference/errors.rst"
        elif target == "README.md":
            place = "index.md"
        elif target in pages:
            place = _place(target)
        else:
            if not (ROOT / target).is_file():
                raise SystemExit(f"{page} links to {match[2]}, which is no file")
            place = _place(target) if target.startswith("docs/") else f"files/{target}"
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / target, folder / place)
        return match[1] + posixpath.relpath(place, here or ".")

    text = (ROOT / page).read_text("utf-8")
    prose = [LINK.sub(relink, part) for part in FENCE.split(text)]
    return "".join(part + fence for part, fence in zip(prose, [*FENCE.findall(text), ""], strict=True))


def _menu() -> str:
    """The tables of contents that become the menu; none of them is shown on the page itself."""
    groups = {caption: [_place(page) for page in pages] for caption, pages in MENU.items()}
    groups["Reference"] = [f"reference/{name}.rst" for name in REFERENCE]
    return "".join(_toctree(pages, f":caption: {caption}") for caption, pages in groups.items())


def _toctree(pages: list[str], *options: str) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:", *options, "", *pages, "```", ""])


def _write_reference(folder: Path) -> None:
    names = [*_imported("__init__.pyi", "onplan"), *_imported("emulator/__init__.py", "onplan.emulator")]
    for page, (title, modules) in REFERENCE.items():
        shown = [(module, name) for module, name in names if module.split(".")[1] in modules]
        shown.sort(key=lambda pair: modules.index(pair[0].split(".")[1]))
        names = [pair for pair in names if pair not in shown]
        lines = [title, "=" * len(title), ""]
        if page == "errors":
            lines += [".. automodule:: onplan.errors", "   :no-members:", ""]
        for _, name in shown:
            package = "onplan.emulator" if page == "emulator" else "onplan"
            lines += _entry(name, package)
        if page == "clients":
            lines += _entry("CommonOptions", "onplan.assembly")  # which the options of each client extend
        _write(folder / f"{page}.rst", "\n".join(lines))
    if names:
        raise SystemExit(f"tools/docs/assemble.py: REFERENCE has no page for {names}")


def _entry(name: str, package: str) -> list[str]:
    """One public name, under the package that people import it from."""
    value = getattr(import_module(package), name)
    kind = "class" if isinstance(value, type) else "function" if isfunction(value) else "data"
    lines = [name, "-" * len(name), "", f".. auto{kind}:: {package}.{name}"]
    if is_typeddict(value):  # its keys, without how a dict is made
        lines += ["   :exclude-members: __init__, __new__"]
    return [*lines, ""]


def _imported(stub: str, package: str) -> Iterator[tuple[str, str]]:
    """Module and name of each public name that a package re-exports, in the order of its file."""
    for node in ast.parse((ROOT / "src/onplan" / stub).read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            yield from ((str(node.module), alias.name) for alias in node.names if alias.name[0] != "_")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
