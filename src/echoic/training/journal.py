"""log.jsonl, one line per logged step, and TensorBoard events beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Journal:
    """The written record of a training.

    Args:
        folder: the run directory, or None to write nothing.
        resumed_at: step of the checkpoint that is continued, or None. Lines past it are cut: those steps come again.
    """

    def __init__(self, folder: Path | None, resumed_at: int | None) -> None:
        self._file = self._events = None
        if folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        path = folder / "log.jsonl"
        kept = _lines_until(path, resumed_at) if resumed_at is not None and path.exists() else []
        temporary = path.with_name(".log.jsonl.new")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, path)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (closed by __exit__)
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_at)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None and self._events is not None:
            self._file.close()
            self._events.close()


def _lines_until(path: Path, step: int) -> list[str]:
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # cut off by a kill
        if json.loads(line)["step"] <= step:
            kept.append(line)
    return kept
