"""What the benchmarks of our own layer share: options, agreement with the reference, measuring in turns."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import echoic
from peers.machine import describe
from peers.worker import CLOCKS

TOLERANCE = 1e-4  # of the largest value: float32 sums over many steps, in another order


def option_parser(doc: str | None) -> argparse.ArgumentParser:
    """A command line with --threads and --clock."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: CPU time, one thread on a busy machine")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options; sets the number of threads."""
    given = parser.parse_args()
    if given.clock == "cpu" and given.threads != 1:
        parser.error("--clock cpu adds up the time of all threads: it needs --threads 1.")
    torch.set_num_threads(given.threads)
    return given


def heading(given: argparse.Namespace) -> str:
    """Machine, versions and how it is measured."""
    import echoic._native as engine

    return (
        f"{describe()}\nechoic {echoic.__version__} (native engine: {engine.instruction_set()}), torch "
        f"{torch.__version__}; {given.threads} thread(s), {given.clock} clock, medians"
    )


def agree(what: str, layers: Sequence[nn.Module], results: Callable[[nn.Module], Sequence[Tensor]]) -> None:
    """Stop unless the first layer's results, outputs and gradients, are those of one of the others."""
    found, *others = (results(layer) for layer in layers)
    problems = [_difference(found, expected) for expected in others]
    if all(problems):
        sys.exit(f"No figures. {what}: {problems[0]}")


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> str:
    """What is not the same among results; empty if they are."""
    for position, (a, b) in enumerate(zip(found, expected, strict=True)):
        error = float((a - b).abs().max() / b.abs().max().clamp(min=1e-30))
        if not error <= TOLERANCE:  # a NaN does not agree either
            return f"result {position} {list(a.shape)} differs by {error:.1e} of the largest."
    return ""


@dataclass
class Turns:
    """Seconds of each contender in each round, lists of one length."""

    seconds: list[list[float]]

    def milliseconds(self, contender: int) -> float:
        """The median."""
        return statistics.median(self.seconds[contender]) * 1e3

    def ratio(self, one: int, other: int) -> float:
        """How many times longer one takes than the other: the median over the rounds, whose halves lie side by side."""
        pairs = zip(self.seconds[one], self.seconds[other], strict=True)
        return statistics.median(a / b for a, b in pairs)


def in_turns(contenders: Sequence[Callable[[], object]], rounds: int, clock: str) -> Turns:
    """Time the contenders, who take turns; of two calls in a turn the second counts, with the caches its own."""
    now = CLOCKS[clock]
    turns = Turns([[] for _ in contenders])
    for _ in range(rounds):
        for contender, seconds in zip(contenders, turns.seconds, strict=True):
            contender()
            begin = now()
            contender()
            seconds.append(now() - begin)
    return turns


def peak_gflops(clock: str) -> float:
    """Of a large matrix product, the best of some: what the machine can do, for comparison."""
    now, size = CLOCKS[clock], 1024
    a, b = torch.randn(size, size), torch.randn(size, size)
    taken = []
    for _ in range(12):
        begin = now()
        torch.mm(a, b)
        taken.append(now() - begin)
    return 2 * size**3 / min(taken) / 1e9
