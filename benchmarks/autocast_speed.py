"""Recurrent layers under bfloat16 autocast on the CPU: ours against torch.nn's, forward, and forward with backward.

    python benchmarks/autocast_speed.py [--threads 2] [--rounds 9]

Where the processor multiplies bfloat16 (AMX) so do both; elsewhere ours calculates in float32. Outputs and gradients of
both are compared with torch.nn's in float32 first: where ours are further off than the limit nothing is timed. T 100,
input size = hidden size. In turns: torch.nn and ours under autocast, ours in float32, and ours in float32 with
torch.set_float32_matmul_precision("high"), which multiplies sums of two bfloat16 numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import torch
from peers.alternate import heading, in_turns, option_parser, parse
from torch import Tensor, nn

import echoic.nn

KINDS = {"LSTM": (nn.LSTM, echoic.nn.LSTM), "GRU": (nn.GRU, echoic.nn.GRU), "Elman": (nn.RNN, echoic.nn.RNN)}
SIZES = [(1, 512), (8, 128), (8, 512), (32, 128), (32, 512), (128, 256)]
STEPS, FASTER = 100, 2.0
LIMIT = 0.03  # how far off results may be, as norms: bfloat16 has eight significant bits
LIMIT_OF_HIGH = 1e-4  # a sum of two sixteen


class Work:
    """One layer over one batch."""

    def __init__(self, layer: nn.Module, inputs: Tensor, pull: Tensor, precision: str, trains: bool) -> None:
        self.layer, self.inputs, self.pull, self.precision, self.trains = layer, inputs, pull, precision, trains

    def run(self) -> list[Tensor]:
        """Outputs; in training also the gradients of the inputs and of the parameters."""
        short = self.precision == "autocast"
        torch.set_float32_matmul_precision("highest" if short else self.precision)
        with torch.set_grad_enabled(self.trains), torch.autocast("cpu", torch.bfloat16, enabled=short):
            outputs = self.layer(self.inputs)[0]
        if not self.trains:
            return [outputs]
        leaves = [self.inputs, *self.layer.parameters()]
        return [outputs.detach(), *torch.autograd.grad(outputs, leaves, self.pull.to(outputs.dtype))]

    def off(self, expected: list[Tensor]) -> float:
        """How far off the worst result is, as a share of its norm."""
        pairs = zip(self.run(), expected, strict=True)
        return max(float((a.float() - b).norm() / b.norm()) for a, b in pairs)


def measure(kind: str, batch: int, hidden: int, trains: bool, rounds: int) -> float:
    """Print a line; how many times faster than torch.nn."""
    torch.manual_seed(0)
    theirs, ours = (make(hidden, hidden) for make in KINDS[kind])
    ours.load_state_dict(theirs.state_dict())
    inputs, pull = torch.randn(STEPS, batch, hidden, requires_grad=trains), torch.randn(STEPS, batch, hidden)
    expected = Work(theirs, inputs, pull, "highest", trains).run()
    contenders = [(theirs, "autocast"), (ours, "autocast"), (ours, "highest"), (ours, "high")]
    works = [Work(layer, inputs, pull, precision, trains) for layer, precision in contenders]
    errors = [work.off(expected) for work in works]
    where = f"{kind:6s}{'forward+backward' if trains else 'forward':17s}B {batch:3d} H {hidden:3d}"
    for error, limit in ((errors[1], LIMIT), (errors[3], LIMIT_OF_HIGH)):
        if not error <= limit:
            sys.exit(f"No figures. {where}: results are off by {error:.1e} of their norm.")
    calls: list[Callable[[], object]] = [work.run for work in works]
    turns = in_turns(calls, rounds, "wall")
    times = [turns.milliseconds(contender) for contender in range(len(works))]
    ratio, high = turns.ratio(0, 1), turns.ratio(2, 3)
    print(
        f"{where}  torch.nn {times[0]:8.2f}  echoic {times[1]:8.2f} ms  {ratio:5.2f}x  "
        f"off by {errors[0]:.1e} and {errors[1]:.1e}  goal: {'reached' if ratio >= FASTER else 'missed'}; "
        f"float32 {times[2]:8.2f}, high {times[3]:8.2f} ms  {high:5.2f}x  off by {errors[3]:.1e}",
        flush=True,
    )
    return ratio


def main() -> None:
    """Check and measure."""
    parser = option_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    given = parse(parser)
    print(heading(given))
    for trains in (False, True):
        for kind in KINDS:
            ratios = [measure(kind, *size, trains, given.rounds) for size in SIZES]
            mean = math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
            print(f"{kind}: {mean:.2f} times as fast as torch.nn (geometric mean)")


if __name__ == "__main__":
    main()
