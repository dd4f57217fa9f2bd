"""onplan uses nothing that another library keeps private, so an update of it breaks nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import onplan

SOURCES = sorted(Path(onplan.__file__).parent.rglob("*.py"))

# Private names that are used all the same, and why they may be.
ATTRIBUTES = {
    "_exit": "of os: documented, for a child process after a fork",
    "_hidden_params": "of LiteLLM's answers: its documentation says to read there what a provider adds",
    "_replace": "of named tuples: documented, and underscored only to leave room for the fields' names",
}
# Of onplan's own classes, by the one module that may use them.
OWN = {
    ("async_client_parts.py", "_assembly"),  # of the client, for the service and the integrations
    ("async_client_parts.py", "_context"),
    ("async_client_parts.py", "_transport"),
    ("base.py", "_compacted_by"),  # of the clients, for their conversations
    ("base.py", "_context"),
    ("client_parts.py", "_assembly"),  # of the client, for the command line and the doctor
    ("client_parts.py", "_list_models"),
    ("client_parts.py", "_run"),
    ("client_parts.py", "_settings"),  # of conversations, for the command line
}
OVERRIDDEN = {
    "_create_connection": "of aiohttp.BaseConnector: its reference names it for subclasses to define",
    "_abc_impl": "of abc.ABCMeta, which gives one to each of its classes",
    **dict.fromkeys(
        (
            *("_generate", "_agenerate", "_stream", "_astream", "_llm_type", "_identifying_params"),
            *("_get_ls_params", "_resolve_model_profile"),
        ),
        "of langchain_core's BaseChatModel: its reference names it for subclasses to define",
    ),
    "_prepare_chat_with_tools": "of llama_index's FunctionCallingLLM: abstract, for subclasses to define",
}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def names_defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=ast.Tuple(elts=elements)):
                yield from (str(ast.literal_eval(element)) for element in elements)


def private_uses(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Line, name, and whether the object is the method's own ``self`` or ``cls``."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, lineno=line) if is_private(name):
                yield line, name, True
            case ast.Attribute(attr=name, lineno=line) if is_private(name):
                yield line, name, False
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[_, ast.Constant(value=str(name)), *_],
                lineno=line,
            ) if is_private(name):
                yield line, name, False


def test_no_private_attribute_of_another_library_is_used() -> None:
    """A private attribute is defined in the same module, or is read on ``self`` and is onplan's."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    defined = {path: set(names_defined(tree)) for path, tree in trees.items()}
    anywhere = set[str]().union(*defined.values())

    found = [
        f"{path.name}:{line}: {name}"
        for path, tree in trees.items()
        for line, name, on_itself in private_uses(tree)
        if name not in (anywhere if on_itself else defined[path])
        and name not in ATTRIBUTES
        and (path.name, name) not in OWN
    ]

    assert found == []


def test_nothing_private_of_another_library_is_imported() -> None:
    """No import names a private module of another library, or a private name in one."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    parts = [part for each in names for part in each.name.split(".")]
                case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] != "onplan":
                    parts = [*module.split("."), *(each.name for each in names)]
                case _:
                    continue
            found += [f"{path.name}:{node.lineno}: {part}" for part in parts if is_private(part)]

    assert found == []


@pytest.mark.parametrize("module", [each.name for each in pkgutil.walk_packages(onplan.__path__, "onplan.")])
def test_no_class_overrides_what_is_private_to_its_base(module: str) -> None:
    """A class that inherits from another library's defines nothing by a name that is private there."""
    if module == "onplan.__main__":
        return
    if module.startswith("onplan.integrations."):
        pytest.importorskip(module)  # needs its framework: those have these tests, too (make frameworks)
    classes = [
        each
        for each in vars(importlib.import_module(module)).values()
        if inspect.isclass(each) and each.__module__ == module
    ]

    found = [
        f"{each.__qualname__}.{name} hides that of {base.__module__}.{base.__qualname__}"
        for each in classes
        for name in vars(each)
        for base in each.__mro__[1:]
        if is_private(name) and name in vars(base) and name not in OVERRIDDEN
        if base.__module__.partition(".")[0] not in {"onplan", *sys.stdlib_module_names}
    ]

    assert found == []
