"""Layers of a Transformer (Vaswani et al., 2017), normalised before each part (Xiong et al., 2020)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class TransformerSize(NamedTuple):
    """Sizes of one layer.

    features: of a token, D.
    heads: of each attention; D is a multiple of it.
    inner: features between the two matrices of the feed-forward part.
    dropout: of the attention's weights, of the inner features and of what each part adds.
    """

    features: int
    heads: int
    inner: int
    dropout: float


def waves(first: int, last: int, features: int, like: Tensor) -> Tensor:
    """Sines and cosines of the places first to last - 1, [last - first, features], of ``like``'s type and device."""
    places = torch.arange(first, last, dtype=torch.float64, device=like.device)[:, None]
    pairs = (features + 1) // 2
    turns = places / 10_000 ** (torch.arange(pairs, dtype=torch.float64, device=like.device) / pairs)
    return torch.cat([turns.sin(), turns.cos()], dim=1)[:, :features].to(like.dtype)


class HeadedAttention(nn.Module):
    """Scaled dot-product attention in several heads. What is looked at is projected apart from the looking, so that a
    decoder projects each token once and keeps it.

    Args:
        size: features, heads and dropout.
    """

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.heads, self.dropout = size.heads, size.dropout
        self.query = nn.Linear(size.features, size.features)
        self.key_value = nn.Linear(size.features, 2 * size.features)
        self.output = nn.Linear(size.features, size.features)
        for layer in (self.query, self.key_value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor, kept: Tensor, visible: Tensor | None = None, causal: bool = False) -> Tensor:
        """What each input sees.

        Args:
            inputs: [B, T, D].
            kept: ``key_value`` of what is looked at, [B, S, 2 D].
            visible: true where a token may be seen, [B, S]; None for everywhere.
            causal: input t sees the tokens 0 to t alone; S is T.

        Returns:
            [B, T, D].
        """
        query, (key, value) = self._split(self.query(inputs)), map(self._split, kept.chunk(2, dim=2))
        mask = None if visible is None else visible[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=causal)
        return self.output(seen.transpose(1, 2).flatten(2))

    def weights(self, inputs: Tensor, kept: Tensor, visible: Tensor) -> Tensor:
        """Where each input looks, averaged over the heads, [B, T, S]; without dropout."""
        query, key = self._split(self.query(inputs)), self._split(kept.chunk(2, dim=2)[0])
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        scores = scores.masked_fill(~visible[:, None, None, :], float("-inf"))
        return scores.softmax(dim=3).mean(dim=1)

    def _split(self, features: Tensor) -> Tensor:
        """[B, T, D] to [B, heads, T, D / heads]."""
        return features.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two matrices with a ReLU between.

    Args:
        size: features, inner features, dropout.
    """

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.inner, self.output = nn.Linear(size.features, size.inner), nn.Linear(size.inner, size.features)
        self.dropout = nn.Dropout(size.dropout)
        for layer in (self.inner, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, T, D] to the same shape."""
        return self.output(self.dropout(functional.relu(self.inner(inputs))))


class EncoderLayer(nn.Module):
    """Each token looks at all others, then is transformed alone.

    Args:
        size: of the layer.
    """

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.attention, self.feed_forward = HeadedAttention(size), FeedForward(size)
        self.norms = nn.ModuleList(nn.LayerNorm(size.features) for _ in range(2))
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, inputs: Tensor, visible: Tensor) -> Tensor:
        """inputs [B, S, D], visible [B, S], to [B, S, D]."""
        normal = self.norms[0](inputs)
        inputs = inputs + self.dropout(self.attention(normal, self.attention.key_value(normal), visible))
        return inputs + self.dropout(self.feed_forward(self.norms[1](inputs)))


class DecoderLayer(nn.Module):
    """Each token looks at those before it and itself, then at the source, then is transformed alone.

    Args:
        size: of the layer.
    """

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.own, self.source, self.feed_forward = HeadedAttention(size), HeadedAttention(size), FeedForward(size)
        self.norms = nn.ModuleList(nn.LayerNorm(size.features) for _ in range(3))
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, inputs: Tensor, source: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """All tokens at once.

        Args:
            inputs: [B, T, D].
            source: ``key_value`` of the source by ``self.source``, [B, S, 2 D].
            visible: true on real tokens of the source, [B, S].

        Returns:
            [B, T, D], and what asked ``self.source``, [B, T, D].
        """
        normal = self.norms[0](inputs)
        inputs = inputs + self.dropout(self.own(normal, self.own.key_value(normal), causal=True))
        return self._rest(inputs, source, visible)

    def step(self, inputs: Tensor, kept: Tensor, source: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The token that follows those whose keys and values are kept, [B, t, 2 D].

        Returns:
            [B, 1, D]; what asked ``self.source``, [B, 1, D]; keys and values with the token's behind, [B, t + 1, 2 D].
        """
        normal = self.norms[0](inputs)
        kept = torch.cat([kept, self.own.key_value(normal)], dim=1)
        inputs = inputs + self.dropout(self.own(normal, kept))
        return *self._rest(inputs, source, visible), kept

    def _rest(self, inputs: Tensor, source: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        asking = self.norms[1](inputs)
        inputs = inputs + self.dropout(self.source(asking, source, visible))
        return inputs + self.dropout(self.feed_forward(self.norms[2](inputs))), asking
