"""A model with dropout and a carried state, and batches of it, small enough to train in a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from echoic.training.contract import Loss
from echoic.training.settings import Training


class Batch(NamedTuple):
    """inputs [B, T, 3], targets [B, T]."""

    inputs: Tensor
    targets: Tensor


class Memory(NamedTuple):
    """hidden [B, H]; mark is no tensor."""

    mark: str
    hidden: Tensor


class Toy(nn.Module):
    """A recurrent regression whose carried state is a structure of its own."""

    def __init__(self, dropout: float = 0.0, carries: bool = True) -> None:
        super().__init__()
        self.cell, self.read = nn.GRUCell(3, 5), nn.Linear(5, 1)
        self.dropout, self.carries = nn.Dropout(dropout), carries
        self.received: list[Any] = []

    def loss(self, batch: Batch, carry: Any = None) -> Loss:
        if self.training and torch.is_grad_enabled():
            self.received.append(carry)
        hidden = batch.inputs.new_zeros(batch.inputs.shape[0], 5) if carry is None else carry["memory"].hidden
        found = []
        for x in batch.inputs.unbind(1):
            hidden = self.cell(x, hidden)
            found.append(self.read(self.dropout(hidden)).squeeze(-1))
        mean = (torch.stack(found, 1) - batch.targets).square().mean()
        return Loss(mean, batch.targets.numel(), {"memory": Memory("toy", hidden)} if self.carries else None)


class ToyBatches:
    """Random inputs; the target is a running mean of the first feature. Batches of each epoch are shuffled."""

    padding_share = 0.125

    def __init__(self, count: int = 6, size: int = 4, steps: int = 5, seed: int = 0, shuffle: bool = True) -> None:
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(count, size, steps, 3, generator=generator)
        targets = inputs[..., 0].cumsum(-1) / torch.arange(1, steps + 1)
        self.all = [Batch(x, y) for x, y in zip(inputs, targets, strict=True)]
        self.shuffle, self.served = shuffle, 0

    def __len__(self) -> int:
        return len(self.all)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        order = torch.randperm(len(self.all), generator=torch.Generator().manual_seed(number)).tolist()
        for index in (order if self.shuffle else range(len(self.all)))[start:]:
            self.served += 1
            yield self.all[index]


def make_toy(dropout: float = 0.0, carries: bool = True, seed: int = 1) -> Toy:
    """The same weights and the same random state after it, for the same seed."""
    torch.manual_seed(seed)
    return Toy(dropout, carries)


def settings(**changed: Any) -> Training:
    """Short and without a warm-up."""
    return Training(**{"epochs": 3, "learning_rate": 0.02, "warmup": 0.0, "schedule": "constant", **changed})


def score(model: nn.Module) -> dict[str, float]:
    """A validation loss that draws random numbers too, as a validation may."""
    torch.rand(3)
    batches = ToyBatches(count=2, seed=9)
    return {"loss": sum(float(model.loss(batch).mean.detach()) for batch in batches.all) / 2}  # type: ignore[operator]
