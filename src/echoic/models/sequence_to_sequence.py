"""The contract of a model that reads one sequence of symbols and writes another; search and training rest on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from echoic.data.pair_batch import END, PAD, START, PairBatch
from echoic.layers.linear_cross_entropy import LinearScores, cross_entropy
from echoic.training.contract import Loss

__all__ = ["END", "PAD", "START", "Advance", "EncoderDecoder", "Memory", "PairBatch", "Taught"]


class Memory(NamedTuple):
    """What the encoder leaves of a source. Every tensor has its rows on dimension 0, so that rows can be chosen and
    repeated.

    values: a vector for each symbol of the source, [B, S, M].
    mask: true on real symbols, bool [B, S].
    source: the symbols themselves, int64 [B, S].
    final: whatever else the decoder needs once a source: its first state, projected keys.
    """

    values: Tensor
    mask: Tensor
    source: Tensor
    final: tuple[Tensor, ...]


class Advance(NamedTuple):
    """One step of the decoder.

    log_probabilities: of every symbol to come next, [N, V].
    attention: weight of each symbol of the source, [N, S], summing to one over the real ones.
    state: pytree of tensors with their rows on dimension 0.
    """

    log_probabilities: Tensor
    attention: Tensor
    state: Any


class Taught(NamedTuple):
    """What a decoder says where the true target is fed to it.

    scores: of every symbol at each real position of ``target_out``, [K, V], K the sum of ``target_lengths``, row by
        row; their softmax are the probabilities (log-probabilities are fine, too). ``LinearScores`` where they are
        plain scores, which the loss then never holds all at once.
    penalty: scalar added to the loss, or None.
    """

    scores: Tensor | LinearScores
    penalty: Tensor | None = None

    def log_probabilities(self) -> Tensor:
        """[K, V]."""
        return (self.scores.computed() if isinstance(self.scores, LinearScores) else self.scores).log_softmax(dim=1)


class EncoderDecoder(nn.Module, ABC):
    """Reads a source, writes a target symbol by symbol.

    Args:
        label_smoothing: share of each target spread over all symbols while training (Szegedy et al., 2016).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    @abstractmethod
    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        """Read sources, int64 [B, S] of ``lengths`` [B]; what stands past a row's length is never looked at."""

    @abstractmethod
    def start(self, memory: Memory) -> Any:
        """The decoder's state before the first symbol, a pytree of tensors with rows on dimension 0."""

    @abstractmethod
    def advance(self, tokens: Tensor, memory: Memory, state: Any) -> Advance:
        """One step: tokens, int64 [N], the last symbols (START at first), a row of memory and of state for each."""

    @abstractmethod
    def teach(self, memory: Memory, batch: PairBatch) -> Taught:
        """All steps at once, the true symbols fed in."""

    def loss(self, batch: PairBatch, carry: None = None) -> Loss:
        """Mean -ln p of the targets, nats, smoothed while training, with the decoder's penalty."""
        taught = self.teach(self.encode(batch.source, batch.source_lengths), batch)
        targets = batch.target_out[real_targets(batch)]
        smoothing = self.label_smoothing if self.training else 0.0
        mean = cross_entropy(taught.scores, targets, smoothing)
        return Loss(mean if taught.penalty is None else mean + taught.penalty, targets.numel())

    def final_step_loss(self, batch: PairBatch) -> Tensor:
        """Mean -ln p of END, which depends on the last step of each row alone."""
        taught = self.teach(self.encode(batch.source, batch.source_lengths), batch)
        last = batch.target_lengths.cumsum(0) - 1
        ends = torch.full_like(last, END)
        return functional.nll_loss(taught.log_probabilities()[last], ends)


def real_targets(batch: PairBatch) -> Tensor:
    """True where ``target_out`` is no padding, bool [B, T]."""
    return real_steps(batch.target_out, batch.target_lengths)


def real_steps(symbols: Tensor, lengths: Tensor) -> Tensor:
    """True where a step of symbols [B, T] is within its row's length [B], bool [B, T]."""
    return torch.arange(symbols.shape[1], device=symbols.device) < lengths.to(symbols.device).unsqueeze(1)
