"""Heads: losses against SciPy's densities, quantiles against their definition, samples against both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from echoic.models.heads import HEADS, Gaussian, Level, NegativeBinomial, Point, Quantiles, StudentTHead, build_head

LEVELS = (0.1, 0.35, 0.5, 0.9)
CONTINUOUS = [Point("mae"), Quantiles((0.1, 0.25, 0.9)), Gaussian(), StudentTHead()]
ALL = [*CONTINUOUS, NegativeBinomial()]


def name(head) -> str:
    return type(head).__name__


def case(head, seed=0, windows=3):
    """Raw outputs, targets a head can produce, which are observed, and a level; all random."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(windows, 5, 2, head.size, generator=generator)
    location = torch.randn(windows, 1, 2, generator=generator) * 20 if head.centred else torch.zeros(windows, 1, 2)
    level = Level(location, torch.rand(windows, 1, 2, generator=generator) * 5 + 0.5)
    target = level.location + level.scale * torch.randn(windows, 5, 2, generator=generator)
    if not head.centred:
        target = torch.poisson(torch.full_like(target, 6.0), generator=generator)
    observed = torch.rand(windows, 5, 2, generator=generator) < 0.7
    return raw, target, observed, level


def numpy_softplus(x):
    return np.log1p(np.exp(x.double().numpy()))


def test_registry():
    assert set(HEADS) == {"point", "quantiles", "gaussian", "student_t", "negative_binomial"}
    assert {n: type(build_head(n, (0.2, 0.8), "huber")) for n in HEADS} == HEADS
    assert build_head("quantiles", (0.2, 0.8), "mae").size == 3


def test_gaussian_density():
    raw, target, _, level = case(Gaussian())
    z = level.normalise(target).double().numpy()
    expected = -stats.norm.logpdf(z, raw[..., 0].double(), numpy_softplus(raw[..., 1]))
    np.testing.assert_allclose(Gaussian().losses(raw, target, level), expected, rtol=2e-4)


def test_student_t_density():
    raw, target, _, level = case(StudentTHead())
    z = level.normalise(target).double().numpy()
    expected = -stats.t.logpdf(z, 2 + numpy_softplus(raw[..., 2]), raw[..., 0].double(), numpy_softplus(raw[..., 1]))
    np.testing.assert_allclose(StudentTHead().losses(raw, target, level), expected, rtol=2e-4)


def test_negative_binomial_probability():
    raw, target, _, level = case(NegativeBinomial())
    mean, dispersion = level.scale.double().numpy() * numpy_softplus(raw[..., 0]), numpy_softplus(raw[..., 1])
    expected = -stats.nbinom.logpmf(target.double(), 1 / dispersion, 1 / (1 + dispersion * mean))
    np.testing.assert_allclose(NegativeBinomial().losses(raw, target, level), expected, rtol=2e-3, atol=2e-4)


def test_pinball():
    head = Quantiles((0.1, 0.25, 0.9))
    raw, target, _, level = case(head)
    y = level.normalise(target).double().numpy()[..., None]
    f = head.normalised(raw).double().numpy()
    q = np.array(head.levels)
    expected = 2 * np.where(y >= f, q * (y - f), (1 - q) * (f - y)).mean(-1)
    np.testing.assert_allclose(head.losses(raw, target, level), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mae", abs),
        ("mse", lambda e: e**2),
        ("huber", lambda e: 0.5 * e**2 if abs(e) < 1 else abs(e) - 0.5),
    ],
)
def test_point_losses(loss, expected):
    head = Point(loss)
    raw, target, _, level = case(head)
    errors = (raw[..., 0] - level.normalise(target)).double().numpy()
    np.testing.assert_allclose(head.losses(raw, target, level), np.vectorize(expected)(errors), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("head", ALL, ids=name)
def test_missing_targets_count_for_nothing(head):
    """The loss is the mean over what is observed, and NaN elsewhere reaches neither it nor its gradient."""
    raw, target, observed, level = case(head)
    holes = torch.where(observed, target, torch.nan)
    raw.requires_grad_()
    loss = head.loss(raw, holes, observed, level)
    expected = head.losses(raw, target, level)[observed].mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert torch.isfinite(raw.grad).all()
    assert raw.grad[~observed].abs().max() == 0
    assert raw.grad[observed].abs().sum() > 0
    nothing = head.loss(raw, holes, torch.zeros_like(observed), level)
    assert nothing == 0


@pytest.mark.parametrize("head", ALL, ids=name)
def test_quantiles_ascend_and_hold_the_median(head):
    raw, _, _, level = case(head)
    quantiles = head.quantiles(raw * 3, LEVELS, level)
    assert quantiles.shape == (3, 5, 2, 4)
    assert (quantiles.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(head.median(raw * 3, level), quantiles[..., 2])


def test_quantiles_are_those_of_the_distributions():
    for head, distribution in [(Gaussian(), stats.norm), (StudentTHead(), stats.t)]:
        raw, _, _, level = case(head)
        found = level.normalise(head.quantiles(raw, (0.9,), level)[..., 0]).double().numpy()
        shape = () if head.size == 2 else (2 + numpy_softplus(raw[..., 2]),)
        probability = distribution.cdf(found, *shape, raw[..., 0].double(), numpy_softplus(raw[..., 1]))
        np.testing.assert_allclose(probability, 0.9, atol=1e-4)


def test_quantiles_between_trained_levels_are_interpolated():
    head = Quantiles((0.1, 0.25, 0.9))
    raw, _, _, level = case(head)
    trained = head.quantiles(raw, head.levels, level)
    between = head.quantiles(raw, (0.175, 0.7), level)
    torch.testing.assert_close(between[..., 0], trained[..., :2].mean(-1))
    torch.testing.assert_close(between[..., 1], trained[..., 2] * 0.5 + trained[..., 3] * 0.5)


@pytest.mark.parametrize("head", ALL, ids=name)
def test_samples_follow_the_quantiles(head):
    raw, _, _, level = case(head, windows=1)
    many = Level(level.location.expand(20_000, -1, -1), level.scale.expand(20_000, -1, -1))
    with torch.random.fork_rng():
        torch.manual_seed(4)
        samples = head.sample(raw.expand(20_000, -1, -1, -1), many)
    for q in (0.25, 0.5, 0.75):
        quantile = head.quantiles(raw, (q,), level)[..., 0]
        below = (samples < quantile - 1e-3).double().mean(0)
        upto = (samples <= quantile + 1e-3).double().mean(0)
        assert (below <= q + 0.02).all()
        assert (upto >= q - 0.02).all()


@pytest.mark.parametrize("head", [Gaussian(), StudentTHead(), NegativeBinomial()], ids=name)
def test_means(head):
    raw, _, _, level = case(head, windows=1)
    many = Level(level.location.expand(100_000, -1, -1), level.scale.expand(100_000, -1, -1))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        samples = head.sample(raw.expand(100_000, -1, -1, -1), many)
    error = (samples.mean(0) - head.mean(raw, level)[0]).abs() / samples.std(0)
    assert error.max() < 0.03


@pytest.mark.parametrize("head", CONTINUOUS, ids=name)
def test_forecasts_move_with_the_level(head):
    raw, target, _, level = case(head)
    moved = Level(level.location * 3 + 7, level.scale * 3)
    first = head.quantiles(raw, LEVELS, level)
    torch.testing.assert_close(head.quantiles(raw, LEVELS, moved), first * 3 + 7)
    torch.testing.assert_close(head.losses(raw, target * 3 + 7, moved), head.losses(raw, target, level))
