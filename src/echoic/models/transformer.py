"""A Transformer that reads one sequence of symbols and writes another (Vaswani et al., 2017): what recurrent models are
compared with, by the same command and on the same batches."""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from echoic.models.sequence_to_sequence import (
    Advance,
    EncoderDecoder,
    Memory,
    PairBatch,
    Taught,
    real_steps,
    real_targets,
)
from echoic.models.transformer_layers import DecoderLayer, EncoderLayer, TransformerSize, waves


class TransformerSettings(BaseModel):
    """Options of a Transformer."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())

    layers: int = Field(default=3, ge=1, le=64, description="layers of the encoder, and of the decoder")
    hidden_size: int = Field(default=256, ge=2, le=65536, description="features of a symbol")
    heads: int = Field(default=4, ge=1, le=256, description="heads of each attention; hidden_size is a multiple of it")
    feed_forward: int | None = Field(
        default=None, ge=1, le=2**20, description="inner features of the feed-forward parts (none: 4 times hidden_size)"
    )
    dropout: float = Field(default=0.2, ge=0, lt=1, description="dropout of attention, inner features and residuals")
    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="share of the target spread over all symbols")

    @model_validator(mode="after")
    def _heads_divide(self) -> TransformerSettings:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of heads, {self.heads}")
        return self

    @property
    def size(self) -> TransformerSize:
        """Of each layer."""
        return TransformerSize(
            self.hidden_size, self.heads, self.feed_forward or 4 * self.hidden_size, self.dropout
        )  # fmt: skip


class TransformerState(NamedTuple):
    """Keys and values of the symbols written, a tensor [N, t, 2 D] for each layer."""

    kept: tuple[Tensor, ...]


class Transformer(EncoderDecoder):
    """Encoder and decoder of attention alone; the target's embedding is also the output's matrix.

    ``Memory.final`` holds the source's keys and values for each layer of the decoder, [B, S, 2 D]: made once.

    Args:
        source_symbols: size of the source's vocabulary.
        target_symbols: size of the target's vocabulary.
        settings: sizes and regularisation.
        shared: one embedding for both sides; the vocabularies are the same.
    """

    def __init__(self, source_symbols: int, target_symbols: int, settings: TransformerSettings, shared: bool) -> None:
        super().__init__(settings.label_smoothing)
        features, size = settings.hidden_size, settings.size
        self.target = nn.Embedding(target_symbols, features)
        self.source = self.target if shared else nn.Embedding(source_symbols, features)
        for embedding in (self.source, self.target):
            nn.init.normal_(embedding.weight, std=features**-0.5)
        self.dropout = nn.Dropout(settings.dropout)
        self.encoder = nn.ModuleList(EncoderLayer(size) for _ in range(settings.layers))
        self.decoder = nn.ModuleList(DecoderLayer(size) for _ in range(settings.layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(features), nn.LayerNorm(features)

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        """Read sources, int64 [B, S] of ``lengths`` [B]."""
        mask = real_steps(source, lengths)
        visible = _visible(mask)
        values = self._embed(self.source, source, 0)
        for layer in self.encoder:
            values = layer(values, visible)
        values = self.encoder_norm(values)
        return Memory(values, mask, source, tuple(layer.source.key_value(values) for layer in self._layers()))

    def start(self, memory: Memory) -> TransformerState:
        """Nothing is written yet."""
        return TransformerState(tuple(kept[:, :0] for kept in memory.final))

    def advance(self, tokens: Tensor, memory: Memory, state: TransformerState) -> Advance:
        """One step; the attention is the last layer's, averaged over its heads."""
        visible, kept = _visible(memory.mask), []
        features = self._embed(self.target, tokens[:, None], state.kept[0].shape[1])
        attention = None
        for layer, before, source in zip(self._layers(), state.kept, memory.final, strict=True):
            features, together, attention = layer.step(features, before, source, visible)
            kept.append(together)
        assert attention is not None
        scores = self._scores(features[:, 0])
        return Advance(scores.log_softmax(dim=1), attention, TransformerState(tuple(kept)))

    def teach(self, memory: Memory, batch: PairBatch) -> Taught:
        """All steps at once; no symbol sees one that comes later."""
        visible = _visible(memory.mask)
        features = self._embed(self.target, batch.target_in, 0)
        for layer, source in zip(self._layers(), memory.final, strict=True):
            features = layer(features, source, visible)
        return Taught(self._scores(features[real_targets(batch)]))

    def _embed(self, embedding: nn.Embedding, symbols: Tensor, place: int) -> Tensor:
        features = embedding(symbols) * embedding.embedding_dim**0.5
        places = waves(place, place + symbols.shape[1], embedding.embedding_dim, features)
        return self.dropout(features + places)

    def _scores(self, features: Tensor) -> Tensor:
        return functional.linear(self.decoder_norm(features), self.target.weight)

    def _layers(self) -> list[DecoderLayer]:
        return list(self.decoder)  # type: ignore[arg-type]


def _visible(mask: Tensor) -> Tensor:
    """The mask, but a row without real symbols sees its first: a softmax over nothing is not a number."""
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return mask | (first & ~mask.any(dim=1, keepdim=True))
