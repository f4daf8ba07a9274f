"""A compiled cell over packed sequences in plain PyTorch operations, one step after the other.

What the native engine leaves to the reference: gradients of gradients, which PyTorch finds by itself here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from echoic.engine.compiled import Compiled
from echoic.engine.layout import Timing
from echoic.engine.passes import Given
from echoic.program import Operand, Program
from echoic.program.operations import taken

_MEANINGS: dict[str, Callable[..., Tensor]] = {
    "copy": lambda x: x,
    "neg": torch.neg,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "relu": torch.relu,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "sin": torch.sin,
    "cos": torch.cos,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": lambda x: torch.nn.functional.softplus(x, threshold=1e9),
    "erf": torch.erf,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "lt": lambda a, b: (a < b).to(a.dtype),
    "le": lambda a, b: (a <= b).to(a.dtype),
    "eq": lambda a, b: (a == b).to(a.dtype),
    "ne": lambda a, b: (a != b).to(a.dtype),
    "sigmoid_grad": lambda g, y: g * y * (1 - y),
    "tanh_grad": lambda g, y: g * (1 - y * y),
    "relu_grad": lambda g, y: torch.where(y <= 0, torch.zeros_like(g), g),
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
    "fma": lambda a, b, c: a * b + c,
    "sum": lambda x, *form: _apart(x, form).sum(2).flatten(1),
    "max": lambda x, *form: _apart(x, form).amax(2).flatten(1),
    "dot": lambda x, y, *form: _apart(x * y, form).sum(2).flatten(1),
    "matmul": torch.matmul,
    "slice": lambda x, start, stop: x[:, start:stop],
    "concat": lambda *parts: torch.cat(parts, 1),
    "broadcast": lambda x, width: x.expand(-1, width),
    "take": lambda x, *form: x[..., torch.from_numpy(taken(*form))],
}


def _apart(x: Tensor, form: tuple[int, ...]) -> Tensor:
    """[B, .., size, inner] columns; without a form all columns are the size."""
    return x.unflatten(1, (-1, *(form or (x.shape[1], 1))))


def run_program(program: Program, sources: dict[str, Tensor]) -> dict[str, Tensor]:
    """The results of a program for sources as ``echoic.program.interpret`` takes them; vectors may be [N]."""
    values = dict(sources)
    rows = next(values[s.name].shape[0] for s in program.sources if s.kind == "row")
    like = next(iter(values.values()))

    def read(operand: Operand) -> Tensor:
        if isinstance(operand, str):
            return values[operand]
        return like.new_full((rows, 1), operand)

    for operation in program.operations:
        made = _MEANINGS[operation.kind](*(read(o) for o in operation.operands), *operation.attributes)
        values[operation.name] = made
    return {name: values[value].expand(rows, -1) for name, value in program.results}


def replay(cell: Compiled, given: Given, timing: Timing) -> list[Tensor]:
    """Outputs [N, O] and the last state [B, W] of each field, as the operator ``echoic::run`` gives them."""
    inputs, states, fresh, parameters = given
    offsets, active, cleared = timing
    program = cell.programs.inference
    derived = dict(zip(cell.recording.derived, cell.recording.prologue(*parameters), strict=True))
    needed = {source.name for source in program.sources}
    held = list(states)
    outputs: list[tuple[int, Tensor]] = []
    ended: list[list[Tensor]] = [[] for _ in states]  # rows by rank, the last ranks first
    ranks = states[0].shape[0]
    for begin, rows in zip(offsets.tolist(), active.tolist(), strict=True):
        for i, part in enumerate(held):
            ended[i].append(part[rows:ranks])
        ranks = rows
        held = [part[:rows] for part in held]
        if cleared is not None:
            anew = cleared[begin : begin + rows].bool().unsqueeze(1)
            held = [torch.where(anew, f[:rows], part) for f, part in zip(fresh, held, strict=True)]
        sources = {"input": inputs[begin : begin + rows], **derived}
        sources |= {f"state.{field}": part for field, part in zip(cell.fields, held, strict=True)}
        results = run_program(program, {name: value for name, value in sources.items() if name in needed})
        outputs.append((begin, results["output"]))
        held = [results[f"state.{field}"] for field in cell.fields]
    last = [torch.cat([part, *reversed(parts)]) for part, parts in zip(held, ended, strict=True)]
    ordered = [output for _, output in sorted(outputs, key=lambda item: item[0])]
    return [torch.cat(ordered) if ordered else inputs.new_zeros(0, cell.output_width), *last]
