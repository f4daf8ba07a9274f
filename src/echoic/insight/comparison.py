"""Runs side by side: what differs in their options first, then what they reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Comparison:
    """A table with a column per run.

    options: options whose values differ, name to the value of each run.
    metrics: name to the value of each run on its test part (or validation); None where a run has it not.
    """

    runs: list[str]
    options: dict[str, list[Any]]
    metrics: dict[str, list[float | None]]

    @property
    def header(self) -> list[str]:
        """Head of the table for reading."""
        return ["", *self.runs]

    @property
    def rows(self) -> list[list[str]]:
        """Rows of the table for reading."""
        options = [[name, *(str(value) for value in values)] for name, values in self.options.items()]
        metrics = [[n, *("" if v is None else f"{v:.4g}" for v in values)] for n, values in self.metrics.items()]
        return options + metrics

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"runs": self.runs, "options": self.options, "metrics": self.metrics}


def compare_runs(runs: Sequence[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> Comparison:
    """Compare runs given as (name, config.json, metrics.json)."""
    settings = [{"task": config.get("task"), **_flat(config.get("settings", {}))} for _, config, _ in runs]
    names = list(dict.fromkeys(name for options in settings for name in options))
    options = {name: [o.get(name) for o in settings] for name in names}
    options = {name: values for name, values in options.items() if any(value != values[0] for value in values)}
    scored = [dict(metrics.get("test") or metrics.get("validation") or {}) for _, _, metrics in runs]
    for score, (_, _, metrics) in zip(scored, runs, strict=True):
        score |= {name: metrics[name] for name in ("parameters", "seconds") if name in metrics}
    metric_names = list(dict.fromkeys(name for score in scored for name in score))
    return Comparison([name for name, _, _ in runs], options, {n: [s.get(n) for s in scored] for n in metric_names})


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for group in settings.values() for name, value in group.items()}
