"""What is asked of a backend: one cell over one batch of sequences."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from echoic.cells import Cell

MEMORIES = ("store", "recompute", "checkpoint")


class Call(NamedTuple):
    """One run of a cell over time.

    inputs: [T, B, I], T and B at least 1; zero where a row is padding, for backends that look there.
    state: the state before the first step, a NamedTuple of [B, *].
    fresh: the state that a reset gives, same shapes.
    lengths: [B] steps of each row, or None where all rows have T.
    reset: [T, B] true where a row's state is cleared before that step, never in its padding; or None.
    reverse: from each row's last step to its first.
    memory: what backpropagation keeps: "store", "recompute" or "checkpoint".
    """

    inputs: Tensor
    state: Any
    fresh: Any
    lengths: Tensor | None = None
    reset: Tensor | None = None
    reverse: bool = False
    memory: str = "store"


class Direction(NamedTuple):
    """A cell and the way it goes.

    cell: what makes one step.
    state: before the first step, as ``cell.initial_state(B)``; None for ``fresh``.
    fresh: what a reset gives; None for ``cell.initial_state(B)``.
    reverse: from each row's last step to its first.
    """

    cell: Cell
    state: Any = None
    fresh: Any = None
    reverse: bool = False


class Backend(Protocol):
    """A way to run a cell over time."""

    name: str
    reads_padding: bool  # whether it computes on what stands past a row's end

    def refusal(self, cell: Cell, call: Call) -> str | None:
        """Why this backend cannot run the call, or None if it can."""
        ...

    def run(self, cell: Cell, call: Call) -> tuple[Tensor, Any]:
        """Outputs [T, B, O], zero past each row's end, and the state at each row's own end."""
        ...
