"""Everything that changes while a model trains: what a checkpoint holds and a resumed training finds again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from echoic.errors import RunError
from echoic.training.averaging import Averaged
from echoic.training.carried import Carried
from echoic.training.checkpoint import (
    flatten_optimiser,
    of_prefix,
    read_checkpoint,
    restore_optimiser,
    with_prefix,
    write_checkpoint,
)
from echoic.training.health import Health


@dataclass
class Position:
    """Where a training is and how it went so far, in plain numbers.

    learning_rate: the peak, found or given.
    epoch, batch, step: finished epochs, batches of the present epoch, and updates in all.
    elapsed: seconds since the training began, over all its processes.
    best_score, best_step, best: loss, step and metrics of the best validation; stale counts the ones since.
    validated: step of the last validation, -1 before the first.
    waiting, working: seconds spent waiting for batches and learning from them.
    history: what is logged, see ``Outcome``.
    """

    learning_rate: float
    epoch: int = 0
    batch: int = 0
    step: int = 0
    elapsed: float = 0.0
    best_score: float = float("inf")
    best_step: int = 0
    stale: int = 0
    validated: int = -1
    waiting: float = 0.0
    working: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


class SavedSession:
    """A checkpoint as read from its file. Raises RunError if it is missing, damaged or of another kind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors, self.facts = read_checkpoint(path)
        try:
            self.position = Position(**self.facts["position"])
        except (KeyError, TypeError) as error:
            raise self.misfit(error) from error

    def misfit(self, error: Exception) -> RunError:
        """What to raise if the checkpoint does not fit."""
        return RunError(
            f"{self.path}: the checkpoint is not one of this training ({error}). Resume with the options it was "
            "started with, or start anew with --overwrite."
        )


class SessionState:
    """Model, optimiser and all that goes with them from update to update.

    Args:
        model: on its device.
        optimiser: of the model's parameters.
        averaged: running average of the model's weights.
        position: where the training is.
    """

    def __init__(self, model: nn.Module, optimiser: Optimizer, averaged: Averaged, position: Position) -> None:
        self.model, self.optimiser, self.averaged, self.position = model, optimiser, averaged, position
        self.health, self.carried = Health(), Carried()
        self.best_weights: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def save(self, path: Path) -> None:
        """Write a checkpoint. Gradients are not in it, so there must be none under way."""
        tensors, groups = flatten_optimiser(self.optimiser)
        held = {
            **with_prefix("model", self.model.state_dict()),
            **with_prefix("averaged", self.averaged.weights),
            **with_prefix("optimiser", tensors),
            **with_prefix("carried", self.carried.tensors()),
            **with_prefix("best", self.best_weights),
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            held["random_cuda"] = torch.cuda.get_rng_state(self.device)
        facts = {
            "position": asdict(self.position),
            "groups": groups,
            "averaged": self.averaged.updates,
            "health": self.health.facts(),
        }
        write_checkpoint(path, held, facts)

    def restore(self, saved: SavedSession) -> None:
        """Continue as if the process that saved had never ended. Raises RunError for another model's checkpoint."""
        try:
            self._restore(saved.tensors, saved.facts)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise saved.misfit(error) from error

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        moved = {n: t if n.startswith(("random", "optimiser")) else t.to(self.device) for n, t in tensors.items()}
        self.model.load_state_dict(of_prefix("model", moved))
        restore_optimiser(self.optimiser, of_prefix("optimiser", moved), facts["groups"])
        averaged = of_prefix("averaged", moved)
        self.averaged.weights = {name: averaged[name] for name in self.averaged.weights}
        self.averaged.updates = facts["averaged"]
        self.best_weights = of_prefix("best", moved)
        self.health.restore(facts["health"])
        self.carried.restore(of_prefix("carried", moved))
        torch.set_rng_state(tensors["random"])
        if "random_cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random_cuda"], self.device)
