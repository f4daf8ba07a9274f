"""Which cells learn to add two numbers up to 200 steps apart, and why the others do not.

    python benchmarks/adding_problem.py --minutes 5

Trains an LSTM, a GRU and an Elman network on the adding problem (Hochreiter and Schmidhuber, 1997), each for at most
``--minutes``, prints the mean squared error on sequences none has seen (0.1667 for always answering the mean), and
draws how far back the gradient of the last step's loss reaches, before training (which decides what can be learnt)
and after it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import torch
from torch import Tensor, nn

from echoic.data.synthetic import ADDING_BASELINE, AddingBatches, Example
from echoic.engine import record_states
from echoic.models.recurrent import build_recurrent
from echoic.models.settings import RecurrentSettings
from echoic.training.contract import Loss
from echoic.training.settings import Training
from echoic.training.trainer import Trainer
from echoic.training.validation import mean_loss

matplotlib.use("svg")
from matplotlib import pyplot

SOLVED = 0.01
# Gated cells start with memories of 1 to T steps; an Elman network has no gates to set, and a smaller rate suits it.
RATES = {"LSTM": 6e-3, "GRU": 6e-3, "Elman": 2e-3}


class Adder(nn.Module):
    """A recurrent layer whose last output becomes the sum."""

    def __init__(self, cell: str, hidden_size: int, steps: int) -> None:
        super().__init__()
        settings = RecurrentSettings(cell=cell, hidden_size=hidden_size, memory_steps=steps)
        self.recurrent = build_recurrent(settings, 2)
        self.out = nn.Linear(hidden_size, 1)

    def loss(self, batch: Example, carry: Any = None) -> Loss:
        return Loss(self.final_step_loss(batch), len(batch.targets))

    def final_step_loss(self, batch: Example) -> Tensor:
        outputs, _ = self.recurrent(batch.inputs)
        return (self.out(outputs[:, -1]).squeeze(1) - batch.targets).square().mean()


@dataclass
class Trained:
    """Test error, how the training went, and the gradient's norm by lag before and after it."""

    error: float
    how: str
    before: list[float]
    after: list[float]


def gradient_by_lag(model: Adder, batch: Example) -> list[float]:
    """Mean over the rows of the norm of dL/dh_t, L the loss at the last step, for lags T - t = 0, 1, 2, ..."""
    model.zero_grad()
    with record_states() as runs:
        model.final_step_loss(batch).backward()
    model.zero_grad()
    grads = [torch.zeros_like(state) if state.grad is None else state.grad for state in reversed(runs[0].states)]
    return [grad.norm(dim=1).mean().item() for grad in grads]


def train(cell: str, arguments: argparse.Namespace) -> Trained:
    """Train one cell from scratch."""
    torch.manual_seed(arguments.seed)
    model = Adder(cell, arguments.hidden_size, arguments.steps)
    batches = AddingBatches(100, 32, arguments.steps, arguments.seed)
    held_out = AddingBatches(5, 200, arguments.steps, arguments.seed + 1, fixed=True)
    test = AddingBatches(10, 200, arguments.steps, arguments.seed + 2, fixed=True)
    probe = next(AddingBatches(1, 64, arguments.steps, arguments.seed + 3).epoch(0))
    before = gradient_by_lag(model, probe)
    settings = Training(
        epochs=1000,
        max_minutes=arguments.minutes,
        learning_rate=RATES[cell],
        clip=1.0,
        weight_decay=0.0,
        schedule="one-cycle",
    )
    outcome = Trainer(model, batches, lambda m: {"loss": mean_loss(m, held_out)}, settings, device="cpu").run()
    how = f"{outcome.steps} updates, {outcome.seconds:.0f} s"
    return Trained(mean_loss(model, test), how, before, gradient_by_lag(model, probe))


def draw(trained: dict[str, Trained], path: Path) -> None:
    """The gradient's norm against the lag, relative to lag 0, before and after training."""
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    for axes, title in zip(panels, ("before", "after"), strict=True):
        for cell, result in trained.items():
            norms = getattr(result, title)
            axes.semilogy([norm / norms[0] if norm > 0 else float("nan") for norm in norms], label=cell)
        axes.set_title(f"{title} training")
        axes.set_xlabel("lag: steps before the last")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("‖∂L/∂h‖ relative to the last step")
    panels[0].set_ylim(1e-15, 10)  # below lies the underflow of float32
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="of training for each cell")
    parser.add_argument("--steps", type=int, default=200, help="length of a sequence")
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="matrices this small are no faster on more")
    parser.add_argument("--cells", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--out", type=Path, default=Path("docs/images/adding-gradients.svg"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    trained: dict[str, Trained] = {}
    print(f"adding problem, {arguments.steps} steps; always answering 1 gives {ADDING_BASELINE:.4f}")
    for cell in arguments.cells:
        result = trained[cell] = train(cell, arguments)
        verdict = "solved" if result.error < SOLVED else "not solved"
        print(f"{cell:>6}  test MSE {result.error:.5f}  {verdict}  ({result.how})")
        for when, norms in (("before", result.before), ("after", result.after)):
            print(
                f"        gradient at lag {len(norms) - 1} {when} training: {norms[-1] / norms[0]:.1e} of that at lag 0"
            )
    draw(trained, arguments.out)
    print(f"gradients over lags: {arguments.out}")


if __name__ == "__main__":
    main()
