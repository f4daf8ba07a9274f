"""Options of models that turn one sequence of symbols into another, the same for all of them."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import Field, field_validator, model_validator

from echoic.layers.attention import ATTENTIONS
from echoic.models.settings import RecurrentSettings


class PairSizes(NamedTuple):
    """Symbols on both sides.

    source, target: sizes of the vocabularies.
    joint: whether both are one vocabulary, so that a symbol of the source means the same in the target.
    """

    source: int
    target: int
    joint: bool


class PairSettings(RecurrentSettings):
    """Options of an encoder with a decoder. ``layers``, ``hidden_size`` and ``cell`` are of both."""

    model: str = Field(default="recurrent", description="recurrent or transformer")
    cell: str = Field(default="GRU", description="a cell of `echoic cells`, or FILE.py:CLASS, your own")
    layers: int = Field(default=2, ge=1, le=64, description="layers of the encoder, and of the decoder")
    hidden_size: int = Field(default=256, ge=1, le=65536, description="features of the hidden state")
    bidirectional: bool = Field(default=True, description="read the source in both directions")
    dropout: float = Field(default=0.3, ge=0, lt=1, description="dropout between layers and before the softmax")
    embedding_size: int | None = Field(
        default=None, ge=1, le=65536, description="features of a symbol (none: the hidden size)"
    )
    embedding_dropout: float = Field(default=0.3, ge=0, lt=1, description="dropout of the embedded symbols")
    word_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of symbols read as unknown while training, on both sides"
    )
    tied: bool = Field(default=True, description="one embedding for source, target and softmax, where they share one")
    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="share of the target spread over all symbols")
    attention: str = Field(default="scaled-dot", description=f"one of {', '.join(ATTENTIONS)}")
    heads: int = Field(default=4, ge=1, le=64, description="heads of multi-head attention and of the Transformer")
    feedforward_size: int | None = Field(
        default=None, ge=1, le=2**20, description="features inside a Transformer's layer (none: four times the hidden)"
    )
    input_feeding: bool = Field(
        default=False, description="feed what was attended to back into the next step: slower, step by step"
    )
    scheduled_sampling: float = Field(
        default=0.0, ge=0, lt=1, description="share of the target's symbols replaced by the model's own while training"
    )
    copy_source: bool = Field(
        default=False, description="let the decoder copy symbols of the source (pointer-generator)"
    )
    coverage: bool = Field(
        default=False, description="tell attention where it has looked, and penalise looking there again"
    )
    coverage_weight: float = Field(default=1.0, ge=0, le=100, description="weight of that penalty")

    @field_validator("attention")
    @classmethod
    def _known_attention(cls, name: str) -> str:
        if name not in ATTENTIONS:
            raise ValueError(f'found "{name}", expected one of {", ".join(ATTENTIONS)}')
        return name

    @model_validator(mode="after")
    def _coverage_has_a_place(self) -> PairSettings:
        if self.coverage and not ATTENTIONS[self.attention].takes_coverage:
            able = ", ".join(name for name, kind in ATTENTIONS.items() if kind.takes_coverage)
            raise ValueError(f"coverage has no place in {self.attention} attention; choose among {able}")
        return self
