"""DeepAR: sampled paths follow the distributions step by step, and are the same for the same window."""

from __future__ import annotations

import torch
from tests.models.windows import PLAIN, SHAPE, settings, window

from echoic.models.autoregressive import Autoregressive


def build(shape=SHAPE, **options) -> Autoregressive:
    torch.manual_seed(0)
    return Autoregressive(shape, settings(model="autoregressive", **options)).eval()


@torch.no_grad()
def test_the_first_step_is_drawn_from_the_teacher_forced_distribution():
    model, batch = build(head="gaussian", samples=4000), window(SHAPE, batch=2)
    raw, level = model.outputs(batch)
    torch.manual_seed(1)
    first = model.sample_paths(batch)[:, :, 0]
    expected = model.head.mean(raw, level)[:, 0]
    assert ((first.mean(1) - expected).abs() / first.std(1)).max() < 0.07


@torch.no_grad()
def test_a_path_fed_back_gives_the_same_distributions():
    """Without noise the drawn path, given as the truth, is foretold again: feeding back equals teacher forcing."""
    model, batch = build(head="point"), window(SHAPE, batch=4)
    path = model.sample_paths(batch)[:, 0]
    forced = batch._replace(future_values=path, future_observed=torch.ones_like(batch.future_observed))
    raw, level = model.outputs(forced)
    torch.testing.assert_close(model.head.mean(raw, level), path, rtol=1e-4, atol=1e-4)


def test_forecasts_repeat_and_leave_the_generator_alone():
    model, batch = build(head="student_t"), window(SHAPE)
    before = torch.get_rng_state()
    first = model.forecast(batch, (0.1, 0.9))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    torch.testing.assert_close(model.forecast(batch, (0.1, 0.9)), first, rtol=0, atol=0)


def test_bands_have_width():
    model, batch = build(shape=PLAIN, head="gaussian", samples=500), window(PLAIN, batch=3)
    quantiles = model.forecast(batch, (0.1, 0.9)).quantiles
    assert (quantiles[..., 1] > quantiles[..., 0]).all()
