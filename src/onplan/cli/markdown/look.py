"""What blocks of Markdown look like at a terminal.

Nothing is hidden: HTML is shown as it is, and links with their addresses, so that the text cannot lead to
another place than it says. Code has no margin and no numbers, so that it can be copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from onplan.cli.control_characters import harmless
from onplan.cli.markdown.blocks import Block

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_PARSER.disable("reference")  # what `[1]: https://…` defines would be used in other blocks, and vanish here
_DEEP = 16  # blocks in blocks; below twenty the parser leaves text out
_CODE_THEME = "ansi_dark"  # the terminal's own sixteen colours, which fit its background
_MOST_COLOURED = 20_000  # characters; lines are short but in what is hardly read, such as data
_EMPTY = Text("")
_HEADINGS = {"h1": "bold underline", "h2": "bold", **dict.fromkeys(("h3", "h4", "h5", "h6"), "bold italic")}
_INLINE = {"em": "italic", "strong": "bold", "s": "strike"}
_NARROW = 6  # columns for each of a table's; below, its rows are written one cell under the other


@dataclass(frozen=True)
class Look:
    """How blocks are drawn.

    Attributes:
        colour: whether there is any; bold and italic are none.
        symbols: whether the terminal has more characters than ASCII.
        style: of all text, such as ``dim``.
    """

    colour: bool = True
    symbols: bool = True
    style: str = ""

    def of(self, blocks: Iterable[Block]) -> Iterator[RenderableType]:
        """What is printed for each of ``blocks``."""
        for block in blocks:
            if block.gap:
                yield _EMPTY
            yield self._block(block)

    def _block(self, block: Block) -> RenderableType:
        if block.kind == "code":
            return Group(*self._code(block))
        source = "\n".join(block.lines)
        tokens = _PARSER.parse(source)
        if any(token.level >= _DEEP for token in tokens):
            return Text(harmless(source), self.style, overflow="fold")
        tree = SyntaxTreeNode(tokens)
        if block.number is not None and tree.children and tree.children[0].type == "ordered_list":
            drawn: RenderableType = self._list(tree.children[0], block.number)
            drawn = Group(drawn, *self._nodes(tree.children[1:]))
        else:
            drawn = Group(*self._nodes(tree.children))
        return Padding(drawn, (0, 0, 0, block.indent), expand=False) if block.indent else drawn

    def _nodes(self, nodes: Sequence[SyntaxTreeNode], *, tight: bool = False) -> Iterator[RenderableType]:
        for index, node in enumerate(nodes):
            if index and not tight:
                yield _EMPTY
            yield self._node(node)

    def _node(self, node: SyntaxTreeNode) -> RenderableType:
        match node.type:
            case "bullet_list" | "ordered_list":
                return self._list(node, int(node.attrs.get("start", 1)))
            case "blockquote":
                return self._quote(node)
            case "fence" | "code_block":
                return Group(*self._code(_code_in(node)))
            case "table":
                return self._table(node)
            case "hr":
                return Text(("─" if self.symbols else "-") * 20, self._style("dim"), overflow="fold")
            case _:
                return self._text(node, _HEADINGS.get(node.tag, "") if node.type == "heading" else "")

    # --- text ---------------------------------------------------------------------------------------

    def _style(self, style: str) -> str:
        return f"{self.style} {style}".strip()

    def _text(self, node: SyntaxTreeNode, style: str = "", justify: JustifyMethod | None = None) -> Text:
        text = Text(style=self._style(style), justify=justify, overflow="fold")
        self._inline(node, text, "")
        return text

    def _inline(self, node: SyntaxTreeNode, text: Text, style: str) -> None:
        for child in node.children:
            match child.type:
                case "inline":
                    self._inline(child, text, style)
                case "softbreak":
                    text.append(" ", style)
                case "hardbreak":
                    text.append("\n")
                case "code_inline" if self.colour:
                    text.append(harmless(child.content), f"{style} cyan")
                case "code_inline":
                    text.append(f"`{harmless(child.content)}`", style)
                case "em" | "strong" | "s":
                    self._inline(child, text, f"{style} {_INLINE[child.type]}".strip())
                case "link" | "image":
                    self._link(child, text, style)
                case _:
                    text.append(harmless(child.content), style)

    def _link(self, node: SyntaxTreeNode, text: Text, style: str) -> None:
        begin = len(text)
        self._inline(node, text, f"{style} underline")
        address = harmless(str(node.attrs.get("href") or node.attrs.get("src") or ""))
        if address.removeprefix("mailto:") != text.plain[begin:]:
            text.append(f" ({address})" if len(text) > begin else address, f"{style} dim")

    # --- blocks -------------------------------------------------------------------------------------

    def _code(self, block: Block) -> Iterator[RenderableType]:
        """Code with its fences, dimmed; its lines are as long as they are, so that they are copied whole."""
        if block.begins:
            yield Text(f"```{harmless(block.language)}", self._style("dim"), overflow="fold")
        if block.lines:
            code = [harmless(line).expandtabs(4) for line in (*block.before, *block.lines)]
            shown = self._coloured("\n".join(code), harmless(block.language)).split("\n", allow_blank=True)
            for line in shown[len(block.before) : len(code)]:
                line.overflow, line.no_wrap = "fold", False
                yield _Code(line)
        if block.ends:
            yield Text("```", self._style("dim"))

    def _coloured(self, code: str, language: str) -> Text:
        if not self.colour or not language or len(code) > _MOST_COLOURED:
            return Text(code, self.style)
        text = Syntax(code, language, theme=_CODE_THEME, background_color="default").highlight(code)
        text.style = self.style
        return text

    def _quote(self, node: SyntaxTreeNode) -> RenderableType:
        bar = "│ " if self.symbols else "| "
        return _Beside(Group(*self._nodes(node.children)), bar, bar, self._style("dim"))

    def _list(self, node: SyntaxTreeNode, number: int) -> RenderableType:
        items = []
        width = len(str(number + len(node.children) - 1))
        for index, item in enumerate(node.children):
            if node.type == "ordered_list":
                mark = f"{number + index:>{max(width, 2)}}. "
            else:
                mark = " • " if self.symbols else " - "
            tight = all(child.hidden for child in item.children if child.type == "paragraph")
            content = Group(*self._nodes(item.children, tight=tight)) if item.children else _EMPTY
            items.append(_Beside(content, mark, " " * len(mark), self._style("")))
        return Group(*items)

    def _table(self, node: SyntaxTreeNode) -> RenderableType:
        rows = [row for part in node.children for row in part.children]
        cells = [[self._cell(cell) for cell in row.children] for row in rows]
        return _Table(cells, box.SIMPLE_HEAD if self.symbols else box.ASCII2, self._style(""))

    def _cell(self, cell: SyntaxTreeNode) -> Text:
        align = str(cell.attrs.get("style", "")).rpartition(":")[2]
        justify: JustifyMethod = "right" if align == "right" else "center" if align == "center" else "left"
        return self._text(cell, "bold" if cell.type == "th" else "", justify)


def _code_in(node: SyntaxTreeNode) -> Block:
    """Code inside of another block."""
    lines = harmless(node.content).rstrip("\n").split("\n")
    language = node.info.split()[0] if node.info.strip() else ""
    return Block("code", tuple(lines), gap=False, language=language)


@dataclass
class _Code:
    """A line of code. It is broken by the terminal, and not by line ends that would be copied."""

    line: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.line.render(console, end="\n")


@dataclass
class _Beside:
    """Something with a mark before its first line, and another one before the others."""

    content: RenderableType
    first: str
    rest: str
    style: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - cell_len(self.first), 2)  # a wide character has two
        style = Style.parse(self.style)
        lines = console.render_lines(self.content, options.update(width=width), pad=False)
        for index, line in enumerate(lines):
            yield Segment(self.rest if index else self.first, style)
            yield from line
            yield Segment.line()


@dataclass
class _Table:
    """A table; on a narrow terminal each row is a list of its cells."""

    rows: list[list[Text]]
    box: box.Box
    style: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head, *rows = self.rows
        if options.max_width < _NARROW * len(head):
            for number, row in enumerate(rows):
                if number:
                    yield _EMPTY
                for name, cell in zip(head, row, strict=False):
                    yield Text.assemble(name, ": ", cell, style=self.style, overflow="fold")
            return
        table = Table(box=self.box, show_edge=False, pad_edge=False, style=self.style)
        for cell in head:
            table.add_column(cell, justify=cell.justify or "left", overflow="fold")
        for row in rows:
            table.add_row(*row[: len(head)])
        yield table
