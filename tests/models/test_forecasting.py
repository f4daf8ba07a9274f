"""What every forecast model must do, for all of them: use what it may, and nothing else."""

from __future__ import annotations

import pytest
import torch
from tests.models.windows import PLAIN, SHAPE, settings, window

from echoic.models.forecasting import FORECAST_MODELS, build_forecaster
from echoic.models.heads import HEADS

LEVELS = (0.1, 0.5, 0.9)
MODELS = list(FORECAST_MODELS)
CELLS = ["Elman", "Jordan", "LSTM", "GRU"]


def build(name: str, shape=SHAPE, seed: int = 0, **options):
    torch.manual_seed(seed)
    return build_forecaster(shape, settings(model=name, **options)).eval()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", MODELS)
def test_shapes(name, head):
    model, batch = build(name, head=head), window(SHAPE)
    if head == "negative_binomial":
        counts = {field: getattr(batch, field).abs().round() for field in ("past_values", "future_values")}
        batch = batch._replace(**counts)
    loss = model.loss(batch)
    assert loss.mean.shape == ()
    assert torch.isfinite(loss.mean)
    loss.mean.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    made = model.forecast(batch, LEVELS)
    assert made.point.shape == (5, 7, 3)
    if head == "point":
        assert made.quantiles is None
    else:
        assert made.quantiles.shape == (5, 7, 3, 3)
        assert (made.quantiles.diff(dim=-1) >= 0).all()
        torch.testing.assert_close(made.point, made.quantiles[..., 1])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", MODELS)
def test_every_cell_and_depth(name, cell):
    model = build(name, shape=PLAIN, cell=cell, layers=2)
    assert torch.isfinite(model.loss(window(PLAIN)).mean)
    assert model.forecast(window(PLAIN), LEVELS).point.shape == (5, 7, 1)


@pytest.mark.parametrize("name", MODELS)
def test_the_loss_counts_what_is_observed(name):
    model, batch = build(name), window(SHAPE)
    expected = int(batch.future_observed.sum())
    if name == "autoregressive":  # learns from every step that has one before it
        expected += int(batch.past_observed[:, 1:].sum())
    assert model.loss(batch).count == expected


@pytest.mark.parametrize("name", MODELS)
def test_what_is_missing_is_not_looked_at(name):
    """Values that were filled in change neither forecasts nor loss."""
    model, batch = build(name), window(SHAPE)
    other = batch._replace(
        past_values=torch.where(batch.past_observed, batch.past_values, 1e4),
        future_values=torch.where(batch.future_observed, batch.future_values, -1e4),
    )
    torch.testing.assert_close(model.loss(other).mean, model.loss(batch).mean)
    torch.testing.assert_close(model.forecast(other, LEVELS).point, model.forecast(batch, LEVELS).point)


@pytest.mark.parametrize("name", MODELS)
def test_forecasts_do_not_see_the_future(name):
    model, batch = build(name), window(SHAPE)
    other = batch._replace(future_values=batch.future_values * -50, future_observed=~batch.future_observed)
    torch.testing.assert_close(model.forecast(other, LEVELS), model.forecast(batch, LEVELS))


@pytest.mark.parametrize(
    "field", ["past_values", "past_known", "future_known", "past_only", "static_codes", "static_numbers"]
)
@pytest.mark.parametrize("name", MODELS)
def test_every_input_is_used(name, field):
    """Each kind of covariate reaches the forecasts, in every window."""
    model, batch = build(name, head="point"), window(SHAPE)
    value = getattr(batch, field)
    changed = (
        (value + 1) % 4
        if field == "static_codes"
        else value + torch.linspace(1, 2, value.shape[1])[:, None]
        if value.dim() == 3
        else value + 1
    )
    before = model.forecast(batch, LEVELS).point
    after = model.forecast(batch._replace(**{field: changed}), LEVELS).point
    assert ((after - before).abs().amax(dim=(1, 2)) > 1e-6).all()


@pytest.mark.parametrize("name", MODELS)
def test_windows_do_not_depend_on_each_other(name):
    """A window's outputs are the same alone as in a batch."""
    model, batch = build(name), window(SHAPE)
    raw, _ = model.outputs(batch)
    alone, _ = model.outputs(type(batch)(*(field[3:4] for field in batch)))
    torch.testing.assert_close(alone[0], raw[3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_forecasts_move_with_the_series(name):
    """A series that lies 40 higher is forecast 40 higher, since windows are scaled by themselves."""
    model, batch = build(name), window(SHAPE)
    higher = batch._replace(past_values=batch.past_values + 40)
    torch.testing.assert_close(
        model.forecast(higher, LEVELS).point, model.forecast(batch, LEVELS).point + 40, rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("name", MODELS)
def test_final_step_loss_reaches_the_lookback_alone(name):
    model, batch = build(name), window(SHAPE)
    past = batch.past_values.clone().requires_grad_()
    model.final_step_loss(
        batch._replace(past_values=past, past_observed=torch.ones_like(batch.past_observed))
    ).backward()
    assert past.grad.abs().sum() > 0


@pytest.mark.parametrize("name", MODELS)
def test_a_window_with_nothing_observed(name):
    """As before the beginning of a series: finite, and the others are not disturbed."""
    model, batch = build(name), window(SHAPE)
    batch.past_observed[2] = False
    made = model.forecast(batch, LEVELS)
    assert torch.isfinite(made.point).all()
    assert torch.isfinite(model.loss(batch).mean)
