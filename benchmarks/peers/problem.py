"""What is computed: one recurrent layer over one batch, the same numbers for every contender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
GATES = {"LSTM": 4, "GRU": 3, "Elman": 1}


@dataclass(frozen=True)
class Problem:
    """One point of the grid; the input size is the hidden size.

    cell: LSTM (gates ordered i, f, g, o), GRU (r, z, n; reset after the matmul) or Elman (tanh).
    train: gradients of the inputs and of all weights, too.
    batch_first: the memory of inputs and outputs is [B, T, H] for every contender, not [T, B, H].
    """

    cell: str
    batch: int
    hidden: int
    steps: int = 100
    train: bool = False
    batch_first: bool = False

    @property
    def work(self) -> str:
        """Name of what is done."""
        return "forward+backward" if self.train else "forward"

    @property
    def flops(self) -> float:
        """Floating-point operations of the matmuls, two to a multiply-add; the backward pass has twice as many."""
        forward = 2.0 * self.steps * self.batch * GATES[self.cell] * self.hidden * 2 * self.hidden
        return forward * (3 if self.train else 1)

    def arrays(self) -> dict[str, Array]:
        """Inputs and gradient of the outputs [T, B, H] or [B, T, H]; weights [gates * H, H] and biases as torch's."""
        random = np.random.default_rng([self.batch, self.hidden, self.steps])
        rows, bound = GATES[self.cell] * self.hidden, self.hidden**-0.5
        shape = (self.batch, self.steps) if self.batch_first else (self.steps, self.batch)
        made = {
            "inputs": random.standard_normal((*shape, self.hidden), np.float32),
            "weight_ih": random.uniform(-bound, bound, (rows, self.hidden)),
            "weight_hh": random.uniform(-bound, bound, (rows, self.hidden)),
            "bias_ih": random.uniform(-bound, bound, rows),
            "bias_hh": random.uniform(-bound, bound, rows),
            "seed": random.standard_normal((*shape, self.hidden), np.float32),
        }
        return {name: value.astype(np.float32) for name, value in made.items()}


WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def disagreement(found: dict[str, Array], expected: dict[str, Array]) -> tuple[str, float]:
    """The result that differs most, with its largest difference relative to the largest value expected."""
    if found.keys() != expected.keys():
        return f"results {sorted(found)} where {sorted(expected)} were expected", float("inf")
    worst = ("", 0.0)
    for name, value in expected.items():
        other = found[name]
        if other.shape != value.shape:
            return f"{name} of shape {other.shape}, not {value.shape}", float("inf")
        error = float(np.abs(other - value).max() / np.abs(value).max())
        if not error <= worst[1]:  # a NaN counts as the worst
            worst = (name, error)
    return worst
