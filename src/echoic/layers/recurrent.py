"""The one layer that runs cells: stacks of them, in one or both directions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from echoic.cells import Cell
from echoic.engine.call import MEMORIES, Call, Direction
from echoic.engine.choice import check_backend_name, explain
from echoic.engine.unroll import unroll_together
from echoic.errors import OptionError


class Recurrent(nn.Module):
    """Cells over time.

    Args:
        cells: a cell, or one for each layer from the inputs up. With ``bidirectional`` a list holds the forward and
            the backward cell of each layer in turn; a single cell is given a backward twin with weights of its own.
        bidirectional: run each layer in both directions and concatenate the outputs.
        backend: "auto", "native", "torch", "scan" or "reference".
        memory: what backpropagation keeps: "store" all gates, "recompute" them from the states, "checkpoint" every
            sqrt(T)-th state and replay.
        between: module applied to what goes from one layer to the next (dropout).
        residual: add a layer's input to its output where the sizes agree.
        layer_norm: normalise the input of each layer but the first.
        learn_initial_state: the state before the first step is a parameter.

    Raises:
        OptionError: cells that do not fit together. BackendError: no such backend.
    """

    def __init__(
        self,
        cells: Cell | Sequence[Cell],
        *,
        bidirectional: bool = False,
        backend: str = "auto",
        memory: str = "store",
        between: nn.Module | None = None,
        residual: bool = False,
        layer_norm: bool = False,
        learn_initial_state: bool = False,
    ) -> None:
        super().__init__()
        check_backend_name(backend)
        if memory not in MEMORIES:
            raise OptionError(f'memory: found "{memory}", expected one of {", ".join(MEMORIES)}.')
        if isinstance(cells, Cell):
            cells = [cells, _twin(cells)] if bidirectional else [cells]
        self.directions = 2 if bidirectional else 1
        self.cells = nn.ModuleList(cells)
        self.backend, self.memory, self.between, self.residual = backend, memory, between, residual
        self._check_sizes()
        sizes = [layer[0].input_size for layer in self.layers()]
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in sizes[1:]) if layer_norm else None
        self.initial: nn.ParameterList | None = None
        if learn_initial_state:
            fields = (field for cell in cells for field in cell.initial_state(1))
            self.initial = nn.ParameterList(nn.Parameter(torch.zeros(f.shape[1])) for f in fields)

    @property
    def input_size(self) -> int:
        """Features of the inputs, F."""
        return self._cells()[0].input_size

    @property
    def output_size(self) -> int:
        """Features of the outputs, both directions together."""
        return sum(cell.output_size for cell in self.layers()[-1])

    def layers(self) -> list[list[Cell]]:
        """The cells of each layer, one per direction."""
        cells = self._cells()
        return [cells[i : i + self.directions] for i in range(0, len(cells), self.directions)]

    def _cells(self) -> list[Any]:
        return list(self._modules["cells"]._modules.values())  # pyright: ignore - iterating self.cells costs microseconds

    def forward(
        self, inputs: Tensor, state: Any = None, lengths: Tensor | None = None, reset: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """Run all layers.

        Args:
            inputs: [B, T, F]; what stands past a row's length is never looked at.
            state: a cell state for each layer and direction (layer by layer, forward before backward), as returned;
                None for zeros or the learnt ones.
            lengths: [B] steps of each row, 0 to T, on any device and in any order.
            reset: [B, T] true where the state is cleared before a step: a new sequence begins there, which the backward
                direction does not cross either.

        Returns:
            Outputs [B, T, output_size], zero past each row's length, and the states at each row's own end.
        """
        cells, together = self._cells(), self.directions
        if inputs.dim() != 3 or inputs.shape[2] != cells[0].input_size:
            raise OptionError(f"inputs: found shape {list(inputs.shape)}, expected [B, T, {self.input_size}].")
        if state is not None and len(state) != len(cells):
            raise OptionError(f"state: found {len(state)} states, expected {len(cells)}, one per layer and direction.")
        # A cell's own state is made where it is needed
        fresh = None if self.initial is None else self.initial_states(inputs.shape[0])
        values, ends, options = inputs, [], (self.backend, self.memory)
        for first in range(0, len(cells), together):
            if first and self.between is not None:
                values = self.between(values)
            entering = self.norms[first // together - 1](values) if first and self.norms is not None else values
            directions = [
                Direction(cells[i], state and state[i], fresh and fresh[i], i > first)
                for i in range(first, first + together)
            ]
            parts = []
            for outputs, end in unroll_together(directions, entering, lengths=lengths, reset=reset, options=options):
                parts.append(outputs)
                ends.append(end)
            outputs = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
            values = _sum(values, outputs, lengths) if self.residual and values.shape == outputs.shape else outputs
        return values, tuple(ends)

    def final_hidden(self, state: tuple[Any, ...]) -> Tensor:
        """[B, output_size]: the top layer's hidden state at each row's own end, both directions side by side."""
        return torch.cat([part[0] for part in state[-self.directions :]], dim=1)

    def explain(self) -> str:
        """A line per layer and direction: which backend runs it, and why not a faster one."""
        lines = []
        for position, cell in enumerate(self.cells):
            assert isinstance(cell, Cell)
            start = cell.initial_state(1)
            call = Call(start[0].new_zeros(2, 1, cell.input_size), start, start, memory=self.memory)
            where = f"layer {position // self.directions}" + (", backward" if position % self.directions else "")
            lines.append(f"{where}: {type(cell).__name__} on {explain(self.backend, cell, call)}")
        return "\n".join(lines)

    def initial_states(self, batch: int) -> list[Any]:
        """The state before the first step, [B, W] a field, for each cell: the learnt one or the cell's own."""
        zeros: list[Any] = [cell.initial_state(batch) for cell in self.cells]  # pyright: ignore
        if self.initial is None:
            return zeros
        learnt = iter(self.initial)
        return [type(s)(*(next(learnt).expand(batch, -1) for _ in s)) for s in zeros]

    def _check_sizes(self) -> None:
        if not len(self.cells) or len(self.cells) % self.directions:
            raise OptionError(f"cells: found {len(self.cells)}, expected a forward and a backward cell for each layer.")
        below: int | None = None
        for depth, layer in enumerate(self.layers()):
            sizes = {cell.input_size for cell in layer}
            expected = below if below is not None else layer[0].input_size
            if sizes != {expected}:
                raise OptionError(f"layer {depth}: found input_size {sorted(sizes)}, expected {expected}.")
            if depth and layer[0].input_layout:
                found = f"{type(layer[0]).__name__}, whose inputs are {layer[0].input_layout}"
                raise OptionError(
                    f"layer {depth}: found {found}, expected such a cell as the first layer only. "
                    "Use one layer, or another cell above it."
                )
            below = sum(cell.output_size for cell in layer)


def _sum(inputs: Tensor, outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Inputs plus outputs [B, T, H], zero past each row's length whatever the inputs hold there."""
    if lengths is None:
        return inputs + outputs
    padding = torch.arange(inputs.shape[1], device=inputs.device) >= lengths.to(inputs.device).unsqueeze(1)
    return (inputs + outputs).masked_fill(padding.unsqueeze(2), 0)


def _twin(cell: Cell) -> Cell:
    twin = copy.deepcopy(cell)
    twin.reset_parameters()
    return twin
