"""Bars on a logarithmic scale: as SVG, and as characters on a terminal. No plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

Kind = Literal["ours", "limit", "other"]


@dataclass(frozen=True)
class Bar:
    """One figure. ``note`` stands at its end."""

    label: str
    value: float
    note: str
    kind: Kind


@dataclass(frozen=True)
class Panel:
    """Bars that are compared with each other; the shorter, the better."""

    title: str
    unit: str
    bars: Sequence[Bar]

    @property
    def scale(self) -> tuple[int, int]:
        """The powers of ten that hold every bar."""
        values = [bar.value for bar in self.bars]
        low = math.floor(math.log10(min(values)) - 0.05)  # the shortest is to be seen, too
        return low, math.ceil(math.log10(max(values)))

    def share(self, value: float) -> float:
        """How far a value reaches, from 0 to 1."""
        low, high = self.scale
        return (math.log10(value) - low) / (high - low)


# --- on a terminal ----------------------------------------------------------------------------------

_EIGHTHS = " ▏▎▍▌▋▊▉"


def as_text(panels: Sequence[Panel], width: int = 40) -> str:
    """Bars of at most ``width`` characters."""
    blocks = []
    for panel in panels:
        label = max(len(bar.label) for bar in panel.bars)
        rows = [
            f"{bar.label:<{label}}  {_blocks(panel.share(bar.value), width)} {bar.note}" for bar in panel.bars
        ]
        blocks.append("\n".join([f"{panel.title} ({panel.unit}; logarithmic, shorter is better)", "", *rows]))
    return "\n\n".join(blocks)


def _blocks(share: float, width: int) -> str:
    whole, eighths = divmod(round(share * width * 8), 8)
    return "█" * whole + _EIGHTHS[eighths].strip()


# --- as SVG -----------------------------------------------------------------------------------------

_WIDTH, _LEFT, _RIGHT, _ROW, _HEAD, _FOOT, _MARGIN = 860, 290, 130, 24, 44, 30, 16

# Its own background, so that it can be read on any page; the reader's scheme chooses the colours.
_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 14px }
  .quiet { fill: #59636e; font-size: 11px }
  .strong { font-weight: 600 }
  .page { fill: #ffffff; stroke: #d1d9e0 }
  .grid { stroke: #d1d9e0; stroke-dasharray: 2 3 }
  .ours { fill: #1a7f37 } .limit { fill: #afb8c1 } .other { fill: #6e92c4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .page { fill: #0d1117; stroke: #3d444d }
    .grid { stroke: #3d444d }
    .ours { fill: #3fb950 } .limit { fill: #656c76 } .other { fill: #4f7ab8 }
  }"""


def as_svg(panels: Sequence[Panel], title: str, description: str) -> str:
    """A picture whose words are text."""
    parts: list[str] = []
    top = _MARGIN
    for panel in panels:
        parts += _panel(panel, top)
        top += _HEAD + _ROW * len(panel.bars) + _FOOT
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(description)}</desc>",
        f"<style>{_STYLE}\n</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{top - 1}" rx="8"/>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    low, high = panel.scale
    room = _WIDTH - _LEFT - _RIGHT
    first, last = top + _HEAD, top + _HEAD + _ROW * len(panel.bars)
    parts = [
        _text(_MARGIN, top + 16, panel.title, "title"),
        _text(_MARGIN, top + 33, f"{panel.unit}; logarithmic scale, shorter is better", "quiet"),
    ]
    for power in range(low, high + 1):
        x = _LEFT + room * (power - low) / (high - low)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{first}" x2="{x:.1f}" y2="{last}"/>')
        parts.append(_text(x, last + 14, f"{10.0**power:g}", "quiet", anchor="middle"))
    for row, bar in enumerate(panel.bars):
        y, length = first + row * _ROW, room * panel.share(bar.value)
        strong = "strong" if bar.kind == "ours" else ""
        parts += [
            _text(_LEFT - 8, y + 16, bar.label, strong, anchor="end"),
            f'<rect class="{bar.kind}" x="{_LEFT}" y="{y + 4}" width="{length:.1f}" height="16" rx="2"/>',
            _text(_LEFT + length + 6, y + 16, bar.note, strong),
        ]
    return parts


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "start") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
