"""Lives of one training, each a process of its own, killed with SIGKILL at a given moment: run by test_resume.py.

``python -m tests.training.lives FOLDER``: trains FOLDER/whole to its end, then for each line of MOMENTS a run that is
killed at each moment of the line in turn and then resumed to its end. Each run leaves its final weights beside it.
Processes are forked from this one, which itself never trains, so that torch is imported once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.utils.tensorboard
from safetensors.torch import save_file
from tests.training.toy import Batch, ToyBatches, make_toy, score, settings

from echoic.training import checkpoint, trainer

# (what, which): the process dies as it does this for the n-th time in its life
MOMENTS: dict[str, list[tuple[str, int]]] = {
    "middle-of-epochs": [("batch", 4), ("batch", 9)],
    "before-the-first-checkpoint": [("rename", 1)],
    "half-written-checkpoints": [("rename", 6), ("rename", 3)],
    "after-the-last-batch-of-an-epoch": [("validate", 2), ("validate", 1), ("validate", 2)],
    "while-the-log-is-written": [("log", 8), ("log", 3)],
    "at-the-very-end": [("end", 1), ("end", 1)],
    "again-and-again": [("batch", n) for n in (2, 1, 3, 1, 5)] + [("rename", 2), ("log", 2), ("validate", 1)],
}


class Death:
    """Kills this process when ``what`` happens for the n-th time."""

    def __init__(self, what: str = "", which: int = 0) -> None:
        self.what, self.left = what, which

    def may_come(self, what: str) -> None:
        if what == self.what:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Batches(ToyBatches):
    """Batches in which death may come."""

    def __init__(self, death: Death) -> None:
        super().__init__(count=5)
        self.death = death

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        for batch in super().epoch(number, start):
            self.death.may_come("batch")
            yield batch


def live(folder: Path, death: Death, resume: bool) -> None:
    """Train with dropout, carried state and averaged weights; every update is followed by a checkpoint."""
    trainer.CHECKPOINT_SECONDS = 0.0
    replace, write = os.replace, trainer.Journal.write

    def rename(source: Path, target: Path) -> None:
        death.may_come("rename" if Path(target).name == "last.safetensors" else "")
        replace(source, target)

    def log(journal: trainer.Journal, entry: dict[str, object]) -> None:
        write(journal, entry)
        death.may_come("log")

    def validate(model: torch.nn.Module) -> dict[str, float]:
        death.may_come("validate")
        return score(model)

    checkpoint.os.replace, trainer.Journal.write = rename, log  # type: ignore[assignment]
    model = make_toy(dropout=0.3, seed=8 if resume else 1)
    options = settings(epochs=5, averaging=0.8, schedule="one-cycle", warmup=0.2, patience=3)
    trainer.Trainer(model, Batches(death), validate, options, "cpu").run(folder, resume)
    death.may_come("end")
    save_file(model.state_dict(), folder.with_suffix(".safetensors"))


def process(folder: Path, death: Death) -> int:
    """Live in a process of its own; returns its wait status."""
    resume = (folder / "checkpoints" / "last.safetensors").exists()
    child = os.fork()
    if child == 0:
        live(folder, death, resume)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(folder: Path) -> None:
    """All lives."""
    assert process(folder / "whole", Death()) == 0
    for name, moments in MOMENTS.items():
        for what, which in moments:
            status = process(folder / name, Death(what, which))
            assert os.WIFSIGNALED(status), f"{name}: was to be killed at {what} {which}, came to its end"
            assert os.WTERMSIG(status) == signal.SIGKILL
        assert process(folder / name, Death()) == 0, name


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
