"""Output layers of a language model: from features to the loss of a symbol, and to the probabilities of all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from echoic.errors import OptionError

SMALLEST_CUT = 64


class FullSoftmax(nn.Module):
    """Softmax over all symbols.

    Args:
        size: input features, H.
        vocabulary_size: symbols, V.
        embedding: the input embedding [V, E] whose weights are used again (Press and Wolf, 2017), or None for weights
            of its own. Where E is not H, a linear map goes before it.
    """

    def __init__(self, size: int, vocabulary_size: int, embedding: nn.Embedding | None = None) -> None:
        super().__init__()
        self._shared = (embedding,)  # in a tuple: registered once, by the model that owns it
        self.register_parameter("weight", None)
        self.projection: nn.Module = nn.Identity()
        if embedding is None:
            self.weight = nn.Linear(size, vocabulary_size, bias=False).weight
        elif embedding.embedding_dim != size:
            self.projection = nn.Linear(size, embedding.embedding_dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))

    def scores(self, features: Tensor) -> Tensor:
        """Unnormalised log probabilities [N, V] of features [N, H]."""
        (embedding,) = self._shared
        weight = embedding.weight if embedding is not None else self.weight
        assert weight is not None
        return functional.linear(self.projection(features), weight, self.bias)

    def nats(self, features: Tensor, targets: Tensor) -> Tensor:
        """-ln p of each target [N] given features [N, H]."""
        return functional.cross_entropy(self.scores(features), targets, reduction="none")

    def log_probabilities(self, features: Tensor) -> Tensor:
        """ln p of every symbol, [N, V]."""
        return functional.log_softmax(self.scores(features), dim=-1)


class AdaptiveSoftmax(nn.Module):
    """Adaptive softmax (Grave et al., 2017): rare symbols get fewer features, and are computed only where they occur.

    Symbols must be numbered from the most frequent to the rarest, at least roughly, as vocabularies here are.

    Args:
        size: input features, H.
        vocabulary_size: symbols, V, at least 256.
    """

    def __init__(self, size: int, vocabulary_size: int) -> None:
        super().__init__()
        if vocabulary_size < 4 * SMALLEST_CUT:
            raise OptionError(
                f"softmax: adaptive needs {4 * SMALLEST_CUT} symbols or more, found {vocabulary_size}. Use full."
            )
        cuts = [max(SMALLEST_CUT, vocabulary_size // 15), max(2 * SMALLEST_CUT, vocabulary_size // 3)]
        narrower = min(4.0, max(1.0, size**0.5 / 2))  # the rarest third of features must not come to none
        self.layer = nn.AdaptiveLogSoftmaxWithLoss(size, vocabulary_size, cuts, div_value=narrower)

    def nats(self, features: Tensor, targets: Tensor) -> Tensor:
        """-ln p of each target [N] given features [N, H]."""
        return -self.layer(features, targets).output

    def log_probabilities(self, features: Tensor) -> Tensor:
        """ln p of every symbol, [N, V]."""
        return self.layer.log_prob(features)
