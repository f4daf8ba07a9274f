"""A tag for each token: words from vocabulary and spelling, recurrent stack, scores; the best sequence by a CRF."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from echoic.data.tag_batches import NO_TAG, TagBatch
from echoic.data.tag_schemes import Allowed
from echoic.data.tokens import AFFIXES, TokenVocabulary
from echoic.data.vocabulary import SPECIAL, UNKNOWN
from echoic.layers.crf import CRF
from echoic.layers.dropout import LockedDropout
from echoic.models.recurrent import build_recurrent
from echoic.models.settings import RecurrentSettings
from echoic.models.word_characters import SPELLINGS
from echoic.training.contract import Loss


class TaggerSettings(RecurrentSettings):
    """Options of a tagger. ``dropout`` is applied between the layers and before the last, linear one."""

    bidirectional: bool = Field(default=True, description="read each sentence in both directions")
    hidden_size: int = Field(default=200, ge=1, le=65536, description="features of the hidden state")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="dropout between layers and before the tags")
    embedding_size: int = Field(default=100, ge=1, le=65536, description="features learnt for a word")
    embedding_dropout: float = Field(default=0.5, ge=0, lt=1, description="dropout of all that is known of a word")
    word_dropout: float = Field(
        default=0.25, ge=0, description="a word seen n times is read as unknown with a/(a + n) while training"
    )
    spelling: Literal["convolution", "recurrence", "none"] = Field(
        default="convolution", description="how a word is read from its characters"
    )
    character_embedding_size: int = Field(default=32, ge=1, le=4096, description="features of a character")
    spelling_size: int = Field(default=100, ge=2, le=65536, description="features of a word from its characters")
    affix_size: int = Field(
        default=16, ge=0, le=4096, description="features of each beginning and end of a word (0: none)"
    )
    decoder: Literal["auto", "crf", "softmax"] = Field(
        default="auto", description="crf: the best sequence as a whole; auto: where the tags are spans"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of the target spread over all tags (softmax)"
    )
    intent_weight: float = Field(default=1.0, ge=0, description="weight of a sentence's intent against a token's tag")


class WordInput(nn.Module):
    """What is known of each token: a learnt vector of its word, one from a file, its spelling, beginnings and ends.

    Args:
        vocabulary: words and characters.
        settings: sizes and dropouts.
        vectors: of the words of ``vocabulary.vectors``, float32 [N, D]; None leaves zeros, to be loaded.
    """

    table: Tensor
    hiding: Tensor

    def __init__(
        self, vocabulary: TokenVocabulary, settings: TaggerSettings, vectors: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary.size, settings.embedding_size)
        nn.init.normal_(self.words.weight, std=settings.embedding_size**-0.5)
        counts = torch.tensor([0.0] * SPECIAL + [float(count) for count in vocabulary.counts])
        hiding = settings.word_dropout / (settings.word_dropout + counts).clamp(min=1e-9)
        self.register_buffer("hiding", hiding, persistent=False)
        sizes = [settings.embedding_size]
        self.spelling = None
        if settings.spelling != "none" and vocabulary.spelled:
            kind = SPELLINGS[settings.spelling]
            self.spelling = kind(
                vocabulary.characters.size, settings.character_embedding_size, settings.spelling_size, 0.0
            )
            sizes.append(self.spelling.output_size)
        self.affixes = None
        if settings.affix_size and vocabulary.buckets:
            self.affixes = nn.Embedding(vocabulary.buckets, settings.affix_size)
            nn.init.normal_(self.affixes.weight, std=settings.embedding_size**-0.5)
            sizes.append(2 * AFFIXES * settings.affix_size)
        if vocabulary.vector_size:
            table = torch.zeros(len(vocabulary.vectors) + 1, vocabulary.vector_size)
            if vectors is not None:
                table[1:] = torch.from_numpy(vectors)
            self.register_buffer("table", table)
            sizes.append(vocabulary.vector_size)
        self.has_table = bool(vocabulary.vector_size)
        self.dropout = (LockedDropout if settings.locked_dropout else nn.Dropout)(settings.embedding_dropout)
        self.output_size = sum(sizes)

    def forward(self, batch: TagBatch) -> Tensor:
        """[B, T, F]."""
        features = []
        if self.spelling is not None:
            features.append(self.spelling(batch.characters, batch.spelled))
        if self.affixes is not None:
            features.append(self.affixes(batch.affixes).flatten(1))
        if self.has_table:
            features.append(self.table[batch.vectors])
        words = batch.words[batch.tokens]
        if self.training:
            words = words.masked_fill(torch.rand(words.shape, device=words.device) < self.hiding[words], UNKNOWN)
        known = [self.words(words)]
        if features:
            spelled = torch.cat(features, dim=1)
            known.append(functional.embedding(batch.tokens, spelled))
        return self.dropout(torch.cat(known, dim=2))


class SequenceTagger(nn.Module):
    """Scores of each tag for each token, and of each intent for the sentence where there are intents.

    Args:
        inputs: what is known of each token.
        tags: K.
        settings: sizes and regularisation.
        rules: which tags may follow which, for a CRF; None for a softmax at each place.
        intents: C, 0 for none.
    """

    def __init__(
        self, inputs: WordInput, tags: int, settings: TaggerSettings, rules: Allowed | None, intents: int = 0
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.recurrent = build_recurrent(settings, inputs.output_size)
        self.dropout = (LockedDropout if settings.locked_dropout else nn.Dropout)(settings.dropout)
        self.tags = nn.Linear(self.recurrent.output_size, tags)
        self.crf = None if rules is None else CRF(tags, *rules)
        self.intents = nn.Linear(2 * self.recurrent.output_size, intents) if intents else None
        self.intent_weight, self.smoothing = settings.intent_weight, settings.label_smoothing

    def forward(self, batch: TagBatch) -> tuple[Tensor, Tensor | None]:
        """Scores of the tags [B, T, K] before softmax or CRF, and of the intents [B, C]."""
        outputs, _ = self.recurrent(self.inputs(batch), lengths=batch.lengths)
        scores = self.tags(self.dropout(outputs))
        if self.intents is None:
            return scores, None
        inside = (torch.arange(outputs.shape[1], device=outputs.device) < batch.lengths.unsqueeze(1)).unsqueeze(2)
        mean = outputs.sum(dim=1) / batch.lengths.clamp(min=1).unsqueeze(1)
        largest = outputs.masked_fill(~inside, -1.0).amax(dim=1)
        pooled = torch.cat([mean, largest], dim=1)
        return scores, self.intents(functional.dropout(pooled, 0.5, self.training))

    def loss(self, batch: TagBatch, carry: None = None) -> Loss:
        """Mean -ln p per token of the tags, nats (per sentence and place with a CRF), plus the weighted one of the
        intents."""
        scores, intents = self(batch)
        count = int((batch.tags != NO_TAG).sum())
        mean = self.nats(scores, batch) / max(1, count)
        if intents is not None:
            known = intents[batch.intents != NO_TAG], batch.intents[batch.intents != NO_TAG]
            mean = mean + self.intent_weight * functional.cross_entropy(*known, reduction="sum") / max(1, len(known[1]))
        return Loss(mean, count)

    def final_step_loss(self, batch: TagBatch) -> Tensor:
        """Loss of the last token's tag alone, by a softmax."""
        scores, _ = self(batch)
        last = (batch.lengths - 1).clamp(min=0)
        rows = torch.arange(len(last), device=last.device)
        return functional.cross_entropy(scores[rows, last], batch.tags[rows, last], ignore_index=NO_TAG)

    def best(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The best tags for scores [B, T, K]: [B, T], -1 past a row's length."""
        if self.crf is not None:
            return self.crf.viterbi(scores, lengths)[0]
        inside = torch.arange(scores.shape[1], device=scores.device) < lengths.unsqueeze(1)
        return scores.argmax(dim=2).masked_fill(~inside, NO_TAG)

    def probabilities(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Of each tag at each place, [B, T, K]; with a CRF over all sequences."""
        return scores.softmax(dim=2) if self.crf is None else self.crf.marginals(scores, lengths)

    def nats(self, scores: Tensor, batch: TagBatch) -> Tensor:
        """Sum of -ln p of the true tags over the batch; a tag never seen in training counts as the first one."""
        if self.crf is not None:
            return -self.crf.log_likelihood(scores, batch.tags.clamp(min=0), batch.lengths).sum().to(scores.dtype)
        smoothing = self.smoothing if self.training else 0.0
        return functional.cross_entropy(
            scores.flatten(0, 1), batch.tags.flatten(), ignore_index=NO_TAG, reduction="sum", label_smoothing=smoothing
        )
