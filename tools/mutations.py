"""The small changes that `tools/mutate.py` makes to a module, found in its syntax tree.

Not changed, because no test could or should tell: docstrings and other text with a space in it (words for
people), annotations, type aliases, imports, `__all__`, decorators, the keywords of a class, what is inside
an f-string, the characters that `strip` takes away, the names of loggers, and what is logged for debugging.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Modules whose constants were fitted to measurements: one more or less is as good, so they are doubled.
FITTED = ("request/token_counts.py",)

_SWAPPED: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.FloorDiv,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
# Methods without which the value is still of the same type.
_PLAIN = {"strip", "lstrip", "rstrip", "lower", "upper", "casefold", "removeprefix", "removesuffix", "copy"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change to one module.

    Attributes:
        module: its path below `src/onplan`.
        function: the qualified name of the function that it is in; empty at module level.
        lines: the first and the last line of what may run only if the changed place runs.
        span: where the changed text begins and ends, in bytes of the file.
        text: what stands there instead.
        at_import: the place runs when the module is imported, not in a test.
    """

    module: str
    function: str
    lines: tuple[int, int]
    span: tuple[int, int]
    text: str
    at_import: bool

    def apply(self, source: bytes) -> bytes:
        """The module's text with the change made."""
        return source[: self.span[0]] + self.text.encode() + source[self.span[1] :]

    def diff(self, source: bytes) -> tuple[str, str]:
        """The whole lines that change: as they were and as they are, with single spaces."""
        start = source.rfind(b"\n", 0, self.span[0]) + 1
        end = source.find(b"\n", self.span[1])
        changed = source[start : self.span[0]] + self.text.encode() + source[self.span[1] : end]
        return _squeezed(source[start:end]), _squeezed(changed)


def _squeezed(text: bytes) -> str:
    return " ".join(text.decode().split())


def mutants_of(root: Path, module: str) -> list[Mutant]:
    """Every change that is made to a module, in the order of its text; `module` as in `Mutant`."""
    source = (root / "src" / "onplan" / module).read_bytes()
    found = {(each.span, each.text): each for each in _Finder(source, module).visit_all()}
    return sorted(found.values(), key=lambda each: (each.span, each.text))


class _Finder:
    def __init__(self, source: bytes, module: str) -> None:
        self._source, self._module = source, module
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._names: list[str] = []
        self._depth = 0  # of functions

    def visit_all(self) -> Iterator[Mutant]:
        yield from self._body(ast.parse(self._source).body)

    # --- statements ---

    def _body(self, statements: list[ast.stmt]) -> Iterator[Mutant]:
        for statement in statements:
            yield from self._statement(statement)

    def _statement(self, node: ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                defaults = [each for each in (*node.args.defaults, *node.args.kw_defaults) if each]
                for default in defaults:
                    yield from self._expression(default, node)
                yield from self._inside(node.name, node.body, function=True)
            case ast.ClassDef():
                yield from self._inside(node.name, node.body, function=False)
            case (
                ast.Import()
                | ast.ImportFrom()
                | ast.Global()
                | ast.Nonlocal()
                | ast.Pass()
                | ast.Expr(value=ast.Constant())  # a docstring, or three dots
                | ast.If(test=ast.Name(id="TYPE_CHECKING"))
                | ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")])
                | ast.AnnAssign(annotation=ast.Name(id="TypeAlias"))
                | ast.Expr(value=ast.Call(func=ast.Name(id="assert_never")))
                | ast.Expr(
                    value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr="debug" | "info"))
                )
            ):
                return
            case _:
                yield from self._removed(node)
                yield from self._parts(node)

    def _inside(self, name: str, body: list[ast.stmt], *, function: bool) -> Iterator[Mutant]:
        self._names.append(name)
        self._depth += function
        yield from self._body(body)
        self._depth -= function
        self._names.pop()

    def _removed(self, node: ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.Return(value=None):
                yield self._mutant(node, "pass", node)
            case ast.Return(value=ast.Constant(value=None | False)):  # a caller can hardly tell them apart
                return
            case ast.Return():
                yield self._mutant(node, "return None", node)
            case ast.Continue() | ast.Break():
                yield self._mutant(node, "pass", node)
            case ast.Assign(targets=targets) if any(
                not isinstance(each, ast.Name | ast.Tuple) for each in targets
            ):
                yield self._mutant(node, "pass", node)
            case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Assert():
                yield self._mutant(node, "pass", node)

    def _parts(self, node: ast.stmt) -> Iterator[Mutant]:
        """The expressions and statements that a statement consists of."""
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "type_comment"):
                continue
            for part in value if isinstance(value, list) else [value]:
                match part:
                    case ast.stmt():
                        yield from self._statement(part)
                    case ast.excepthandler():
                        yield from self._body(part.body)
                    case ast.match_case():
                        if part.guard:
                            yield from self._condition(part.guard, node)
                        yield from self._expression(part.pattern, node)
                        yield from self._body(part.body)
                    case ast.expr() if name == "test":
                        yield from self._condition(part, node)
                    case ast.AST():
                        yield from self._expression(part, node)

    # --- expressions ---

    def _condition(self, node: ast.expr, within: ast.stmt) -> Iterator[Mutant]:
        """A condition, also turned round, where nothing in it is turned round by itself."""
        turned = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        one = isinstance(node, ast.Compare) and len(node.ops) == 1
        if not turned and not one:
            yield self._mutant(node, f"(not ({self._text(node)}))", within)
        yield from self._expression(node, within)

    def _expression(self, node: ast.AST, within: ast.stmt) -> Iterator[Mutant]:  # noqa: C901, PLR0912
        match node:
            case ast.JoinedStr():
                return
            case ast.Constant():
                yield from self._constant(node, within)
            case ast.Call(func=ast.Name(id="cast" | "TypeVar" | "NewType" | "NamedTuple")):
                for argument in node.args[1:]:
                    yield from self._expression(argument, within)
                return
            case ast.Subscript(value=ast.Name(id="Literal")):
                return
            case ast.Call(func=ast.Attribute(value=ast.Name(id="logging"), attr="getLogger")):
                return
            case ast.Compare():
                for index, op in enumerate(node.ops):
                    for other in _SWAPPED.get(type(op), ()):
                        ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
                        changed = ast.Compare(node.left, ops, node.comparators)  # type: ignore[arg-type]
                        yield self._mutant(node, f"({ast.unparse(changed)})", within)
            case ast.BoolOp():
                (other,) = _SWAPPED[type(node.op)]
                changed = ast.BoolOp(other(), node.values)  # type: ignore[arg-type]
                yield self._mutant(node, f"({ast.unparse(changed)})", within)
                for index in range(len(node.values)):
                    rest = [*node.values[:index], *node.values[index + 1 :]]
                    kept = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
                    yield self._mutant(node, f"({ast.unparse(kept)})", within)
            case ast.UnaryOp(op=ast.Not()):
                yield self._mutant(node, f"({self._text(node.operand)})", within)
            case ast.UnaryOp(op=ast.USub()):
                yield self._mutant(node, f"({self._text(node.operand)})", within)
            case ast.BinOp():
                for other in _SWAPPED.get(type(node.op), ()):
                    changed = ast.BinOp(node.left, other(), node.right)  # type: ignore[arg-type]
                    yield self._mutant(node, f"({ast.unparse(changed)})", within)
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _PLAIN:
                yield self._mutant(node, self._text(value), within)
                if attr.endswith("strip"):  # one character more makes no difference
                    yield from self._expression(value, within)
                    return
        yield from self._children(node, within)

    def _children(self, node: ast.AST, within: ast.stmt) -> Iterator[Mutant]:
        conditions = [node.test] if isinstance(node, ast.IfExp) else []
        if isinstance(node, ast.comprehension):
            conditions = node.ifs
        for child in ast.iter_child_nodes(node):
            if child in conditions:
                yield from self._condition(child, within)  # type: ignore[arg-type]
            elif not isinstance(child, ast.arg):
                yield from self._expression(child, within)

    def _constant(self, node: ast.Constant, within: ast.stmt) -> Iterator[Mutant]:
        match node.value:
            case bool(value):
                yield self._mutant(node, repr(not value), within)
            case int(value) | float(value) if self._module in FITTED and not self._depth:
                if value:
                    yield self._mutant(node, repr(value * 2), within)
            case int(value) | float(value):
                yield self._mutant(node, repr(value + 1), within)
                if value > 1:
                    yield self._mutant(node, repr(value - 1), within)
            case str(value) | bytes(value) if not value or (
                not value[:-1].split()[1:] and not value[-1:].isspace()
            ):
                changed = "XX" if isinstance(value, str) else b"XX"
                yield self._mutant(node, repr(value + changed), within)  # type: ignore[operator]

    # --- the change ---

    def _offset(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def _span(self, node: ast.AST) -> tuple[int, int]:
        first = self._offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return first, self._offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _text(self, node: ast.AST) -> str:
        first, last = self._span(node)
        return self._source[first:last].decode()

    def _mutant(self, node: ast.AST, text: str, within: ast.stmt) -> Mutant:
        lines = (node.lineno, node.end_lineno)  # type: ignore[attr-defined]
        at_import = not self._depth or isinstance(within, ast.FunctionDef | ast.AsyncFunctionDef)
        if not isinstance(
            within, ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.Try | ast.Match
        ):
            lines = (within.lineno, lines[1])
        return Mutant(self._module, ".".join(self._names), lines, self._span(node), text, at_import)
