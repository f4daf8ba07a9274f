"""Contiguous streams of symbols for truncated backpropagation through time.

A batch of [B, T] continues the batch before it row by row, so that the recurrent state can be carried on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from echoic.data.vocabulary import BOUNDARY, Vocabulary

IGNORED = -100  # a target that is not scored, as in torch.nn.functional.cross_entropy
FRESH = 1 / 16  # share of the stretches that begin with an empty state in training
WARM_UP = 256  # steps: when a text is scored in several rows, each begins so many symbols before its first scored one


class StreamBatch(NamedTuple):
    """A stretch of each stream.

    inputs: [B, T] int64 symbols.
    targets: [B, T] int64, the symbol after each input, or -100 where it is not scored.
    fresh: [B] bool, rows that begin with an empty state instead of the one carried from the batch before.
    """

    inputs: Tensor
    targets: Tensor
    fresh: Tensor


@dataclass(frozen=True)
class Symbols:
    """Encoded texts.

    symbols: all documents one after the other, int64 [N]; a boundary stands before each and, where they are separate,
        after the last.
    starts: place of the boundary before each document.
    characters: characters they stand for, the end of a separate document counted as one.
    separate: whether documents end by themselves.
    """

    symbols: np.ndarray
    starts: np.ndarray
    characters: int
    separate: bool

    @classmethod
    def encode(cls, documents: Sequence[str], vocabulary: Vocabulary, separate: bool) -> Symbols:
        """Encode documents and put the boundaries between them."""
        boundary = np.array([BOUNDARY], np.int64)
        pieces, starts, place = [], [], 0
        for text in documents:
            encoded = vocabulary.encode(text)
            pieces += [boundary, encoded]
            starts.append(place)
            place += 1 + len(encoded)
        if separate:
            pieces.append(boundary)
        ends = len(documents) if separate else max(0, len(documents) - 1)
        characters = sum(map(len, documents)) + ends
        return cls(np.concatenate(pieces or [boundary]), np.array(starts, np.int64), characters, separate)

    @property
    def scored(self) -> int:
        """Symbols that are foretold from those before them: all but the first boundary."""
        return len(self.symbols) - 1


class TrainingStreams:
    """Batches of an endless loop over the text, begun at another place in each epoch.

    The text is taken as a ring, so that rows of equal length cover all of it: an epoch shows about every symbol once
    (at most half a batch is left out or shown twice). Separate documents come in another order in each epoch. Now and
    then a row begins with an empty state in the middle of the text: a model that has only seen states carried over a
    whole epoch does not find into a text from nothing, where every prompt and every evaluation begins. All of this
    depends on the seed and the epoch's number alone.

    Args:
        text: encoded training text.
        batch_size: rows, B; fewer for a very short text.
        length: steps of a batch, T; fewer for a short text.
        seed: of the beginnings and orders.
    """

    def __init__(self, text: Symbols, batch_size: int, length: int, seed: int) -> None:
        self.text, self.seed = text, seed
        size = len(text.symbols) - (1 if text.separate else 0)  # the last boundary is the first one of the ring
        self.ring = text.symbols[:size]
        self.batch_size = max(1, min(batch_size, size // 8))
        self.batches = max(1, round(size / (self.batch_size * length)))
        self.length = min(length, -(-size // self.batch_size)) if self.batches == 1 else length

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self.batches

    @property
    def padding_share(self) -> float:
        """Nothing is padded."""
        return 0.0

    def epoch(self, number: int, start: int = 0) -> Iterator[StreamBatch]:
        """Batches of epoch ``number`` from batch ``start`` on; each continues the one before."""
        generator = np.random.default_rng((self.seed, number))
        ring = self._shuffled(generator)
        offset = int(generator.integers(len(ring)))
        fresh = torch.from_numpy(generator.random((self.batches, self.batch_size)) < FRESH)
        row_steps = self.batches * self.length
        first = offset + row_steps * np.arange(self.batch_size)[:, None]
        for batch in range(start, self.batches):
            steps = first + batch * self.length + np.arange(self.length + 1)
            block = torch.from_numpy(ring[steps % len(ring)])
            yield StreamBatch(block[:, :-1].contiguous(), block[:, 1:].contiguous(), fresh[batch])

    def _shuffled(self, generator: np.random.Generator) -> np.ndarray:
        starts = self.text.starts
        if not self.text.separate or len(starts) < 2:
            return self.ring
        lengths = np.diff(np.append(starts, len(self.ring)))
        order = generator.permutation(len(starts))
        lengths = lengths[order]
        before = np.cumsum(lengths) - lengths
        return self.ring[np.repeat(starts[order] - before, lengths) + np.arange(len(self.ring))]


class HeldOutStreams:
    """Batches over the whole of a held-out text, each symbol scored exactly once, the state carried all the way.

    A long text is scored in several rows at once. Each row but the first then begins ``warm_up`` steps early, unscored,
    so that no symbol is foretold from an empty state.

    Args:
        text: encoded held-out text.
        rows: rows at most.
        length: steps of a batch.
        warm_up: steps at the beginning of each row but the first that only warm up the state.
    """

    def __init__(self, text: Symbols, rows: int, length: int, warm_up: int = WARM_UP) -> None:
        scored = text.scored
        rows = max(1, min(rows, scored // (4 * warm_up + 1)))
        self.row_steps = max(1, -(-(scored + (rows - 1) * warm_up) // rows))
        self.length = min(length, self.row_steps)
        places = (self.row_steps - warm_up) * np.arange(rows)[:, None] + np.arange(self.row_steps + 1)
        self.table = text.symbols[np.minimum(places, scored)]
        self.targets = np.where(places[:, 1:] <= scored, self.table[:, 1:], IGNORED)
        self.targets[1:, :warm_up] = IGNORED
        self._padding = float((places[:, 1:] > scored).mean())

    def __len__(self) -> int:
        """Batches in one pass."""
        return -(-self.row_steps // self.length)

    @property
    def padding_share(self) -> float:
        """Share of the steps that lie behind the end of the text."""
        return self._padding

    def epoch(self, number: int, start: int = 0) -> Iterator[StreamBatch]:
        """The batches, the same in every epoch."""
        for batch in range(start, len(self)):
            stretch = slice(batch * self.length, min((batch + 1) * self.length, self.row_steps))
            inputs, targets = self.table[:, stretch].copy(), self.targets[:, stretch].copy()
            fresh = torch.zeros(len(inputs), dtype=torch.bool)
            yield StreamBatch(torch.from_numpy(inputs), torch.from_numpy(targets), fresh)
