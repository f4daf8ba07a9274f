"""report.html: one self-contained page that tells someone who did not run it what a training reached, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import jinja2

from echoic.insight import plots
from echoic.insight.gradients import GradientReach
from echoic.metrics.directions import HIGHER, NEUTRAL, headline


@dataclass
class Section:
    """One section of a report.

    title: heading.
    text: paragraphs in plain words, for someone who did not run it. Escaped by the report.
    tables: (caption, header, rows) each.
    figures: (caption, SVG text) each, drawn by ``insight.plots``.
    preformatted: blocks shown as they are (samples of text). Escaped by the report.
    """

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    preformatted: list[str] = field(default_factory=list)


@dataclass
class ReportContent:
    """Everything a report shows.

    metrics: as in metrics.json.
    history, health: of the training (see ``training.outcome.Outcome``).
    reach: how far back the gradient goes.
    sections: the task's own.
    notices: what was done on the user's behalf.
    config: as in config.json.
    """

    title: str
    task: str
    command: str
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    health: dict[str, Any]
    reach: GradientReach
    sections: list[Section]
    notices: list[str]
    config: dict[str, Any]


def render_report(content: ReportContent) -> str:
    """The page as HTML text. All words are escaped; only the drawings made here are not."""
    scored = content.metrics["test"] or content.metrics["validation"]
    columns = {"model": scored, **content.metrics["baselines"]}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(
        resources.files("echoic.insight").joinpath("page.html").read_text(encoding="utf-8")
    )
    return template.render(
        c=content,
        data_name=_data_name(content.config),
        verdict=verdict(scored, content.metrics["baselines"]),
        scored_on="the test part" if content.metrics["test"] else "the validation part (there is no test part)",
        columns=[name.replace("_", " ") for name in columns],
        rows=list(_rows(columns)),
        facts=_facts(content.metrics),
        curves=plots.loss_curves(content.history),
        rates=plots.learning_rates(content.history),
        reach=plots.gradient_reach(content.reach),
        reach_words=[layer.verdict for layer in content.reach.layers],
        reach_rows=content.reach.rows,
        layers=plots.layer_gradients(content.health),
        clipped=f"{content.health.get('clipped_share', 0.0):.0%}",
        settings=list(_flat({k: content.config[k] for k in ("settings", "data", "versions") if k in content.config})),
    )


def verdict(scored: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]) -> str:
    """One sentence: the headline metric, and who wins."""
    name = headline({k: v for k, v in scored.items() if not baselines or any(k in b for b in baselines.values())})
    if name is None:
        return "No metric could be computed."
    value, label = scored[name], name.replace("_", " ")
    rivals = {method: m[name] for method, m in baselines.items() if m.get(name) is not None}
    if not rivals:
        return f"{label} {value:.4g}."
    choose = max if name in HIGHER else min
    method = choose(rivals, key=rivals.__getitem__)
    other = rivals[method]
    distance = abs(value - other) / abs(other) if other else 0.0
    wins = value > other if name in HIGHER else value < other
    rival = method.replace("_", " ")
    if value == other:
        return f"{label} {value:.4g}: no better and no worse than the best baseline, {rival}."
    if wins:
        return f"{label} {value:.4g}: beats the best baseline, {rival} ({other:.4g}), by {distance:.1%}."
    return f"{label} {value:.4g}: the baseline wins. {rival} reaches {other:.4g}, which is better by {distance:.1%}."


def _rows(columns: Mapping[str, Mapping[str, float]]) -> Iterator[dict[str, Any]]:
    names = list(dict.fromkeys(name for metrics in columns.values() for name in metrics))
    for name in names:
        values = [metrics.get(name) for metrics in columns.values()]
        known = [v for v in values if v is not None and v == v]
        best = None
        if len(known) > 1 and name not in NEUTRAL:
            best = max(known) if name in HIGHER else min(known)
        cells = [{"text": "" if v is None else f"{v:.4g}", "best": best is not None and v == best} for v in values]
        yield {"name": name.replace("_", " "), "cells": cells}


def _facts(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    minutes, seconds = divmod(round(metrics["seconds"]), 60)
    return [
        ("training time", f"{minutes} min {seconds} s"),
        ("parameters", f"{metrics['parameters']:,}"),
        ("updates", f"{metrics['steps']:,}"),
        ("waiting for data", f"{metrics['loader_share']:.1%} of the time"),
        ("padding", f"{metrics['padding_share']:.1%} of the steps"),
    ]


def _data_name(config: Mapping[str, Any]) -> str:
    data = config.get("data", {})
    return str(data.get("path") or f"data in memory ({data.get('kind', 'table')})")


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(value)
