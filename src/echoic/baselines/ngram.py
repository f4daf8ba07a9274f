"""Interpolated n-gram model with Witten-Bell weights (Witten and Bell, 1991; Chen and Goodman, 1998).

    P_k(w | h) = (c(h w) + T(h) P_{k-1}(w | h')) / (c(h) + T(h))

h are the k-1 symbols before w, h' the same without the first; c counts, T(h) is how many different symbols follow h;
P_0 is uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAXIMUM_SYMBOLS = 20_000_000  # of the training text that are counted: the last so many, which bounds the memory


@dataclass
class _Order:
    """Counts of the k-grams of one k. The key of a k-gram is (number of its first k-1 symbols) * V + last symbol."""

    keys: np.ndarray  # sorted, int64 [K]
    counts: np.ndarray  # [K]
    context_counts: np.ndarray  # c(h) by the number of the (k-1)-gram h
    context_kinds: np.ndarray  # T(h)

    def number(self, keys: np.ndarray) -> np.ndarray:
        """Number of each k-gram, -1 where it was never seen."""
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where((keys >= 0) & (self.keys[places] == keys), places, -1)


class NGram:
    """An n-gram model of symbols.

    Args:
        symbols: training text, integers in [0, vocabulary_size), [N].
        vocabulary_size: V.
        order: n, the longest gram.
    """

    def __init__(self, symbols: np.ndarray, vocabulary_size: int, order: int = 5) -> None:
        self.vocabulary_size = vocabulary_size
        self.orders: list[_Order] = []
        symbols = np.asarray(symbols[-MAXIMUM_SYMBOLS:], np.int64)
        contexts = np.zeros(len(symbols), np.int64)  # of the empty context there is one, number 0
        known = 1
        for _ in range(order):
            grams = contexts * vocabulary_size + symbols[len(symbols) - len(contexts) :]
            keys, numbers, counts = np.unique(grams, return_inverse=True, return_counts=True)
            parents = keys // vocabulary_size
            totals, kinds = np.bincount(parents, counts, known), np.bincount(parents, minlength=known)
            self.orders.append(_Order(keys, counts, totals, kinds))
            contexts, known = numbers[:-1], len(keys)
            if not len(contexts):
                break

    def nats(self, symbols: np.ndarray, context: int = 0) -> np.ndarray:
        """-ln p of each symbol given those before it, float64 [N - context].

        Args:
            symbols: text to score, [N].
            context: so many symbols at the beginning are only context and not scored.
        """
        symbols = np.asarray(symbols, np.int64)
        probability = np.full(len(symbols), 1 / self.vocabulary_size)
        contexts = np.zeros(len(symbols), np.int64)
        for order in self.orders:
            known = contexts >= 0
            numbers = order.number(np.where(known, contexts * self.vocabulary_size + symbols, -1))
            count = np.where(numbers >= 0, order.counts[numbers], 0)
            kinds = np.where(known, order.context_kinds[contexts], 0)
            total = np.where(known, order.context_counts[contexts], 0)
            seen = total > 0
            mixed = (count + kinds * probability) / np.maximum(total + kinds, 1)
            probability = np.where(seen, mixed, probability)
            contexts = np.concatenate([np.full(1, -1), numbers[:-1]])
        return -np.log(probability[context:])
