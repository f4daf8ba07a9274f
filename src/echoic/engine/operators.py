"""The native engine in PyTorch: a cell over packed sequences, and its gradient.

Where a compiler or an exporter looks on they are operators, registered through torch.library with fake implementations
and autograd, so that torch.compile, torch.export and opcheck see them like any other. Eager calls go without an
operator's overhead. The gradient of the gradient is left to the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from echoic.engine.compiled import compiled_by_key
from echoic.engine.layout import Timing
from echoic.engine.passes import Given, Gradients, Made, backward, forward, kept_rows
from echoic.engine.replay import replay


def run(
    given: Given, timing: Timing, key: str, keep: str, project_again: Callable[[], Tensor] | None
) -> tuple[Tensor, Sequence[Tensor]]:
    """Outputs, [N, O] or [T, B, O] as the inputs are, and the last state [B, W] of each field.

    Args:
        given: what is run.
        timing: when which rows are run.
        key: of the compiled cell.
        keep: for the backward: "nothing", "gates" (all it needs) or "states" (it computes the gates again).
        project_again: makes the inputs anew with their graph, for gradients of gradients, where they are projected ones
            that need not be kept; else None.
    """
    cell, fields = compiled_by_key(key), len(given.states)
    if torch._C._are_functorch_transforms_active():
        outputs, *last = replay(cell, _flat(given), timing)
        return _like(outputs, given.inputs), last
    if _watched():
        outputs, *rest = run_operator(*_flat(given), *timing, key, keep)
        return _like(outputs, given.inputs), rest[:fields]
    if keep == "nothing":
        made = forward(cell, given, timing, keep)
        return made.outputs, made.last
    how = How((fields, len(given.fresh)), timing, key, keep, project_again)
    outputs, *last = _Recurrence.apply(how, given.inputs, *given.states, *given.fresh, *given.parameters)
    return outputs, last


def _flat(given: Given) -> Given:
    return given._replace(inputs=given.inputs.flatten(0, -2))


def _like(values: Tensor, inputs: Tensor) -> Tensor:
    """[N, O] with the inputs' leading sizes."""
    return values if inputs.dim() == 2 else values.view(*inputs.shape[:-1], values.shape[1])


# as operators


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
    """Outputs, each field of the last state, then, unless nothing is kept, what ``Made`` holds besides."""
    given, timing = Given(inputs, states, fresh, parameters), Timing(offsets, active, cleared)
    made = forward(compiled_by_key(key), given, timing, keep)
    return [made.outputs, *made.last, *((*made.kept, made.saved) if keep != "nothing" else ())]


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
        for i, (size, width) in enumerate(zip(kept_rows(cell, keep, rows), cell.widths, strict=True)):
            found.append(inputs.new_empty(0 if i == cell.aliased else size, width))
        found.append(inputs.new_empty(rows if keep == "gates" else 0, cell.saved_width))
    return found


@torch.library.custom_op("echoic::run_backward", mutates_args=())
def run_backward_operator(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    inputs: Tensor,
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
    """The gradients of the inputs, the states, the fresh states, the trained parameters."""
    given, timing = Given(inputs, states, fresh, parameters), Timing(offsets, active, cleared)
    cell, made = compiled_by_key(key), Made(outputs, [], list(kept), saved)
    found = backward(cell, given, timing, keep, made, pull, pulls, to_inputs)
    return [found.inputs, *found.states, *found.fresh, *_own(found.trained)]


@run_backward_operator.register_fake
def _(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Sequence[Tensor],
    saved: Tensor,
    inputs: Tensor,
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
    of_inputs = pull.new_empty(pull.shape[0], cell.input_width) if to_inputs else pull.new_empty(0)
    found = [of_inputs, *(torch.empty_like(part) for part in (*states, *fresh))]
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


# gradients


class How(NamedTuple):
    """sizes: fields of the state, and of the fresh one if there are resets; the others as ``run`` takes them."""

    sizes: tuple[int, int]
    timing: Timing
    key: str
    keep: str
    project_again: Callable[[], Tensor] | None


class _Recurrence(torch.autograd.Function):
    """``forward`` and ``backward`` without the overhead of operators."""

    @staticmethod
    def forward(ctx: Any, how: How, inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        made = forward(compiled_by_key(how.key), _given(how, inputs, rest), how.timing, how.keep)
        ctx.set_materialize_grads(False)
        _save(ctx, how, made, inputs, rest, ctx.needs_input_grad[1])
        return (made.outputs, *made.last)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = _differentiable_gradients(ctx, grads) if torch.is_grad_enabled() else _gradients(ctx, grads)
        return None, found[0], *found[1], *found[2], *found[3]


def _setup_context(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    given, states, fresh, parameters, *timing, key, keep = inputs
    how = How((len(states), len(fresh)), Timing(*timing), key, keep, None)
    fields = len(states)
    made = Made(output[0], [], output[1 + fields : -1], output[-1])
    _save(ctx, how, made, given, [*states, *fresh, *parameters], ctx.needs_input_grad[0])


def _backward(ctx: Any, grads: Sequence[Tensor]) -> tuple[Any, ...]:
    return *_gradients(ctx, grads), None, None, None, None, None


def _save(ctx: Any, how: How, made: Made, inputs: Tensor, rest: Sequence[Tensor], to_inputs: bool) -> None:
    # Projected inputs that the backward has no use for need not stay: they can be made again
    needed = how.project_again is None or "input" in compiled_by_key(how.key).needed(how.keep)
    ctx.how, ctx.to_inputs = how, to_inputs
    ctx.save_for_backward(made.outputs, made.saved, inputs if needed else inputs.new_empty(0), *made.kept, *rest)


def _given(how: How, inputs: Tensor, rest: Sequence[Tensor]) -> Given:
    fields, resets = how.sizes
    return Given(inputs, rest[:fields], rest[fields : fields + resets], rest[fields + resets :])


def _gradients(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """Of the inputs, the states, the fresh states, the parameters."""
    how: How = ctx.how
    fields = how.sizes[0]
    outputs, saved, inputs, *rest = ctx.saved_tensors
    given, made = _given(how, inputs, rest[fields:]), Made(outputs, [], rest[:fields], saved)
    cell = compiled_by_key(how.key)
    pull, pulls = grads[0], grads[1 : 1 + fields]
    pull = torch.zeros_like(outputs) if pull is None else pull
    if _watched():
        known = [torch.zeros_like(s) if p is None else p for p, s in zip(pulls, given.states, strict=True)]
        kept = (outputs, made.kept, saved)
        listed = run_backward_operator(pull, known, *kept, *given, *how.timing, how.key, how.keep, ctx.to_inputs)
        ends = (1 + fields, 1 + sum(how.sizes))
        found = Gradients(listed[0], listed[1 : ends[0]], listed[ends[0] : ends[1]], listed[ends[1] :])
    else:
        found = backward(cell, given, how.timing, how.keep, made, pull, pulls, ctx.to_inputs)
    trained: list[Tensor | None] = [None] * len(given.parameters)
    for position, gradient in zip(cell.recording.trained, found.trained, strict=True):
        trained[position] = gradient
    return found.inputs if ctx.to_inputs else None, found.states, found.fresh, trained


def _differentiable_gradients(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """The same with a graph of their own (``create_graph=True``), by the reference."""
    how: How = ctx.how
    fields, resets = how.sizes
    outputs, _, inputs, *rest = ctx.saved_tensors
    if how.project_again is not None:
        inputs = how.project_again()
    # Views, so that a parameter on which the inputs depend too is not given that part of its gradient twice
    leaves = [tensor.view_as(tensor) for tensor in (inputs, *rest[fields:])]
    results = replay(compiled_by_key(how.key), _flat(_given(how, leaves[0], leaves[1:])), how.timing)
    results[0] = results[0].view_as(outputs)
    pulled = [(r, g) for r, g in zip(results, grads, strict=False) if g is not None and r.requires_grad]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    made, pulls = zip(*pulled, strict=True)
    found = iter(torch.autograd.grad(made, wanted, pulls, create_graph=True, allow_unused=True))
    ordered = [next(found) if leaf.requires_grad else None for leaf in leaves]
    return ordered[0], ordered[1 : 1 + fields], ordered[1 + fields : 1 + fields + resets], ordered[1 + fields + resets :]


def _watched() -> bool:
    """Whether compilation, export or a dispatch mode looks at operators."""
    return torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None


run_operator.register_autograd(_backward, setup_context=_setup_context)
