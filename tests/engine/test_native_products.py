"""Float32 products of numbers of unlike sizes, however the processor makes them."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor, nn

from echoic.cells import GRU, LSTM, Cell, Elman
from echoic.layers import Recurrent

UNITS, BATCH, STEPS = 128, 32, 16


def results(layer: nn.Module, inputs: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
    """Outputs, and the gradients of the parameters."""
    outputs, _ = layer(inputs, lengths=lengths)
    gradients = torch.autograd.grad(outputs.sin().sum(), list(layer.parameters()))
    names = [name.rpartition(".")[2] for name, _ in layer.named_parameters()]
    return {"outputs": outputs.detach(), **dict(zip(names, gradients, strict=True))}


def natively_and_in_double(
    cell: Cell, inputs: Tensor, lengths: Tensor | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    exact = Recurrent(copy.deepcopy(cell).double(), backend="reference")
    native = Recurrent(cell, backend="native")
    return results(native, inputs, lengths), results(exact, inputs.double(), lengths)


@pytest.mark.parametrize("kind", [LSTM, Elman])
def test_features_of_unlike_units_whose_weights_make_up_for_it(kind: type[Cell]) -> None:
    torch.manual_seed(1)
    cell = kind(UNITS, UNITS)
    sizes = torch.randint(-15, 16, (UNITS,)).float().exp2()
    with torch.no_grad():
        cell.get_parameter("weight_ih").div_(sizes)
    found, exact = natively_and_in_double(cell, torch.randn(BATCH, STEPS, UNITS) * sizes)
    # Gradients of these weights are as unlike as the features
    found["weight_ih"], exact["weight_ih"] = found["weight_ih"] / sizes, exact["weight_ih"] / sizes
    assert_same(found, exact, TOLERANCES[torch.float32])


def test_weights_of_zero_hide_a_feature_however_large() -> None:
    torch.manual_seed(2)
    cell, inputs = LSTM(UNITS, UNITS), torch.randn(BATCH, STEPS, UNITS)
    with torch.no_grad():
        cell.get_parameter("weight_ih")[:, 5].zero_()
    seen = inputs.clone()
    seen[..., 5] *= 1e20
    layer = Recurrent(cell, backend="native")
    with torch.no_grad():
        torch.testing.assert_close(layer(seen)[0], layer(inputs)[0], rtol=0.0, atol=TOLERANCES[torch.float32].absolute)


def test_an_outlier_for_which_gradients_vanish() -> None:
    """tanh is flat there, so it adds nothing to the gradient of the weights, and must not drown the other rows."""
    torch.manual_seed(3)
    inputs = torch.randn(BATCH, STEPS, UNITS)
    inputs[4, 7] = 1e6 * (1 + torch.rand(UNITS))
    found, exact = natively_and_in_double(Elman(UNITS, UNITS), inputs)
    assert_same(found, exact, TOLERANCES[torch.float32])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("units", [UNITS, 4 * UNITS])
@pytest.mark.parametrize("kind", [LSTM, GRU, Elman])
def test_steps_of_fewer_and_fewer_rows(kind: type[Cell], units: int, threads: int) -> None:
    """Matmuls of few rows are made in another way; how few depends on the units."""
    torch.manual_seed(4)
    lengths = torch.arange(18, 0, -1) + torch.tensor([20] * 5 + [2] * 13)  # 18 rows, 5 from the fifteenth step on
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        cell, inputs = kind(32, units), torch.randn(18, int(lengths.max()), 32)
        for some in (slice(None), slice(0, 9)):
            found, exact = natively_and_in_double(cell, inputs[some], lengths[some])
            assert_same(found, exact, TOLERANCES[torch.float32])
    finally:
        torch.set_num_threads(before)
