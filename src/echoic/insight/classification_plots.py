"""Drawings of how classes are confused, as SVG text."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from echoic.insight.plots import as_svg

MOST_CLASSES = 30  # that are drawn with their names and counts


def confusion_plot(confusion: np.ndarray, names: list[str]) -> str:
    """Rows are the true classes, columns the foretold ones; the shade is the share of the row.

    Args:
        confusion: counts, [C, C].
        names: of the classes, C.
    """
    classes = len(names)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = min(9.0, 2.2 + 0.45 * classes)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("foretold")
    axes.set_ylabel("true")
    if classes <= MOST_CLASSES:
        shown = [name if len(name) <= 16 else name[:15] + "…" for name in names]
        axes.set_xticks(range(classes), shown, rotation=45 if max(map(len, shown)) > 3 else 0, ha="right")
        axes.set_yticks(range(classes), shown)
        for row, column in np.argwhere(confusion > 0).tolist():
            colour = "white" if shares[row, column] > 0.55 else "#222222"
            axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return as_svg(figure)
