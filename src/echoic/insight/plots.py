"""Drawings in the house's style, as SVG text that stands in a page by itself."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echoic.insight.gradients import GradientReach

# Okabe and Ito's colours, which people who see colours differently can tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#333333"


def new_figure(width: float = 7.0, height: float = 3.0) -> tuple[Figure, Axes]:
    """A figure with one plot, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(True, color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def as_svg(figure: Figure) -> str:
    """SVG text without date or random names, so that equal runs give equal pages."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "echoic", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def loss_curves(history: Sequence[Mapping[str, Any]]) -> str:
    """Training loss (thin) and validation loss (points) over the steps."""
    figure, axes = new_figure()
    train = [(e["step"], e["loss"]) for e in history if "loss" in e]
    validation = [(e["step"], e["validation"]["loss"]) for e in history if "validation" in e]
    if train:
        axes.plot(*zip(*train, strict=True), color=PALETTE[5], linewidth=1, label="training (single batches)")
    if validation:
        axes.plot(*zip(*validation, strict=True), color=PALETTE[0], marker="o", markersize=3, label="validation")
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("loss", color=INK)
    if train or validation:
        axes.legend(frameon=False, fontsize=9)
    return as_svg(figure)


def learning_rates(history: Sequence[Mapping[str, Any]]) -> str:
    """Learning rate over the steps."""
    figure, axes = new_figure(height=2.0)
    points = [(e["step"], e["learning_rate"]) for e in history if "learning_rate" in e]
    if points:
        axes.plot(*zip(*points, strict=True), color=PALETTE[2])
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("learning rate", color=INK)
    return as_svg(figure)


def gradient_reach(reach: GradientReach) -> str:
    """||dL/dh|| against the lag, logarithmic, a line per layer."""
    figure, axes = new_figure()
    for place, layer in enumerate(reach.layers):
        points = [(lag, norm) for lag, norm in enumerate(layer.norms) if norm > 0]
        colour = PALETTE[place % len(PALETTE)]
        axes.plot(*zip(*points, strict=True), color=colour, label=layer.name)
    if reach.layers:
        axes.set_yscale("log")
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlabel("steps before the last", color=INK)
    axes.set_ylabel("norm of dL/dh", color=INK)
    return as_svg(figure)


def layer_gradients(health: Mapping[str, Any]) -> str:
    """Gradient norm of each layer over the steps, logarithmic."""
    figure, axes = new_figure(height=3.4)
    for place, (name, values) in enumerate(health.get("layers", {}).items()):
        points = [(s, v) for s, v in zip(health["steps"], values, strict=False) if v and v > 0]
        if points:
            style = "-" if place < len(PALETTE) else "--"
            colour = PALETTE[place % len(PALETTE)]
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1, linestyle=style, label=name)
            axes.set_yscale("log")
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("gradient norm", color=INK)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.22))
    return as_svg(figure)
