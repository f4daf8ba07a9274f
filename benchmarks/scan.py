"""Linear cells over time: the scan against the loop over the steps.

    python benchmarks/scan.py [--cells MinGRU LRU] [--rounds 7] [--clock cpu|wall]

Float32, one thread, as many inputs as hidden units. Outputs and gradients of both are compared first; where they
disagree nothing is timed. Both take turns, and medians of the time for the outputs and for the gradients are printed in
milliseconds, with the ratio of their sums. On a machine that others use as well, believe ``--clock cpu``: the seconds
that this process had a processor.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time

import torch
from torch import Tensor

from echoic.cells import LinearCell, build_cell, registered_cells
from echoic.engine import unroll

SIZES = [(1000, 32, 128), (1000, 8, 64), (1000, 1, 64), (200, 8, 64), (48, 32, 64)]  # T, B, H
BACKENDS = ("scan", "reference")
TOLERANCE = 1e-4  # of the largest value: sums of float32 over thousands of steps, in another order
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


class Problem:
    """One cell over one batch, and the gradient sent back through it."""

    def __init__(self, name: str, size: tuple[int, int, int]) -> None:
        torch.manual_seed(0)
        steps, batch, hidden = size
        self.cell = build_cell(name, hidden, hidden)
        self.inputs = torch.randn(batch, steps, hidden, requires_grad=True)
        self.pull = torch.randn(batch, steps, hidden)

    def outputs(self, backend: str) -> Tensor:
        return unroll(self.cell, self.inputs, options=(backend, "store"))[0]

    def gradients(self, outputs: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(outputs, [self.inputs, *self.cell.parameters()], self.pull)


def disagreement(problem: Problem) -> float:
    """Largest difference between the backends, as a share of the largest value of each tensor."""
    results = []
    for backend in BACKENDS:
        outputs = problem.outputs(backend)
        results.append([outputs.detach(), *problem.gradients(outputs)])
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*results, strict=True))


def measure(problem: Problem, rounds: int, clock: str) -> dict[str, tuple[float, float]]:
    """Median milliseconds for the outputs and for the gradients, by backend."""
    now = CLOCKS[clock]
    taken: dict[str, list[tuple[float, float]]] = {backend: [] for backend in BACKENDS}
    for _ in range(rounds):
        for backend in BACKENDS:
            start = now()
            outputs = problem.outputs(backend)
            middle = now()
            problem.gradients(outputs)
            taken[backend].append((1e3 * (middle - start), 1e3 * (now() - middle)))
    return {
        backend: (statistics.median(f for f, _ in times), statistics.median(b for _, b in times))
        for backend, times in taken.items()
    }


def main() -> int:
    linear = [name for name, kind in registered_cells().items() if issubclass(kind, LinearCell)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=linear, default=linear)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread, {arguments.clock} clock")
    print("cell          T    B    H   scan: outputs + gradients   loop: outputs + gradients   ms, times faster")
    for name in arguments.cells:
        for size in SIZES:
            problem = Problem(name, size)
            difference = disagreement(problem)
            if not difference <= TOLERANCE:
                print(f"{name} {size}: scan and loop differ by {difference:.1e} of the largest value; nothing is timed")
                return 1
            times = measure(problem, arguments.rounds, arguments.clock)
            ratio = sum(times["reference"]) / sum(times["scan"])
            steps, batch, hidden = size
            columns = "   ".join(f"{f:12.1f} + {b:<10.1f}" for f, b in times.values())
            print(f"{name:9s} {steps:5d} {batch:4d} {hidden:4d}   {columns}  {ratio:5.1f}x", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
