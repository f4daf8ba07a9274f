"""A padded batch with lengths: time goes with the steps that there are, not with the padding.

    python benchmarks/padding.py [--threads 2] [--clock wall|cpu] [--rounds 7] [--shape 1.2 ...]

An LSTM, float32, 64 rows, H 128 inputs and units, forward and backward with the gradients of inputs and parameters, on
the native engine. Lengths are drawn from Pareto distributions (the smaller the shape, the heavier the tail), at most
1000. Outputs, end states and gradients are compared with the reference first. In turns: the batch with its lengths; a
dense batch of rows of one length with the same sum of lengths; the padded batch without lengths.
"""

from __future__ import annotations

import copy

import torch
from peers.alternate import agree, heading, in_turns, option_parser, parse
from torch import Tensor, nn

from echoic.cells import LSTM
from echoic.layers import Recurrent

BATCH, HIDDEN, LONGEST, SHORTEST = 64, 128, 1000, 30
GOAL = 1.15


def drawn(shape: float) -> Tensor:
    """[B] lengths whose sum is a multiple of the batch size."""
    uniform = torch.rand(BATCH, generator=torch.Generator().manual_seed(1))
    lengths = (SHORTEST * uniform ** (-1 / shape)).long().clamp(max=LONGEST)
    spare = int(lengths.sum()) % BATCH
    lengths[lengths.argsort()[BATCH - spare :]] -= 1  # of the longest rows one step each
    return lengths


class Training:
    """Forward and backward over one batch, with lengths or without."""

    def __init__(self, steps: int, lengths: Tensor | None = None) -> None:
        self.lengths = lengths
        self.inputs = torch.randn(BATCH, steps, HIDDEN, requires_grad=True)
        self.pull = torch.randn(BATCH, steps, HIDDEN)

    def results(self, layer: nn.Module) -> list[Tensor]:
        """Outputs, end states, gradients of the inputs and of the parameters."""
        outputs, (end,) = layer(self.inputs, lengths=self.lengths)
        gradients = torch.autograd.grad(outputs, [self.inputs, *layer.parameters()], self.pull)
        return [outputs.detach(), *(part.detach() for part in end), *gradients]


def main() -> None:
    """Check and measure."""
    parser = option_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shape", type=float, nargs="+", default=[1.0, 1.5, 2.5], help="of the Pareto distribution")
    given = parse(parser)
    print(f"{heading(given)}; LSTM B {BATCH} H {HIDDEN}, forward+backward")
    torch.manual_seed(0)
    layer = Recurrent(LSTM(HIDDEN, HIDDEN), backend="native")
    loop = Recurrent(copy.deepcopy(layer.cells[0]), backend="reference")  # pyright: ignore
    print(f"{'':7s}{'longest':>8s}{'median':>8s}{'filled':>8s}{'lengths ms':>12s}{'(a) dense ms':>14s}"
          f"{'(b) padded ms':>15s}{'to (a)':>9s}{'to (b)':>9s}")  # fmt: skip
    for shape in given.shape:
        lengths = drawn(shape)
        longest, total = int(lengths.max()), int(lengths.sum())
        batch = Training(longest, lengths)
        agree(f"shape {shape}", (layer, loop), batch.results)
        batches = [batch, Training(total // BATCH), Training(longest)]
        calls = [lambda batch=batch: batch.results(layer) for batch in batches]
        turns = in_turns(calls, given.rounds, given.clock)
        ours, dense, padded = (turns.milliseconds(contender) for contender in range(3))
        to_dense, to_padded = turns.ratio(0, 1), turns.ratio(0, 2)
        print(
            f"a={shape:<5.1f}{longest:8d}{int(lengths.median()):8d}{total / BATCH / longest:8.0%}{ours:12.1f}"
            f"{dense:14.1f}{padded:15.1f}{to_dense:8.2f}x{to_padded:8.2f}x"
            f"  goal: {'reached' if to_dense <= GOAL else 'missed'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
