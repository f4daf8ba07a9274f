"""SegRNN: a recurrent net over segments instead of steps, which foretells all segments at once (Lin et al., 2023).

A lookback of 96 hours in segments of 24 is 4 steps for the recurrent net instead of 96, and a horizon of 96 is not 96
steps that feed on each other but one step, run in parallel from the same state, for each of 4 segments.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from echoic.data.windows import WindowBatch
from echoic.models.forecaster import ForecasterSettings, ForecastModel, Scaled, StaticFeatures, WindowShape
from echoic.models.heads import Level
from echoic.models.recurrent import build_recurrent

LARGEST = 2**22  # weights of the linear map; a larger one is left out


class Segments(ForecastModel):
    """Each target is read by itself, with the same weights; targets differ by an embedding.

    Covariates known in the future enter on both sides, those known in the past with the segments of the lookback,
    static ones with the decoder. A linear map of the lookback, which starts at zero, is added to the centre of the
    forecast (as NLinear is by itself; Zeng et al., 2023), so that the recurrent net learns what a linear one cannot.

    Args:
        shape: sizes of a window.
        settings: ``segment`` is the length of a segment, ``default_segment`` without a season where it is None.
    """

    def __init__(self, shape: WindowShape, settings: ForecasterSettings) -> None:
        super().__init__(shape, settings)
        self.segment = settings.segment or default_segment(shape.lookback, shape.horizon)
        self.read_segments = math.ceil(shape.lookback / self.segment)
        self.foretold_segments = math.ceil(shape.horizon / self.segment)
        size = settings.hidden_size
        self.embed = nn.Linear(self.segment * (2 + shape.known + shape.past), size)
        self.recurrent = build_recurrent(settings, size)
        self.position = nn.Parameter(torch.randn(self.foretold_segments, size))
        self.target = nn.Parameter(torch.randn(shape.targets, size))
        self.foreknown = nn.Linear(self.segment * shape.known, size, bias=False) if shape.known else None
        self.static = StaticFeatures(shape, size)
        self.linear = nn.Linear(shape.lookback, shape.horizon) if _has_linear(shape, settings) else None
        if self.linear is not None:
            nn.init.zeros_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(self.recurrent.output_size, self.segment * self.head.size)

    def outputs(self, window: WindowBatch) -> tuple[Tensor, Level]:
        scaled = self.scale(window.past_values, window.past_observed)
        _, state = self.recurrent(self._read(window, scaled))
        rows = window.past_values.shape[0] * self.shape.targets
        copies = [type(s)(*(f.repeat_interleave(self.foretold_segments, dim=0) for f in s)) for s in state]
        asked = self._questions(window).reshape(rows * self.foretold_segments, 1, -1)
        answers, _ = self.recurrent(asked, tuple(copies))
        raw = self._raw(answers[:, 0], window)
        if self.linear is None:
            return raw, scaled.level
        moved = self.linear(scaled.values.transpose(1, 2)).transpose(1, 2).unsqueeze(-1)
        place = torch.arange(self.head.size, device=raw.device) == self.head.centre
        return raw + moved * place, scaled.level

    def final_step_loss(self, window: WindowBatch) -> Tensor:
        """Loss of the horizon's first segment, read off the encoder's last output."""
        scaled = self.scale(window.past_values, window.past_observed)
        outputs, _ = self.recurrent(self._read(window, scaled))
        raw = self.output(outputs[:, -1]).view(-1, self.shape.targets, self.segment, self.head.size).transpose(1, 2)
        steps = min(self.segment, self.shape.horizon)
        truth, observed = window.future_values[:, :steps], window.future_observed[:, :steps]
        return self.head.loss(raw[:, :steps], truth, observed, scaled.level)

    def _read(self, window: WindowBatch, scaled: Scaled) -> Tensor:
        """Embedded segments of the lookback, [B * C, read segments, hidden]."""
        own = torch.stack([scaled.values, scaled.observed], dim=-1).transpose(1, 2)  # [B, C, L, 2]
        shared = torch.cat([window.past_known, window.past_only], dim=-1)
        features = torch.cat([own, shared.unsqueeze(1).expand(-1, self.shape.targets, -1, -1)], dim=-1)
        missing = self.read_segments * self.segment - self.shape.lookback
        cut = pad(features, (0, 0, missing, 0)).flatten(0, 1)
        return torch.relu(self.embed(cut.reshape(len(cut), self.read_segments, -1)))

    def _questions(self, window: WindowBatch) -> Tensor:
        """What the decoder is asked: which segment of which target, [B, C, foretold segments, hidden]."""
        asked = (self.target.unsqueeze(1) + self.position).expand(window.past_values.shape[0], -1, -1, -1)
        if self.foreknown is not None:
            missing = self.foretold_segments * self.segment - self.shape.horizon
            known = pad(window.future_known, (0, 0, 0, missing))
            asked = asked + self.foreknown(known.reshape(len(known), 1, self.foretold_segments, -1))
        return asked + self.static(window)[:, None, None]

    def _raw(self, answers: Tensor, window: WindowBatch) -> Tensor:
        raw = self.output(self.dropout(answers))
        by_step = raw.view(window.past_values.shape[0], self.shape.targets, -1, self.head.size)
        return by_step[:, :, : self.shape.horizon].transpose(1, 2)


def default_segment(lookback: int, horizon: int, season: int = 1) -> int:
    """Steps in a segment: a season where it fits, else up to 48, at least two of them in the lookback."""
    longest = max(1, min(48, lookback // 2, horizon))
    return season if 1 < season <= longest else longest


def _has_linear(shape: WindowShape, settings: ForecasterSettings) -> bool:
    return settings.linear and shape.lookback * shape.horizon <= LARGEST
