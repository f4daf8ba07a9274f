"""Cells that no library has, forward and backward: the native engine against the same step in a PyTorch loop.

    python benchmarks/custom_cells.py [--threads 2] [--clock wall|cpu] [--rounds 9]

Float32, B 32, H 128 inputs and units, T 100; gradients of the inputs and of all parameters. Outputs and gradients are
compared with those of the loop first; where they disagree nothing is timed. The loop, the engine and the engine's plain
LSTM take turns. "per FLOP" is the time for a floating-point operation of the matmuls (2KN each, the projection of the
inputs included, three times for forward and backward) relative to that LSTM's. "limit" is how many times faster than
the loop the matmuls alone would be at the speed of a large matrix product: nothing can be faster than that.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from peers.alternate import agree, heading, in_turns, option_parser, parse, peak_gflops
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from echoic.cells import Cell, build_cell
from echoic.layers import Recurrent

BATCH, HIDDEN, STEPS = 32, 128, 100
FASTER, PER_FLOP = 8.0, 1.35  # the goals
CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM": ("LSTM", {}),
    "layer-norm LSTM": ("LSTM", {"layer_norm": True}),
    "peephole LSTM": ("LSTM", {"peephole": True}),
    "LiGRU": ("LiGRU", {}),
    "GRU, reset before": ("GRU", {"reset_after": False}),
    "SLSTM": ("SLSTM", {}),
    "JANET": ("JANET", {}),
    "CoRNN": ("CoRNN", {}),
    "MultiplicativeLSTM": ("MultiplicativeLSTM", {}),
    "MLSTM": ("MLSTM", {}),
    "DeltaNet": ("DeltaNet", {}),
    "SelectiveSSM": ("SelectiveSSM", {}),
    "GraphGRU, 16 nodes": ("GraphGRU", {"nodes": 16}),
    "ConvLSTM, 4 x 4": ("ConvLSTM", {"height": 4, "width": 4}),
}
GOALS = ("layer-norm LSTM", "peephole LSTM", "LiGRU", "GRU, reset before")


class Training:
    """Forward and backward over one batch."""

    def __init__(self) -> None:
        self.inputs = torch.randn(BATCH, STEPS, HIDDEN, requires_grad=True)
        self.pull = torch.randn(BATCH, STEPS, HIDDEN)

    def results(self, layer: nn.Module) -> list[Tensor]:
        """Outputs, gradients of the inputs and of the parameters."""
        dtype = next(layer.parameters()).dtype
        inputs = self.inputs.to(dtype)
        outputs = layer(inputs)[0]
        gradients = torch.autograd.grad(outputs, [inputs, *layer.parameters()], self.pull.to(dtype))
        return [outputs.detach(), *gradients]


def made(label: str) -> Cell:
    """The cell with a row of the table; gains and biases that begin as ones and zeros are moved."""
    name, options = CELLS[label]
    cell = build_cell(name, HIDDEN, HIDDEN, **options)
    with torch.no_grad():
        for parameter in cell.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return cell


def flops(cell: Cell) -> int:
    """Floating-point operations of a step's matmuls for one row, forward."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        cell.step(torch.zeros(1, HIDDEN), cell.initial_state(1))
    return counter.get_total_flops()


def main() -> None:
    """Check and measure every cell."""
    parser = option_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    given = parse(parser)
    print(f"{heading(given)}; B {BATCH} H {HIDDEN} T {STEPS}, forward+backward")
    torch.manual_seed(0)
    training = Training()
    lstm = made("LSTM")
    ours = Recurrent(lstm, backend="native")
    peak = peak_gflops(given.clock)
    print(f"a large matrix product: {peak:.0f} GFLOP/s")
    print(f"{'':19s}{'loop ms':>9s}{'native ms':>11s}{'faster':>9s}{'limit':>8s}{'GFLOP/s':>9s}{'per FLOP':>10s}")
    for label in CELLS:
        cell = made(label)
        native = Recurrent(cell, backend="native")
        loop = Recurrent(copy.deepcopy(cell), backend="reference")
        # Where a relu's sum is zero but for rounding either slope is right: the loop's, or that in float64
        exact = Recurrent(copy.deepcopy(cell).double(), backend="reference")
        agree(label, (native, loop, exact), training.results)
        calls = [lambda layer=layer: training.results(layer) for layer in (loop, native, ours)]
        turns = in_turns(calls, given.rounds, given.clock)
        slow, fast, faster = turns.milliseconds(0), turns.milliseconds(1), turns.ratio(0, 1)
        ratio = turns.ratio(1, 2) / (flops(cell) / flops(lstm))
        work = 3 * flops(cell) * BATCH * STEPS / 1e6  # millions: over milliseconds they give GFLOP/s
        short = [text for text, bad in (("loop", faster < FASTER), ("FLOP", ratio > PER_FLOP)) if bad]
        goal = f"  goal: {'missed: ' + ', '.join(short) if short else 'reached'}" if label in GOALS else ""
        print(
            f"{label:19s}{slow:9.1f}{fast:11.2f}{faster:8.1f}x{slow * peak / work:7.1f}x{work / fast:9.1f}"
            f"{ratio:9.2f}x{goal}",
            flush=True,
        )


if __name__ == "__main__":
    main()
