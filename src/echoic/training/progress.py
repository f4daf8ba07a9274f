"""What the person at the terminal sees of a training."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """A bar on standard error with loss, speed and time left; nothing where standard error is no terminal."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                TextColumn("loss {task.fields[loss]:.4f}"),
                TextColumn("validation {task.fields[validation]}"),
                TextColumn("{task.fields[speed]:.1f} steps/s"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=1.0, epoch=1, loss=float("nan"), validation="-", speed=0.0)

    def show(self, progress: float, epoch: int, loss: float, speed: float) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=progress, epoch=epoch, loss=loss, speed=speed)

    def validated(self, loss: float) -> None:
        """Show the latest validation loss."""
        if self._bar is not None:
            self._bar.update(self._task, validation=f"{loss:.4f}")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
