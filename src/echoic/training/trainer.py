"""The one training loop. It knows a model with a loss and batches; it knows nothing of the task."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from echoic import notices
from echoic.training.averaging import Averaged
from echoic.training.budget import Budget
from echoic.training.checkpoint import write_checkpoint
from echoic.training.clipping import clip_gradients
from echoic.training.contract import Batches
from echoic.training.devices import make_fabric
from echoic.training.divergence import check_finite
from echoic.training.finder import find_learning_rate
from echoic.training.interrupt import Interrupt
from echoic.training.journal import Journal
from echoic.training.optimisers import make_optimiser
from echoic.training.outcome import Outcome
from echoic.training.progress import ProgressBar
from echoic.training.schedules import SCHEDULES
from echoic.training.session_state import Position, SavedSession, SessionState
from echoic.training.settings import Training
from echoic.training.validation import to_device

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
        precision: "float32", "high" (products of 16 significant bits, or as many as the device has) or "bf16".
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
        saved = SavedSession(_last(folder)) if resume and folder is not None else None
        session = _Session(self, folder, saved)
        session.train()
        return session.finish()


def _last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.safetensors"


class _Session:
    """One call of ``Trainer.run``."""

    def __init__(self, trainer: Trainer, folder: Path | None, saved: SavedSession | None) -> None:
        self.model, self.batches, self.validate = trainer.model, trainer.batches, trainer.validate
        self.settings, self.fabric, self.folder = trainer.settings, trainer.fabric, folder
        self.at = self._start(trainer.spent) if saved is None else saved.position
        self.optimiser = make_optimiser(self.model, self.settings, self.at.learning_rate)
        self.averaged = Averaged(self.model, self.settings.averaging)
        self.state = SessionState(self.model, self.optimiser, self.averaged, self.at)
        if saved is not None:
            self.state.restore(saved)
        self.wrapped, self.stepper = self.fabric.setup(self.model, self.optimiser)
        self.wrapped.mark_forward_method("loss")
        total = -(-len(self.batches) // self.settings.accumulate) * self.settings.epochs
        self.budget = Budget(total, self.settings.max_minutes, self.at.elapsed)
        self.log_every = max(1, total // LOG_POINTS) if self.settings.max_minutes is None else 10
        self.validate_every = -(-self.settings.epochs // VALIDATIONS)
        self.interrupt, self.bar = Interrupt(), ProgressBar()
        self.journal = Journal(folder, self.at.history if saved is not None else None)
        self.saved_at = time.monotonic()
        self.targets = 0  # behind the gradients that are under way
        self.stopped = ""

    def _start(self, spent: float) -> Position:
        rate, started = self.settings.learning_rate, time.monotonic()
        found = find_learning_rate(self.model, self.batches, self.settings) if rate == "auto" else rate
        return Position(learning_rate=found, elapsed=spent + time.monotonic() - started)

    def train(self) -> None:
        """Train until there is a reason to stop, and validate the last weights if that has not been done."""
        with self.interrupt, self.bar, self.journal:
            self.model.train()
            while not self.stopped:
                if self.at.epoch >= self.settings.epochs:
                    self.stopped = f"trained all {self.settings.epochs} epochs"
                elif self.settings.patience is not None and self.at.stale >= self.settings.patience:
                    self.stopped = f"stopped: no better after {self.at.stale} validations"
                else:
                    self._epoch()
            self._save()  # before a validation that a training which goes on would not make here
            if self.at.validated != self.at.step:
                self._validate()

    def _epoch(self) -> None:
        """The batches of an epoch that are left."""
        batches = self.batches.epoch(self.at.epoch, self.at.batch)
        while True:
            started = time.monotonic()
            batch = next(batches, None)
            fetched = time.monotonic()
            self.at.waiting += fetched - started
            if batch is None:
                break
            updated = self._learn(batch)
            self.at.working += time.monotonic() - fetched
            if updated and self._between_updates():
                return
        self.at.epoch, self.at.batch = self.at.epoch + 1, 0
        self.state.carried.reset()
        last = self.at.epoch == self.settings.epochs
        if last or (self.at.epoch % self.validate_every == 0 and self.budget.may_validate()):
            self._validate()
        if self.settings.max_minutes is None:
            self._save()

    def _between_updates(self) -> bool:
        """Validate and save if that is due. Returns whether to stop."""
        if self.interrupt.asked:
            self.stopped = "stopped by Ctrl-C; --resume continues"
        elif self.budget.exhausted:
            minutes = self.settings.max_minutes
            self.stopped = f"stopped after {minutes:g} minute{'' if minutes == 1 else 's'}"
        else:
            if self.budget.validation_due():
                self._validate()
            if time.monotonic() - self.saved_at >= CHECKPOINT_SECONDS:
                self._save()
        return bool(self.stopped)

    def _learn(self, batch: Any) -> bool:
        """Learn from one batch. Returns whether the weights were updated: enough batches have been accumulated."""
        batch = to_device(batch, self.fabric.device)
        carry = self.state.carried.before(batch, self.model)
        loss = self.wrapped.loss(batch, carry)
        self.fabric.backward(loss.mean if self.settings.accumulate == 1 else loss.mean * loss.count)
        self.state.carried.take(loss.carry)
        self.targets += loss.count
        self.at.batch += 1
        if self.at.batch % self.settings.accumulate and self.at.batch < len(self.batches):
            return False
        self._update(batch, carry, float(loss.mean.detach()))
        return True

    def _update(self, batch: Any, carry: Any, loss: float) -> None:
        """Change the weights by the gradients. The batch, its carried state and its loss are for messages."""
        self.at.step += 1
        if self.settings.accumulate > 1:  # the mean over all targets, as a larger batch has it
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad /= max(1, self.targets)
        self.targets = 0
        self.state.health.measure(self.model, self.at.step)
        norm, clipped = clip_gradients(self.model.parameters(), self.settings.clip, self.settings.clip_value)
        check_finite(self.model, batch, carry, loss, norm, f"step {self.at.step}, epoch {self.at.epoch + 1}")
        self.state.health.count(clipped)
        progress = self.budget.progress(self.at.step)
        rate = self.at.learning_rate * SCHEDULES[self.settings.schedule](progress, self.settings.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.stepper.step()
        self.stepper.zero_grad()
        self.averaged.update()
        if self.at.step % self.log_every == 0:
            self._log({"loss": loss, "learning_rate": rate, "gradient_norm": norm})
        self.bar.show(progress, self.at.epoch + 1, loss, self.at.step / max(1e-9, self.budget.elapsed))

    def _log(self, entry: dict[str, Any]) -> None:
        seconds = round(self.budget.elapsed, 3)
        entry = {"step": self.at.step, "epoch": self.at.epoch + 1, "seconds": seconds, **entry}
        self.at.history.append(entry)
        self.journal.write(entry)

    def _validate(self) -> None:
        """Score the (averaged) weights, and keep them if none were better."""
        started = time.monotonic()
        self.model.eval()
        with self.averaged.used(), torch.no_grad():
            metrics = self.validate(self.model)
            if metrics["loss"] < self.at.best_score or not self.state.best_weights:
                self._keep(metrics)
            else:
                self.at.stale += 1
        self.model.train()
        self.at.validated = self.at.step
        self._log({"validation": metrics})
        self.bar.validated(metrics["loss"])
        self.budget.validated(time.monotonic() - started)

    def _keep(self, metrics: dict[str, float]) -> None:
        self.at.best_score, self.at.best_step, self.at.best = metrics["loss"], self.at.step, dict(metrics)
        self.at.stale = 0
        self.state.best_weights = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
        if self.folder is not None:
            facts = {"step": self.at.step, "metrics": metrics}
            write_checkpoint(self.folder / "checkpoints" / "best.safetensors", self.state.best_weights, facts)

    def _save(self) -> None:
        if self.folder is not None:
            self.at.elapsed = self.budget.elapsed
            self.state.save(_last(self.folder))
            self.saved_at = time.monotonic()

    def finish(self) -> Outcome:
        """Leave the best weights in the model, and tell how it went."""
        self.model.load_state_dict(self.state.best_weights)
        self.model.eval()
        spent = self.at.waiting + self.at.working
        share = self.at.waiting / spent if spent else 0.0
        if share > 0.05 and spent > 20:
            notices.notice(f"{share:.0%} of the training time was spent waiting for data.")
        return Outcome(
            steps=self.at.step,
            epochs=self.at.epoch,
            seconds=self.budget.elapsed,
            stopped_because=f"{self.stopped}; best at step {self.at.best_step} of {self.at.step}",
            best_step=self.at.best_step,
            best=self.at.best,
            history=self.at.history,
            learning_rate=self.at.learning_rate,
            loader_share=share,
            padding_share=self.batches.padding_share,
            clipped_share=self.state.health.clipped_share,
            health=self.state.health.facts(),
        )
