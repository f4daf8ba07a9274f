"""Attention: where a decoder looks in its source. Every kind is a way of scoring; the rest is written once.

Adding one is a class with ``scores`` and a line in ``ATTENTIONS``.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from echoic.errors import OptionError


class Sources(NamedTuple):
    """What is attended to, made ready once a source by ``Attention.prepare``.

    keys: what queries are compared with, [B, S, K].
    values: what is read, [B, S, M].
    mask: true on real steps, bool [B, S].
    """

    keys: Tensor
    values: Tensor
    mask: Tensor


class Past(NamedTuple):
    """Where earlier steps looked.

    coverage: sum of their weights, [B, S].
    previous: weights of the last one, [B, S].
    """

    coverage: Tensor
    previous: Tensor


class Attended(NamedTuple):
    """What was read.

    context: [B, T, M].
    weights: [B, T, S]; each step's add up to one over the real steps of the source (to zero where there are none).
    past: after the last step.
    """

    context: Tensor
    weights: Tensor
    past: Past


class Attention(nn.Module):
    """Weights over the steps of a source for each query, and the mean of the values under them.

    Args:
        query_size: features of a query, Q.
        value_size: features of a value, M.
        coverage: let scores depend on where earlier steps looked (Tu et al., 2016); additive and location-aware
            attention can.

    Raises:
        OptionError: sizes that do not fit this kind, or coverage where it cannot enter.
    """

    takes_coverage: ClassVar[bool] = False
    follows: bool  # whether scores depend on where earlier steps looked, so that queries must be answered in turn

    def __init__(self, query_size: int, value_size: int, coverage: bool = False) -> None:
        super().__init__()
        if coverage and not self.takes_coverage:
            able = ", ".join(name for name, kind in ATTENTIONS.items() if kind.takes_coverage)
            raise OptionError(f"coverage: {type(self).__name__} has no place for it. Choose among {able}.")
        self.query_size, self.value_size, self.follows = query_size, value_size, coverage

    def prepare(self, values: Tensor, mask: Tensor) -> Sources:
        """The source made ready, once for all queries; values [B, S, M], mask [B, S]."""
        return Sources(values, values, mask)

    def scores(self, queries: Tensor, sources: Sources, past: Past) -> Tensor:
        """[B, T, Q] to [B, T, S], or [B, T, H, S] of several heads, before the softmax."""
        raise NotImplementedError

    def read(self, weights: Tensor, sources: Sources) -> Tensor:
        """The mean of the values under weights as ``scores`` shapes them, [B, T, M]."""
        return weights @ sources.values

    def no_past(self, sources: Sources) -> Past:
        """Before the first step: nothing was looked at."""
        zeros = sources.values.new_zeros(sources.mask.shape)
        return Past(zeros, zeros)

    def forward(self, queries: Tensor, sources: Sources, past: Past | None = None) -> Attended:
        """Answer queries [B, T, Q], of steps that follow each other; ``past`` is what came before the first."""
        past = self.no_past(sources) if past is None else past
        if not self.follows:
            return self._answer(queries, sources, past)
        parts: list[Attended] = []
        for query in queries.split(1, dim=1):
            parts.append(self._answer(query, sources, past))
            past = parts[-1].past
        context, weights = zip(*((part.context, part.weights) for part in parts), strict=True)
        return Attended(torch.cat(context, dim=1), torch.cat(weights, dim=1), past)

    def _answer(self, queries: Tensor, sources: Sources, past: Past) -> Attended:
        scores = self.scores(queries, sources, past)
        mask = sources.mask.unsqueeze(1) if scores.dim() == 3 else sources.mask[:, None, None]
        # The lowest finite number, not -inf: a source without any step would make the softmax NaN.
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1) * mask
        context = self.read(weights, sources)
        if weights.dim() == 4:
            weights = weights.mean(dim=2)
        return Attended(context, weights, Past(past.coverage + weights.sum(dim=1), weights[:, -1]))

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.value_size}"


class Dot(Attention):
    """q . v (Luong et al., 2015): no weights; queries and values are of one size."""

    def __init__(self, query_size: int, value_size: int, coverage: bool = False) -> None:
        super().__init__(query_size, value_size, coverage)
        if query_size != value_size:
            raise OptionError(
                f"dot attention compares queries of {query_size} features with values of {value_size}: choose sizes "
                "that agree, or multiplicative attention."
            )

    def scores(self, queries: Tensor, sources: Sources, past: Past) -> Tensor:
        return queries @ sources.keys.mT


class Multiplicative(Attention):
    """q W v (Luong et al., 2015, "general")."""

    def __init__(self, query_size: int, value_size: int, coverage: bool = False) -> None:
        super().__init__(query_size, value_size, coverage)
        self.key = nn.Linear(value_size, query_size, bias=False)

    def prepare(self, values: Tensor, mask: Tensor) -> Sources:
        return Sources(self.key(values), values, mask)

    def scores(self, queries: Tensor, sources: Sources, past: Past) -> Tensor:
        return queries @ sources.keys.mT


class ScaledDot(Attention):
    """(W q) . (U v) / sqrt(K) (Vaswani et al., 2017), K the query's size."""

    def __init__(self, query_size: int, value_size: int, coverage: bool = False) -> None:
        super().__init__(query_size, value_size, coverage)
        self.query = nn.Linear(query_size, query_size)
        self.key = nn.Linear(value_size, query_size, bias=False)  # a bias would add the same to all scores of a query

    def prepare(self, values: Tensor, mask: Tensor) -> Sources:
        return Sources(self.key(values), values, mask)

    def scores(self, queries: Tensor, sources: Sources, past: Past) -> Tensor:
        return self.query(queries) @ sources.keys.mT / math.sqrt(self.query_size)


class Additive(Attention):
    """w . tanh(W q + U v [+ u coverage]) (Bahdanau et al., 2015; with coverage: See et al., 2017)."""

    takes_coverage = True

    def __init__(self, query_size: int, value_size: int, coverage: bool = False) -> None:
        super().__init__(query_size, value_size, coverage)
        self.query = nn.Linear(query_size, query_size, bias=False)
        self.key = nn.Linear(value_size, query_size)
        self.score = nn.Linear(query_size, 1, bias=False)
        self.covered = nn.Linear(1, query_size, bias=False) if coverage else None

    def prepare(self, values: Tensor, mask: Tensor) -> Sources:
        return Sources(self.key(values), values, mask)

    def scores(self, queries: Tensor, sources: Sources, past: Past) -> Tensor:
        keys = sources.keys
        if self.covered is not None:
            keys = keys + self.covered(past.coverage.unsqueeze(2))
        return self._compared(queries, keys)

    def _compared(self, queries: Tensor, keys: Tensor) -> Tensor:
        return self.score(torch.tanh(self.query(queries).unsqueeze(2) + keys.unsqueeze(1))).squeeze(3)


class LocationAware(Additive):
    """Additive attention that sees where the step before looked, and its surroundings (Chorowski et al., 2015).

    Args:
        filters: of the convolution over the previous weights.
        width: steps of the source that a filter sees, odd.
    """

    def __init__(
        self, query_size: int, value_size: int, coverage: bool = False, filters: int = 10, width: int = 15
    ) -> None:
        super().__init__(query_size, value_size, coverage)
        if width % 2 == 0:
            raise OptionError(f"location-aware attention: width: found {width}, expected an odd number.")
        self.follows = True
        self.look = nn.Conv1d(1, filters, width, padding=width // 2, bias=False)
        self.located = nn.Linear(filters, query_size, bias=False)

    def scores(self, queries: Tensor, sources: Sources, past: Past) -> Tensor:
        keys = sources.keys + self.located(self.look(past.previous.unsqueeze(1)).mT)
        if self.covered is not None:
            keys = keys + self.covered(past.coverage.unsqueeze(2))
        return self._compared(queries, keys)


class MultiHead(Attention):
    """Several scaled dot products side by side, each with its own view of queries, keys and values (Vaswani et al.,
    2017). The weights that are shown are the mean over the heads.

    Args:
        heads: how many; they share the value's features among them.

    Raises:
        OptionError: ``value_size`` cannot be shared among so many.
    """

    def __init__(self, query_size: int, value_size: int, coverage: bool = False, heads: int = 4) -> None:
        super().__init__(query_size, value_size, coverage)
        if heads < 1 or value_size % heads:
            raise OptionError(f"multi-head attention: {value_size} features cannot be shared among {heads} heads.")
        self.heads = heads
        self.query = nn.Linear(query_size, value_size)
        self.key = nn.Linear(value_size, value_size, bias=False)
        self.value = nn.Linear(value_size, value_size)
        self.out = nn.Linear(value_size, value_size)

    def prepare(self, values: Tensor, mask: Tensor) -> Sources:
        return Sources(self.key(values), self.value(values), mask)

    def scores(self, queries: Tensor, sources: Sources, past: Past) -> Tensor:
        queries, keys = self._parted(self.query(queries)), self._parted(sources.keys)
        return (queries @ keys.mT / math.sqrt(self.value_size // self.heads)).transpose(1, 2)

    def read(self, weights: Tensor, sources: Sources) -> Tensor:
        contexts = weights.transpose(1, 2) @ self._parted(sources.values)
        return self.out(contexts.transpose(1, 2).flatten(2))

    def _parted(self, values: Tensor) -> Tensor:
        """[B, T, M] to [B, H, T, M / H]."""
        return values.unflatten(2, (self.heads, -1)).transpose(1, 2)


ATTENTIONS: dict[str, type[Attention]] = {
    "dot": Dot,
    "multiplicative": Multiplicative,
    "scaled-dot": ScaledDot,
    "additive": Additive,
    "location": LocationAware,
    "multi-head": MultiHead,
}


def build_attention(name: str, query_size: int, value_size: int, coverage: bool = False, **options: Any) -> Attention:
    """The attention called ``name``; OptionError names the known ones."""
    if name not in ATTENTIONS:
        raise OptionError(f'attention: found "{name}", expected one of {", ".join(ATTENTIONS)}.')
    return ATTENTIONS[name](query_size, value_size, coverage, **options)
