"""The native engine in PyTorch: a cell over packed sequences, and its gradient.

Where a compiler or an exporter looks on they are operators, registered through torch.library with fake implementations
and autograd, so that torch.compile, torch.export and opcheck see them like any other. Eager calls go without an
operator's overhead. The gradient of the gradient is left to the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from echoic.engine.compiled import Compiled, compiled_by_key
from echoic.engine.frames import kept_width
from echoic.engine.layout import Timing
from echoic.engine.onlookers import recording_operators, transforming
from echoic.engine.passes import Given, Gradients, Made, Pass, Pulled, backward, forward
from echoic.engine.precision import without_autocast
from echoic.engine.replay import replay


class Asked(NamedTuple):
    """What is to be run.

    over: the pass; it keeps "nothing" where no gradient is wanted.
    project_again: makes the inputs anew with their graph, for gradients of gradients, where they are projected ones
        that need not be kept; else None.
    """

    over: Pass
    project_again: Callable[[], Tensor] | None = None


Result = tuple[Tensor, Sequence[Tensor]]


def run(asked: Sequence[Asked]) -> list[Result]:
    """Of each outputs, [N, O] or [B, T, O] as the inputs are, and the last state [B, W] of each field."""
    if transforming():
        return [_replayed(each.over) for each in asked]
    if recording_operators():
        return [_as_operator(each.over) for each in asked]
    return run_unobserved(asked)


def run_unobserved(asked: Sequence[Asked]) -> list[Result]:
    """``run`` where no compiler, exporter or function transform looks on."""
    recorded = [each.over.keep != "nothing" for each in asked]
    if not any(recorded):
        return [(made.outputs, made.last) for made in forward([each.over for each in asked])]
    if not all(recorded):
        return [result for each in asked for result in run_unobserved([each])]
    tensors = [tensor for each in asked for tensor in _listed(each.over.given)]
    results = _Recurrence.apply(asked, *tensors)
    found, at = [], 0
    for over, _ in asked:
        end = at + 1 + len(over.given.states)
        found.append((results[at], results[at + 1 : end]))
        at = end
    return found


def _replayed(over: Pass) -> Result:
    outputs, *last = replay(over.cell, _flat(over.given), over.timing)
    return _like(outputs, over.given.inputs), last


def _as_operator(over: Pass) -> Result:
    cell, given, timing, keep, _ = over
    outputs, *last, _ = run_operator(*_flat(given), *timing, cell.key, keep)
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
    (made,) = forward([Pass(compiled_by_key(key), given, timing, keep)])
    return [made.outputs, *made.last, made.kept]


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
    over, made = Pass(compiled_by_key(key), given, timing, keep), Made(outputs, [], kept)
    (found,) = backward([Pulled(over, made, pull, pulls, to_inputs, True)])
    return [found.inputs, *found.states, *found.fresh, *_own(found.trained)]  # pyright: ignore - no state is None


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


class _Form(NamedTuple):
    """What was run, without the numbers. sizes: fields of the state, and of the fresh one if there are resets;
    parameters. The others as in ``Asked``."""

    sizes: tuple[int, int, int]
    cell: Compiled
    timing: Timing
    keep: str
    project_again: Callable[[], Tensor] | None

    def given(self, tensors: Sequence[Tensor], at: int = 0) -> Given:
        """Tensors from a position on in their places."""
        states, fresh, parameters = self.sizes
        middle, last = at + 1 + states, at + 1 + states + fresh
        return Given(tensors[at], tensors[at + 1 : middle], tensors[middle:last], tensors[last : last + parameters])

    def over(self, given: Given) -> Pass:
        """The pass over such numbers."""
        return Pass(self.cell, given, self.timing, self.keep)


def _form(asked: Asked) -> _Form:
    (cell, given, timing, keep, _), project_again = asked
    return _Form((len(given.states), len(given.fresh), len(given.parameters)), cell, timing, keep, project_again)


def _listed(given: Given) -> list[Tensor]:
    return [given.inputs, *given.states, *given.fresh, *given.parameters]


class _Recurrence(torch.autograd.Function):
    """``forward`` and ``backward`` without the overhead of operators. The tensors are those of the passes, in order."""

    @staticmethod
    def forward(ctx: Any, asked: Sequence[Asked], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        made = forward([each.over for each in asked])
        _save(ctx, [_form(each) for each in asked], tensors, made, ctx.needs_input_grad[1:])
        return tuple([tensor for each in made for tensor in (each.outputs, *each.last)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        found = _differentiable_gradients(ctx, grads) if torch.is_grad_enabled() else _gradients(ctx, grads)
        return None, *[gradient for each in found for gradient in each]


def _setup_context(ctx: Any, inputs: Any, output: list[Tensor]) -> None:
    given, states, fresh, parameters, *timing, key, keep = inputs
    numbers = Given(given, states, fresh, parameters)
    asked = Asked(Pass(compiled_by_key(key), numbers, Timing(*timing), keep))
    made = Made(output[0], [], output[-1])
    _save(ctx, [_form(asked)], _listed(numbers), [made], [ctx.needs_input_grad[0], *[True] * len(states)])


def _backward(ctx: Any, grads: Sequence[Tensor]) -> tuple[Any, ...]:
    (found,) = _gradients(ctx, grads)
    left = iter(found)
    parts = [list(islice(left, size)) for size in (1, *ctx.forms[0].sizes)]
    return parts[0][0], *parts[1:], None, None, None, None, None


def _save(ctx: Any, forms: list[_Form], tensors: Sequence[Tensor], made: Sequence[Made], needs: Sequence[bool]) -> None:
    ctx.forms, ctx.wanted, saved, at = forms, [], list(tensors), 0
    for form in forms:
        ctx.wanted.append((needs[at], any(needs[at + 1 : at + 1 + form.sizes[0]])))
        # Projected inputs that the backward has no use for need not stay: they can be made again
        if form.project_again is not None and "input" not in form.cell.needed(form.keep):
            saved[at] = saved[at].new_empty(0)
        at += 1 + sum(form.sizes)
    ctx.save_for_backward(*saved, *[tensor for each in made for tensor in (each.outputs, each.kept)])


def _saved(ctx: Any) -> list[tuple[Given, Made]]:
    saved = ctx.saved_tensors
    given, at = [], 0
    for form in ctx.forms:
        given.append(form.given(saved, at))
        at += 1 + sum(form.sizes)
    return [(numbers, Made(saved[at + 2 * i], [], saved[at + 2 * i + 1])) for i, numbers in enumerate(given)]


def _gradients(ctx: Any, grads: Sequence[Tensor | None]) -> list[list[Tensor | None]]:
    """Of each pass: of the inputs, the states, the fresh states, the parameters."""
    pulled, at = [], 0
    for form, (given, made), wanted in zip(ctx.forms, _saved(ctx), ctx.wanted, strict=True):
        pull, end = grads[at], at + 1 + form.sizes[0]
        pull = torch.zeros_like(made.outputs) if pull is None else pull
        pulled.append(Pulled(form.over(given), made, pull, grads[at + 1 : end], *wanted))
        at = end
    found = [_backward_as_operator(each) for each in pulled] if recording_operators() else backward(pulled)
    return [_in_their_places(each, gradients) for each, gradients in zip(pulled, found, strict=True)]


def _backward_as_operator(pulled: Pulled) -> Gradients:
    (cell, given, timing, keep, _), made, pull, pulls, to_inputs, _ = pulled
    known = [torch.zeros_like(s) if p is None else p for p, s in zip(pulls, given.states, strict=True)]
    left = iter(run_backward_operator(pull, known, made.outputs, made.kept, *given, *timing, cell.key, keep, to_inputs))
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
        if form.project_again is not None:
            given = given._replace(inputs=form.project_again())
        # Views, so that a parameter on which the inputs depend too is not given that part of its gradient twice
        leaves.append([tensor.view_as(tensor) for tensor in _listed(given)])
        again = _flat(form.given(leaves[-1]))
        outputs, *last = replay(form.cell, again, form.timing)
        results += list(zip((_like(outputs, made.outputs), *last), islice(pulls, 1 + form.sizes[0]), strict=True))
    made, pulled = zip(*[(r, g) for r, g in results if g is not None and r.requires_grad], strict=True)
    wanted = [leaf for group in leaves for leaf in group if leaf.requires_grad]
    found = iter(torch.autograd.grad(made, wanted, pulled, create_graph=True, allow_unused=True))
    return [[next(found) if leaf.requires_grad else None for leaf in group] for group in leaves]


run_operator.register_autograd(_backward, setup_context=_setup_context)
