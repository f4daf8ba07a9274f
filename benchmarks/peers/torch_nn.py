"""torch.nn.LSTM, GRU and RNN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from peers.problem import WEIGHTS, Array, Problem

LAYERS: dict[str, type[nn.RNNBase]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "Elman": nn.RNN}


class TorchLayer:
    """A layer over a batch, by autograd where it trains."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.about = f"torch {torch.__version__}, {torch.get_num_threads()} threads"

    def prepare(self, problem: Problem) -> None:
        arrays = problem.arrays()
        self.train = problem.train
        self.layer = loaded(problem, arrays)
        self.inputs = torch.from_numpy(arrays["inputs"]).requires_grad_(problem.train)
        self.seed = torch.from_numpy(arrays["seed"])
        self.leaves = [self.inputs, *(getattr(self.layer, f"{name}_l0") for name in WEIGHTS)]
        self.run()

    def run(self) -> tuple[Tensor, ...]:
        if not self.train:
            with torch.no_grad():
                return (self.layer(self.inputs)[0],)
        outputs = self.layer(self.inputs)[0]
        return outputs, *torch.autograd.grad(outputs, self.leaves, self.seed)

    def results(self) -> dict[str, Array]:
        names = ("outputs", "inputs", *WEIGHTS)
        return {name: value.detach().numpy() for name, value in zip(names, self.run(), strict=False)}


class TorchStep:
    """One step after the other, the state handed on."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.about = f"torch {torch.__version__}, {torch.get_num_threads()} threads"

    def prepare(self, problem: Problem) -> None:
        arrays = problem.arrays()
        self.layer = loaded(problem, arrays)
        self.inputs = [torch.from_numpy(row[None]) for row in arrays["inputs"]]
        self.steps, self.state = 0, None

    def run(self) -> Tensor:
        with torch.no_grad():
            outputs, self.state = self.layer(self.inputs[self.steps % len(self.inputs)], self.state)
        self.steps += 1
        return outputs

    def results(self) -> dict[str, Array]:
        return {"outputs": torch.cat([self.run() for _ in self.inputs]).numpy()}


def loaded(problem: Problem, arrays: dict[str, Array]) -> Any:
    """The layer with the problem's weights."""
    layer = LAYERS[problem.cell](problem.hidden, problem.hidden, batch_first=problem.batch_first)
    with torch.no_grad():
        for name in WEIGHTS:
            getattr(layer, f"{name}_l0").copy_(torch.from_numpy(arrays[name]))
    return layer.train(problem.train)
