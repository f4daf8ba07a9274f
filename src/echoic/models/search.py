"""Greedy and beam search through an encoder-decoder, batched over sentences and over hypotheses.

All hypotheses of all sentences that are not done are one batch: a step of the decoder, a choice of the best
continuations, a reordering of the decoder's state by one ``index_select`` of each of its tensors. Which hypothesis came
from which is kept as back-pointers and followed once, at the end. A sentence that is done leaves the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from echoic.data.batching import LengthBuckets
from echoic.data.pair_batch import END, PAD, START, padded
from echoic.errors import ModelError, OptionError
from echoic.models.sequence_to_sequence import EncoderDecoder

SLACK = 10  # tokens that every output may have beyond the ratio to its source
SENTENCES, STEPS = 64, 16_384  # sentences in a batch, and their symbols with padding, at most
NEVER = float("-inf")


@dataclass(frozen=True)
class Beam:
    """How far and how wide to search.

    Attributes:
        width: hypotheses kept for each sentence; 1 is greedy search.
        max_length: tokens of an output at most, the end not counted.
        ratio: tokens of an output at most for each token of its source (and ten more); None for no such bound.
        length_penalty: exponent of the length by which ln p is divided, ((5 + length) / 6) ** length_penalty (Wu et
            al., 2016), the end counted; 0 ranks by ln p alone, which favours short outputs.
        n_best: hypotheses returned for each sentence, at most the width.
    """

    width: int = 5
    max_length: int = 200
    ratio: float | None = None
    length_penalty: float = 1.0
    n_best: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.n_best <= self.width:
            raise OptionError(
                f"n_best: found {self.n_best}, expected 1 to the beam's width, {self.width}. Give a wider beam."
            )
        if self.max_length < 0 or self.length_penalty < 0 or (self.ratio is not None and self.ratio < 0):
            raise OptionError("max_length, ratio and length_penalty cannot be negative.")

    def limits(self, lengths: Tensor) -> Tensor:
        """Tokens at most of each sentence's output, int64 [B], for sources of lengths [B]."""
        longest = torch.full_like(lengths, self.max_length, dtype=torch.int64)
        return longest if self.ratio is None else longest.minimum((self.ratio * lengths).long() + SLACK)

    def penalty(self, length: Tensor) -> Tensor:
        """What ln p of an output of so many tokens, the end counted, is divided by."""
        return ((5.0 + length.double()) / 6.0) ** self.length_penalty


class Hypothesis(NamedTuple):
    """One output for one sentence.

    tokens: ids without start and end.
    score: ln p of tokens and end together, divided by the length penalty.
    attention: weight of each source token when each token was written, [t, S]; None where not asked for.
    """

    tokens: list[int]
    score: float
    attention: Tensor | None


def greedy(
    model: EncoderDecoder, source: Tensor, lengths: Tensor, max_length: int = 200, attention: bool = False
) -> list[Hypothesis]:
    """The likeliest token at every step, for each sentence of source [B, S]: a beam of width 1."""
    return [found[0] for found in beam_search(model, source, lengths, Beam(1, max_length), attention)]


@torch.no_grad()
def beam_search(
    model: EncoderDecoder, source: Tensor, lengths: Tensor, beam: Beam, attention: bool = False
) -> list[list[Hypothesis]]:
    """The best outputs found for each sentence, the best first, at most ``beam.n_best`` and all different.

    A hypothesis ends when its end is among the best ``width`` continuations of its sentence, or at the longest length
    allowed. A sentence is done when ``width`` hypotheses have ended, or when no live one can still become one of the
    ``n_best``. The model is to be in evaluation mode.

    Args:
        source: token ids, [B, S].
        lengths: how many of each row are real, [B].
        beam: width, lengths and normalisation.
        attention: return the attention too.

    Raises:
        ModelError: the model's probabilities are not numbers.
    """
    if not len(source):
        return []
    search = _Search(beam, beam.limits(lengths.to(source.device)), attention)
    memory = model.encode(source, lengths)
    rows = torch.arange(len(source), device=source.device).repeat_interleave(beam.width)
    state, memory = _select(model.start(memory), rows), _select(memory, rows)
    tokens = torch.full_like(rows, START)
    while len(search.alive):
        told = model.advance(tokens, memory, state)
        tokens, rows, left = search.step(told.log_probabilities, told.attention)
        state = _select(told.state, rows)
        if left is not None:
            memory = _select(memory, left)
    return search.hypotheses(lengths.tolist())


def search_texts(
    model: EncoderDecoder, sources: Sequence[np.ndarray], beam: Beam, attention: bool = False
) -> list[list[Hypothesis]]:
    """``beam_search`` of any number of sources, in batches of similar length, in the order given.

    Args:
        sources: symbols of each without END, int64 [S]; END is put behind them, as in training.
        beam, attention: as for ``beam_search``; of the attention, END has the last column.
    """
    device = next(model.parameters()).device
    found: list[list[Hypothesis]] = [[] for _ in sources]

    def batch(rows: np.ndarray) -> tuple[np.ndarray, Tensor, Tensor]:
        return rows, *padded([np.append(sources[row], END) for row in rows])

    lengths = [len(source) + 1 for source in sources]
    for rows, source, real in LengthBuckets(lengths, batch, SENTENCES, shuffle=False, max_steps=STEPS).epoch(0):
        for row, best in zip(
            rows, beam_search(model, source.to(device), real.to(device), beam, attention), strict=True
        ):
            found[row] = best
    return found


class _Search:
    """What is known of all hypotheses: B sentences, of which A are not done, with W live hypotheses each.

    Args:
        beam: width, lengths and normalisation.
        limits: tokens at most of each sentence, [B].
        keep_attention: whether the attention is kept, which takes [B, W, S] numbers for each step.
    """

    def __init__(self, beam: Beam, limits: Tensor, keep_attention: bool) -> None:
        count, width, device = len(limits), beam.width, limits.device
        self.beam, self.limits, self.keep_attention = beam, limits, keep_attention
        self.alive = torch.arange(count, device=device)  # [A]
        self.totals = torch.full((count, width), NEVER, dtype=torch.float64, device=device)  # ln p of live ones, [A, W]
        self.totals[:, 0] = 0  # all begin alike: only one counts
        self.words: list[Tensor] = []  # of step t, [B, W]
        self.parents: list[Tensor] = []  # which hypothesis before step t it continues, [B, W]
        self.attention: list[Tensor] = []  # of step t by the hypotheses before it, [B, W, S]
        self.ended_scores = torch.full((count, width), NEVER, dtype=torch.float64, device=device)  # best first
        self.ended_steps = torch.zeros((count, width), dtype=torch.int64, device=device)
        self.ended_parents = torch.zeros((count, width), dtype=torch.int64, device=device)
        self.ended_count = torch.zeros(count, dtype=torch.int64, device=device)

    def step(self, log_probabilities: Tensor, attention: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Choose the continuations of all live hypotheses.

        Args:
            log_probabilities: of every token after each hypothesis, [A * W, V].
            attention: of each hypothesis, [A * W, S].

        Returns:
            The tokens written, [A' * W]; the rows they continue, [A' * W]; which rows remain of what belongs to the
            sentences, [A' * W], or None where all do.
        """
        beam, width, step = self.beam, self.beam.width, len(self.words)
        totals, words, parents = self._candidates(log_probabilities, step)
        if bool(totals.isnan().any()):
            raise ModelError("The model's probabilities are not numbers: its training has diverged; train it again.")
        ends = words == END
        self._end(totals, ends, parents, step)
        live = ends.long().argsort(dim=1, stable=True)[:, :width]
        self.totals = totals.gather(1, live).masked_fill(ends.gather(1, live), NEVER)
        words, parents = words.gather(1, live), parents.gather(1, live)
        self._remember(words, parents, attention)
        longest = beam.penalty(self.limits[self.alive] + 1)
        hopeless = self.totals.amax(dim=1) / longest <= self.ended_scores[self.alive, beam.n_best - 1]
        going = ~(hopeless | (self.ended_count[self.alive] >= width))
        rows = torch.arange(len(self.alive), device=words.device)[:, None] * width + parents
        if bool(going.all()):
            return words.flatten(), rows.flatten(), None
        self.alive, self.totals = self.alive[going], self.totals[going]
        kept = going.nonzero() * width + torch.arange(width, device=words.device)
        return words[going].flatten(), rows[going].flatten(), kept.flatten()

    def _candidates(self, log_probabilities: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The best continuations of each sentence, best first: ln p, token, hypothesis continued, each [A, <= 2 W].

        Twice the width: for each that is an end, a live one must step in. No continuation beyond the best ``2 W`` of a
        hypothesis can be among the best ``2 W`` of its sentence. Padding is never written.
        """
        width = self.beam.width
        best, words = log_probabilities.topk(min(2 * width + 1, log_probabilities.shape[1]), dim=1)
        best = best.masked_fill(words == PAD, NEVER)
        best, words = best.unflatten(0, (-1, width)), words.unflatten(0, (-1, width))
        last = self.limits[self.alive] <= step
        if bool(last.any()):  # nothing but the end may follow
            ends = torch.full_like(best, NEVER)
            ends[:, :, 0] = log_probabilities[:, END].unflatten(0, (-1, width))
            best = torch.where(last[:, None, None], ends, best)
            words = words.masked_fill(last[:, None, None], END)
        totals = (best.double() + self.totals[:, :, None]).flatten(1)
        totals, places = totals.topk(min(2 * width, totals.shape[1]), dim=1)
        return totals, words.flatten(1).gather(1, places), places // best.shape[2]

    def _end(self, totals: Tensor, ends: Tensor, parents: Tensor, step: int) -> None:
        """Take the ends among the best W candidates into the ended hypotheses, of which the best W are kept."""
        width, alive = self.beam.width, self.alive
        scores = totals[:, :width] / self.beam.penalty(torch.tensor(step + 1))
        scores = scores.masked_fill(~ends[:, :width], NEVER)
        self.ended_count[alive] += (scores > NEVER).sum(dim=1)
        scores, order = torch.cat([self.ended_scores[alive], scores], dim=1).topk(width, dim=1)
        before = self.ended_steps[alive]
        steps = torch.cat([before, torch.full_like(parents[:, :width], step)], dim=1)
        self.ended_scores[alive] = scores
        self.ended_steps[alive] = steps.gather(1, order)
        self.ended_parents[alive] = torch.cat([self.ended_parents[alive], parents[:, :width]], dim=1).gather(1, order)

    def _remember(self, words: Tensor, parents: Tensor, attention: Tensor) -> None:
        for history, now in ((self.words, words), (self.parents, parents)):
            whole = now.new_zeros(self.ended_scores.shape)
            whole[self.alive] = now
            history.append(whole)
        if self.keep_attention:
            weights = attention.new_zeros(*self.ended_scores.shape, attention.shape[1])
            weights[self.alive] = attention.unflatten(0, (-1, self.beam.width))
            self.attention.append(weights)

    def hypotheses(self, lengths: list[int]) -> list[list[Hypothesis]]:
        """Follow the back-pointers of the best ended hypotheses of all sentences together."""
        best = self.beam.n_best
        steps, hypothesis = self.ended_steps[:, :best], self.ended_parents[:, :best]
        tokens, weights = [], []
        for step in reversed(range(len(self.words))):
            word, parent = (history[step].gather(1, hypothesis) for history in (self.words, self.parents))
            tokens.append(word)
            if self.keep_attention:
                source = self.attention[step].shape[2]
                weights.append(self.attention[step].gather(1, parent[:, :, None].expand(-1, -1, source)))
            hypothesis = torch.where(steps > step, parent, hypothesis)
        written = torch.stack(tokens[::-1], dim=2).tolist()
        attention = torch.stack(weights[::-1], dim=2) if weights else None
        scores, counts = self.ended_scores[:, :best].tolist(), steps.tolist()

        def one(row: int, place: int) -> Hypothesis:
            count = counts[row][place]
            seen = None if attention is None else attention[row, place, :count, : lengths[row]].clone()
            return Hypothesis(written[row][place][:count], scores[row][place], seen)

        return [[one(row, i) for i in range(best) if scores[row][i] > NEVER] for row in range(len(scores))]


def _select(tree: Any, rows: Tensor) -> Any:
    """Rows of every tensor of a pytree."""
    return tree_map(lambda tensor: tensor.index_select(0, rows), tree)
