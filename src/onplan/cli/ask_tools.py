"""Functions of a Python file that the model may call: `onplan ask --tool FILE.py:function`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from onplan.cli.ask_output import call_line
from onplan.cli.control_characters import harmless

if TYPE_CHECKING:
    from onplan.types import ToolCall


def load_tools(names: Sequence[str]) -> list[Callable[..., Any]]:
    """The functions that ``FILE.py:function`` name. Each file is run once. Raises BadParameter."""
    modules: dict[str, ModuleType] = {}
    tools = []
    for name in names:
        path, colon, function = name.rpartition(":")
        if not colon or not path or not function:
            raise _wrong(f"{name} names no function: write FILE.py:function.")
        if path not in modules:
            modules[path] = _run_file(path)
        found = getattr(modules[path], function, None)
        if not callable(found):
            raise _wrong(f"{path} has no function {function}.")
        tools.append(found)
    return tools


def _run_file(path: str) -> ModuleType:
    """The module in a file, which may import those beside it, as a script may."""
    file = Path(path).absolute()
    if not file.is_file():
        raise _wrong(f"There is no file {path}.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise _wrong(f"{path} is no Python file: its name does not end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent))
    sys.modules.setdefault(file.stem, module)  # dataclasses look there for the types of their fields
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _wrong(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _wrong(sentence: str) -> click.BadParameter:
    return click.BadParameter(sentence, param_hint="--tool")


def require_terminal() -> None:
    """Raise UsageError without a terminal, at which a person is asked before a function is called."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            "Approving function calls needs a terminal. --yes calls functions without asking."
        )


class Approval:
    """Asks a person before each call.

    Args:
        ready: is called before, to make room on the terminal.
        unasked: names of tools that are called without asking.
    """

    def __init__(self, ready: Callable[[], object], unasked: Set[str] = frozenset()) -> None:
        self._ready, self._unasked = ready, unasked
        self._always = False

    def __call__(self, call: ToolCall) -> bool | str:
        """Whether the call may be carried out, or what the model is told instead."""
        if self._always or call.name in self._unasked:
            return True
        self._ready()
        question = f"Call {harmless(call_line(call))}? [y]es, [n]o, [a]lways"
        choices = click.Choice(["y", "n", "a"], case_sensitive=False)
        try:
            answer = click.prompt(question, type=choices, show_choices=False, default="n", err=True)
        except click.Abort:
            raise KeyboardInterrupt from None
        self._always = answer == "a"
        return answer != "n" or "The user declined this call."
