"""What the conformance suite runs: every registered cell in every variant, on every backend that takes it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from echoic.cells import Cell, build_cell, registered_cells
from echoic.engine import BACKENDS, Call, unroll

INPUT, HIDDEN = 3, 7
Runner = Callable[..., tuple[Tensor, Any]]  # as echoic.engine.unroll without ``options``


class Case(NamedTuple):
    """A cell with options."""

    name: str
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{option}={value}" for option, value in self.options.items())])

    def build(self, input_size: int = INPUT, hidden_size: int = HIDDEN, seed: int = 0) -> Cell:
        """A cell in float64 whose parameters are all random and unequal, gains and biases too.

        Where the cell cannot have the sizes, it has the next it can.
        """
        sizes = registered_cells()[self.name].nearest_sizes(input_size, hidden_size, **self.options)
        cell = build_cell(self.name, *sizes, **self.options).double()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in cell.parameters():
                scale = 0.8 / max(parameter.shape[-1] if parameter.dim() > 1 else 4, 4) ** 0.5
                parameter.normal_(0, scale, generator=generator)
        return cell


CASES = [Case(name, options) for name, cell in registered_cells().items() for options in cell.variants]


class Engine(NamedTuple):
    """A backend and the type of numbers it is given."""

    backend: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.backend}-{str(self.dtype).removeprefix('torch.')}"

    def run(self, cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
        return unroll(cell, inputs, state, options=(self.backend, "store"), **options)


ENGINES = [Engine(backend.name, dtype) for backend in BACKENDS for dtype in (torch.float64, torch.float32)]


def takes(engine: Engine, case: Case, reset: bool = False) -> bool:
    """Whether an engine runs a case. Which cells a backend must take is tested in tests/engine."""
    cell = case.build()
    start = cell.initial_state(1)
    call = Call(
        torch.zeros(2, 1, cell.input_size).double(), start, start, reset=torch.zeros(2, 1).bool() if reset else None
    )
    return next(backend for backend in BACKENDS if backend.name == engine.backend).refusal(cell, call) is None


class Problem(NamedTuple):
    """A cell, what it is run on, and the gradient that is sent back through it.

    inputs: [B, T, I]. state: the first state. pull: gradient of the outputs [B, T, O]. end_pull: of each part of the
    last state, [B, *].
    """

    cell: Cell
    inputs: Tensor
    state: Any
    pull: Tensor
    end_pull: tuple[Tensor, ...]

    def to(self, dtype: torch.dtype) -> Problem:
        """The same in numbers of another type."""
        cell = copy.deepcopy(self.cell).to(dtype)
        state = type(self.state)(*(part.to(dtype) for part in self.state))
        return Problem(
            cell, self.inputs.to(dtype), state, self.pull.to(dtype), tuple(p.to(dtype) for p in self.end_pull)
        )

    def row(self, row: int, steps: int) -> Problem:
        """One row alone, of its own length."""
        one = slice(row, row + 1)
        return self._replace(
            inputs=self.inputs[one, :steps],
            state=type(self.state)(*(part[one] for part in self.state)),
            pull=self.pull[one, :steps],
            end_pull=tuple(part[one] for part in self.end_pull),
        )


def make_problem(
    case: Case, batch: int, steps: int, input_size: int = INPUT, hidden_size: int = HIDDEN, seed: int = 1
) -> Problem:
    """Random numbers in float64, no two alike."""
    cell = case.build(input_size, hidden_size, seed)
    generator = torch.Generator().manual_seed(1000 + seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    start = cell.initial_state(batch)
    state = type(start)(*(draw(*part.shape) for part in start))
    ends = tuple(draw(*part.shape) for part in start)
    return Problem(cell, draw(batch, steps, cell.input_size), state, draw(batch, steps, cell.output_size), ends)


def solve(problem: Problem, run: Runner, **options: Any) -> dict[str, Tensor]:
    """Outputs, last state and every gradient of a problem, by name."""
    cell = problem.cell
    inputs = problem.inputs.detach().clone().requires_grad_()
    state = type(problem.state)(*(part.detach().clone().requires_grad_() for part in problem.state))
    outputs, end = run(cell, inputs, state, **options)
    assert type(end) is type(state)
    assert outputs.dtype == inputs.dtype
    loss = (outputs * problem.pull).sum() + sum((a * b).sum() for a, b in zip(end, problem.end_pull, strict=True))
    weights = dict(cell.named_parameters())
    leaves = [inputs, *state, *weights.values()]
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    found = {"outputs": outputs.detach()}
    found |= {f"last {name}": part.detach() for name, part in end._asdict().items()}
    names = ["inputs", *(f"first {name}" for name in state._fields), *weights]
    for name, leaf, grad in zip(names, leaves, grads, strict=True):
        found[f"gradient of {name}"] = torch.zeros_like(leaf) if grad is None else grad
    return found
