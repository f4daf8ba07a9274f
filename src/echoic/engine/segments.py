"""Backpropagation through long sequences in segments: keep a few states, run each segment again for its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.stateless import _reparametrize_module

from echoic.cells import Cell
from echoic.engine.call import Call

# Cell, call, cleared rows, the outputs where they are known: outputs, last state
Run = Callable[[Cell, Call, Tensor | None, Tensor | None], tuple[Tensor, Any]]
_WORTH_A_MATMUL = 2000  # rows below which the matmuls of a segment are too small to be fast
_WORTH_A_SEGMENT = 8000  # rows from which on what a segment costs beside its steps, some milliseconds, is not noticed


class Segments(NamedTuple):
    """How a call is cut.

    cell: what is run. names: of its parameters. call: the whole. cleared: [T, B] fresh rows, or None. run: runs a part.
    size: steps of a segment. outputs_help: whether they do when a segment is run again.
    """

    cell: Cell
    names: tuple[str, ...]
    call: Call
    cleared: Tensor | None
    run: Run
    size: int
    outputs_help: bool

    def starts(self) -> list[int]:
        """First steps of the segments in the order in which they are run."""
        starts = list(range(0, self.call.inputs.shape[0], self.size))
        return starts[::-1] if self.call.reverse else starts

    def part(
        self, inputs: Tensor, start: int, state: Sequence[Tensor], known: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Outputs and last state of the segment that begins at a step. known: the outputs, if it was run before."""
        lengths = None if self.call.lengths is None else (self.call.lengths - start).clamp(0, len(inputs))
        cleared = None if self.cleared is None else self.cleared[start : start + self.size]
        call = self.call._replace(inputs=inputs, state=type(self.call.state)(*state), lengths=lengths, reset=None)
        outputs, last = self.run(self.cell, call, cleared, known)
        return (outputs, *last)


def run_in_segments(cell: Cell, call: Call, cleared: Tensor | None, run: Run, outputs_help: bool) -> tuple[Tensor, Any]:
    """Outputs [T, B, O] and the last state, of which the backward keeps one state in about sqrt(T).

    The outputs are kept for it, too, if they help: then they are states, with which a segment is soon run again.
    """
    size = segment_size(*call.inputs.shape[:2])
    parameters = dict(cell.named_parameters())
    segments = Segments(cell, tuple(parameters), call, cleared, run, size, outputs_help)
    outputs, *last = _Segmented.apply(segments, call.inputs, *call.state, *parameters.values())  # pyright: ignore
    return outputs, type(call.state)(*last)


def segment_size(total: int, batch: int) -> int:
    """Steps of a segment: about sqrt(T), or more where that is little work, as long as it is a small part of all."""
    return max(
        1, math.isqrt(total), min(_WORTH_A_MATMUL // batch, total // 4), min(_WORTH_A_SEGMENT // batch, total // 32)
    )


class _Segmented(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, segments: Segments, inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        fields = len(segments.call.state)
        state: list[Tensor] = [part.detach() for part in rest[:fields]]
        outputs = inputs.new_empty(*inputs.shape[:2], segments.cell.output_size)
        starts = segments.starts()
        # All in one piece of memory: small ones between the segments' buffers would keep it from being given back
        entering = [part.new_empty(len(starts), *part.shape) for part in state]
        for number, start in enumerate(starts):
            for kept, part in zip(entering, state, strict=True):
                kept[number] = part
            stop = start + segments.size
            outputs[start:stop], *state = segments.part(inputs[start:stop], start, state)
        ctx.segments = segments
        ctx.save_for_backward(inputs, outputs if segments.outputs_help else None, *rest, *entering)
        return (outputs, *state)

    @staticmethod
    def backward(ctx: Any, *pulls: Tensor) -> tuple[Tensor | None, ...]:
        segments: Segments = ctx.segments
        fields = len(segments.call.state)
        inputs, outputs, *tensors = ctx.saved_tensors
        first, entering = tensors[:fields], tensors[len(tensors) - fields :]
        weights = dict(zip(segments.names, tensors[fields : len(tensors) - fields], strict=True))
        with _reparametrize_module(segments.cell, weights):
            if torch.is_grad_enabled():  # a gradient that is differentiated again
                return None, *_at_once(segments, inputs, first, list(weights.values()), pulls)
            given = inputs, outputs, entering
            return None, *_one_by_one(segments, given, list(weights.values()), pulls, ctx.needs_input_grad[1])


def _at_once(
    segments: Segments, inputs: Tensor, first: Sequence[Tensor], weights: Sequence[Tensor], pulls: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    """The gradients with a graph of their own, of the whole call."""
    call = segments.call._replace(inputs=inputs, state=type(segments.call.state)(*first), reset=None)
    outputs, last = segments.run(segments.cell, call, segments.cleared, None)
    leaves = [inputs, *first, *weights]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(torch.autograd.grad([outputs, *last], wanted, pulls, create_graph=True, allow_unused=True))
    return tuple(next(found) if leaf.requires_grad else None for leaf in leaves)


def _one_by_one(
    segments: Segments,
    given: tuple[Tensor, Tensor | None, Sequence[Tensor]],
    weights: Sequence[Tensor],
    pulls: Sequence[Tensor],
    wants_inputs: bool,
) -> tuple[Tensor | None, ...]:
    """The gradients, a segment after the other from the last. given: inputs, outputs, the states between segments."""
    inputs, outputs, entering = given
    of_inputs = torch.empty_like(inputs) if wants_inputs else None
    sums: list[Tensor | None] = [None] * len(weights)
    pull, *state_pulls = pulls
    trained = [i for i, weight in enumerate(weights) if weight.requires_grad]
    for number, start in reversed(list(enumerate(segments.starts()))):
        here = slice(start, start + segments.size)
        piece = inputs[here].detach().requires_grad_(wants_inputs)
        state = [kept[number].detach().requires_grad_() for kept in entering]
        with torch.enable_grad():
            results = segments.part(piece, start, state, None if outputs is None else outputs[here])
        leaves = [*([piece] if wants_inputs else []), *state, *(weights[i] for i in trained)]
        found = list(torch.autograd.grad(results, leaves, [pull[here], *state_pulls], allow_unused=True))
        if of_inputs is not None:
            gradient = found.pop(0)
            of_inputs[here] = 0 if gradient is None else gradient
        state_pulls = [torch.zeros_like(s) if g is None else g for g, s in zip(found, state, strict=False)]
        for i, gradient in zip(trained, found[len(state) :], strict=True):
            if gradient is not None:
                before = sums[i]
                sums[i] = gradient if before is None else before + gradient
    return of_inputs, *state_pulls, *sums
