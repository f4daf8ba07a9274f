"""One step of a cell that nobody has tested yet, so that what breaks the contract is said before a training begins."""

from __future__ import annotations

import inspect
import sys
import traceback
from typing import Any, get_type_hints

import torch
from torch import Tensor

from echoic.cells.base import Cell
from echoic.errors import CellError

BATCH = 3


def try_step(kind: type[Cell], name: str) -> None:
    """Build a cell with a few units and run one step.

    Args:
        kind: its class.
        name: how messages call it.

    Raises:
        CellError: it cannot be built from ``(input_size, hidden_size)``, its step fails (with the line), or gives what
            the contract does not allow.
    """
    _check_signature(kind, name)
    with torch.random.fork_rng(devices=[]):
        try:
            cell = kind(*kind.nearest_sizes(4, 6))
            with torch.no_grad():
                start = cell.initial_state(BATCH)
                _check_state(start, name)
                output, end = cell.step(torch.randn(BATCH, cell.input_size), start)
        except CellError:
            raise
        except Exception as error:
            raise CellError(
                f"cell: {name}{_line(error, kind)}: a first step with {BATCH} rows stops with {type(error).__name__}: "
                f"{str(error).strip()}. Mend it there; docs/your-own-cell.md shows a whole cell."
            ) from error
    _check_step(cell, output, (start, end), name)


def _check_signature(kind: type[Cell], name: str) -> None:
    parameters = list(inspect.signature(kind).parameters.values())
    if [p.name for p in parameters[:2]] != ["input_size", "hidden_size"] or any(
        p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters[2:]
    ):
        raise CellError(
            f"cell: {name}: found __init__(self, {', '.join(p.name for p in parameters)}), expected input_size and "
            "hidden_size first, and a default for every further argument."
        )
    try:
        get_type_hints(kind.__init__)
    except NameError as error:
        raise CellError(
            f"cell: {name}: the types of the arguments of __init__ cannot be looked up ({error}). "
            "Import what they name, or leave them out."
        ) from error


def _check_state(state: Any, name: str) -> None:
    if not (isinstance(state, tuple) and hasattr(state, "_fields") and state):
        raise CellError(
            f"cell: {name}: initial_state gives a {type(state).__name__}, expected a NamedTuple of tensors "
            "(class MyState(NamedTuple): hidden: Tensor)."
        )
    for field, part in zip(state._fields, state, strict=True):  # pyright: ignore[reportAttributeAccessIssue]
        if not isinstance(part, Tensor) or part.dim() != 2 or part.shape[0] != BATCH:
            found = list(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise CellError(
                f"cell: {name}: initial_state({BATCH}).{field} is {found}, expected a tensor [{BATCH}, features]."
            )


def _check_step(cell: Cell, output: Any, states: tuple[Any, Any], name: str) -> None:
    start, end = states
    expected = [BATCH, cell.output_size]
    if not isinstance(output, Tensor) or list(output.shape) != expected:
        found = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise CellError(
            f"cell: {name}: update gives the output {found}, expected a tensor {expected}: [rows, output_size]."
        )
    if type(end) is not type(start) or [p.shape for p in end] != [p.shape for p in start]:
        found = [list(p.shape) for p in end] if type(end) is type(start) else type(end).__name__
        raise CellError(
            f"cell: {name}: update gives the state {found}, expected {type(start).__name__} with the shapes of "
            f"initial_state, {[list(p.shape) for p in start]}."
        )


def _line(error: BaseException, kind: type[Cell]) -> str:
    """The last line of the cell's own file that the error came through."""
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f", line {lines[-1]}" if lines else ""
