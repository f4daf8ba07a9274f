"""The cells of echoic are the networks of docs/mathematics.md: outputs, losses and every gradient within 1e-6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.mathematics import textbook
from tests.mathematics.problems import HIDDEN, INPUT, OUTPUT, TIME, Problem, random_problem
from torch import Tensor
from torch.nn import functional as F

from echoic.cells import Cell, build_cell

Gradients = dict[str, np.ndarray]


def direct(names: dict[str, str]) -> Callable[[Gradients], Gradients]:
    """The cell's parameters, each a parameter of the textbook, by the cell's name for it."""
    return lambda values: {ours: values[theirs] for ours, theirs in names.items()}


def lstm_blocks(values: Gradients) -> Gradients:
    """LSTM parameters as the cell stacks them; absent blocks (input gate of coupled gates) are zeros."""
    gates = len(values["b_ih"]) // HIDDEN
    missing = [((4 - gates) * HIDDEN, 0)]
    named = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    stacked = {
        ours: np.pad(values[theirs], missing + [(0, 0)] * (values[theirs].ndim - 1)) for ours, theirs in named.items()
    }
    if "p_o" in values:
        zero = np.zeros(HIDDEN)
        stacked["weight_peephole"] = np.stack([values.get(name, zero) for name in ("p_i", "p_f", "p_o")])
    if "P" in values:
        stacked["weight_hr"] = values["P"]
    return stacked


ELMAN = direct({"weight_ih": "W_xh", "weight_hh": "W_hh", "bias_ih": "b_h", "bias_hh": "b_h"})
JORDAN = direct(
    {
        "weight_ih": "W_xh",
        "weight_hh": "W_yh",
        "bias_ih": "b_h",
        "bias_hh": "b_h",
        "weight_hy": "W_hy",
        "bias_hy": "b_y",
    }
)
GRU = direct({"weight_ih": "W", "weight_hh": "U", "bias_ih": "b", "bias_hh": "beta"})

# name: cell, its options, the textbook's options, options of the problem, the names of the parameters
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], Callable[[Gradients], Gradients]]] = {
    "elman-tanh": ("Elman", {}, {"f": "tanh"}, {}, ELMAN),
    "elman-relu": ("Elman", {"nonlinearity": "relu"}, {"f": "relu"}, {}, ELMAN),
    "elman-sigmoid": ("Elman", {"nonlinearity": "sigmoid"}, {"f": "sigmoid"}, {}, ELMAN),
    "jordan": ("Jordan", {"output_size": OUTPUT}, {"f": "tanh", "g": "tanh"}, {}, JORDAN),
    "jordan-linear": (
        "Jordan",
        {"output_size": OUTPUT, "nonlinearity": "sigmoid", "output_nonlinearity": "identity"},
        {"f": "sigmoid", "g": "identity"},
        {},
        JORDAN,
    ),
    "lstm": ("LSTM", {}, {}, {}, lstm_blocks),
    "lstm-peephole": ("LSTM", {"peephole": True}, {}, {"peephole": True}, lstm_blocks),
    "lstm-coupled": ("LSTM", {"coupled": True}, {"coupled": True}, {"coupled": True}, lstm_blocks),
    "lstm-projection": ("LSTM", {"projection_size": 3}, {}, {"projection": 3}, lstm_blocks),
    "gru-after": ("GRU", {"reset_after": True}, {"reset_after": True}, {}, GRU),
    "gru-before": ("GRU", {"reset_after": False}, {"reset_after": False}, {}, GRU),
}
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "squared_error": lambda a_y, d: 0.5 * F.mse_loss(a_y, d, reduction="sum"),
    "softmax_cross_entropy": lambda a_y, d: F.cross_entropy(a_y, d, reduction="sum"),
}


def cell_with(
    problem: Problem, name: str, options: dict[str, Any], translate: Callable[[Gradients], Gradients]
) -> Cell:
    """The cell in float64 with the problem's parameters; where two biases add up to one, the second holds zero."""
    cell = build_cell(name, INPUT, HIDDEN, **options).double()
    values = translate(problem.p)
    if name in ("Elman", "Jordan"):
        values["bias_hh"] = np.zeros(HIDDEN)
    cell.load_state_dict({key: torch.from_numpy(value) for key, value in values.items()})
    return cell


def run_cell(
    cell: Cell, problem: Problem, loss_name: str, layer: Callable[..., tuple[Tensor, Any]]
) -> tuple[float, np.ndarray, Gradients, Gradients]:
    """Loss, outputs, gradients of the cell's parameters, and those of the rest by the textbook's names."""
    x = torch.from_numpy(problem.x[None].copy()).requires_grad_()
    start = {name: torch.from_numpy(value[None].copy()).requires_grad_() for name, value in problem.start.items()}
    state = type(cell.initial_state(1))(*start.values())
    outputs, _ = layer(x, state)
    head: dict[str, Tensor] = {}
    scores = outputs[0]
    if "y_0" not in start:  # a Jordan cell has its output layer inside
        head = {name: torch.from_numpy(problem.p[name]).requires_grad_() for name in ("W_hy", "b_y")}
        scores = F.linear(scores, head["W_hy"], head["b_y"])
    loss = LOSSES[loss_name](scores, torch.from_numpy(problem.targets(loss_name)))
    loss.backward()
    own = {name: p.grad.numpy() for name, p in cell.named_parameters() if p.grad is not None}
    rest = {name: value.grad for name, value in {**head, "x": x, **start}.items()}
    return (
        loss.item(),
        outputs[0].detach().numpy(),
        own,
        {name: (grad if name in head else grad[0]).numpy() for name, grad in rest.items() if grad is not None},
    )


def step_by_step(cell: Cell) -> Callable[..., tuple[Tensor, Any]]:
    def layer(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs = []
        for t in range(TIME):
            output, state = cell.step(x[:, t], state)
            outputs.append(output)
        return torch.stack(outputs, dim=1), state

    return layer


def whole_sequence(cell: Cell) -> Callable[..., tuple[Tensor, Any]]:
    from echoic.layers import Recurrent

    layer = Recurrent(cell)
    return lambda x, state: layer(x, (state,))


@pytest.mark.parametrize("run", [step_by_step, whole_sequence], ids=["step", "Recurrent"])
@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("case", CASES)
def test_cells_follow_the_textbook(case: str, loss_name: str, run: Callable[[Cell], Any]) -> None:
    name, options, formula, shape, translate = CASES[case]
    problem = random_problem(name.lower(), seed=7, **shape)
    loss = getattr(textbook, loss_name)(problem.targets(loss_name))
    expected = getattr(textbook, name.lower())(problem.p, problem.x, problem.start, loss, **formula)

    cell = cell_with(problem, name, options, translate)
    total, outputs, own, rest = run_cell(cell, problem, loss_name, run(cell))

    assert total == pytest.approx(expected.loss, abs=1e-6)
    np.testing.assert_allclose(outputs, expected.outputs, atol=1e-6, rtol=0)
    gradients = {key: value for key, value in expected.gradients.items() if key in problem.values()}
    wanted = translate(gradients)
    assert set(own) == set(wanted) == {key for key, _ in cell.named_parameters()}
    assert set(rest) | set(problem.p) >= set(gradients)
    for key, value in wanted.items():
        np.testing.assert_allclose(own[key], value, atol=1e-6, rtol=0, err_msg=key)
    for key, value in rest.items():
        np.testing.assert_allclose(value, gradients[key], atol=1e-6, rtol=0, err_msg=key)
