"""Problems whose answer is known: gated cells reach back, and the mean answer is beaten by far."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from echoic.data.synthetic import ADDING_BASELINE, adding_problem, copy_problem
from echoic.models.recurrent import build_recurrent
from echoic.models.settings import RecurrentSettings


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on two, and on a busy machine much slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Reader(nn.Module):
    """A recurrent stack and a linear layer on each of its outputs."""

    def __init__(self, settings: RecurrentSettings, input_size: int, output_size: int) -> None:
        super().__init__()
        self.recurrent = build_recurrent(settings, input_size)
        self.out = nn.Linear(self.recurrent.output_size, output_size)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.out(self.recurrent(inputs)[0])


def train_step(model: nn.Module, optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_adding_problem(cell: str) -> None:
    """50 steps: a mean squared error below a tenth of that of the mean answer."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = Reader(RecurrentSettings(cell=cell, hidden_size=32, memory_steps=50), 2, 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0)
    for _ in range(700):
        example = adding_problem(32, 50, generator)
        train_step(model, optimiser, (model(example.inputs)[:, -1, 0] - example.targets).square().mean())
    held_out = adding_problem(1000, 50, torch.Generator().manual_seed(2))
    with torch.no_grad():
        error = (model(held_out.inputs)[:, -1, 0] - held_out.targets).square().mean().item()
    assert error < ADDING_BASELINE / 10


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_copy_problem(cell: str) -> None:
    """3 symbols over 10 steps: at least nine symbols of ten are right; guessing gives one in eight."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = Reader(RecurrentSettings(cell=cell, hidden_size=64, memory_steps=20), 10, 9)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0)
    for _ in range(800):
        inputs, targets = copy_problem(32, 10, generator, length=3)
        scores = model(nn.functional.one_hot(inputs, 10).float())
        train_step(model, optimiser, nn.functional.cross_entropy(scores.transpose(1, 2), targets))
    inputs, targets = copy_problem(500, 10, torch.Generator().manual_seed(2), length=3)
    with torch.no_grad():
        answers = model(nn.functional.one_hot(inputs, 10).float())[:, -3:].argmax(dim=2)
    assert (answers == targets[:, -3:]).float().mean().item() > 0.9
