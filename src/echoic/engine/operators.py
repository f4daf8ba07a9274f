"""The native engine in PyTorch: a cell over packed sequences, and its gradient.

Where a compiler or an exporter looks on they are operators, registered through torch.library with fake implementations
and autograd, so that torch.compile, torch.export and opcheck see them like any other. Eager calls go without an
operator's overhead. The gradient of the gradient is left to the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from echoic.engine.compiled import compiled_by_key
from echoic.engine.layout import Timing
from echoic.engine.onlookers import recording_operators, transforming
from echoic.engine.passes import Given, Gradients, Made, Pass, Pulled, backward, forward, kept_rows
from echoic.engine.precision import without_autocast
from echoic.engine.replay import replay


class How(NamedTuple):
    """How numbers are run.

    timing: when which rows are run. key: of the compiled cell.
    keep: for the backward: "nothing", "gates" (all it needs) or "states" (it computes the gates again).
    project_again: makes the inputs anew with their graph, for gradients of gradients, where they are projected ones
        that need not be kept; else None.
    """

    timing: Timing
    key: str
    keep: str
    project_again: Callable[[], Tensor] | None

    def over(self, given: Given) -> Pass:
        """The pass over such numbers."""
        return Pass(compiled_by_key(self.key), given, self.timing, self.keep)


class Asked(NamedTuple):
    """What ``run`` is to run."""

    given: Given
    how: How


Result = tuple[Tensor, Sequence[Tensor]]


def run(asked: Sequence[Asked]) -> list[Result]:
    """Of each outputs, [N, O] or [T, B, O] as the inputs are, and the last state [B, W] of each field."""
    if transforming():
        return [_replayed(each) for each in asked]
    if recording_operators():
        return [_as_operator(each) for each in asked]
    if all(how.keep == "nothing" for _, how in asked):
        return [(made.outputs, made.last) for made in forward([how.over(given) for given, how in asked])]
    if any(how.keep == "nothing" for _, how in asked):
        return [result for each in asked for result in run([each])]
    forms = [_Form(_sizes(given), how) for given, how in asked]
    results = iter(_Recurrence.apply(forms, *(tensor for given, _ in asked for tensor in _listed(given))))
    return [(next(results), list(islice(results, form.sizes[0]))) for form in forms]


def _replayed(asked: Asked) -> Result:
    given, how = asked
    outputs, *last = replay(compiled_by_key(how.key), _flat(given), how.timing)
    return _like(outputs, given.inputs), last


def _as_operator(asked: Asked) -> Result:
    given, (timing, key, keep, _) = asked
    outputs, *rest = run_operator(*_flat(given), *timing, key, keep)
    return _like(outputs, given.inputs), rest[: len(given.states)]


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
    (made,) = forward([Pass(compiled_by_key(key), given, timing, keep)])
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
    made = Made(outputs, [], list(kept), saved)
    (found,) = backward([Pulled(Pass(compiled_by_key(key), given, timing, keep), made, pull, pulls, to_inputs)])
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


class _Form(NamedTuple):
    """What was run, without the numbers. sizes: fields of the state, and of the fresh one if there are resets;
    parameters."""

    sizes: tuple[int, int, int]
    how: How

    def given(self, tensors: Iterator[Tensor]) -> Given:
        """The next of some tensors in their places."""
        return Given(next(tensors), *(list(islice(tensors, size)) for size in self.sizes))


def _sizes(given: Given) -> tuple[int, int, int]:
    return len(given.states), len(given.fresh), len(given.parameters)


def _listed(given: Given) -> list[Tensor]:
    return [given.inputs, *given.states, *given.fresh, *given.parameters]


class _Recurrence(torch.autograd.Function):
    """``forward`` and ``backward`` without the overhead of operators."""

    @staticmethod
    def forward(ctx: Any, forms: list[_Form], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        left = iter(tensors)
        given = [form.given(left) for form in forms]
        made = forward([form.how.over(numbers) for form, numbers in zip(forms, given, strict=True)])
        _save(ctx, forms, given, made, ctx.needs_input_grad[1:])
        return tuple(tensor for each in made for tensor in (each.outputs, *each.last))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = _differentiable_gradients(ctx, grads) if torch.is_grad_enabled() else _gradients(ctx, grads)
        return None, *(gradient for each in found for gradient in each)


def _setup_context(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    given, states, fresh, parameters, *timing, key, keep = inputs
    numbers = Given(given, states, fresh, parameters)
    form = _Form(_sizes(numbers), How(Timing(*timing), key, keep, None))
    made = Made(output[0], [], output[1 + len(states) : -1], output[-1])
    _save(ctx, [form], [numbers], [made], ctx.needs_input_grad[:1])


def _backward(ctx: Any, grads: Sequence[Tensor]) -> tuple[Any, ...]:
    (found,) = _gradients(ctx, grads)
    left = iter(found)
    parts = [list(islice(left, size)) for size in (1, *ctx.forms[0].sizes)]
    return parts[0][0], *parts[1:], None, None, None, None, None


def _save(ctx: Any, forms: list[_Form], given: Sequence[Given], made: Sequence[Made], needs: Sequence[bool]) -> None:
    ctx.forms, ctx.to_inputs, saved = forms, [], []
    for (_, how), numbers, results in zip(forms, given, made, strict=True):
        listed = _listed(numbers)
        ctx.to_inputs.append(needs[0])
        needs = needs[len(listed) :]
        # Projected inputs that the backward has no use for need not stay: they can be made again
        if how.project_again is not None and "input" not in compiled_by_key(how.key).needed(how.keep):
            listed[0] = listed[0].new_empty(0)
        saved += [*listed, results.outputs, results.saved, *results.kept]
    ctx.save_for_backward(*saved)


def _saved(ctx: Any) -> list[tuple[Given, Made]]:
    left = iter(ctx.saved_tensors)
    found = []
    for form in ctx.forms:
        given = form.given(left)
        found.append((given, Made(next(left), [], saved=next(left), kept=list(islice(left, form.sizes[0])))))
    return found


def _gradients(ctx: Any, grads: Sequence[Tensor | None]) -> list[list[Tensor | None]]:
    """Of each pass: of the inputs, the states, the fresh states, the parameters."""
    left = iter(grads)
    pulled = []
    for (sizes, how), (given, made), to_inputs in zip(ctx.forms, _saved(ctx), ctx.to_inputs, strict=True):
        pull = next(left)
        pull = torch.zeros_like(made.outputs) if pull is None else pull
        pulled.append(Pulled(how.over(given), made, pull, list(islice(left, sizes[0])), to_inputs))
    found = [_backward_as_operator(each) for each in pulled] if recording_operators() else backward(pulled)
    return [_in_their_places(each, gradients) for each, gradients in zip(pulled, found, strict=True)]


def _backward_as_operator(pulled: Pulled) -> Gradients:
    (cell, given, timing, keep), made, pull, pulls, to_inputs = pulled
    known = [torch.zeros_like(s) if p is None else p for p, s in zip(pulls, given.states, strict=True)]
    kept = (made.outputs, made.kept, made.saved)
    left = iter(run_backward_operator(pull, known, *kept, *given, *timing, cell.key, keep, to_inputs))
    of_inputs = next(left)
    return Gradients(of_inputs, list(islice(left, len(given.states))), list(islice(left, len(given.fresh))), list(left))


def _in_their_places(pulled: Pulled, found: Gradients) -> list[Tensor | None]:
    trained: list[Tensor | None] = [None] * len(pulled.forward.given.parameters)
    for position, gradient in zip(pulled.forward.cell.recording.trained, found.trained, strict=True):
        trained[position] = gradient
    return [found.inputs if pulled.to_inputs else None, *found.states, *found.fresh, *trained]


@without_autocast
def _differentiable_gradients(ctx: Any, grads: Sequence[Tensor | None]) -> list[list[Tensor | None]]:
    """The same with a graph of their own (``create_graph=True``), by the reference."""
    pulls, results, leaves = iter(grads), [], []
    for form, (given, made) in zip(ctx.forms, _saved(ctx), strict=True):
        sizes, how = form
        if how.project_again is not None:
            given = given._replace(inputs=how.project_again())
        # Views, so that a parameter on which the inputs depend too is not given that part of its gradient twice
        leaves.append([tensor.view_as(tensor) for tensor in _listed(given)])
        again = _flat(form.given(iter(leaves[-1])))
        outputs, *last = replay(compiled_by_key(how.key), again, how.timing)
        results += list(zip((outputs.view_as(made.outputs), *last), islice(pulls, 1 + sizes[0]), strict=True))
    made, pulled = zip(*[(r, g) for r, g in results if g is not None and r.requires_grad], strict=True)
    wanted = [leaf for group in leaves for leaf in group if leaf.requires_grad]
    found = iter(torch.autograd.grad(made, wanted, pulled, create_graph=True, allow_unused=True))
    return [[next(found) if leaf.requires_grad else None for leaf in group] for group in leaves]


run_operator.register_autograd(_backward, setup_context=_setup_context)
