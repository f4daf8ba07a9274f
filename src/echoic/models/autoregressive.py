"""DeepAR: the next value's distribution from all before it; the future is drawn step by step (Salinas et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from echoic.data.windows import WindowBatch
from echoic.models.forecaster import Distribution, ForecasterSettings, ForecastModel, StaticFeatures, WindowShape
from echoic.models.heads import Level
from echoic.models.recurrent import build_recurrent
from echoic.training.contract import Loss

STATIC = 8  # features made of all static ones
ROWS = 8192  # sampled paths that are carried at once


class Autoregressive(ForecastModel):
    """All targets are read together, each is foretold given those before it in time.

    In training the true values are fed back ("teacher forcing"), in forecasting drawn ones, all paths of a batch at
    once. Covariates known in the past only are held at their last value in the future.

    Args:
        shape: sizes of a window.
        settings: ``samples`` is the number of paths.
    """

    def __init__(self, shape: WindowShape, settings: ForecasterSettings) -> None:
        super().__init__(shape, settings)
        self.samples = settings.samples if self.has_quantiles else 1
        self.recurrent = build_recurrent(settings, 2 * shape.targets + shape.known + shape.past + STATIC)
        self.static = StaticFeatures(shape, STATIC)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(self.recurrent.output_size, shape.targets * self.head.size)

    def loss(self, batch: WindowBatch, carry: Any = None) -> Loss:
        """Mean loss of every observed value of the window but the first, each given those before it."""
        raw, level = self._teacher_forced(batch)
        truth = torch.cat([batch.past_values[:, 1:], batch.future_values], dim=1)
        observed = torch.cat([batch.past_observed[:, 1:], batch.future_observed], dim=1)
        return Loss(self.head.loss(raw, truth, observed, level), int(observed.sum()))

    def outputs(self, window: WindowBatch) -> tuple[Tensor, Level]:
        """Raw outputs of the horizon, each given the true values before it."""
        raw, level = self._teacher_forced(window)
        return raw[:, -self.shape.horizon :], level

    def final_step_loss(self, window: WindowBatch) -> Tensor:
        """Loss of the horizon's first step, which follows the last step of the lookback."""
        level, inputs = self._lookback(window)
        outputs, _ = self.recurrent(inputs)
        return self.head.loss(
            self._raw(outputs[:, -1:]), window.future_values[:, :1], window.future_observed[:, :1], level
        )

    @torch.no_grad()
    def forecast(self, window: WindowBatch, levels: Sequence[float]) -> Distribution:
        """Medians and quantiles of the paths drawn; the same for the same window, whatever was drawn before."""
        rows = max(1, ROWS // self.samples)
        with torch.random.fork_rng(devices=[window.past_values.device] if window.past_values.is_cuda else []):
            torch.manual_seed(0)
            parts = [
                self._of_paths(self.sample_paths(type(window)(*(f[i : i + rows] for f in window))), levels)
                for i in range(0, window.past_values.shape[0], rows)
            ]
        points, quantiles = zip(*parts, strict=True)
        return Distribution(torch.cat(points), torch.cat(quantiles) if self.has_quantiles else None)

    def sample_paths(self, window: WindowBatch) -> Tensor:
        """Paths of the future, [B, samples, H, C], from torch's global generator."""
        level, inputs = self._lookback(window)
        outputs, state = self.recurrent(inputs)
        copies = self.samples
        level = Level(*(part.repeat_interleave(copies, dim=0) for part in level))
        state = tuple(type(s)(*(field.repeat_interleave(copies, dim=0) for field in s)) for s in state)
        step = outputs[:, -1:].repeat_interleave(copies, dim=0)
        covariates = self._covariates(window)[:, self.shape.lookback :].repeat_interleave(copies, dim=0)
        drawn = []
        for ahead in range(self.shape.horizon):
            drawn.append(self.head.sample(self._raw(step), level))
            if ahead + 1 < self.shape.horizon:
                value = level.normalise(drawn[-1])
                fed = torch.cat([value, torch.ones_like(value), covariates[:, ahead + 1 : ahead + 2]], dim=-1)
                step, state = self.recurrent(fed, state)
        return torch.cat(drawn, dim=1).unflatten(0, (-1, copies))

    def _of_paths(self, paths: Tensor, levels: Sequence[float]) -> tuple[Tensor, Tensor]:
        wanted = paths.new_tensor([0.5, *levels])
        found = torch.quantile(paths, wanted, dim=1)
        return found[0], found[1:].movedim(0, -1)

    def _teacher_forced(self, window: WindowBatch) -> tuple[Tensor, Level]:
        """Raw outputs for steps 1 to L + H - 1 of the window, and its level."""
        level = self.scale(window.past_values, window.past_observed).level
        values = torch.cat([window.past_values, window.future_values], dim=1)
        observed = torch.cat([window.past_observed, window.future_observed], dim=1)
        inputs = self._inputs(values[:, :-1], observed[:, :-1], self._covariates(window)[:, 1:], level)
        outputs, _ = self.recurrent(inputs)
        return self._raw(outputs), level

    def _lookback(self, window: WindowBatch) -> tuple[Level, Tensor]:
        level = self.scale(window.past_values, window.past_observed).level
        ahead = self._covariates(window)[:, 1 : self.shape.lookback + 1]
        return level, self._inputs(window.past_values, window.past_observed, ahead, level)

    def _inputs(self, values: Tensor, observed: Tensor, covariates: Tensor, level: Level) -> Tensor:
        """A step's inputs: the values just seen, and the covariates of the step that is foretold."""
        scaled = torch.where(observed, level.normalise(torch.where(observed, values, 0.0)), 0.0)
        return torch.cat([scaled, observed.to(values.dtype), covariates], dim=-1)

    def _covariates(self, window: WindowBatch) -> Tensor:
        """[B, L + H, K + P + S], the past ones one step late, since a step's own are not known before it."""
        past = window.past_only
        late = torch.cat([past[:, :1], past, past[:, -1:].expand(-1, self.shape.horizon - 1, -1)], dim=1)
        known = torch.cat([window.past_known, window.future_known], dim=1)
        static = self.static(window).unsqueeze(1).expand(-1, known.shape[1], -1)
        return torch.cat([known, late, static], dim=-1)

    def _raw(self, outputs: Tensor) -> Tensor:
        raw = self.output(self.dropout(outputs))
        return raw.view(*raw.shape[:2], self.shape.targets, self.head.size)
