"""log.jsonl, one line per logged step, and TensorBoard events beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Journal:
    """The written record of a training, while entered.

    Args:
        folder: the run directory, or None to write nothing.
        history: entries up to the checkpoint that is continued, or None. They replace what the log holds: the steps
            past them come again, and the last line may have been cut off by a kill.
    """

    def __init__(self, folder: Path | None, history: list[dict[str, Any]] | None) -> None:
        self.folder, self._history = folder, history
        self._file = self._events = None

    def __enter__(self) -> Self:
        if self.folder is None:
            return self
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "log.jsonl"
        temporary = path.with_name(".log.jsonl.new")
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in self._history or ()), encoding="utf-8")
        os.replace(temporary, path)
        self._file = open(path, "a", encoding="utf-8")
        purge = None if self._history is None else max((entry["step"] for entry in self._history), default=0) + 1
        self._events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=purge)
        return self

    def write(self, entry: dict[str, Any]) -> None:
        """Add one line, and a TensorBoard scalar for each number in it."""
        if self._file is None or self._events is None:
            return
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        for name, value in entry.items():
            if isinstance(value, dict):
                for inner, number in value.items():
                    self._events.add_scalar(f"{name}/{inner}", number, entry["step"])
            elif isinstance(value, float):
                self._events.add_scalar(name, value, entry["step"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None and self._events is not None:
            self._file.close()
            self._events.close()
