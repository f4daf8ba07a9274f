"""The recurrent encoder with an attentional decoder (Bahdanau et al., 2015; Luong et al., 2015)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from echoic.data.pair_batch import START, PairBatch
from echoic.data.vocabulary import UNKNOWN
from echoic.errors import OptionError
from echoic.layers.attention import Sources
from echoic.layers.dropout import LockedDropout
from echoic.layers.quick_dropout import QuickDropout
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.recurrent import build_recurrent
from echoic.models.recurrent_decoder import DECODERS, Decoded, DecoderState
from echoic.models.sequence_to_sequence import Advance, EncoderDecoder, Memory, Taught, real_steps, real_targets
from echoic.models.vocabulary_output import CopyGate, GeneratorSoftmax


class RecurrentEncoderDecoder(EncoderDecoder):
    """Embedding, (bidirectional) recurrent encoder, recurrent decoder with attention, softmax.

    Args:
        sizes: of the vocabularies.
        settings: everything else.

    Raises:
        OptionError: copying between vocabularies that are not one.
    """

    def __init__(self, sizes: PairSizes, settings: PairSettings) -> None:
        super().__init__(settings.label_smoothing)
        if settings.copy_source and not sizes.joint:
            raise OptionError(
                "copy_source: found separate vocabularies; copying needs a joint one: --vocabulary joint."
            )
        size = settings.embedding_size or settings.hidden_size
        shared = sizes.joint and settings.tied
        self.target_embedding = _embedding(sizes.target, size)
        self.source_embedding = self.target_embedding if shared else _embedding(sizes.source, size)
        self.embedding_dropout = (LockedDropout if settings.locked_dropout else QuickDropout)(
            settings.embedding_dropout
        )
        self.encoder = build_recurrent(settings, size)
        self.decoder = DECODERS[settings.input_feeding](size, self.encoder.output_size, settings)
        first_states = [cell.initial_state(1)[0].shape[1] for cell in self.decoder.cells()]
        self.bridge = nn.Linear(self.encoder.output_size, sum(first_states))
        self.softmax = GeneratorSoftmax(size, self.target_embedding if settings.tied else sizes.target)
        self.copying = CopyGate(size, size) if settings.copy_source else None
        self.settings, self.first_states = settings, first_states

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        embedded = self.embedding_dropout(self.source_embedding(self._with_gaps(source)))
        values, state = self.encoder(embedded, lengths=lengths)
        mask = real_steps(source, lengths)
        keys, values, _ = self.decoder.attention.prepare(values, mask)
        start = torch.tanh(self.bridge(self.encoder.final_hidden(state)))
        return Memory(values, mask, source, (start, keys))

    def start(self, memory: Memory) -> DecoderState:
        hidden = memory.final[0].split(self.first_states, dim=1)
        fresh: list[Any] = [cell.initial_state(len(memory.mask)) for cell in self.decoder.cells()]
        layers = tuple(state._replace(**{state._fields[0]: h}) for state, h in zip(fresh, hidden, strict=True))
        past = self.decoder.attention.no_past(_sources(memory))
        return DecoderState(layers, self.decoder.nothing_fed(len(memory.mask)), past)

    def advance(self, tokens: Tensor, memory: Memory, state: DecoderState) -> Advance:
        embedded = self.target_embedding(tokens.unsqueeze(1))
        decoded, state = self.decoder(embedded, _sources(memory), state)
        weights = decoded.weights[:, 0]
        scores = self._scores(decoded.features[:, 0], embedded[:, 0], weights, memory.source)
        return Advance(scores.log_softmax(dim=1), weights, state)

    def teach(self, memory: Memory, batch: PairBatch) -> Taught:
        inputs = self._sampled(memory, batch) if self.training and self.settings.scheduled_sampling else batch.target_in
        decoded, embedded = self._run(memory, self._with_gaps(inputs))
        real = real_targets(batch)
        penalty = self._coverage_penalty(decoded.weights, real) if self.settings.coverage else None
        if self.copying is None:
            return Taught(self.softmax.later(decoded.features[real]), penalty)
        return Taught(self._scores_of(decoded, embedded, memory, real), penalty)

    def _run(self, memory: Memory, inputs: Tensor) -> tuple[Decoded, Tensor]:
        embedded = self.embedding_dropout(self.target_embedding(inputs))
        return self.decoder(embedded, _sources(memory), self.start(memory))[0], embedded

    def _scores_of(self, decoded: Decoded, embedded: Tensor, memory: Memory, real: Tensor) -> Tensor:
        """Scores [K, V] of the real steps alone: no softmax is computed for padding."""
        source = memory.source.unsqueeze(1).expand(-1, real.shape[1], -1)[real]
        return self._scores(decoded.features[real], embedded[real], decoded.weights[real], source)

    def _scores(self, features: Tensor, embedded: Tensor, weights: Tensor, source: Tensor) -> Tensor:
        scores = self.softmax(features)
        return scores if self.copying is None else self.copying(scores, features, embedded, weights, source)

    def _coverage_penalty(self, weights: Tensor, real: Tensor) -> Tensor:
        """How much each step looks where earlier ones did, the mean over the targets (See et al., 2017)."""
        before = weights.cumsum(dim=1) - weights
        return self.settings.coverage_weight * torch.minimum(weights, before).sum(dim=2)[real].mean()

    @torch.no_grad()
    def _sampled(self, memory: Memory, batch: PairBatch) -> Tensor:
        """Targets with some symbols replaced by what the model would have written there (scheduled sampling: Bengio et
        al., 2015; in two passes: Mihaylova and Martins, 2019)."""
        decoded, embedded = self._run(memory, batch.target_in)
        real = real_targets(batch)
        chosen = batch.target_in.clone()
        chosen[real] = self._scores_of(decoded, embedded, memory, real).argmax(dim=1)
        written = torch.cat([torch.full_like(chosen[:, :1], START), chosen[:, :-1]], dim=1)
        replaced = torch.rand(written.shape, device=written.device) < self.settings.scheduled_sampling
        return torch.where(replaced, written, batch.target_in)

    def _with_gaps(self, symbols: Tensor) -> Tensor:
        """Some symbols hidden while training (word dropout)."""
        share = self.settings.word_dropout
        if not self.training or not share:
            return symbols
        return symbols.masked_fill(torch.rand(symbols.shape, device=symbols.device) < share, UNKNOWN)


def _embedding(symbols: int, size: int) -> nn.Embedding:
    embedding = nn.Embedding(symbols, size)
    nn.init.normal_(embedding.weight, std=size**-0.5)
    return embedding


def _sources(memory: Memory) -> Sources:
    return Sources(memory.final[1], memory.values, memory.mask)
