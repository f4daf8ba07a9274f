"""SegRNN against a transcription of its equations, segment by segment."""

from __future__ import annotations

import pytest
import torch
from tests.models.windows import settings, window

from echoic.models.forecaster import WindowShape
from echoic.models.segments import Segments, default_segment


def transcribed(model: Segments, batch, shape: WindowShape) -> torch.Tensor:
    """Raw outputs [B, H, C, 1], one window, target and segment at a time."""
    w, foretold = model.segment, model.foretold_segments
    raw = torch.zeros(len(batch.past_values), shape.horizon, shape.targets, model.head.size)
    cell = model.recurrent.layers()[0][0]
    for b in range(len(raw)):
        for c in range(shape.targets):
            values = batch.past_values[b, :, c] - batch.past_values[b, -1, c]
            padded = torch.zeros(model.read_segments * w, 2)
            padded[-shape.lookback :] = torch.stack([values, torch.ones_like(values)], dim=1)
            state = cell.initial_state(1)
            for segment in padded.split(w):
                _, state = cell.step(torch.relu(model.embed(segment.reshape(1, -1))), state)
            for s in range(foretold):
                answer, _ = cell.step((model.position[s] + model.target[c])[None], state)
                steps = min(w, shape.horizon - s * w)
                raw[b, s * w : s * w + steps, c] = model.output(answer).view(w, -1)[:steps]
    return raw


@pytest.mark.parametrize(("lookback", "horizon", "segment"), [(12, 8, 4), (11, 7, 4), (5, 9, 5), (6, 3, 6)])
@pytest.mark.parametrize("linear", [False, True])
@torch.no_grad()
def test_outputs(lookback, horizon, segment, linear):
    shape = WindowShape(lookback, horizon, targets=2)
    torch.manual_seed(1)
    model = Segments(shape, settings(segment=segment, linear=linear)).eval()
    if linear:
        torch.nn.init.normal_(model.linear.weight)
    batch = window(shape, batch=3)
    batch = batch._replace(past_observed=torch.ones_like(batch.past_observed))
    raw, level = model.outputs(batch)
    if linear:  # moves the median alone
        values = batch.past_values - batch.past_values[:, -1:]
        raw[..., 1] -= torch.einsum("hl,blc->bhc", model.linear.weight, values) + model.linear.bias[:, None]
    torch.testing.assert_close(raw, transcribed(model, batch, shape), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(level.location, batch.past_values[:, -1:])


def test_default_segment():
    assert default_segment(96, 96) == 48
    assert default_segment(336, 48) == 48
    assert default_segment(52, 13) == 13
    assert default_segment(1, 5) == 1
    assert default_segment(96, 96, season=24) == 24
    assert default_segment(96, 12, season=24) == 12
    assert default_segment(672, 96, season=96) == 48
