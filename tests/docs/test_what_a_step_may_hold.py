"""The tables of docs/your-own-cell.md, "What a step may hold": everything named there is recorded, or refused."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells import Cell
from echoic.engine.trace import TraceRefusal, record
from echoic.layers import Recurrent

WEIGHT = torch.randn(4, 4)


class OneState(NamedTuple):
    hidden: Tensor


class Holding(Cell):
    """h' = tanh(projected + expression(cell, h))."""

    def __init__(self, expression) -> None:
        super().__init__(3, 4)
        self.expression = expression
        self.make_weights(1)
        self.scale, self.shift = nn.Parameter(torch.empty(4)), nn.Parameter(torch.empty(4))
        self.register_buffer("constant", torch.tensor([0.5, 1.5, 2.5, 3.5]))
        self.register_buffer("fixed", torch.randn(4, 4))
        self.reset_parameters()

    def initial_state(self, batch_size):
        return OneState(self.zeros(batch_size, 4))

    def update(self, projected, state):
        hidden = torch.tanh(projected + self.expression(self, state.hidden))
        return hidden, OneState(hidden)


CAN = {
    "linear": lambda c, h: F.linear(torch.sigmoid(h) * h, c.weight_hh),
    "slices of parameters": lambda c, h: torch.cat(
        [F.linear(h, c.weight_hh[:1], c.bias_hh[:1]), F.linear(h, c.weight_hh[1:])], -1
    ),
    "transposes": lambda c, h: h @ c.weight_hh,
    "a buffer as matrix": lambda c, h: h @ c.fixed,
    "arithmetic": lambda c, h: (h + 2) * h / (3 - h) - 1,
    "functions": lambda c, h: torch.sigmoid(h) + torch.relu(h) + torch.exp(h) + F.softplus(h) + torch.sin(h),
    "more functions": lambda c, h: torch.log(h.abs() + 1) + torch.sqrt(h.abs() + 1) + torch.cos(h) + h.sign(),
    "cut off": lambda c, h: h.floor() + h.clamp(-0.5, 0.5) + torch.maximum(h, c.scale) + torch.minimum(h, -h),
    "gelu": lambda c, h: F.gelu(h) + torch.erf(h),
    "one matrix for all groups": lambda c, h: (h.view(-1, 2, 2) @ c.weight_hh[:2, :2]).flatten(1),
    "an adjacency": lambda c, h: (c.fixed[:2, :2] @ h.view(-1, 2, 2)).flatten(1),
    "convolutions": lambda c, h: F.conv1d(h.unsqueeze(1), c.weight_hh[:3, :1].view(1, 1, 3), padding=1).squeeze(1),
    "convolutions of maps": lambda c, h: F.conv2d(
        h.view(-1, 1, 2, 2), c.fixed.reshape(-1)[:9].view(1, 1, 3, 3), padding=1
    ).flatten(1),
    "a memory of matrices": lambda c, h: (
        (h.view(-1, 2, 2) @ torch.sin(h[:, :2]).unsqueeze(-1)).squeeze(-1).repeat(1, 2)
    ),
    "einsum over the rows": lambda c, h: torch.einsum("bi,bj->bij", h, torch.tanh(h)).sum(2),
    "running sums": lambda c, h: torch.softmax(h, -1).cumsum(-1),
    "the largest": lambda c, h: h.max(-1, keepdim=True).values * F.one_hot(h.argmin(-1), 4),
    "by number": lambda c, h: h.gather(1, h.argmax(-1, keepdim=True)) + h.scatter(1, h.argmin(-1, keepdim=True), 1.0),
    "powers": lambda c, h: h**2 + h.square() + h.abs().pow(0.5),
    "where": lambda c, h: torch.where(h > 0.1, h, c.shift) + (h <= 0.3).to(h.dtype),
    "cut and joined": lambda c, h: torch.cat([*h.chunk(2, -1)][::-1], -1) + torch.cat(h.split([1, 3], -1)[::-1], -1),
    "slices": lambda c, h: torch.cat([h[:, 1:], h[:, :1]], dim=1),
    "sums": lambda c, h: h.sum(-1, keepdim=True) + h.mean(-1, keepdim=True) + h.var(-1, keepdim=True) * h,
    "softmax": lambda c, h: torch.softmax(h, -1) - h.amax(-1, keepdim=True),
    "layer norm": lambda c, h: F.layer_norm(h, (4,), c.scale, c.shift),
    "of parameters alone": lambda c, h: h * torch.sigmoid(c.scale) / F.softplus(c.shift).sum(),
    "constants": lambda c, h: h * c.constant + c.hidden_size,
}

CANNOT = {
    "if": lambda c, h: h if h.sum() > 0 else -h,
    "random": lambda c, h: h + torch.randn_like(h),
    "dropout": lambda c, h: F.dropout(h, 0.5),
    "products of rows": lambda c, h: (h @ h.T) @ h,
    "sums over rows": lambda c, h: h - h.mean(0),
    "sort": lambda c, h: h.sort(-1).values,
    "topk": lambda c, h: h.topk(2).values.repeat(1, 2),
    "cumprod": lambda c, h: h.cumprod(-1),
    "convolutions of volumes": lambda c, h: F.conv3d(h.view(-1, 1, 1, 2, 2), c.fixed[:2, :2].view(1, 1, 1, 2, 2)).sum(
        (2, 3)
    ),
    "zeros between": lambda c, h: F.pad(h.repeat(1, 50).unsqueeze(2), (0, 1)).flatten(1)[:, :4],
    "neither parameter nor buffer": lambda c, h: h @ WEIGHT,
}


@pytest.mark.parametrize("name", CAN)
def test_can(name):
    cell = Holding(CAN[name])
    record(cell)
    if "native" in Recurrent(cell).explain():
        inputs, lengths = torch.randn(3, 5, 3), torch.tensor([5, 0, 2])
        expected, _ = Recurrent(cell, backend="reference")(inputs, lengths=lengths)
        found, _ = Recurrent(cell, backend="native")(inputs, lengths=lengths)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", CANNOT)
def test_cannot(name):
    with pytest.raises(TraceRefusal):
        record(Holding(CANNOT[name]))
