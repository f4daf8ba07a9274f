"""From a decoder's features to the probability of every symbol: a softmax, or one that can copy from the source."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from echoic.layers.linear_cross_entropy import LinearScores


class GeneratorSoftmax(nn.Module):
    """Scores of all symbols, with the embedding's weights used again (Press and Wolf, 2017) or weights of its own.

    Args:
        size: features, A; the embedding's size.
        embedding: of the target's symbols, whose weights are used again; or how many symbols, V, for new weights.
    """

    def __init__(self, size: int, embedding: nn.Embedding | int) -> None:
        super().__init__()
        symbols = embedding if isinstance(embedding, int) else embedding.num_embeddings
        self.weight = nn.Parameter(torch.empty(symbols, size)) if isinstance(embedding, int) else embedding.weight
        if isinstance(embedding, int):
            nn.init.normal_(self.weight, std=size**-0.5)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def forward(self, features: Tensor) -> Tensor:
        """[K, A] to [K, V]."""
        return functional.linear(features, self.weight, self.bias)

    def later(self, features: Tensor) -> LinearScores:
        """The same scores, not computed yet, for a loss that never holds all of them."""
        return LinearScores(features, self.weight, self.bias)


class CopyGate(nn.Module):
    """The pointer-generator (See et al., 2017): a symbol is either written from the vocabulary or copied from where
    attention looks. A gate, computed from the features and the last symbol, weighs the two.

    Args:
        size: features, A.
        input_size: features of an embedded symbol, E.
    """

    def __init__(self, size: int, input_size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(size + input_size, 1)

    def forward(self, scores: Tensor, features: Tensor, embedded: Tensor, weights: Tensor, source: Tensor) -> Tensor:
        """Log probabilities [K, V] of scores [K, V], features [K, A], embedded [K, E], attention weights [K, S], and
        the symbols of the source [K, S]."""
        writes = self.gate(torch.cat([features, embedded], dim=1))
        written = functional.log_softmax(scores, dim=1) + functional.logsigmoid(writes)
        copied = torch.zeros_like(scores).scatter_add(1, source, weights * torch.sigmoid(-writes))
        smallest = torch.finfo(scores.dtype).tiny
        return torch.logaddexp(written, copied.clamp(min=smallest).log())
