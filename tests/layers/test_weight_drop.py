"""Weight drop: one mask a run, the fused backend kept, nothing in evaluation."""

from __future__ import annotations

import pytest
import torch

from echoic.cells import build_cell
from echoic.errors import OptionError
from echoic.layers import Recurrent
from echoic.layers.weight_drop import weight_drop

CELLS = [
    ("Elman", {}),
    ("Jordan", {}),
    ("LSTM", {}),
    ("LSTM", {"peephole": True}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
]


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize(("name", "options"), CELLS)
def test_one_mask_for_the_whole_run(name: str, options: dict[str, bool], backend: str) -> None:
    """The outputs and gradients are those of a plain cell whose recurrent weights were dropped once."""
    torch.manual_seed(0)
    plain = build_cell(name, 3, 5, **options).double()
    dropped = build_cell(name, 3, 5, **options).double()
    dropped.load_state_dict(plain.state_dict())
    weight_drop(dropped, 0.4)
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    layer = Recurrent(dropped, backend=backend)

    torch.manual_seed(5)
    outputs, _ = layer(inputs)
    torch.manual_seed(5)
    mask = torch.nn.functional.dropout(torch.ones_like(plain.weight_hh), 0.4)
    assert 0 < (mask == 0).sum() < mask.numel()
    with torch.no_grad():
        plain.weight_hh.mul_(mask)
    expected, _ = Recurrent(plain, backend="reference")(inputs)
    torch.testing.assert_close(outputs, expected)

    outputs.square().sum().backward()
    expected.square().sum().backward()
    raw = dict(dropped.named_parameters())["parametrizations.weight_hh.original"]
    torch.testing.assert_close(raw.grad, plain.weight_hh.grad * mask)
    torch.testing.assert_close(dropped.weight_ih.grad, plain.weight_ih.grad)


def test_evaluation_drops_nothing_and_training_draws_anew() -> None:
    torch.manual_seed(0)
    cell = build_cell("LSTM", 3, 5)
    plain = Recurrent(build_cell("LSTM", 3, 5))
    plain.cells[0].load_state_dict(cell.state_dict())
    layer = Recurrent(weight_drop(cell, 0.5))
    inputs = torch.randn(2, 6, 3)
    assert not torch.equal(layer(inputs)[0], layer(inputs)[0])
    torch.testing.assert_close(layer.eval()(inputs)[0], plain(inputs)[0])


def test_the_fused_backend_still_runs_it() -> None:
    layer = Recurrent(weight_drop(build_cell("LSTM", 3, 5), 0.5), backend="torch")
    layer(torch.randn(2, 6, 3))


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_a_replay_would_draw_another_mask(memory: str) -> None:
    layer = Recurrent(weight_drop(build_cell("LSTM", 3, 5), 0.5), memory=memory)
    with pytest.raises(OptionError, match='Use memory="store"'):
        layer(torch.randn(2, 6, 3))
    layer.eval()(torch.randn(2, 6, 3))


def test_refusals() -> None:
    with pytest.raises(OptionError, match="weight drop: found a probability of 1"):
        weight_drop(build_cell("GRU", 3, 5), 1.0)
    with pytest.raises(OptionError, match="no recurrent weights"):
        weight_drop(weight_drop(build_cell("GRU", 3, 5), 0.1), 0.1)
