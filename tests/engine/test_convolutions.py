"""Convolutions as shifted maps and a matmul are PyTorch's own, gradients included; those of a step run natively."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from tests.engine.test_ways_of_writing import State
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells import Cell, ConvLSTM
from echoic.engine import unroll
from echoic.engine.compiled import compiled
from echoic.engine.convolutions import Unfolded


class Options(NamedTuple):
    """Of a convolution; the channels are 4 and 6."""

    kernel: tuple[int, int] = (3, 3)
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1


CASES = [
    *(
        Options(kernel, padding=padding)
        for kernel, padding in product([(3, 3), (1, 1), (5, 3)], [0, 1, (2, 1), "valid"])
    ),
    *(
        Options((2, 3), padding=padding, dilation=dilation)
        for padding, dilation in product([1, (0, 2)], [1, 2, (2, 1)])
    ),
    *(Options(stride=stride, padding=padding, groups=2) for stride, padding in product([1, 2, (1, 2)], [0, 1, (2, 0)])),
    *(
        Options(kernel, padding="same", dilation=dilation)
        for kernel, dilation in product([(3, 3), (5, 1)], [1, (1, 2)])
    ),
]


def both(convolve: Any, values: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> list[dict[str, Tensor]]:
    """Results and gradients, by PyTorch and unfolded."""
    given = [part.requires_grad_() for part in (values, weight, bias) if part is not None]
    made = [convolve(values, weight, bias, *options)]
    with Unfolded():
        made.append(convolve(values, weight, bias, *options))
    pull = torch.randn_like(made[0])
    return [
        {"made": each, **{f"of {i}": g for i, g in enumerate(torch.autograd.grad(each, given, pull))}} for each in made
    ]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_maps(options: Options) -> None:
    torch.manual_seed(0)
    kernel, *others = options
    values = torch.randn(3, 4, 7, 6, dtype=torch.float64)
    weight, bias = torch.randn(6, 4 // options.groups, *kernel).double(), torch.randn(6).double()
    expected, found = both(F.conv2d, values, weight, bias, *others)
    assert_same(found, expected, TOLERANCES[torch.float64])


@pytest.mark.parametrize("options", [(), (1, 1), (2, 3, 2), ([2], [1], [1], 2), (1, "same", 2)], ids=str)
def test_sequences_of_features(options: tuple[Any, ...]) -> None:
    torch.manual_seed(1)
    groups = options[3] if len(options) > 3 else 1
    values, weight = torch.randn(3, 4, 9).double(), torch.randn(6, 4 // groups, 3).double()
    expected, found = both(F.conv1d, values, weight, None, *options)
    assert_same(found, expected, TOLERANCES[torch.float64])


@pytest.mark.parametrize(
    ("convolve", "values", "weight"),
    [
        (F.conv1d, torch.randn(4, 9), torch.randn(6, 4, 3)),
        (F.conv2d, torch.randn(4, 9, 8), torch.randn(6, 4, 3, 2)),
        (F.conv3d, torch.randn(2, 4, 3, 3, 3), torch.randn(6, 4, 2, 2, 2)),
        (F.conv_transpose2d, torch.randn(2, 4, 9, 8), torch.randn(4, 6, 3, 2)),
    ],
)
def test_others_stay_what_they_are(convolve: Any, values: Tensor, weight: Tensor) -> None:
    with Unfolded():
        found = convolve(values, weight)
    assert torch.equal(found, convolve(values, weight))


def test_names_and_refusals_are_those_of_torch() -> None:
    values, weight = torch.randn(2, 4, 5, 5).double(), torch.randn(6, 4, 3, 3).double()
    with Unfolded():
        found = F.conv2d(input=values, weight=weight, padding=1)
        with pytest.raises(RuntimeError, match="strided"):
            F.conv2d(values, weight, stride=2, padding="same")
    torch.testing.assert_close(found, F.conv2d(values, weight, padding=1))


class Seeing(Cell):
    """A step whose units are maps [2, 4, 3]: a convolution by a module, and one with a stride."""

    def __init__(self) -> None:
        super().__init__(3, 24)
        self.weight = nn.Parameter(0.3 * torch.randn(24, 3))
        self.around, self.every = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 6, (2, 1), stride=(2, 1))

    def initial_state(self, batch_size: int) -> State:
        return State(self.zeros(batch_size, 24), self.zeros(batch_size, 36))

    def project(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight)

    def update(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        maps = state.hidden.view(-1, 2, 4, 3)
        hidden = torch.tanh(projected + self.around(maps).flatten(1) + state.cell[:, :24])
        return hidden, State(hidden, torch.sigmoid(self.every(maps)).flatten(1))


@pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])
@pytest.mark.parametrize("make", [Seeing, lambda: ConvLSTM(40, 60, height=4, width=5)], ids=["modules", "ConvLSTM"])
def test_a_step_with_convolutions_is_native(make: Any, memory: str) -> None:
    torch.manual_seed(2)
    cell = make().double()
    assert compiled(cell).recording.apart is None
    inputs = torch.randn(3, 11, cell.input_size, dtype=torch.float64, requires_grad=True)
    found = []
    for options in (("reference", "store"), ("native", memory)):
        outputs, end = unroll(cell, inputs, options=options)
        loss = (outputs * torch.linspace(-1, 1, outputs.numel()).view(outputs.shape)).sum() + end[1].sin().sum()
        gradients = torch.autograd.grad(loss, [inputs, *cell.parameters()])
        found.append({"outputs": outputs, **{f"gradient {i}": part for i, part in enumerate(gradients)}})
    assert_same(found[1], found[0], TOLERANCES[torch.float64])
