"""A recurrent language model: the next symbol from all before it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from echoic.data.streams import HeldOutStreams, StreamBatch
from echoic.layers.dropout import LockedDropout
from echoic.models.recurrent import build_recurrent
from echoic.models.settings import RecurrentSettings
from echoic.models.softmax import AdaptiveSoftmax, FullSoftmax
from echoic.training.contract import Loss

ADAPTIVE_FROM = 20_000  # symbols


class LanguageModelSettings(RecurrentSettings):
    """Options of a language model. ``dropout`` is applied between the layers and before the softmax."""

    hidden_size: int = Field(default=256, ge=1, le=65536, description="features of the hidden state")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="dropout between layers and before the softmax")
    embedding_size: int | None = Field(
        default=None, ge=1, le=65536, description="features of a symbol (none: the hidden size)"
    )
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout of the embedded symbols")
    tied: bool = Field(default=True, description="use the embedding's weights again in the softmax")
    softmax: Literal["auto", "full", "adaptive"] = Field(
        default="auto",
        description=f"adaptive computes rare symbols only where they occur (auto: from {ADAPTIVE_FROM:,} symbols)",
    )

    @model_validator(mode="after")
    def _one_direction(self) -> LanguageModelSettings:
        if self.bidirectional:
            raise ValueError("a language model reads in one direction: it would see the symbol it foretells")
        return self


class LanguageModel(nn.Module):
    """Embedding, recurrent stack, softmax.

    Args:
        vocabulary_size: symbols, V.
        settings: sizes and regularisation.
    """

    def __init__(self, vocabulary_size: int, settings: LanguageModelSettings) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding_size or settings.hidden_size)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        drop = LockedDropout if settings.locked_dropout else nn.Dropout
        self.embedding_dropout = drop(settings.embedding_dropout)
        self.recurrent = build_recurrent(settings, self.embedding.embedding_dim)
        self.output_dropout = drop(settings.dropout)
        size = self.recurrent.output_size
        adaptive = vocabulary_size >= ADAPTIVE_FROM if settings.softmax == "auto" else settings.softmax == "adaptive"
        if adaptive:
            self.softmax: FullSoftmax | AdaptiveSoftmax = AdaptiveSoftmax(size, vocabulary_size)
        else:
            self.softmax = FullSoftmax(size, vocabulary_size, self.embedding if settings.tied else None)

    def features(self, inputs: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Features [B, T, H] after each symbol of inputs [B, T], and the state after the last."""
        embedded = self.embedding_dropout(self.embedding(inputs))
        output, state = self.recurrent(embedded, state, lengths=lengths)
        return self.output_dropout(output), state

    def loss(self, batch: StreamBatch, carry: Any = None) -> Loss:
        """Mean -ln p of the batch's scored targets, nats; the state is the carry."""
        features, state = self.features(batch.inputs, self._begun(carry, batch.fresh))
        scored = batch.targets >= 0
        if bool(scored.all()):
            nats = self.softmax.nats(features.flatten(0, 1), batch.targets.flatten())
        else:
            nats = self.softmax.nats(features[scored], batch.targets[scored])
        return Loss(nats.sum() / max(1, nats.numel()), nats.numel(), state)

    def _begun(self, carry: Any, fresh: Tensor) -> Any:
        """The carried state, but the initial one in the fresh rows."""
        if carry is None or not bool(fresh.any()):
            return carry
        initial = tuple(self.recurrent.initial_states(len(fresh)))
        return tree_map(lambda begun, carried: torch.where(fresh[:, None], begun, carried), initial, carry)

    def final_step_loss(self, batch: StreamBatch) -> Tensor:
        """Mean -ln p of the symbol after the last step, which depends on the last output alone."""
        features, _ = self.features(batch.inputs)
        return self.softmax.nats(features[:, -1], batch.targets[:, -1].clamp(min=0)).mean()

    @torch.no_grad()
    def read(self, inputs: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """ln p of every symbol after the last of inputs [B, T], [B, V], and the state there.

        lengths: how many symbols of each row are real, [B], each at least 1; None for all.
        """
        features, state = self.features(inputs, state, lengths)
        rows = torch.arange(len(inputs), device=features.device)
        last = features[:, -1] if lengths is None else features[rows, lengths.to(features.device) - 1]
        return self.softmax.log_probabilities(last), state


@torch.no_grad()
def nats_of(model: LanguageModel, batches: HeldOutStreams) -> np.ndarray:
    """-ln p of every scored symbol of a text, in the order of the text, float64 [N]. The state is carried from batch to
    batch."""
    model.eval()
    device = model.embedding.weight.device
    table = np.full(batches.targets.shape, np.nan)
    state, place = None, 0
    for batch in batches.epoch(0):
        inputs, targets = batch.inputs.to(device), batch.targets.to(device)
        features, state = model.features(inputs, state)
        scored = targets >= 0
        stretch = table[:, place : place + inputs.shape[1]]
        stretch[scored.cpu().numpy()] = model.softmax.nats(features[scored], targets[scored]).double().cpu().numpy()
        place += inputs.shape[1]
    return table[batches.targets >= 0]
