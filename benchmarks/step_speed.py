"""One streamed step at batch 1 against torch.nn and onnxruntime, in microseconds.

    python benchmarks/step_speed.py [--backend native] [--seconds 0.5] [--threads 2]

Needs the extra ``bench``. Measured as in recurrent_speed.py: contenders in processes of their own that take turns, the
outputs of twenty steps in a row compared first. Each step reads the state that the one before left.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from peers import STEPPERS, our_steppers
from peers.machine import describe, distinct_cores
from peers.problem import GATES, Problem
from peers.worker import CLOCKS, Turn, WorkerError
from recurrent_speed import QUEUE_LIMIT, ROUNDS, Disagreement, check, measure, start

SIZES = (64, 128, 256, 512)
CALLS = 20  # steps timed at once: one is too short for the clock


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="native", help="ours: native, torch or reference")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.5, help="measured of each contender at each point")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: CPU time, for one thread on a busy machine"
    )
    parser.add_argument("--cells", nargs="+", choices=GATES, default=list(GATES))
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


def main() -> None:
    """Check and measure every cell and size."""
    given = options()
    heading = describe()
    print(heading, flush=True)
    workers = start([*our_steppers(given.backend), *STEPPERS], given.threads, distinct_cores(given.threads))
    rows = []
    for cell in given.cells:
        for size in SIZES:
            problem = Problem(cell, 1, size, steps=20)
            check(problem, workers)
            medians, queued = measure(problem, workers, Turn(given.seconds / ROUNDS, CALLS, given.clock))
            micros = {name: value * 1e6 for name, value in medians.items()}
            ratios = {name: value / micros["echoic"] for name, value in micros.items() if name != "echoic"}
            times = "  ".join(f"{name} {value:7.2f}" for name, value in micros.items())
            faster = "  ".join(f"{name} {value:6.2f}x" for name, value in ratios.items())
            disturbed = given.clock == "wall" and queued > QUEUE_LIMIT
            mark = f"  DISTURBED: queued {queued:.0%}" if disturbed else ""
            print(f"{cell:5s} H {size:3d}  {times}  us  against {faster}{mark}", flush=True)
            rows.append(
                {"cell": cell, "hidden": size, "microseconds": micros, "ratios": ratios, "queued_share": queued}
            )
    if given.json:
        about = {"machine": heading, "versions": {worker.name: worker.about for worker in workers}}
        given.json.write_text(json.dumps({**about, "points": rows}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (Disagreement, WorkerError) as error:
        sys.exit(f"No figures from here on. {error}")
