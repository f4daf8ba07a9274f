"""The native engine's operators in PyTorch: a cell over packed sequences, and its gradient.

They are registered through torch.library, with fake implementations and autograd, so that torch.compile, torch.export
and opcheck see them as operators like any other. The gradient of the gradient is left to the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from echoic.engine.compiled import PACKED, compiled_by_key
from echoic.engine.deferred import Entering, outer
from echoic.engine.execute import address, execute
from echoic.engine.trace import Outer


def run(*arguments: Any) -> list[Tensor]:
    """``echoic::run`` where somebody watches (compilation, export, function transforms); else the same without the
    operator's overhead."""
    if _watched():
        return run_operator(*arguments)
    projected, states, fresh, parameters, offsets, active, cleared, key, training = arguments
    if not training:
        return forward(*arguments)
    sizes = (len(states), len(fresh))
    return list(_Recurrence.apply(sizes, offsets, active, cleared, key, projected, *states, *fresh, *parameters))


@torch.library.custom_op("echoic::run", mutates_args=())
def run_operator(
    projected: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    training: bool,
) -> list[Tensor]:
    """``forward`` as an operator."""
    return forward(projected, states, fresh, parameters, offsets, active, cleared, key, training)


def forward(
    projected: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    training: bool,
) -> list[Tensor]:
    """A cell over packed sequences.

    Args:
        projected: [N, P] projected inputs, packed.
        states: [B, W] state before the first step, in the order of ranks, a tensor a field.
        fresh: the state that a reset gives, likewise; empty without resets.
        parameters: what the step uses.
        offsets, active: [steps] where a step's rows begin and how many there are.
        cleared: [N] 1 where a row's state is fresh before the step, or None.
        key: of the compiled cell.
        training: keep what the backward needs.

    Returns:
        Outputs [N, O]; the last state [B, W] of each field; then, in training, each field after every step [N, W] where
        the backward needs it (else an empty tensor), and what else it needs, [N, S].
    """
    cell = compiled_by_key(key)
    rows, dtype = projected.shape[0], projected.dtype
    projected = projected.contiguous()
    states = [state.contiguous() for state in states]
    fresh = [part.contiguous() for part in fresh]
    outputs = projected.new_empty(rows, cell.output_width)
    last = [state.clone() for state in states]  # rows of no step keep their state
    kept = [
        outputs if i == cell.aliased else projected.new_empty(rows if training and keep else 0, width)
        for i, (keep, width) in enumerate(zip(cell.kept, cell.widths, strict=True))
    ]
    saved = projected.new_empty(rows if training else 0, cell.saved_width)
    kernel = cell.kernel("forward" if training else "inference", dtype)
    derived = cell.recording.prologue.forward(*parameters)
    held = [
        (state.shape[1], state.data_ptr(), address(fresh, i), kept[i].data_ptr() if len(kept[i]) else 0,
         kept[i].shape[1], last[i].data_ptr())
        for i, state in enumerate(states)
    ]  # fmt: skip
    arrays = {"projected": projected, "output": outputs, "saved": saved}
    execute(kernel, (rows, states[0].shape[0]), (offsets, active, cleared), arrays, held, [], derived)
    if not training:
        return [outputs, *last]
    empty = [outputs.new_empty(0, width) if i == cell.aliased else kept[i] for i, width in enumerate(cell.widths)]
    return [outputs, *last, *empty, saved]


@run_operator.register_fake
def _(
    projected: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
    training: bool,
) -> list[Tensor]:
    cell = compiled_by_key(key)
    rows = projected.shape[0]
    found = [projected.new_empty(rows, cell.output_width), *(torch.empty_like(state) for state in states)]
    if training:
        for i, (keep, width) in enumerate(zip(cell.kept, cell.widths, strict=True)):
            found.append(projected.new_empty(rows if keep and i != cell.aliased else 0, width))
        found.append(projected.new_empty(rows, cell.saved_width))
    return found


@torch.library.custom_op("echoic::run_backward", mutates_args=())
def run_backward_operator(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
) -> list[Tensor]:
    """``backward`` as an operator."""
    return backward(pull, pulls, outputs, kept, saved, states, fresh, parameters, offsets, active, cleared, key)


def backward(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
) -> list[Tensor]:
    """The gradients of ``run``: of the projected inputs, each first state, each fresh state, each trained parameter.

    Args:
        pull: [N, O] gradient of the outputs. pulls: [B, W] of each last state.
        outputs, kept, saved: as ``run`` gave them; the others as ``run`` took them.
    """
    cell = compiled_by_key(key)
    rows, dtype = pull.shape[0], pull.dtype
    pull = pull.contiguous()
    pulls = [part.contiguous() for part in pulls]
    states = [state.contiguous() for state in states]
    fresh = [part.contiguous() for part in fresh]
    after = [outputs if i == cell.aliased else part for i, part in enumerate(kept)]
    kernel = cell.kernel("backward", dtype)
    arrays = {"grad.output": pull, "saved": saved}
    for port in kernel.ports:
        if port.role == PACKED and port.name not in arrays:
            arrays[port.name] = pull.new_empty(rows, port.width)
    first = [part.clone() for part in pulls]  # rows of no step hand their gradient through
    freshened = [torch.zeros_like(part) for part in fresh]
    held = [
        (state.shape[1], state.data_ptr(), address(fresh, i), after[i].data_ptr() if len(after[i]) else 0,
         after[i].shape[1], 0)
        for i, state in enumerate(states)
    ]  # fmt: skip
    gradients = [
        (part.shape[1], part.data_ptr(), first[i].data_ptr(), address(freshened, i)) for i, part in enumerate(pulls)
    ]
    derived = cell.recording.prologue.forward(*parameters)
    timing = (offsets, active, cleared)
    execute(kernel, (rows, states[0].shape[0]), timing, arrays, held, gradients, derived, backward=True)
    entering = Entering(cell, states, fresh, after, timing)
    sums = [
        outer(arrays[names[0]], names[1], arrays, entering) if isinstance(deferred, Outer) else arrays[names[0]].sum(0)
        for deferred, names in zip(cell.recording.deferred, cell.programs.operands, strict=True)
    ]
    trained = cell.recording.epilogue.forward(*parameters, *sums)
    return [arrays["grad.projected"], *first, *freshened, *(g.contiguous() for g in _own(trained, sums))]


@run_backward_operator.register_fake
def _(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    states: Sequence[Tensor],
    fresh: Sequence[Tensor],
    parameters: Sequence[Tensor],
    offsets: Tensor,
    active: Tensor,
    cleared: Tensor | None,
    key: str,
) -> list[Tensor]:
    cell = compiled_by_key(key)
    found = [pull.new_empty(pull.shape[0], cell.projected_width), *(torch.empty_like(p) for p in pulls)]
    found += [torch.empty_like(part) for part in fresh]
    return found + [torch.empty_like(parameters[i]) for i in cell.recording.trained]


def _own(trained: Sequence[Tensor], sums: Sequence[Tensor]) -> list[Tensor]:
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
        sizes, offsets, active, cleared, key, projected, *rest = arguments
        states, fresh, parameters = _parts(rest, sizes)
        results = forward(projected, states, fresh, parameters, offsets, active, cleared, key, True)
        ctx.sizes, ctx.key = sizes, key
        ctx.save_for_backward(results[0], results[-1], *results[1 + sizes[0] : -1], offsets, active, cleared, *rest)
        ctx.mark_non_differentiable(*results[1 + sizes[0] :])
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = _gradients(ctx.saved_tensors, ctx.sizes, ctx.key, grads)
        return None, None, None, None, None, found[0], *found[1], *found[2], *found[3]


def _setup_context(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    _, states, fresh, parameters, offsets, active, cleared, ctx.key, _ = inputs
    ctx.sizes = (len(states), len(fresh))
    timing = (offsets, active, cleared)
    ctx.save_for_backward(output[0], output[-1], *output[1 + len(states) : -1], *timing, *states, *fresh, *parameters)


def _backward(ctx: Any, grads: Sequence[Tensor]) -> tuple[Any, ...]:
    found = _gradients(ctx.saved_tensors, ctx.sizes, ctx.key, grads)
    return *found, None, None, None, None, None


def _parts(tensors: Sequence[Tensor], sizes: tuple[int, int]) -> tuple[Sequence[Tensor], ...]:
    """States, fresh states, parameters."""
    fields, resets = sizes
    return tensors[:fields], tensors[fields : fields + resets], tensors[fields + resets :]


def _gradients(
    tensors: Sequence[Tensor], sizes: tuple[int, int], key: str, grads: Sequence[Tensor | None]
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor | None]]:
    """Of the projected inputs, the states, the fresh states, the parameters."""
    fields, resets = sizes
    outputs, saved, *rest = tensors
    kept, (offsets, active, cleared), rest = rest[:fields], rest[fields : fields + 3], rest[fields + 3 :]
    states, fresh, parameters = _parts(rest, sizes)
    cell = compiled_by_key(key)
    pull = grads[0] if grads[0] is not None else torch.zeros_like(outputs)
    pulls = [g if g is not None else torch.zeros_like(s) for g, s in zip(grads[1 : 1 + fields], states, strict=True)]
    run_back = run_backward_operator if _watched() else backward
    found = run_back(pull, pulls, outputs, kept, saved, states, fresh, parameters, offsets, active, cleared, key)
    trained: list[Tensor | None] = [None] * len(parameters)
    for position, gradient in zip(cell.recording.trained, found[1 + fields + resets :], strict=True):
        trained[position] = gradient
    return found[0], found[1 : 1 + fields], found[1 + fields : 1 + fields + resets], trained


def _watched() -> bool:
    """Whether compilation, export, a function transform or a dispatch mode looks at operators."""
    transformed = torch._C._are_functorch_transforms_active()
    return torch.compiler.is_compiling() or transformed or _get_current_dispatch_mode() is not None


run_operator.register_autograd(_backward, setup_context=_setup_context)
