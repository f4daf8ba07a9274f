"""A Transformer that reads one sequence of symbols and writes another (Vaswani et al., 2017): what recurrent models are
compared with, by the same command and on the same batches."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from echoic.data.pair_batch import PairBatch
from echoic.errors import OptionError
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.sequence_to_sequence import Advance, EncoderDecoder, Memory, Taught, real_steps, real_targets
from echoic.models.transformer_layers import DecoderLayer, EncoderLayer, TransformerSize, waves
from echoic.models.vocabulary_output import CopyGate, GeneratorSoftmax


class TransformerState(NamedTuple):
    """Keys and values of the symbols written, a tensor [N, t, 2 D] for each layer."""

    kept: tuple[Tensor, ...]


class Transformer(EncoderDecoder):
    """Encoder and decoder of attention alone, with the sizes of the recurrent model it stands beside.

    ``Memory.final`` holds the source's keys and values for each layer of the decoder, [B, S, 2 D]: made once.

    Args:
        sizes: of the vocabularies.
        settings: layers, hidden_size, heads, feedforward_size, dropouts, tied, label_smoothing, copy_source; what is
            said of cells and of kinds of attention has no meaning here.

    Raises:
        OptionError: sizes that do not go together, or what only the recurrent model has.
    """

    def __init__(self, sizes: PairSizes, settings: PairSettings) -> None:
        super().__init__(settings.label_smoothing)
        _check(sizes, settings)
        features = settings.hidden_size
        inner = settings.feedforward_size or 4 * features
        size = TransformerSize(features, settings.heads, inner, settings.dropout)
        self.target_embedding = _embedding(sizes.target, features)
        shared = sizes.joint and settings.tied
        self.source_embedding = self.target_embedding if shared else _embedding(sizes.source, features)
        self.dropout = nn.Dropout(settings.embedding_dropout)
        self.encoder = nn.ModuleList(EncoderLayer(size) for _ in range(settings.layers))
        self.decoder = nn.ModuleList(DecoderLayer(size) for _ in range(settings.layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(features), nn.LayerNorm(features)
        self.softmax = GeneratorSoftmax(features, self.target_embedding if settings.tied else sizes.target)
        self.copying = CopyGate(features, features) if settings.copy_source else None

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        mask = real_steps(source, lengths)
        visible = _visible(mask)
        values = self._embed(self.source_embedding, source, 0)
        for layer in self.encoder:
            values = layer(values, visible)
        values = self.encoder_norm(values)
        return Memory(values, mask, source, tuple(layer.source.key_value(values) for layer in self._layers()))

    def start(self, memory: Memory) -> TransformerState:
        return TransformerState(tuple(kept[:, :0] for kept in memory.final))

    def advance(self, tokens: Tensor, memory: Memory, state: TransformerState) -> Advance:
        """One step; the attention is the last layer's, averaged over its heads."""
        visible, kept = _visible(memory.mask), []
        embedded = self._embed(self.target_embedding, tokens.unsqueeze(1), state.kept[0].shape[1])
        features = asking = embedded
        for layer, before, source in zip(self._layers(), state.kept, memory.final, strict=True):
            features, asking, together = layer.step(features, before, source, visible)
            kept.append(together)
        weights = self._looks(asking, memory, visible)[:, 0]
        scores = self._scores(self.decoder_norm(features)[:, 0], embedded[:, 0], weights, memory.source)
        told = scores.log_softmax(dim=1) if self.copying is None else scores
        return Advance(told, weights, TransformerState(tuple(kept)))

    def teach(self, memory: Memory, batch: PairBatch) -> Taught:
        """All steps at once; no symbol sees one that comes later."""
        visible, real = _visible(memory.mask), real_targets(batch)
        embedded = self._embed(self.target_embedding, batch.target_in, 0)
        features = asking = embedded
        for layer, source in zip(self._layers(), memory.final, strict=True):
            features, asking = layer(features, source, visible)
        features = self.decoder_norm(features[real])
        if self.copying is None:
            return Taught(self.softmax.later(features))
        weights = self._looks(asking, memory, visible)[real]
        source = memory.source.unsqueeze(1).expand(-1, real.shape[1], -1)[real]
        return Taught(self._scores(features, embedded[real], weights, source))

    def _scores(self, features: Tensor, embedded: Tensor, weights: Tensor, source: Tensor) -> Tensor:
        scores = self.softmax(features)
        return scores if self.copying is None else self.copying(scores, features, embedded, weights, source)

    def _looks(self, asking: Tensor, memory: Memory, visible: Tensor) -> Tensor:
        return self._layers()[-1].source.weights(asking, memory.final[-1], visible)

    def _embed(self, embedding: nn.Embedding, symbols: Tensor, place: int) -> Tensor:
        features = embedding(symbols) * embedding.embedding_dim**0.5
        places = waves(place, place + symbols.shape[1], embedding.embedding_dim, features)
        return self.dropout(features + places)

    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.decoder))


def _check(sizes: PairSizes, settings: PairSettings) -> None:
    features, heads = settings.hidden_size, settings.heads
    if features % heads:
        raise OptionError(f"hidden_size: found {features}, expected a multiple of heads, {heads}, for a Transformer.")
    if settings.embedding_size not in (None, features):
        raise OptionError(
            f"embedding_size: found {settings.embedding_size}, expected hidden_size, {features}: a Transformer has no "
            "other. Leave it out."
        )
    if settings.copy_source and not sizes.joint:
        raise OptionError("copy_source: found separate vocabularies; copying needs a joint one: --vocabulary joint.")
    for name in ("coverage", "input_feeding", "scheduled_sampling"):
        if getattr(settings, name):
            raise OptionError(f"{name}: a Transformer has none. Leave it out, or choose --model recurrent.")


def _embedding(symbols: int, features: int) -> nn.Embedding:
    embedding = nn.Embedding(symbols, features)
    nn.init.normal_(embedding.weight, std=features**-0.5)
    return embedding


def _visible(mask: Tensor) -> Tensor:
    """The mask, but a row without real symbols sees its first: a softmax over nothing is not a number."""
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return mask | (first & ~mask.any(dim=1, keepdim=True))
