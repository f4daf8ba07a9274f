"""The one training loop. It knows a model with a loss and batches; it knows nothing of the task."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from echoic import notices
from echoic.training.averaging import Averaged
from echoic.training.budget import Budget
from echoic.training.checkpoint import (
    flatten_optimiser,
    of_prefix,
    read_checkpoint,
    restore_optimiser,
    with_prefix,
    write_checkpoint,
)
from echoic.training.clipping import clip_gradients
from echoic.training.contract import Batches
from echoic.training.devices import make_fabric
from echoic.training.divergence import check_finite
from echoic.training.finder import find_learning_rate
from echoic.training.health import Health
from echoic.training.interrupt import Interrupt
from echoic.training.journal import Journal
from echoic.training.optimisers import make_optimiser
from echoic.training.outcome import Outcome
from echoic.training.progress import ProgressBar
from echoic.training.schedules import SCHEDULES
from echoic.training.settings import Training

CHECKPOINT_SECONDS = 30.0
LOG_POINTS = 500  # logged steps in a whole training, about
VALIDATIONS = 60  # in a whole training, at most

Validate = Callable[[nn.Module], dict[str, float]]


class Trainer:
    """Trains a model.

    Args:
        model: a module with ``loss`` (see ``contract.Trainable``). It holds the best weights afterwards.
        batches: the training data.
        validate: metrics of a model; the one named "loss" decides which weights are best.
        settings: how to train.
        device: "cpu", "cuda" or "auto".
        precision: "float32" or "bf16".
        spent: seconds already gone of ``max_minutes`` (reading the data).
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        validate: Validate,
        settings: Training,
        device: str = "auto",
        precision: str = "float32",
        spent: float = 0.0,
    ) -> None:
        self.model, self.batches, self.validate, self.settings = model, batches, validate, settings
        self.fabric = make_fabric(device, precision)
        self.spent = spent

    def run(self, folder: Path | None = None, resume: bool = False) -> Outcome:
        """Train to the end of the epochs, the time, or the patience.

        Args:
            folder: run directory for log and checkpoints; None keeps all in memory.
            resume: continue from the last checkpoint in ``folder``.

        Raises:
            TrainingDiverged: the loss or a gradient is no longer finite. RunError: nothing to resume from.
        """
        self.model.to(self.fabric.device)
        saved = read_checkpoint(_last(folder)) if resume and folder is not None else None
        session = _Session(self, folder, saved)
        with Interrupt() as interrupt, ProgressBar() as bar, Journal(folder, session.resumed_at) as journal:
            session.train(interrupt, bar, journal)
        return session.finish()


def _last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.safetensors"


class _Session:
    """One call of ``Trainer.run``: everything that changes while it trains."""

    def __init__(
        self, trainer: Trainer, folder: Path | None, saved: tuple[dict[str, Tensor], dict[str, Any]] | None
    ) -> None:
        self.model, self.batches, self.validate = trainer.model, trainer.batches, trainer.validate
        self.settings, self.fabric, self.folder = trainer.settings, trainer.fabric, folder
        self.epoch = self.batch = self.step = 0
        self.carry: Any = None
        self.carry_leaves: list[Tensor] = []
        self.best_score, self.best_step, self.stale = float("inf"), 0, 0
        self.best: dict[str, float] = {}
        self.best_weights: dict[str, Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self.waiting, self.working = 0.0, 0.0
        self.stopped = ""
        self.health, self.averaged = Health(), Averaged(self.model, self.settings.averaging)
        self.resumed_at: int | None = None
        rate = self.settings.learning_rate if saved is None else saved[1]["learning_rate"]
        self.rate = find_learning_rate(self.model, self.batches, self.settings) if rate == "auto" else float(rate)
        self.optimiser = make_optimiser(self.model, self.settings, self.rate)
        if saved is not None:
            self._restore(*saved)
        self.wrapped, self.stepper = self.fabric.setup(self.model, self.optimiser)
        self.wrapped.mark_forward_method("loss")
        self.per_epoch = -(-len(self.batches) // self.settings.accumulate)
        total = self.per_epoch * self.settings.epochs
        spent = trainer.spent if saved is None else saved[1]["elapsed"]
        self.budget = Budget(total, self.settings.max_minutes, spent)
        self.log_every = max(1, total // LOG_POINTS) if self.settings.max_minutes is None else 10
        self.validate_every = -(-self.settings.epochs // VALIDATIONS)
        self.saved_at = time.monotonic()

    def train(self, interrupt: Interrupt, bar: ProgressBar, journal: Journal) -> None:
        self.model.train()
        while self.epoch < self.settings.epochs and not self.stopped:
            self._epoch(interrupt, bar, journal)
            if not self.stopped:
                self.epoch, self.batch, self.carry = self.epoch + 1, 0, None
                last = self.epoch == self.settings.epochs
                if last or (self.epoch % self.validate_every == 0 and self.budget.may_validate()):
                    self._validate(bar, journal)
                if self.settings.patience is not None and self.stale >= self.settings.patience:
                    self.stopped = f"stopped: no better after {self.stale} validations"
                self._save_if_due(always=self.settings.max_minutes is None)
        if not self.best_weights or (self.stopped and not self.stopped.startswith("stopped: no better")):
            self._validate(bar, journal)
        self._save_if_due(always=True)
        self.stopped = self.stopped or f"trained all {self.settings.epochs} epochs"

    def _epoch(self, interrupt: Interrupt, bar: ProgressBar, journal: Journal) -> None:
        batches = self.batches.epoch(self.epoch, self.batch)
        while True:
            started = time.monotonic()
            batch = next(batches, None)
            fetched = time.monotonic()
            self.waiting += fetched - started
            if batch is None:
                return
            self._learn(batch, bar, journal)
            self.working += time.monotonic() - fetched
            if interrupt.asked:
                self.stopped = "stopped by Ctrl-C; --resume continues"
            elif self.budget.exhausted:
                self.stopped = f"stopped after {self.settings.max_minutes:g} minutes"
            if self.stopped:
                return
            if self.budget.validation_due():
                self._validate(bar, journal)
            self._save_if_due()

    def _learn(self, batch: Any, bar: ProgressBar, journal: Journal) -> None:
        """One batch, and an update if enough of them have been accumulated."""
        batch = pytree.tree_map_only(Tensor, lambda t: t.to(self.fabric.device), batch)
        self._rebuild_carry(batch)
        loss = self.wrapped.loss(batch, self.carry)
        self.fabric.backward(loss.mean / self.settings.accumulate)
        before, self.carry = self.carry, pytree.tree_map_only(Tensor, Tensor.detach, loss.carry)
        self.batch += 1
        if self.batch % self.settings.accumulate and self.batch < len(self.batches):
            return
        self.step += 1
        self.health.measure(self.model, self.step)
        norm, clipped = clip_gradients(self.model.parameters(), self.settings.clip, self.settings.clip_value)
        value = float(loss.mean.detach())
        check_finite(self.model, batch, before, value, norm, f"step {self.step}, epoch {self.epoch + 1}")
        self.health.count(clipped)
        progress = self.budget.progress(self.step)
        factor = SCHEDULES[self.settings.schedule](progress, self.settings.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * factor
        self.stepper.step()
        self.stepper.zero_grad()
        self.averaged.update()
        if self.step % self.log_every == 0:
            entry = {"loss": value, "learning_rate": self.rate * factor, "gradient_norm": norm}
            self._log(entry, journal)
        bar.show(progress, self.epoch + 1, value, self.step / max(1e-9, self.budget.elapsed))

    def _log(self, entry: dict[str, Any], journal: Journal) -> None:
        entry = {"step": self.step, "epoch": self.epoch + 1, "seconds": round(self.budget.elapsed, 3), **entry}
        self.history.append(entry)
        journal.write(entry)

    def _validate(self, bar: ProgressBar, journal: Journal) -> None:
        started = time.monotonic()
        self.model.eval()
        with self.averaged.used(), torch.no_grad():
            metrics = self.validate(self.model)
            score = metrics["loss"]
            if score < self.best_score or not self.best_weights:
                self.best_score, self.best_step, self.stale, self.best = score, self.step, 0, dict(metrics)
                self.best_weights = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
                if self.folder is not None:
                    best = self.folder / "checkpoints" / "best.safetensors"
                    write_checkpoint(best, self.best_weights, {"step": self.step, "metrics": metrics})
            else:
                self.stale += 1
        self.model.train()
        self._log({"validation": metrics}, journal)
        bar.validated(score)
        self.budget.validated(time.monotonic() - started)

    def _save_if_due(self, always: bool = False) -> None:
        if self.folder is None or (not always and time.monotonic() - self.saved_at < CHECKPOINT_SECONDS):
            return
        if self.batch % self.settings.accumulate:
            return  # gradients are under way; they are not saved
        tensors, groups = flatten_optimiser(self.optimiser)
        leaves = {str(i): t for i, t in enumerate(pytree.tree_leaves(self.carry)) if isinstance(t, Tensor)}
        held = {
            **with_prefix("model", self.model.state_dict()),
            **with_prefix("averaged", self.averaged.weights),
            **with_prefix("optimiser", tensors),
            **with_prefix("carry", leaves),
            **with_prefix("best", self.best_weights),
            "random": torch.get_rng_state(),
        }
        if self.fabric.device.type == "cuda":
            held["random_cuda"] = torch.cuda.get_rng_state(self.fabric.device)
        names = ("epoch", "batch", "step", "best_score", "best_step", "stale", "best", "history", "waiting", "working")
        facts = {name: getattr(self, name) for name in names}
        facts |= {"groups": groups, "updates": self.averaged.updates, "health": self.health.facts()}
        facts |= {"learning_rate": self.rate, "elapsed": self.budget.elapsed}
        write_checkpoint(_last(self.folder), held, facts)
        self.saved_at = time.monotonic()

    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.model.load_state_dict(of_prefix("model", tensors))
        restore_optimiser(self.optimiser, of_prefix("optimiser", tensors), facts["groups"])
        averaged = of_prefix("averaged", tensors)
        self.averaged.weights = {name: averaged[name].to(t.device) for name, t in self.averaged.weights.items()}
        self.averaged.updates = facts["updates"]
        self.best_weights = {n: t.to(self.fabric.device) for n, t in of_prefix("best", tensors).items()}
        self.health.restore(facts["health"])
        for name in (
            "epoch",
            "batch",
            "step",
            "best_score",
            "best_step",
            "stale",
            "best",
            "history",
            "waiting",
            "working",
        ):
            setattr(self, name, facts[name])
        leaves = of_prefix("carry", tensors)
        self.carry_leaves = [leaves[str(i)].to(self.fabric.device) for i in range(len(leaves))]
        torch.set_rng_state(tensors["random"])
        if "random_cuda" in tensors and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random_cuda"], self.fabric.device)
        self.resumed_at = self.step

    def _rebuild_carry(self, batch: Any) -> None:
        """Put the saved leaves of a carried state into the structure that the model makes: no types are in the file."""
        if not self.carry_leaves:
            return
        random = torch.get_rng_state()
        with torch.no_grad():
            structure = self.model.loss(batch, None).carry  # type: ignore[operator]
        torch.set_rng_state(random)
        self.carry = pytree.tree_unflatten(self.carry_leaves, pytree.tree_structure(structure))
        self.carry_leaves = []

    def finish(self) -> Outcome:
        self.model.load_state_dict(self.best_weights)
        self.model.eval()
        spent = self.waiting + self.working
        share = self.waiting / spent if spent else 0.0
        if share > 0.05 and spent > 20:
            notices.notice(f"{share:.0%} of the training time was spent waiting for data.")
        return Outcome(
            steps=self.step,
            epochs=self.epoch,
            seconds=self.budget.elapsed,
            stopped_because=f"{self.stopped}; best at step {self.best_step} of {self.step}",
            best_step=self.best_step,
            best=self.best,
            history=self.history,
            learning_rate=self.rate,
            loader_share=share,
            padding_share=self.batches.padding_share,
            clipped_share=self.health.clipped_share,
            health=self.health.facts(),
        )
