"""Attention drawn: a square for each symbol written and each of the source, the darker the more it was looked at.

Written as SVG by hand, since the words may be of any script, and the reader's browser has the letters for it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

SQUARE, FONT = 18, 12  # pixels
WIDE = 0.62  # of the font's size that a letter takes, on the wide side
LONGEST = 60  # symbols of either side that are drawn
COLOUR = "#1f5a96"


def attention_plot(source: Sequence[str], written: Sequence[str], weights: np.ndarray) -> str:
    """Columns are symbols of the source, rows those written; the numbers stand in the squares' titles.

    Args:
        source: each symbol as text, S.
        written: each symbol as text, T.
        weights: [T, S]; rows add up to one.
    """
    source, written = [_name(s) for s in source[:LONGEST]], [_name(s) for s in written[:LONGEST]]
    left, top = (8 + max((_width(name) for name in names), default=0) for names in (written, source))
    width, height = left + SQUARE * len(source) + 4, top + SQUARE * len(written) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" style="max-width: 100%; font: {FONT}px sans-serif" fill="currentColor">'
    ]
    for column, name in enumerate(source):
        x = left + SQUARE * (column + 0.5) + FONT / 3
        parts.append(f'<text transform="translate({x:.1f} {top - 4:.0f}) rotate(-90)">{html.escape(name)}</text>')
    for row, name in enumerate(written):
        y = top + SQUARE * (row + 0.5) + FONT / 3
        parts.append(f'<text x="{left - 4:.1f}" y="{y:.1f}" text-anchor="end">{html.escape(name)}</text>')
        for column, looked in enumerate(source):
            share = float(weights[row, column])
            title = html.escape(f"{name} looks at {looked}: {share:.2f}")
            parts.append(
                f'<rect x="{left + SQUARE * column:.1f}" y="{top + SQUARE * row:.1f}" width="{SQUARE - 1}" '
                f'height="{SQUARE - 1}" fill="{COLOUR}" fill-opacity="{min(1.0, share):.3f}">'
                f"<title>{title}</title></rect>"
            )
    frame = (left - 0.5, top - 0.5, SQUARE * len(source), SQUARE * len(written))
    box = " ".join(f'{n}="{v:.1f}"' for n, v in zip(("x", "y", "width", "height"), frame, strict=True))
    parts.append(f'<rect {box} fill="none" stroke="currentColor" stroke-opacity="0.3"/></svg>')
    return "".join(parts)


def _name(symbol: str) -> str:
    """A symbol as it is shown: a blank within is seen, a long one is cut."""
    symbol = symbol.strip() or "␣"
    return symbol if len(symbol) <= 20 else symbol[:19] + "…"


def _width(name: str) -> float:
    """Pixels that a name takes; letters of wide scripts take the whole of the font's size."""
    return FONT * sum(1.0 if ord(letter) > 0x2E80 else WIDE for letter in name)
