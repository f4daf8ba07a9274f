"""From the equations of a cell to the programs of its step: forward, and backward by PyTorch's own differentiation.

``make_fx`` records one step together with its vector-Jacobian product, on tensors that hold no numbers.
"""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrize
from torch.nn.utils.stateless import _reparametrize_module

from echoic.cells import Cell
from echoic.engine.convolutions import Unfolded
from echoic.engine.lines import Lines, files_of, place
from echoic.engine.moving import ROWS
from echoic.engine.sorting import ColumnSum, Outer, Sorter, TraceRefusal
from echoic.program import Builder

aten = torch.ops.aten

# Beyond PyTorch's own choice: what is taken apart, and what stays whole
_TAKEN_APART = [
    aten.linalg_vector_norm,
    aten.native_group_norm,
    aten.gelu,
    aten.elu,
    aten.selu,
    aten.celu,
    aten.leaky_relu,
    aten.hardtanh,
    aten.hardsigmoid,
    aten.silu,
    aten.mish,
]
_WHOLE = (aten.sigmoid_backward, aten.tanh_backward, aten.select_scatter, aten.roll)


class Recording(NamedTuple):
    """One step as recorded.

    builder: all operations, of both directions; its row sources are ``input``, ``state.*``, ``grad.output`` and
        ``grad.state.*``.
    fields: the names of the state's fields.
    parameters: names of the parameters, then buffers, that the step uses: what prologue and epilogue take.
    shapes: of these.
    trained: positions of those among them that get a gradient from the step: what the epilogue gives.
    prologue: parameters to the tensors that are the program's sources ``derived``, by position.
    epilogue: parameters and deferred sums to the gradients of the parameters.
    forward, backward: result name to value.
    deferred: the sums that the epilogue takes.
    apart: why the projection of the inputs is no part of it, or None: then ``input`` is what ``project`` makes of them.
    """

    builder: Builder
    fields: tuple[str, ...]
    parameters: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    derived: tuple[str, ...]
    prologue: fx.GraphModule
    epilogue: fx.GraphModule
    forward: dict[str, str]
    backward: dict[str, str]
    deferred: tuple[Outer | ColumnSum, ...]
    trained: tuple[int, ...]
    apart: str | None = None


class StepRecording(NamedTuple):
    """A whole step with its projection, for streaming.

    builder: its row sources are ``input`` and ``state.*``. results: ``output`` and ``state.*`` to the value.
    parameters, derived, prologue: as in ``Recording``.
    """

    builder: Builder
    fields: tuple[str, ...]
    parameters: tuple[str, ...]
    derived: tuple[str, ...]
    prologue: fx.GraphModule
    results: dict[str, str]


def record_step(cell: Cell) -> StepRecording:
    """Record one step of a cell from an input.

    Raises:
        TraceRefusal: as ``record``.
    """
    plain = _without_numbers(cell)
    tensors = _tensors(plain)
    start, numbers = plain.initial_state(1), _numbers(tensors)
    kind = type(start)

    def step(x: Tensor, state: list[Tensor], tensors: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        with _reparametrize_module(plain, tensors), torch.no_grad(), Lines(plain), Unfolded():
            output, new = plain.step(x, kind(*state))
        return output, tuple(new)

    x = torch.empty(ROWS, cell.input_size, dtype=numbers, device="meta")
    state = [torch.empty(ROWS, part.shape[1], dtype=numbers, device="meta") for part in start]
    before = _attributes(plain)
    graph = _recorded(step, (x, state, tensors), cell)
    _check_unchanged(plain, before)
    fields = [f"state.{field}" for field in kind._fields]
    sorter = Sorter(graph, cell, tuple(tensors))
    results = sorter.place(["input", *fields], [])
    made = {name: sorter.result(node) for name, node in zip(["output", *fields], results, strict=True)}
    prologue, _, used = sorter.parts([])
    parameters = tuple(list(tensors)[i] for i in used)
    return StepRecording(sorter.builder, tuple(kind._fields), parameters, sorter.derived_names(), prologue, made)


def record(cell: Cell) -> Recording:
    """Record one step of a cell and its vector-Jacobian product, from its input or else from the projected one.

    Raises:
        TraceRefusal: the update needs what a program has not: an operation, data-dependent control flow, randomness.
    """
    try:
        return _record(cell, projecting=True)
    except TraceRefusal as refusal:
        return _record(cell, projecting=False)._replace(apart=str(refusal))


def _record(cell: Cell, projecting: bool) -> Recording:
    plain = _without_numbers(cell)
    tensors = _tensors(plain)
    named = plain.named_parameters(remove_duplicate=False)
    trainable = [name for name, parameter in named if parameter.is_floating_point()]
    start, numbers = plain.initial_state(1), _numbers(tensors)
    given = torch.empty(ROWS, cell.input_size, dtype=numbers, device="meta")
    if not projecting:
        with torch.no_grad():
            given = plain.project(given)
    state = [torch.empty(ROWS, part.shape[1], dtype=numbers, device="meta") for part in start]

    def step(x: Tensor, state: list[Tensor], tensors: dict[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        with _reparametrize_module(plain, tensors), Lines(plain), Unfolded():
            output, new = plain.update(plain.project(x) if projecting else x, type(start)(*state))
        return output, tuple(new)

    def step_and_pullback(
        x: Tensor, state: list[Tensor], tensors: dict[str, Tensor], pull: Tensor, pulls: list[Tensor]
    ) -> Any:
        def differentiable(x: Tensor, state: list[Tensor], weights: dict[str, Tensor]) -> Any:
            return step(x, state, {**tensors, **weights})

        weights = {name: tensors[name] for name in trainable}
        (output, new), pullback, *_ = torch.func.vjp(differentiable, x, state, weights)
        grads = pullback((pull, tuple(pulls)))
        return output, new, grads

    pull = torch.empty(ROWS, cell.output_size, dtype=numbers, device="meta")
    pulls = [torch.empty_like(part) for part in state]
    before = _attributes(plain)
    graph = _recorded(step_and_pullback, (given.detach(), state, tensors, pull, pulls), cell)
    _check_unchanged(plain, before)
    fields = [f"state.{field}" for field in type(start)._fields]
    sorter = Sorter(graph, cell, tuple(tensors))
    results = sorter.place(["input", *fields], ["grad.output", *(f"grad.{field}" for field in fields)])
    forward_names = ["output", *fields]
    backward_names = ["grad.input", *(f"grad.{field}" for field in fields)]
    count = len(forward_names)
    forward = {n: sorter.result(v) for n, v in zip(forward_names, results, strict=False)}
    backward = {n: sorter.result(v) for n, v in zip(backward_names, results[count:], strict=False)}
    gradients = results[count + len(backward_names) :]
    moving = [i for i, node in enumerate(gradients) if sorter.numbers.get(node) != 0.0]
    prologue, epilogue, used = sorter.parts([(i, gradients[i]) for i in moving])
    parameters = tuple(list(tensors)[i] for i in used)
    return Recording(
        sorter.builder, type(start)._fields, parameters, tuple(tensors[name].shape for name in parameters),
        sorter.derived_names(), prologue, epilogue, forward, backward, tuple(sorter.deferred),
        tuple(used.index(i) for i in moving),
    )  # fmt: skip


def _layer_norm_backward(
    pull: Tensor, value: Tensor, shape: list[int], mean: Tensor, scale: Tensor, weight: Tensor | None,
    bias: Tensor | None, wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """The gradients of a layer normalisation, in fewer passes over a row than PyTorch's own decomposition takes."""
    features = list(range(value.dim() - len(shape), value.dim()))
    rows = list(range(value.dim() - len(shape)))
    normal = (value - mean) * scale
    weighted = pull if weight is None else pull * weight
    level, slope = weighted.mean(features, keepdim=True), (weighted * normal).mean(features, keepdim=True)
    return (
        (weighted + normal * -slope - level) * scale if wanted[0] else None,
        (pull * normal).sum(rows) if wanted[1] and weight is not None else None,
        pull.sum(rows) if wanted[2] and bias is not None else None,
    )


def _recorded(function: Callable[..., Any], arguments: tuple[Any, ...], cell: Cell) -> fx.Graph:
    """What a function of tensors without numbers does."""
    decompositions: Any = {
        op: how for op, how in core_aten_decompositions().items()
        if getattr(op, "overloadpacket", op) not in _WHOLE
    } | get_decompositions(_TAKEN_APART) | {aten.native_layer_norm_backward.default: _layer_norm_backward}  # fmt: skip
    pure = torch.func.functionalize(function, remove="mutations")
    try:
        return make_fx(pure, decomposition_table=decompositions)(*arguments).graph
    except Exception as error:  # whatever PyTorch cannot record is refused with its own words, not swallowed
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "data-dependent control flow" in first:
            first = "it looks at the values of a tensor to decide what to do; torch.where chooses for each row"
        raise TraceRefusal(f"its step cannot be recorded{_place(error, cell)}: {first}") from error


def _attributes(cell: Cell) -> dict[str, Any]:
    """What a cell and the modules in it hold, besides parameters, buffers and modules."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, module in cell.named_modules()
        for name, value in module.__dict__.items()
        if not name.startswith("_")
    }


def _check_unchanged(cell: Cell, before: dict[str, Any]) -> None:
    """Refuse a step that sets attributes: it is recorded once, and they would be set once."""
    now = _attributes(cell)
    changed = [name for name, value in now.items() if name not in before or before[name] is not value]
    if changed:
        raise TraceRefusal(
            f"its step changes the cell's {changed[0]}; what changes from step to step is a field of the state"
        )


def _without_numbers(cell: Cell) -> Cell:
    """A copy on the meta device whose parametrised weights are plain ones: what multiplies is what is recorded."""
    hollow: dict[int, Any] = {}
    for module in cell.modules():
        for tensor in module._parameters.values():
            if tensor is not None:  # whatever stands in for a parameter is one in the copy
                hollow[id(tensor)] = torch.nn.Parameter(_hollow(tensor), requires_grad=tensor.is_floating_point())
        for tensor in module._buffers.values():
            if tensor is not None:
                hollow[id(tensor)] = _hollow(tensor)
    twin = copy.deepcopy(cell, hollow)
    for module in [m for m in twin.modules() if parametrize.is_parametrized(m)]:
        names = list(module.parametrizations)  # pyright: ignore
        # Not by attribute: inside parametrize.cached() that would leave tensors without numbers in torch's cache
        made = [_hollow(module.parametrizations[name]()) for name in names]  # pyright: ignore
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]  # as it was: torch puts a class of its own in front
        for name, tensor in zip(names, made, strict=True):
            module.register_parameter(name, torch.nn.Parameter(tensor))
    return twin


def _hollow(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _tensors(cell: Cell) -> dict[str, Tensor]:
    """Parameters, then buffers, without numbers. One with two names counts as two: PyTorch adds their gradients."""
    named = cell.named_parameters(remove_duplicate=False), cell.named_buffers(remove_duplicate=False)
    return {name: _hollow(tensor) for part in named for name, tensor in part}


def _numbers(tensors: Mapping[str, Tensor]) -> torch.dtype:
    """The type of a cell's numbers."""
    return next((t.dtype for t in tensors.values() if t.is_floating_point()), torch.get_default_dtype())


def _place(error: BaseException, cell: Cell) -> str:
    files = files_of(cell)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f" ({place(frames[-1].filename, frames[-1].lineno or 0)})" if frames else ""
