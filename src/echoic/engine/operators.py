"""The native engine in PyTorch: a cell over packed sequences, and its gradient.

Where a compiler or an exporter looks on they are operators, registered through torch.library with fake implementations
and autograd, so that torch.compile, torch.export and opcheck see them like any other. Eager calls go without an
operator's overhead. The gradient of the gradient is left to the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from echoic.engine.compiled import compiled_by_key
from echoic.engine.frames import kept_width
from echoic.engine.layout import Timing
from echoic.engine.onlookers import recording_operators, transforming
from echoic.engine.passes import Given, Gradients, Made, Pass, Pulled, backward, forward, pass_over
from echoic.engine.precision import without_autocast
from echoic.engine.replay import replay

Result = tuple[Tensor, Sequence[Tensor]]


def run(passes: Sequence[Pass]) -> list[Result]:
    """Of each outputs, [N, O] or [B, T, O] as the inputs are, and the last state [B, W] of each field."""
    if transforming():
        return [_replayed(each) for each in passes]
    if recording_operators():
        return [_as_operator(each) for each in passes]
    return run_unobserved(passes)


def run_unobserved(passes: Sequence[Pass]) -> list[Result]:
    """``run`` where no compiler, exporter or function transform looks on."""
    tensors, recorded = [], 0
    for form, numbers, *_ in passes:
        tensors += numbers
        recorded += form.keep != "nothing"
    if not recorded:
        return [(made.outputs, made.last) for made in forward(passes)]
    if recorded < len(passes):
        return [result for each in passes for result in run_unobserved([each])]
    results = _Recurrence.apply(passes, *tensors)
    found, at = [], 0
    for each in passes:
        end = at + 1 + each.form.fields
        found.append((results[at], results[at + 1 : end]))
        at = end
    return found


def _replayed(each: Pass) -> Result:
    form, given = each.form, each.form.given(each.tensors)
    outputs, *last = replay(form.cell, _flat(given), form.timing)
    return _like(outputs, given.inputs), last


def _as_operator(each: Pass) -> Result:
    form, given = each.form, each.form.given(each.tensors)
    outputs, *last, _ = run_operator(*_flat(given), *form.timing, form.cell.key, form.keep)
    return _like(outputs, given.inputs), last


def _flat(given: Given) -> Given:
    """With inputs [N, I]."""
    return given if given.inputs.dim() == 2 else given._replace(inputs=given.inputs.transpose(0, 1).flatten(0, 1))


def _like(values: Tensor, inputs: Tensor) -> Tensor:
    """[N, O] with the inputs' leading sizes."""
    if inputs.dim() == 2:
        return values
    batch, steps, _ = inputs.shape
    return values.view(steps, batch, values.shape[1]).transpose(0, 1)


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
    """Outputs, each field of the last state, and what is kept for the backward."""
    given, timing = Given(inputs, states, fresh, parameters).contiguous(), Timing(offsets, active, cleared)
    (made,) = forward([pass_over(compiled_by_key(key), given, timing, keep)])
    return [made.outputs, *made.last, inputs.new_empty(0) if made.kept is None else made.kept]


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
    last = (torch.empty_like(state) for state in states)
    kept = inputs.new_empty(rows * kept_width(cell, keep))
    return [inputs.new_empty(rows, cell.output_width), *last, kept]


@torch.library.custom_op("echoic::run_backward", mutates_args=())
def run_backward_operator(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Tensor,
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
    given, timing = Given(inputs, states, fresh, parameters).contiguous(), Timing(offsets, active, cleared)
    form, tensors, *_ = pass_over(compiled_by_key(key), given, timing, keep)
    (found,) = backward([Pulled(form, tensors, outputs, kept, pull, pulls, to_inputs, True)])
    trained = [found[form.parameters + i] for i in form.cell.recording.trained]
    first = found[0] if to_inputs else inputs.new_empty(0)
    return [first, *found[1 : form.parameters], *_own(trained)]  # pyright: ignore - all but the inputs' are wanted


@run_backward_operator.register_fake
def _(
    pull: Tensor,
    pulls: Sequence[Tensor],
    outputs: Tensor,
    kept: Tensor,
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


class _Recurrence(torch.autograd.Function):
    """``forward`` and ``backward`` without the overhead of operators. The tensors are those of the passes, in order."""

    @staticmethod
    def forward(ctx: Any, passes: Sequence[Pass], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        made = forward(passes)
        _save(ctx, passes, tensors, made, ctx.needs_input_grad[1:])
        results = []
        for outputs, last, _ in made:
            results += outputs, *last
        return tuple(results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = _differentiable_gradients(ctx, grads) if torch.is_grad_enabled() else _gradients(ctx, grads)
        return None, *found


def _setup_context(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    given, states, fresh, parameters, *timing, key, keep = inputs
    numbers = Given(given, states, fresh, parameters)
    over = pass_over(compiled_by_key(key), numbers, Timing(*timing), keep)
    made = Made(output[0], [], output[-1])
    _save(ctx, [over], over.tensors, [made], [ctx.needs_input_grad[0], *[True] * len(states)])


def _backward(ctx: Any, grads: Sequence[Tensor]) -> tuple[Any, ...]:
    found = ctx.forms[0].given(_gradients(ctx, grads))
    return *found, None, None, None, None, None


def _save(
    ctx: Any, passes: Sequence[Pass], tensors: Sequence[Tensor], made: Sequence[Made], needs: Sequence[bool]
) -> None:
    ctx.forms, ctx.project_again, ctx.wanted = [], [], []
    saved, kept, at = list(tensors), [], 0
    for (form, _, _, project_again), (outputs, _, more) in zip(passes, made, strict=True):
        ctx.forms.append(form)
        ctx.project_again.append(project_again)
        ctx.wanted.append((needs[at], True in needs[at + 1 : at + 1 + form.fields]))
        # Projected inputs that the backward has no use for need not stay: they can be made again
        if project_again is not None and "input" not in form.cell.needed(form.keep):
            saved[at] = saved[at].new_empty(0)
        kept += outputs, more
        at += form.tensors
    ctx.save_for_backward(*saved, *kept)


def _gradients(ctx: Any, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Of all tensors of the passes."""
    saved, pulled, at, result = ctx.saved_tensors, [], 0, 0
    made = len(saved) - 2 * len(ctx.forms)
    for form, wanted in zip(ctx.forms, ctx.wanted, strict=True):
        outputs, kept = saved[made : made + 2]
        pull, end = grads[result], result + 1 + form.fields
        pull = torch.zeros_like(outputs) if pull is None else pull
        tensors = saved[at : at + form.tensors]
        pulled.append(Pulled(form, tensors, outputs, kept, pull, grads[result + 1 : end], *wanted))
        at, made, result = at + form.tensors, made + 2, end
    found = []
    for gradients in [_backward_as_operator(each) for each in pulled] if recording_operators() else backward(pulled):
        found += gradients
    return found


def _backward_as_operator(pulled: Pulled) -> Gradients:
    form, tensors, outputs, kept, pull, pulls, to_inputs, _ = pulled
    given, cell = form.given(tensors), form.cell
    known = [torch.zeros_like(s) if p is None else p for p, s in zip(pulls, given.states, strict=True)]
    kept = pull.new_empty(0) if kept is None else kept
    first, *found = run_backward_operator(
        pull, known, outputs, kept, *given, *form.timing, cell.key, form.keep, to_inputs
    )
    parameters: Gradients = [None] * len(given.parameters)
    for position, gradient in zip(cell.recording.trained, found[form.fields + form.resets :], strict=True):
        parameters[position] = gradient
    return [first if to_inputs else None, *found[: form.fields + form.resets], *parameters]


@without_autocast
def _differentiable_gradients(ctx: Any, grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The same with a graph of their own (``create_graph=True``), by the reference."""
    saved, pulls, at, results, leaves = list(ctx.saved_tensors), iter(grads), 0, [], []
    for form, project_again in zip(ctx.forms, ctx.project_again, strict=True):
        if project_again is not None:
            saved[at] = project_again()
        # Views, so that a parameter on which the inputs depend too is not given that part of its gradient twice
        own = [tensor.view_as(tensor) for tensor in saved[at : at + form.tensors]]
        outputs, *last = replay(form.cell, _flat(form.given(own)), form.timing)
        results += list(zip((_like(outputs, own[0]), *last), islice(pulls, 1 + form.fields), strict=True))
        leaves += own
        at += form.tensors
    made, pulled = zip(*[(r, g) for r, g in results if g is not None and r.requires_grad], strict=True)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(torch.autograd.grad(made, wanted, pulled, create_graph=True, allow_unused=True))
    return [next(found) if leaf.requires_grad else None for leaf in leaves]


run_operator.register_autograd(_backward, setup_context=_setup_context)
