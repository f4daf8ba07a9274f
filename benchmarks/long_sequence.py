"""One training step over a million time steps in bounded memory, against the time of a step at ten thousand.

    python benchmarks/long_sequence.py [--threads 2] [--clock wall|cpu] [--steps 1000000] [--loss mean last]

An LSTM, float32, B 1, H 128 inputs and units, on the native engine: memory="checkpoint" over all steps, forward and
backward with the gradients of the parameters, in a process of its own, whose peak resident memory is printed; before
and after it memory="store" over 10,000 steps in the same process. Outputs and gradients of both are compared with the
reference's first, over 2000 steps. The loss is the mean of all outputs, or the sum of the last one.
"""

from __future__ import annotations

import copy
import multiprocessing
import resource
import statistics
import sys
from collections.abc import Callable

import torch
from peers.alternate import agree, heading, option_parser, parse
from peers.worker import CLOCKS
from torch import Tensor, nn

from echoic.cells import LSTM
from echoic.layers import Recurrent

HIDDEN, SHORT, COMPARED, ROUNDS = 128, 10_000, 2000, 3
MEMORY_GOAL, TIME_GOAL = 2.0, 1.45  # GiB; times
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda outputs: outputs.mean(),
    "last": lambda outputs: outputs[:, -1].sum(),
}


def step(layer: nn.Module, inputs: Tensor, loss: str) -> list[Tensor]:
    """One training step but for the optimiser: the loss and the gradients."""
    layer.zero_grad()
    value = LOSSES[loss](layer(inputs)[0])
    value.backward()
    return [value.detach(), *(p.grad for p in layer.parameters() if p.grad is not None)]


def resident() -> float:
    """The largest resident memory of this process so far, GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def measure(steps: int, loss: str, threads: int, clock: str) -> tuple[float, float, float, float]:
    """Seconds per time step of checkpoint and of store; peak GiB of all, and before the long sequence."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    now = CLOCKS[clock]
    checkpoint = Recurrent(LSTM(HIDDEN, HIDDEN), backend="native", memory="checkpoint")
    store = Recurrent(copy.deepcopy(checkpoint.cells[0]), backend="native")  # pyright: ignore
    short = torch.randn(1, SHORT, HIDDEN)

    def seconds(layer: nn.Module, inputs: Tensor) -> float:
        begin = now()
        step(layer, inputs, loss)
        return now() - begin

    seconds(store, short)
    seconds(checkpoint, short)
    taken = [seconds(store, short) for _ in range(ROUNDS)]
    before = resident()
    long = seconds(checkpoint, torch.randn(1, steps, HIDDEN))
    peak = resident()
    taken += [seconds(store, short) for _ in range(ROUNDS)]
    return long / steps, statistics.median(taken) / SHORT, peak, before


def check(loss: str) -> None:
    """Stop unless both kinds of memory give the reference's loss and gradients."""
    torch.manual_seed(1)
    cell, inputs = LSTM(HIDDEN, HIDDEN), torch.randn(1, COMPARED, HIDDEN)
    loop = Recurrent(copy.deepcopy(cell), backend="reference")
    for memory in ("store", "checkpoint"):
        layer = Recurrent(copy.deepcopy(cell), backend="native", memory=memory)
        agree(f"{memory}, {loss}", (layer, loop), lambda it: [it(inputs)[0].detach(), *step(it, inputs, loss)])


def main() -> None:
    """Check and measure with each loss."""
    parser = option_parser(__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--loss", nargs="+", choices=LOSSES, default=list(LOSSES))
    given = parse(parser)
    print(f"{heading(given)}; LSTM B 1 H {HIDDEN} T {given.steps}, checkpoint; store at T {SHORT}")
    for loss in given.loss:
        check(loss)
        with multiprocessing.get_context("spawn").Pool(1) as alone:
            long, short, peak, before = alone.apply(measure, (given.steps, loss, given.threads, given.clock))
        memory, time = peak < MEMORY_GOAL, long / short <= TIME_GOAL
        print(
            f"loss {loss:5s} peak {peak:.2f} GiB (before it {before:.2f}; goal {'reached' if memory else 'missed'})  "
            f"checkpoint {long * 1e6:.1f} us a step, store {short * 1e6:.1f}: {long / short:.2f}x "
            f"(goal {'reached' if time else 'missed'})",
            flush=True,
        )


if __name__ == "__main__":
    main()
