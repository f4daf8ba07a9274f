"""Made-up problems with a known answer, which say whether gradients reach back far enough.

Both are from Hochreiter and Schmidhuber (1997), in the form of Arjovsky, Shah and Bengio (2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

ADDING_BASELINE = 1 / 6  # squared error of always answering 1, the mean of the sum of two uniform numbers
BLANK, GO = 8, 9  # symbols of the copy problem beside the 8 to remember


class Example(NamedTuple):
    """A batch of sequences with their answers."""

    inputs: Tensor  # adding: [B, T, 2]; copy: [B, T] whole numbers
    targets: Tensor  # adding: [B]; copy: [B, T] whole numbers


def adding_problem(count: int, steps: int, generator: torch.Generator) -> Example:
    """``count`` sequences of ``steps`` pairs: a uniform number, and a mark that is 1 twice, once in each half.

    The target is the sum of the two marked numbers, known at the last step only, so that the first mark lies between
    steps/2 and steps steps back. Needs at least 2 steps.
    """
    half = steps // 2
    numbers = torch.rand(count, steps, generator=generator)
    first = torch.randint(0, half, (count,), generator=generator)
    second = torch.randint(half, steps, (count,), generator=generator)
    marks = torch.zeros(count, steps)
    rows = torch.arange(count)
    marks[rows, first] = 1
    marks[rows, second] = 1
    targets = numbers[rows, first] + numbers[rows, second]
    return Example(torch.stack([numbers, marks], dim=2), targets)


def copy_problem(count: int, delay: int, generator: torch.Generator, length: int = 10) -> Example:
    """``length`` symbols of 0..7, then blanks, a go sign ``delay`` steps after the symbols, then the answer's time.

    Inputs and targets are [count, delay + 2 * length]; the target is blank until the go sign has been read and the
    symbols in order after it. A network without memory cannot do better than ``length * ln 8`` nats per sequence.
    """
    symbols = torch.randint(0, 8, (count, length), generator=generator)
    steps = delay + 2 * length
    inputs = torch.full((count, steps), BLANK)
    inputs[:, :length] = symbols
    inputs[:, steps - length - 1] = GO
    targets = torch.full((count, steps), BLANK)
    targets[:, steps - length :] = symbols
    return Example(inputs, targets)


@dataclass
class AddingBatches:
    """Batches (see ``training.contract.Batches``) of the adding problem: always new sequences, fixed by the seed.

    Args:
        count: batches in an epoch.
        batch_size: sequences in a batch.
        steps: length of a sequence.
        seed: of the numbers and marks.
        fixed: the same sequences in every epoch, for validation.
    """

    count: int
    batch_size: int
    steps: int
    seed: int
    fixed: bool = False
    padding_share: float = 0.0

    def __len__(self) -> int:
        return self.count

    def epoch(self, number: int, start: int = 0) -> Iterator[Example]:
        for index in range(start, self.count):
            position = index if self.fixed else number * self.count + index
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + position)
            yield adding_problem(self.batch_size, self.steps, generator)
