"""The programs of a cell run with NumPy, and the same by PyTorch's own differentiation."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from echoic.cells import Cell
from echoic.engine.compiled import effective_tensors
from echoic.engine.step_programs import StepPrograms, step_programs
from echoic.engine.trace import ColumnSum, Outer, Recording, record
from echoic.program import Program, interpret
from echoic.program.operations import Array

BATCH = 5


class Traced(NamedTuple):
    """A cell, the recording of its step, its programs, and random numbers in float64 to run them on.

    numbers: ``input``, ``state.*``, ``grad.output``, ``grad.state.*``, [B, *].
    """

    cell: Cell
    recording: Recording
    programs: StepPrograms
    numbers: dict[str, Tensor]

    @property
    def parameters(self) -> list[Tensor]:
        return effective_tensors(self.cell, self.recording.parameters)

    def run(self, program: Program, more: dict[str, Array] | None = None) -> dict[str, Array]:
        """The results of one of the programs, by the interpreter."""
        given = {name: value.detach().numpy() for name, value in self.numbers.items()} | (more or {})
        with torch.no_grad():
            derived = self.recording.prologue.forward(*self.parameters)
        given |= {n: t.detach().numpy() for n, t in zip(self.recording.derived, derived, strict=True)}
        needed = {source.name for source in program.sources}
        return interpret(program, {name: value for name, value in given.items() if name in needed})

    def gradients(self, results: dict[str, Array]) -> dict[str, Tensor]:
        """Of the parameters, from what the backward program gives: by the deferred sums and the epilogue."""
        values = {name: value.numpy() for name, value in self.numbers.items()} | results
        sums = [
            torch.from_numpy(_summed(deferred, *(values[name] for name in names)))
            for deferred, names in zip(self.recording.deferred, self.programs.operands, strict=True)
        ]
        with torch.no_grad():
            found = self.recording.epilogue.forward(*self.parameters, *sums)
        names = [self.recording.parameters[i] for i in self.recording.trained]
        return dict(zip(names, found, strict=True))


def _summed(deferred: Outer | ColumnSum, *values: Array) -> Array:
    if not isinstance(deferred, Outer):
        return values[0].sum(0)
    left, right = (value.reshape(len(value) * deferred.groups, -1) for value in values)
    return left.T @ right


def trace(cell: Cell, seed: int = 0) -> Traced:
    """Record a cell in float64 and draw numbers."""
    recording = record(cell)
    generator = torch.Generator().manual_seed(seed)
    start = cell.initial_state(1)
    sizes = {"input": recording.builder.widths["input"]}
    sizes |= {f"state.{name}": part.shape[1] for name, part in start._asdict().items()}
    sizes |= {"grad.output": cell.output_size}
    sizes |= {f"grad.state.{name}": part.shape[1] for name, part in start._asdict().items()}
    numbers = {
        name: torch.randn(BATCH, width, generator=generator, dtype=torch.float64) for name, width in sizes.items()
    }
    return Traced(cell, recording, step_programs(recording), numbers)


class ByTorch(NamedTuple):
    """forward: ``output`` and ``state.*``. backward: ``grad.input`` and ``grad.state.*``. parameters: by name."""

    forward: dict[str, Tensor]
    backward: dict[str, Tensor]
    parameters: dict[str, Tensor]


def by_torch(traced: Traced) -> ByTorch:
    """One step of the cell itself and its gradient."""
    numbers, cell = traced.numbers, traced.cell
    kind = type(cell.initial_state(1))
    given = numbers["input"].clone().requires_grad_()
    state = kind(*(numbers[f"state.{f}"].clone().requires_grad_() for f in kind._fields))
    output, new = cell.update(cell.project(given) if traced.recording.apart is None else given, state)
    loss = (output * numbers["grad.output"]).sum()
    loss = loss + sum((getattr(new, f) * numbers[f"grad.state.{f}"]).sum() for f in kind._fields)
    leaves: dict[str, Any] = {"grad.input": given}
    leaves |= {f"grad.state.{f}": getattr(state, f) for f in kind._fields}
    names = [n for n, p in cell.named_parameters() if p.requires_grad]
    weights = dict(zip(names, effective_tensors(cell, tuple(names)), strict=True))
    grads = torch.autograd.grad(loss, [*leaves.values(), *weights.values()], allow_unused=True)
    found = {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip({**leaves, **weights}.items(), grads, strict=True)
    }
    forward = {"output": output.detach(), **{f"state.{f}": getattr(new, f).detach() for f in kind._fields}}
    return ByTorch(forward, {n: found[n] for n in leaves}, {n: found[n] for n in weights})
