"""Ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import echoic
from echoic.cells import build_cell
from echoic.layers import Recurrent
from peers.problem import WEIGHTS, Array, Problem


class EchoicLayer:
    """A layer over a batch, by autograd where it trains."""

    def __init__(self, threads: int, backend: str) -> None:
        torch.set_num_threads(threads)
        self.backend = backend
        self.about = f"echoic {echoic.__version__} on backend {backend}, {torch.get_num_threads()} threads"

    def prepare(self, problem: Problem) -> None:
        arrays = problem.arrays()
        self.problem = problem
        self.layer = loaded(problem, arrays, self.backend)
        self.inputs = torch.from_numpy(arrays["inputs"]).requires_grad_(problem.train)
        self.seed = torch.from_numpy(arrays["seed"])
        self.leaves = [self.inputs, *(getattr(self.layer.cells[0], name) for name in WEIGHTS)]
        self.run()

    def run(self) -> tuple[Tensor, ...]:
        if not self.problem.train:
            with torch.no_grad():
                return (self._outputs(),)
        outputs = self._outputs()
        return outputs, *torch.autograd.grad(outputs, self.leaves, self.seed)

    def results(self) -> dict[str, Array]:
        names = ("outputs", "inputs", *WEIGHTS)
        return {name: value.detach().contiguous().numpy() for name, value in zip(names, self.run(), strict=False)}

    def _outputs(self) -> Tensor:
        """The layer takes [B, T, H] in any strides."""
        if self.problem.batch_first:
            return self.layer(self.inputs)[0]
        return self.layer(self.inputs.transpose(0, 1))[0].transpose(0, 1)


class EchoicLayerStep:
    """The layer over one step after the other, for backends without a stepper."""

    def __init__(self, threads: int, backend: str) -> None:
        torch.set_num_threads(threads)
        self.backend = backend
        self.about = f"echoic {echoic.__version__}, layer on backend {backend}, {torch.get_num_threads()} threads"

    def prepare(self, problem: Problem) -> None:
        arrays = problem.arrays()
        self.layer = loaded(problem, arrays, self.backend)
        self.inputs = [torch.from_numpy(row[:, None]) for row in arrays["inputs"]]
        self.steps, self.state = 0, None

    def run(self) -> Tensor:
        with torch.no_grad():
            outputs, self.state = self.layer(self.inputs[self.steps % len(self.inputs)], self.state)
        self.steps += 1
        return outputs

    def results(self) -> dict[str, Array]:
        return {"outputs": torch.cat([self.run() for _ in self.inputs], 1).transpose(0, 1).contiguous().numpy()}


class EchoicStep:
    """The native stepper: NumPy in, NumPy out, the state inside."""

    def __init__(self, threads: int, weights: str = "as given") -> None:
        from echoic.engine.stepper import Stepper

        torch.set_num_threads(threads)
        self.stepper_of, self.weights = Stepper, weights
        about = f"native stepper, {torch.get_num_threads()} threads, weights {weights}"
        self.about = f"echoic {echoic.__version__}, {about}"

    def prepare(self, problem: Problem) -> None:
        arrays = problem.arrays()
        cell = loaded(problem, arrays, "auto").cells[0]
        self.stepper = self.stepper_of(cell, threads=torch.get_num_threads(), weights=self.weights)
        self.inputs, self.steps = list(arrays["inputs"]), 0

    def run(self) -> Array:
        outputs = self.stepper.step(self.inputs[self.steps % len(self.inputs)])
        self.steps += 1
        return outputs

    def results(self) -> dict[str, Array]:
        import numpy as np

        return {"outputs": np.stack([self.run().copy() for _ in self.inputs])}


def loaded(problem: Problem, arrays: dict[str, Array], backend: str) -> Any:
    """The layer with the problem's weights."""
    cell = build_cell(problem.cell, problem.hidden, problem.hidden)
    with torch.no_grad():
        for name in WEIGHTS:
            getattr(cell, name).copy_(torch.from_numpy(arrays[name]))
    return Recurrent(cell, backend=backend).train(problem.train)
