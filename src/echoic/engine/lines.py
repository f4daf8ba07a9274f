"""Which line of a cell each recorded operation comes from, so that a refusal can name it."""

from __future__ import annotations

import contextlib
import inspect
import linecache
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from torch.fx.traceback import preserve_node_meta, set_stack_trace
from torch.overrides import TorchFunctionMode

from echoic.cells import Cell


class Lines(TorchFunctionMode):
    """Marks what is recorded inside the block with the line of the cell that calls for it.

    The mark is the ``stack_trace`` of the recorded node.

    Args:
        cell: whose lines are meant.
    """

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.files = files_of(cell)
        self.marking = contextlib.ExitStack()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename not in self.files:
            frame = frame.f_back
        set_stack_trace([place(frame.f_code.co_filename, frame.f_lineno)] if frame is not None else [])
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> Lines:
        self.marking.enter_context(preserve_node_meta())
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        set_stack_trace([])
        super().__exit__(*error)
        self.marking.close()


def files_of(cell: Cell) -> set[str]:
    """The files that a cell's class and those it inherits from are written in; none of a class without a file."""
    files = set()
    for kind in type(cell).__mro__:
        if issubclass(kind, Cell) and kind is not Cell:
            with contextlib.suppress(TypeError, OSError):  # of a class typed in at a prompt
                files.add(inspect.getfile(kind))
    return files


def place(path: str, line: int) -> str:
    """The line in words: ``line 36 of leak.py: h = ...``."""
    return f"line {line} of {Path(path).name}: {linecache.getline(path, line).strip()}"
