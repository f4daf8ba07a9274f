"""One class for a whole sequence: inputs of a step, recurrent stack, pooling over the steps, a linear layer."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from echoic.data.classified import SequenceBatch
from echoic.data.labels import NO_LABEL
from echoic.data.vocabulary import UNKNOWN
from echoic.layers.dropout import LockedDropout
from echoic.layers.pooling import POOLINGS, build_pooling
from echoic.models.recurrent import build_recurrent
from echoic.models.settings import RecurrentSettings
from echoic.training.contract import Loss


class ClassifierSettings(RecurrentSettings):
    """Options of a classifier. ``dropout`` is applied between the layers and before the last, linear one."""

    bidirectional: bool = Field(default=True, description="read each sequence in both directions")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="dropout between layers and before the classes")
    pooling: str = Field(default="mean", description="from all steps to one vector: last, mean, max or attention")
    embedding_size: int = Field(default=128, ge=1, le=65536, description="features of a symbol of a text")
    embedding_dropout: float = Field(default=0.5, ge=0, lt=1, description="dropout of the embedded symbols")
    word_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of a text's symbols read as unknown while training"
    )
    input_noise: float = Field(
        default=0.0, ge=0, le=10, description="noise on numbers while training, in standard deviations"
    )
    place_waves: int = Field(
        default=0,
        ge=0,
        le=32,
        description="waves that tell each step its place, for sequences whose places have a meaning",
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: rare classes count as much"
    )
    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="share of the target spread over all classes")

    @field_validator("pooling")
    @classmethod
    def _known_pooling(cls, name: str) -> str:
        if name not in POOLINGS:
            raise ValueError(f'found "{name}", expected one of {", ".join(POOLINGS)}')
        return name


class SymbolInput(nn.Module):
    """Symbols to vectors: a trained embedding.

    Args:
        symbols: size of the vocabulary, V.
        settings: size and dropouts.
    """

    def __init__(self, symbols: int, settings: ClassifierSettings) -> None:
        super().__init__()
        self.word_dropout = settings.word_dropout
        self.embedding = nn.Embedding(symbols, settings.embedding_size)
        nn.init.normal_(self.embedding.weight, std=settings.embedding_size**-0.5)
        self.dropout = (LockedDropout if settings.locked_dropout else nn.Dropout)(settings.embedding_dropout)
        self.output_size = settings.embedding_size

    def forward(self, symbols: Tensor) -> Tensor:
        """symbols [B, T] to [B, T, E]."""
        if self.training and self.word_dropout:
            hidden = torch.rand(symbols.shape, device=symbols.device) < self.word_dropout
            symbols = symbols.masked_fill(hidden, UNKNOWN)
        return self.dropout(self.embedding(symbols))


class NumberInput(nn.Module):
    """Scaled numbers as they are, with noise while training.

    Args:
        features: numbers of a step, F.
        settings: amount of noise.
    """

    def __init__(self, features: int, settings: ClassifierSettings) -> None:
        super().__init__()
        self.noise, self.output_size = settings.input_noise, features

    def forward(self, numbers: Tensor) -> Tensor:
        """numbers [B, T, F] to the same shape."""
        return numbers + self.noise * torch.randn_like(numbers) if self.training and self.noise else numbers


class PlaceWaves(nn.Module):
    """Sines and cosines of a step's place beside its inputs (Vaswani et al., 2017), of 4, 8, 16, ... steps a period.

    A recurrent network can count, but learns slowly to; where the place of a step has a meaning (a window cut around a
    point), it need not.

    Args:
        waves: how many, each with sine and cosine.
    """

    def __init__(self, waves: int) -> None:
        super().__init__()
        self.waves, self.output_size = waves, 2 * waves

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs [B, T, F] to [B, T, F + 2 waves]."""
        if not self.waves:
            return inputs
        places = torch.arange(inputs.shape[1], device=inputs.device, dtype=torch.float64).unsqueeze(1)
        turns = 2 * torch.pi * places / 2.0 ** torch.arange(2, self.waves + 2, device=inputs.device)
        waves = torch.cat([turns.sin(), turns.cos()], dim=1).to(inputs.dtype)
        return torch.cat([inputs, waves.expand(inputs.shape[0], -1, -1)], dim=2)


class SequenceClassifier(nn.Module):
    """Scores of each class for a sequence.

    Args:
        inputs: a ``SymbolInput`` or ``NumberInput``.
        classes: C.
        settings: sizes and regularisation.
        class_weights: weight of each class in the loss, [C]; None for equal ones.
    """

    class_weights: Tensor

    def __init__(
        self,
        inputs: SymbolInput | NumberInput,
        classes: int,
        settings: ClassifierSettings,
        class_weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.places = PlaceWaves(settings.place_waves)
        self.recurrent = build_recurrent(settings, inputs.output_size + self.places.output_size)
        self.pooling = build_pooling(settings.pooling, self.recurrent.output_size)
        self.dropout = nn.Dropout(settings.dropout)
        self.classes = nn.Linear(self.recurrent.output_size, classes)
        self.smoothing = settings.label_smoothing
        weights = np.ones(classes) if class_weights is None else class_weights
        self.register_buffer("class_weights", torch.tensor(weights, dtype=torch.float32))

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Scores [B, C] before the softmax."""
        outputs, state = self.recurrent(self.places(self.inputs(inputs)), lengths=lengths)
        pooled = self.pooling(outputs, self.recurrent.final_hidden(state), lengths)
        return self.classes(self.dropout(pooled))

    def loss(self, batch: SequenceBatch, carry: None = None) -> Loss:
        """Mean -ln p of the labels, nats, weighted by class and smoothed while training as the settings say."""
        return Loss(self._nats(self(batch.inputs, batch.lengths), batch.labels), int((batch.labels != NO_LABEL).sum()))

    def final_step_loss(self, batch: SequenceBatch) -> Tensor:
        """The loss if the sequence were judged by the last forward output alone, whatever the pooling."""
        outputs, _ = self.recurrent(self.places(self.inputs(batch.inputs)), lengths=batch.lengths)
        last = (batch.lengths - 1).clamp(min=0)
        rows = torch.arange(len(last), device=last.device)
        return self._nats(self.classes(outputs[rows, last]), batch.labels)

    @torch.no_grad()
    def probabilities(self, batch: SequenceBatch) -> Tensor:
        """[B, C]; rows add up to one."""
        return self(batch.inputs, batch.lengths).softmax(dim=1)

    def _nats(self, scores: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.smoothing if self.training else 0.0
        return functional.cross_entropy(
            scores, labels, self.class_weights, ignore_index=NO_LABEL, label_smoothing=smoothing
        )
