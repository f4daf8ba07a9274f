"""A contender in a process of its own, blocked on a pipe while the others measure."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from peers import Contender
from peers.problem import Array, Problem

SETTLE_SECONDS = 0.01  # threads that spin for work after a call go to sleep in this time, before the next one measures
LONG_CALL = 0.05  # seconds from which on a call is long enough for cold caches not to matter


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Slice(NamedTuple):
    """One turn of a contender.

    seconds: of a call, each. idle_share: CPU seconds per second it waited for the turn. queued_share: seconds per
    second in which its threads were ready to run and the system ran something else; 0 where the system does not tell.
    """

    seconds: list[float]
    idle_share: float
    queued_share: float


class Turn(NamedTuple):
    """What to measure: calls for so many seconds, so many of them timed at once, by which clock."""

    seconds: float
    calls: int = 1
    clock: str = "wall"


class WorkerError(Exception):
    """A contender failed; the text is its traceback."""


class Worker:
    """Handle of a contender's process."""

    def __init__(self, contender: Contender, threads: int, cpus: set[int]) -> None:
        self.contender, self.name, self.trains = contender, contender.name, contender.trains
        self._pipe, far = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_serve, args=(far, contender, threads, cpus), daemon=True)
        self._process.start()
        far.close()
        self.about: str = self._answer()

    def prepare(self, problem: Problem) -> dict[str, Array]:
        """Build and warm up; what the contender computes."""
        self._pipe.send(("prepare", problem))
        return self._answer()

    def measure(self, turn: Turn) -> Slice:
        """Time calls, at least one."""
        time.sleep(SETTLE_SECONDS)
        self._pipe.send(("measure", turn))
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _answer(self) -> Any:
        try:
            good, answer = self._pipe.recv()
        except EOFError:
            raise WorkerError(f"{self.name}: its process ended") from None
        if not good:
            raise WorkerError(f"{self.name}: {answer}")
        return answer


def _serve(pipe: Connection, contender: Contender, threads: int, cpus: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    try:
        runner = contender.build(threads)
        pipe.send((True, runner.about))
        slept = time.perf_counter(), time.process_time()
        while True:
            order, argument = pipe.recv()
            if order == "prepare":
                runner.prepare(argument)
                answer: Any = runner.results()
                gc.collect()
            else:
                waited = time.perf_counter() - slept[0], time.process_time() - slept[1]
                begin = time.perf_counter(), queued()
                seconds = _calls(runner, argument)
                took = time.perf_counter() - begin[0], queued() - begin[1]
                answer = Slice(seconds, waited[1] / waited[0], max(took[1], 0.0) / took[0])
            pipe.send((True, answer))
            slept = time.perf_counter(), time.process_time()
    except EOFError:
        return
    except Exception:
        pipe.send((False, traceback.format_exc()))


def queued() -> float:
    """Seconds that the threads of this process were ready and waited for a CPU, all together."""
    total = 0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended since it was listed
            total += int(thread.read_text().split()[1])
    return total / 1e9


def _calls(runner: Any, turn: Turn) -> list[float]:
    """Seconds of a call, for as long as the budget lasts; the first is not counted if it is short."""
    clock = CLOCKS[turn.clock]
    taken: list[float] = []
    warm, end = False, clock() + turn.seconds
    while not taken or clock() < end:
        begin = clock()
        for _ in range(turn.calls):
            runner.run()
        seconds = (clock() - begin) / turn.calls
        if warm or seconds > LONG_CALL:
            taken.append(seconds)
        warm = True
    return taken
