"""The gradients derived in docs/mathematics.md are those of its forward equations: central differences say so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.mathematics import textbook
from tests.mathematics.problems import Problem, random_problem

NETWORKS: dict[str, tuple[Callable[..., textbook.Result], dict[str, object], dict[str, object]]] = {
    "elman-tanh": (textbook.elman, {"f": "tanh"}, {}),
    "elman-relu": (textbook.elman, {"f": "relu"}, {}),
    "elman-sigmoid": (textbook.elman, {"f": "sigmoid"}, {}),
    "jordan-tanh": (textbook.jordan, {"f": "tanh", "g": "tanh"}, {}),
    "jordan-linear": (textbook.jordan, {"f": "sigmoid", "g": "identity"}, {}),
    "lstm": (textbook.lstm, {}, {}),
    "lstm-peephole": (textbook.lstm, {}, {"peephole": True}),
    "lstm-coupled-peephole": (textbook.lstm, {"coupled": True}, {"peephole": True, "coupled": True}),
    "lstm-projection": (textbook.lstm, {}, {"projection": 3}),
    "gru-after": (textbook.gru, {"reset_after": True}, {}),
    "gru-before": (textbook.gru, {"reset_after": False}, {}),
}


def central_difference(
    total: Callable[[Problem], float], problem: Problem, name: str, step: float = 1e-6
) -> np.ndarray:
    values = problem.values()[name]
    slopes = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        kept = values[index]
        values[index] = kept + step
        above = total(problem)
        values[index] = kept - step
        below = total(problem)
        values[index] = kept
        slopes[index] = (above - below) / (2 * step)
    return slopes


@pytest.mark.parametrize("loss_name", ["squared_error", "softmax_cross_entropy"])
@pytest.mark.parametrize("network", NETWORKS)
def test_derived_gradients_are_slopes(network: str, loss_name: str) -> None:
    function, options, shape = NETWORKS[network]
    problem = random_problem(function.__name__, seed=3, **shape)
    loss = getattr(textbook, loss_name)(problem.targets(loss_name))

    def total(changed: Problem) -> float:
        return function(changed.p, changed.x, changed.start, loss, **options).loss

    gradients = function(problem.p, problem.x, problem.start, loss, **options).gradients
    for name in problem.values():
        expected = central_difference(total, problem, name)
        assert np.abs(expected).max() > 1e-6, f"{name} does not matter in this test"
        np.testing.assert_allclose(gradients[name], expected, atol=1e-7, rtol=1e-6, err_msg=name)


def test_the_two_output_layers_have_the_same_delta() -> None:
    """y - d, section 3, with y = a^y for squared error and y = softmax(a^y) for cross entropy."""
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=5), rng.dirichlet(np.ones(5))
    _, linear = textbook.squared_error(target[None])(0, scores)
    _, softmax = textbook.softmax_cross_entropy(target[None])(0, scores)
    np.testing.assert_allclose(linear, scores - target)
    np.testing.assert_allclose(softmax, np.exp(scores) / np.exp(scores).sum() - target)
