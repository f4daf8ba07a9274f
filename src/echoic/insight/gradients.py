"""How far back learning reaches: the gradient of the last step's loss with respect to every hidden state before it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from echoic.engine import RecordedRun, record_states
from echoic.errors import TrainingDiverged
from echoic.training.validation import device_of, to_device

THOUSAND = 1e3


@dataclass
class LayerReach:
    """One layer and direction.

    name: "layer 0", "layer 0, backward".
    norms: mean over the rows of ||dL/dh_t||, by lag: norms[k] is k steps before the row's own last step.
    factor: what the norm is multiplied by for one step further back, fitted over the lags (below 1 vanishes).
    vanishes_at: first lag with less than a thousandth of the largest norm from there on, or None.
    explodes_at: first lag with more than a thousand times the norm at lag 0, or None.
    """

    name: str
    norms: list[float]
    factor: float
    vanishes_at: int | None
    explodes_at: int | None

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.explodes_at is not None:
            return f"{self.name}: the gradient explodes: a thousandfold {self.explodes_at} steps back."
        if self.vanishes_at is not None:
            return (
                f"{self.name}: learning reaches back about {self.vanishes_at} steps; beyond that less than a "
                "thousandth of the gradient arrives (vanishing)."
            )
        return f"{self.name}: the gradient arrives over all the {len(self.norms)} steps that were measured."


@dataclass
class GradientReach:
    """The measure for every layer, and how it was made.

    rows: sequences it is the mean of.
    """

    layers: list[LayerReach]
    rows: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def gradient_by_lag(model: nn.Module, batch: Any, max_lag: int) -> GradientReach:
    """Measure ||dL/dh_t|| against the lag, L being the loss of each row's last step alone.

    Args:
        model: with ``final_step_loss`` (see ``training.contract.Trainable``); left as it was, gradients included.
        batch: a batch of its data.
        max_lag: the longest lag to keep.
    """
    was_training = model.training
    model.eval()
    kept = {name: parameter.grad for name, parameter in model.named_parameters()}
    try:
        with record_states() as runs, torch.enable_grad():
            loss: Tensor = model.final_step_loss(to_device(batch, device_of(model)))  # type: ignore[operator]
        loss.backward()
        layers = [_reach(name, run, max_lag) for name, run in _named(runs)]
    finally:
        for name, parameter in model.named_parameters():
            parameter.grad = kept[name]
        model.train(was_training)
    return GradientReach([layer for layer in layers if layer is not None], len(runs[0].states[0]) if runs else 0)


def _named(runs: list[RecordedRun]) -> list[tuple[str, RecordedRun]]:
    named, depth = [], -1
    for run in runs:
        depth += not run.reverse
        named.append((f"layer {depth}" + (", backward" if run.reverse else ""), run))
    return named


def _reach(name: str, run: RecordedRun, max_lag: int) -> LayerReach | None:
    gradients = [torch.zeros_like(state) if state.grad is None else state.grad for state in run.states]
    norms = torch.stack(gradients).norm(dim=2)  # [T, B]
    if not torch.isfinite(norms).all():
        raise TrainingDiverged(f"{name}: the gradient of a hidden state is not finite. Try a smaller --learning-rate.")
    steps = norms.shape[0]
    by_lag = [_mean(norms, run, lag) for lag in range(min(steps, max_lag + 1))]
    while by_lag and by_lag[-1] is None:
        by_lag.pop()
    values = [value or 0.0 for value in by_lag]
    if not any(values):
        return None
    return LayerReach(name, values, _factor(values), _vanishes(values), _explodes(values))


def _mean(norms: Tensor, run: RecordedRun, lag: int) -> float | None:
    """Over the rows that are long enough. A reversed run ends at step 0."""
    steps, rows = norms.shape
    lengths = torch.full((rows,), steps, device=norms.device) if run.lengths is None else run.lengths
    long = lengths > lag
    if not long.any():
        return None
    place = torch.full_like(lengths, lag) if run.reverse else lengths - 1 - lag
    return float(norms.gather(0, place.clamp(min=0)[None])[0][long].mean())


def _factor(values: list[float]) -> float:
    """Slope of log norm over lag, by least squares over the lags with a gradient."""
    points = [(lag, math.log(value)) for lag, value in enumerate(values) if value > 0]
    if len(points) < 2:
        return 0.0
    mean_lag = sum(lag for lag, _ in points) / len(points)
    mean_log = sum(log for _, log in points) / len(points)
    spread = sum((lag - mean_lag) ** 2 for lag, _ in points)
    return math.exp(sum((lag - mean_lag) * (log - mean_log) for lag, log in points) / spread)


def _vanishes(values: list[float]) -> int | None:
    threshold = max(values) / THOUSAND
    last = max(lag for lag, value in enumerate(values) if value >= threshold)
    return last + 1 if last + 1 < len(values) else None


def _explodes(values: list[float]) -> int | None:
    start = values[0]
    return next((lag for lag, value in enumerate(values) if start > 0 and value > THOUSAND * start), None)
