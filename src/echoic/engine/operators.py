"""The native engine's operators in PyTorch: a cell over packed sequences, and its gradient.

They are registered through torch.library, with fake implementations and autograd, so that torch.compile, torch.export
and opcheck see them as operators like any other. The gradient of the gradient is left to the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from echoic.engine.compiled import PACKED, Compiled, compiled_by_key
from echoic.engine.deferred import memory_for_sums
from echoic.engine.execute import address, execute
from echoic.engine.replay import replay


class Given(NamedTuple):
    """What is run: the arguments of the operator ``echoic::run`` but for the last two."""

    inputs: Tensor
    states: list[Tensor]
    fresh: list[Tensor]
    parameters: list[Tensor]
    offsets: Tensor
    active: Tensor
    cleared: Tensor | None


def run(given: Given, key: str, keep: str, project_again: Callable[[], Tensor] | None) -> list[Tensor]:
    """Outputs [N, O], then the last state [B, W] of each field (more may follow).

    The operator where a compiler or an exporter looks; the reference in plain operations under function transforms
    (vmap, grad, hessian); else the engine without an operator's overhead.

    Args:
        given: what is run.
        key: of the compiled cell.
        keep: for the backward: "nothing", "gates" (all it needs) or "states" (it computes the gates again).
        project_again: makes the inputs anew with their graph, for gradients of gradients, where they are projected ones
            that need not be kept; else None.
    """
    if torch._C._are_functorch_transforms_active():
        timing = (given.offsets, given.active, given.cleared)
        return replay(compiled_by_key(key), given.inputs, given.states, given.fresh, given.parameters, timing)
    if _watched():
        return run_operator(*given, key, keep)
    if keep == "nothing":
        return forward(*given, key, keep)
    inputs, states, fresh, parameters, *timing = given
    sizes = (len(states), len(fresh))
    return list(_Recurrence.apply(sizes, project_again, *timing, key, keep, inputs, *states, *fresh, *parameters))


@torch.library.custom_op("echoic::run", mutates_args=())
def run_operator(
    inputs: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    keep: str,
) -> list[Tensor]:
    """``forward`` as an operator."""
    return forward(inputs, states, fresh, parameters, offsets, active, cleared, key, keep)


def forward(
    inputs: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    keep: str,
) -> list[Tensor]:
    """A cell over packed sequences.

    Args:
        inputs: [N, I] inputs, packed; or what the cell's ``project`` makes of them, where that is no part of its program.
        states: [B, W] state before the first step, in the order of ranks, a tensor a field.
        fresh: the state that a reset gives, likewise; empty without resets.
        parameters: what the step uses.
        offsets, active: [steps] where a step's rows begin and how many there are.
        cleared: [N] 1 where a row's state is fresh before the step, or None.
        key: of the compiled cell.
        keep: for the backward: "nothing", "gates" (all it needs) or "states" (it computes the gates again).

    Returns:
        Outputs [N, O]; the last state [B, W] of each field; then, unless nothing is kept, each field after every step
        [N, W] where the backward needs it (else an empty tensor), and the gates [N, S].
    """
    cell = compiled_by_key(key)
    rows, dtype = inputs.shape[0], inputs.dtype
    inputs = inputs.contiguous()
    states = [state.contiguous() for state in states]
    fresh = [part.contiguous() for part in fresh]
    outputs = inputs.new_empty(rows, cell.output_width)
    last = [state.clone() for state in states]  # rows of no step keep their state
    kept = [
        outputs if i == cell.aliased else inputs.new_empty(size, width)
        for i, (size, width) in enumerate(zip(_kept_rows(cell, keep, rows), cell.widths, strict=True))
    ]
    saved = inputs.new_empty(rows if keep == "gates" else 0, cell.saved_width)
    kernel = cell.kernel("forward" if keep == "gates" else "inference", dtype)
    derived = cell.recording.prologue.forward(*parameters)
    held = [
        (width, state.data_ptr(), address(fresh, i), kept[i].data_ptr(), width, last[i].data_ptr())
        for i, (state, width) in enumerate(zip(states, cell.widths, strict=True))
    ]
    arrays = {"input": inputs, "output": outputs, "saved": saved}
    execute(kernel, (rows, states[0].shape[0]), (offsets, active, cleared), arrays, held, [], derived)
    if keep == "nothing":
        return [outputs, *last]
    empty = [outputs.new_empty(0, width) if i == cell.aliased else kept[i] for i, width in enumerate(cell.widths)]
    return [outputs, *last, *empty, saved]


@run_operator.register_fake
def _(
    inputs: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    keep: str,
) -> list[Tensor]:
    cell = compiled_by_key(key)
    rows = inputs.shape[0]
    found = [inputs.new_empty(rows, cell.output_width), *(torch.empty_like(state) for state in states)]
    if keep != "nothing":
        for i, (size, width) in enumerate(zip(_kept_rows(cell, keep, rows), cell.widths, strict=True)):
            found.append(inputs.new_empty(0 if i == cell.aliased else size, width))
        found.append(inputs.new_empty(rows if keep == "gates" else 0, cell.saved_width))
    return found


def _kept_rows(cell: Compiled, keep: str, rows: int) -> list[int]:
    """Rows of each field that are kept after every step."""
    return [rows if keep != "nothing" and needed else 0 for needed in cell.kept(keep)]


@torch.library.custom_op("echoic::run_backward", mutates_args=())
def run_backward_operator(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    inputs: Tensor | None,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    keep: str,
    to_inputs: bool,
) -> list[Tensor]:
    """``backward`` as an operator."""
    return backward(
        pull, pulls, outputs, kept, saved, inputs, states, fresh, parameters, offsets, active, cleared, key, keep, to_inputs
    )


def backward(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    inputs: Tensor | None,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    keep: str,
    to_inputs: bool,
) -> list[Tensor]:
    """The gradients of ``run``: of the inputs, each first state, each fresh state, each trained parameter.

    Args:
        pull: [N, O] gradient of the outputs. pulls: [B, W] of each last state.
        outputs, kept, saved: as ``run`` gave them; the others as ``run`` took them.
        inputs: None where the backward does not need them.
        to_inputs: whether the gradient of the inputs is wanted; else it is empty.
    """
    cell = compiled_by_key(key)
    rows, dtype = pull.shape[0], pull.dtype
    pull = pull.contiguous()
    pulls = [part.contiguous() for part in pulls]
    states = [state.contiguous() for state in states]
    fresh = [part.contiguous() for part in fresh]
    after = [outputs if i == cell.aliased else part for i, part in enumerate(kept)]
    kernel = cell.kernel("recompute" if keep == "states" else "backward", dtype, to_inputs)
    arrays = {"grad.output": pull, "saved": saved, "grad.input": pull.new_empty(rows * to_inputs, cell.input_width)}
    if inputs is not None:
        arrays["input"] = inputs.contiguous()
    for port in kernel.ports:
        if port.role == PACKED and port.name not in arrays:
            arrays[port.name] = pull.new_empty(rows, port.width)
    first = [part.clone() for part in pulls]  # rows of no step hand their gradient through
    freshened = [torch.zeros_like(part) for part in fresh]
    held = [
        (width, state.data_ptr(), address(fresh, i), after[i].data_ptr(), width, 0)
        for i, (state, width) in enumerate(zip(states, cell.widths, strict=True))
    ]
    gradients = [
        (width, part.data_ptr(), first[i].data_ptr(), address(freshened, i))
        for i, (part, width) in enumerate(zip(pulls, cell.widths, strict=True))
    ]
    derived = cell.recording.prologue.forward(*parameters)
    totals, sums = memory_for_sums(cell.sums, len(cell.recording.deferred), arrays, rows)
    execute(kernel, (rows, states[0].shape[0]), (offsets, active, cleared), arrays, held, gradients, derived, sums)
    trained = cell.recording.epilogue.forward(*parameters, *totals)
    trained = trained if cell.gradients_apart else _own(trained)
    return [arrays["grad.input"], *first, *freshened, *(gradient.contiguous() for gradient in trained)]


@run_backward_operator.register_fake
def _(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    inputs: Tensor | None,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    keep: str,
    to_inputs: bool,
) -> list[Tensor]:
    cell = compiled_by_key(key)
    found = [pull.new_empty(pull.shape[0] * to_inputs, cell.input_width), *(torch.empty_like(p) for p in pulls)]
    found += [torch.empty_like(part) for part in fresh]
    return found + [torch.empty_like(parameters[i]) for i in cell.recording.trained]


def _own(trained: Sequence[Tensor]) -> list[Tensor]:
    """An operator may not give one memory twice: two biases that are always added have one gradient."""
    seen: set[int] = set()
    found = []
    for gradient in trained:
        address = gradient.untyped_storage().data_ptr()
        found.append(gradient.clone() if address in seen else gradient)
        seen.add(address)
    return found


class _Recurrence(torch.autograd.Function):
    """``forward`` and ``backward`` without the overhead of operators."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        sizes, ctx.project_again, offsets, active, cleared, ctx.key, ctx.keep, inputs, *rest = arguments
        ctx.sizes, ctx.to_inputs = sizes, ctx.needs_input_grad[7]
        states, fresh, parameters = _parts(rest, sizes)
        results = forward(inputs, states, fresh, parameters, offsets, active, cleared, ctx.key, ctx.keep)
        _save(ctx, results, inputs, rest, (offsets, active, cleared))
        ctx.mark_non_differentiable(*results[1 + sizes[0] :])
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = _differentiable_gradients(ctx, grads) if torch.is_grad_enabled() else _gradients(ctx, grads)
        return None, None, None, None, None, None, None, found[0], *found[1], *found[2], *found[3]


def _setup_context(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    given, states, fresh, parameters, offsets, active, cleared, ctx.key, ctx.keep = inputs
    ctx.sizes, ctx.to_inputs, ctx.project_again = (len(states), len(fresh)), ctx.needs_input_grad[0], None
    _save(ctx, output, given, [*states, *fresh, *parameters], (offsets, active, cleared))


def _backward(ctx: Any, grads: Sequence[Tensor]) -> tuple[Any, ...]:
    return *_gradients(ctx, grads), None, None, None, None, None


def _save(ctx: Any, results: list[Tensor], inputs: Tensor, rest: Sequence[Tensor], timing: Any) -> None:
    outputs, saved, kept = results[0], results[-1], results[1 + ctx.sizes[0] : -1]
    again = inputs if "input" in compiled_by_key(ctx.key).needed(ctx.keep) else None
    ctx.save_for_backward(outputs, saved, again, *timing, *kept, *rest)


def _parts(
    tensors: Sequence[Tensor], sizes: tuple[int, int]
) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """States, fresh states, parameters."""
    fields, resets = sizes
    return tensors[:fields], tensors[fields : fields + resets], tensors[fields + resets :]


def _gradients(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """Of the inputs, the states, the fresh states, the parameters."""
    fields, resets = ctx.sizes
    outputs, saved, inputs, offsets, active, cleared, *rest = ctx.saved_tensors
    kept, given = rest[:fields], _parts(rest[fields:], ctx.sizes)
    cell = compiled_by_key(ctx.key)
    pull = grads[0] if grads[0] is not None else torch.zeros_like(outputs)
    pulls = [g if g is not None else torch.zeros_like(s) for g, s in zip(grads[1 : 1 + fields], given[0], strict=True)]
    run_back = run_backward_operator if _watched() else backward
    timing, how = (offsets, active, cleared), (ctx.key, ctx.keep, ctx.to_inputs)
    found = run_back(pull, pulls, outputs, kept, saved, inputs, *given, *timing, *how)
    trained: list[Tensor | None] = [None] * len(given[2])
    for position, gradient in zip(cell.recording.trained, found[1 + fields + resets :], strict=True):
        trained[position] = gradient
    of_inputs = found[0] if ctx.to_inputs else None
    return of_inputs, found[1 : 1 + fields], found[1 + fields : 1 + fields + resets], trained


def _differentiable_gradients(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """The same with a graph of their own (``create_graph=True``), by the reference."""
    fields, resets = ctx.sizes
    _, _, inputs, *timing = ctx.saved_tensors[:6]
    rest = ctx.saved_tensors[6 + fields :]
    if ctx.project_again is not None:
        inputs = ctx.project_again()
    # Views, so that a parameter on which the inputs depend too is not given that part of its gradient twice
    leaves = [tensor.view_as(tensor) for tensor in (inputs, *rest)]
    results = replay(compiled_by_key(ctx.key), leaves[0], *_parts(leaves[1:], ctx.sizes), tuple(timing))
    pulled = [(r, g) for r, g in zip(results, grads, strict=False) if g is not None and r.requires_grad]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    outputs, pulls = zip(*pulled, strict=True)
    found = iter(torch.autograd.grad(outputs, wanted, pulls, create_graph=True, allow_unused=True))
    ordered = [next(found) if leaf.requires_grad else None for leaf in leaves]
    return ordered[0], *_parts(ordered[1:], (fields, resets))  # pyright: ignore


def _watched() -> bool:
    """Whether compilation, export or a dispatch mode looks at operators."""
    return torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None


run_operator.register_autograd(_backward, setup_context=_setup_context)
