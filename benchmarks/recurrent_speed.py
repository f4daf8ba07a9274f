"""Recurrent layers against torch.nn, a JAX scan and onnxruntime: forward, and forward with backward.

    python benchmarks/recurrent_speed.py [--backend auto] [--quick] [--seconds 1] [--json FILE]

Needs the extra ``bench``. Float32, input size = hidden size, the same number of threads for each contender on the same
CPUs. Each runs in a process of its own that sleeps while the others measure; they take turns at every point, five or
more of each, and the medians of single calls are compared. The memory of inputs and outputs is [T, B, H] for all
(--batch-first: [B, T, H] for all). Nothing is timed before outputs and gradients agree: where they do not, or where a
contender's threads do not sleep while others measure, the script says so and ends with status 1.

On a busy machine two threads wait for each other most of the time: points where the contenders' threads queued for a
CPU are marked, and no figure from them should be believed. ``--threads 1 --clock cpu`` measures there all the same.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from peers import LAYERS, PEAK, Contender, our_layer
from peers.machine import describe, distinct_cores
from peers.problem import GATES, Problem, disagreement
from peers.worker import CLOCKS, Turn, Worker, WorkerError

QUICK = [(batch, hidden, 100) for hidden in (128, 512) for batch in (32, 1)]
GRID = [(batch, hidden, 100) for hidden in (64, 128, 256, 512) for batch in (1, 8, 32, 128)] + [(32, 128, 1000)]
ROUNDS = 5
IDLE_LIMIT = 0.1  # CPU seconds per second that a waiting contender may use
QUEUE_LIMIT = 0.05  # seconds per second that a measuring contender may queue for a CPU before the point is marked


@dataclass
class Point:
    """Median milliseconds of each contender at one problem; how long they queued for a CPU, seconds per second."""

    problem: Problem
    milliseconds: dict[str, float]
    queued_share: float

    @property
    def ours(self) -> float:
        return self.milliseconds["echoic"]

    @property
    def best_peer(self) -> float:
        return min(value for name, value in self.milliseconds.items() if name != "echoic")

    @property
    def ratio(self) -> float:
        """How many times faster than the best peer."""
        return self.best_peer / self.ours

    def line(self, peak: float) -> str:
        problem = self.problem
        rate = problem.flops / self.ours / 1e6
        cells = "  ".join(f"{name} {value:9.3f}" for name, value in self.milliseconds.items())
        where = f"B {problem.batch:3d} H {problem.hidden:3d} T {problem.steps:4d}"
        return (
            f"{problem.cell:5s} {problem.work:16s} {where}  {cells}  ms  {self.ratio:6.2f}x  "
            f"{rate:6.1f} GFLOP/s {rate / peak:4.0%}"
            + (f"  DISTURBED: queued {self.queued_share:.0%}" if self.queued_share > QUEUE_LIMIT else "")
        )


class Disagreement(Exception):
    """Contenders compute different things, or disturb each other: no speed can be reported."""


def measure_peak(threads: int, cpus: set[int], clock: str) -> float:
    """GFLOP/s of a large matrix product, the best call."""
    worker = Worker(PEAK, threads, cpus)
    flops = worker.prepare(Problem("LSTM", 1, 1))["flops"].item()
    rate = flops / min(worker.measure(Turn(1.0, clock=clock)).seconds) / 1e9
    print(f"multiply-add peak: {rate:.0f} GFLOP/s ({worker.about})", flush=True)
    worker.close()
    return rate


def check(problem: Problem, workers: list[Worker]) -> None:
    """Have all contenders compute the problem, and compare what they found with the last one's."""
    results = [worker.prepare(problem) for worker in workers]
    *others, truth = zip(workers, results, strict=True)
    for worker, found in others:
        what, error = disagreement(found, truth[1])
        if not error <= worker.contender.tolerance:
            names = f"{worker.name} and {truth[0].name}"
            raise Disagreement(f"{problem}: {names} differ in {what} by {error:.1e} of the largest value.")


def measure(problem: Problem, workers: list[Worker], turn: Turn) -> tuple[dict[str, float], float]:
    """Median seconds of a call of each contender, who take such turns; and the worst share of queueing for a CPU."""
    slices = {worker.name: [] for worker in workers}
    for _ in range(ROUNDS):
        for worker in workers:
            slices[worker.name].append(worker.measure(turn))
    for name, turns in slices.items():
        idle = statistics.median(each.idle_share for each in turns)
        if idle > IDLE_LIMIT:
            raise Disagreement(f"{problem}: {name} uses {idle:.0%} of a CPU while others measure.")
    queued = max(statistics.median(each.queued_share for each in turns) for turns in slices.values())
    return {
        name: statistics.median(s for each in turns for s in each.seconds) for name, turns in slices.items()
    }, queued


def start(contenders: list[Contender], threads: int, cpus: set[int]) -> list[Worker]:
    """Their processes; each says what it is."""
    os.environ |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    workers = [Worker(contender, threads, cpus) for contender in contenders]
    for worker in workers:
        print(f"{worker.name}: {worker.about}", flush=True)
    return workers


def summary(points: list[Point]) -> str:
    """Geometric means of the ratios by cell and work, and the smallest."""
    lines = [""]
    for work in dict.fromkeys(point.problem.work for point in points):
        for cell in dict.fromkeys(point.problem.cell for point in points):
            group = [p for p in points if p.problem.work == work and p.problem.cell == cell]
            if group:
                worst = min(group, key=lambda point: point.ratio)
                where = f"B {worst.problem.batch} H {worst.problem.hidden} T {worst.problem.steps}"
                mean = math.exp(statistics.fmean(math.log(point.ratio) for point in group))
                lines.append(
                    f"{work:16s} {cell:5s} {len(group):2d} points: {mean:5.2f}x the best peer (geometric mean), "
                    f"smallest {worst.ratio:.2f}x at {where}"
                )
    disturbed = sum(point.queued_share > QUEUE_LIMIT for point in points)
    if disturbed:
        lines.append(f"{disturbed} of {len(points)} points were DISTURBED by other work on this machine.")
    return "\n".join(lines)


def save(path: Path, heading: dict[str, object], points: list[Point]) -> None:
    """All points so far."""
    rows = [
        {**asdict(p.problem), "milliseconds": p.milliseconds, "ratio": p.ratio, "queued_share": p.queued_share}
        for p in points
    ]
    path.write_text(json.dumps({**heading, "points": rows}, indent=1) + "\n")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="auto", help="ours: auto, native, torch or reference")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="measured of each contender at each point")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: CPU time, for one thread on a busy machine"
    )
    parser.add_argument("--quick", action="store_true", help="B 1, 32 x H 128, 512")
    parser.add_argument("--batch-first", action="store_true", help="memory [B, T, H] for all")
    parser.add_argument("--cells", nargs="+", choices=GATES, default=list(GATES))
    parser.add_argument("--work", nargs="+", choices=("forward", "backward"), default=["forward", "backward"])
    parser.add_argument("--peers", nargs="+", choices=[p.name for p in LAYERS], default=[p.name for p in LAYERS])
    parser.add_argument("--json", type=Path, help="file for the figures, rewritten after every point")
    given = parser.parse_args()
    if given.clock == "cpu" and given.threads != 1:
        parser.error("--clock cpu adds up the time of all threads: it needs --threads 1.")
    return given


def main() -> None:
    """Check and measure every point, then sum up."""
    given = options()
    cpus = distinct_cores(given.threads)
    heading = describe()
    print(heading, flush=True)
    contenders = [our_layer(given.backend), *(peer for peer in LAYERS if peer.name in given.peers)]
    workers = start(contenders, given.threads, cpus)
    peak = measure_peak(given.threads, cpus, given.clock)
    about = {"machine": heading, "peak_gflops": peak, "versions": {w.name: w.about for w in workers}}
    shapes = QUICK if given.quick else QUICK + [shape for shape in GRID if shape not in QUICK]
    points: list[Point] = []
    for shape in shapes:
        for cell in given.cells:
            for work in given.work:
                problem = Problem(cell, *shape, train=work == "backward", batch_first=given.batch_first)
                able = [worker for worker in workers if worker.trains or not problem.train]
                check(problem, able)
                turn = Turn(given.seconds / ROUNDS, clock=given.clock)
                medians, queued = measure(problem, able, turn)
                queued = queued if given.clock == "wall" else 0.0
                points.append(Point(problem, {name: value * 1e3 for name, value in medians.items()}, queued))
                print(points[-1].line(peak), flush=True)
                if given.json:
                    save(given.json, about, points)
    print(summary(points))


if __name__ == "__main__":
    try:
        main()
    except (Disagreement, WorkerError) as error:
        sys.exit(f"No figures from here on. {error}")
