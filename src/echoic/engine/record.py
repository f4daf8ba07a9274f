"""Recording every hidden state of a run, with its gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class RecordedRun:
    """The hidden states of one cell over one run.

    cell: name of the cell's class.
    reverse: whether time ran backwards.
    lengths: [B] steps of each row; None where all rows have all steps.
    states: hidden state [B, H] after step t, for t = 0 ... T-1 in the order of time, whatever the direction. Their
        ``grad`` is the whole dL/dh_t after a backward pass, through later steps as through the output.
    """

    cell: str
    reverse: bool
    lengths: Tensor | None
    states: list[Tensor] = field(default_factory=list)


_recorder: ContextVar[list[RecordedRun] | None] = ContextVar("recorder", default=None)


@contextlib.contextmanager
def record_states() -> Iterator[list[RecordedRun]]:
    """Inside the block every layer runs the reference loop and records its hidden states.

    The list holds a run per layer and direction, in the order in which they ran.
    """
    runs: list[RecordedRun] = []
    token = _recorder.set(runs)
    try:
        yield runs
    finally:
        _recorder.reset(token)


def recording() -> list[RecordedRun] | None:
    """The list being recorded to, or None."""
    return _recorder.get()
