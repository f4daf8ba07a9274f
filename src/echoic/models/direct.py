"""One pass to all horizons: a recurrent encoder over the lookback, and a multilayer perceptron to every step ahead (the
"MQ-RNN" of Wen et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echoic.data.windows import WindowBatch
from echoic.models.forecaster import ForecasterSettings, ForecastModel, Scaled, StaticFeatures, WindowShape
from echoic.models.heads import Level
from echoic.models.recurrent import build_recurrent

STATIC = 8  # features made of all static ones


class Direct(ForecastModel):
    """All targets are read together.

    The last state of the encoder becomes one context for each step ahead and one for all; a small perceptron joins them
    with the covariates known at that step.

    Args:
        shape: sizes of a window.
        settings: sizes of the recurrent encoder and the head.
    """

    def __init__(self, shape: WindowShape, settings: ForecasterSettings) -> None:
        super().__init__(shape, settings)
        self.recurrent = build_recurrent(settings, 2 * shape.targets + shape.known + shape.past)
        self.static = StaticFeatures(shape, STATIC)
        encoded = self.recurrent.output_size + STATIC
        self.context_size = max(4, settings.hidden_size // 8)
        self.contexts = nn.Linear(encoded, (shape.horizon + 1) * self.context_size)
        self.hidden = nn.Linear(2 * self.context_size + shape.known, settings.hidden_size)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(settings.hidden_size, shape.targets * self.head.size)

    def outputs(self, window: WindowBatch) -> tuple[Tensor, Level]:
        scaled = self.scale(window.past_values, window.past_observed)
        _, state = self.recurrent(self._read(window, scaled))
        return self._decode(self.recurrent.final_hidden(state), window), scaled.level

    def final_step_loss(self, window: WindowBatch) -> Tensor:
        """The whole loss, which sees the encoder's last output alone."""
        scaled = self.scale(window.past_values, window.past_observed)
        outputs, _ = self.recurrent(self._read(window, scaled))
        return self.head.loss(
            self._decode(outputs[:, -1], window), window.future_values, window.future_observed, scaled.level
        )

    def _read(self, window: WindowBatch, scaled: Scaled) -> Tensor:
        return torch.cat([scaled.values, scaled.observed, window.past_known, window.past_only], dim=-1)

    def _decode(self, encoded: Tensor, window: WindowBatch) -> Tensor:
        batch, horizon = window.past_values.shape[0], self.shape.horizon
        encoded = self.dropout(torch.cat([encoded, self.static(window)], dim=-1))
        contexts = torch.relu(self.contexts(encoded)).view(batch, horizon + 1, self.context_size)
        own, common = contexts[:, :horizon], contexts[:, horizon:].expand(-1, horizon, -1)
        hidden = torch.relu(self.hidden(torch.cat([own, common, window.future_known], dim=-1)))
        return self.output(hidden).view(batch, horizon, self.shape.targets, self.head.size)
