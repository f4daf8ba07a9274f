"""Options of the training loop, the same for every task."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"]


class Training(BaseModel):
    """How to train. Tasks subclass it to change defaults only."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    epochs: int = Field(default=20, ge=1, description="passes over the training data at most")
    max_minutes: float | None = Field(
        default=None, gt=0, description="stop after so many minutes, at the best checkpoint"
    )
    batch_size: int = Field(default=32, ge=1, description="sequences in a batch")
    learning_rate: Rate = Field(default=2e-3, description='peak learning rate; "auto" runs the finder')
    clip: float | None = Field(default=1.0, gt=0, description="clip the norm of all gradients together to this")
    clip_value: float | None = Field(default=None, gt=0, description="clip each gradient element to this")
    optimiser: Literal["adamw", "sgd", "rmsprop", "adagrad"] = Field(default="adamw", description="update rule")
    weight_decay: float = Field(default=0.01, ge=0, description="decay of weight matrices (not of biases and gains)")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of sgd and rmsprop, first beta of adamw")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        default="one-cycle", description="learning rate over time"
    )
    warmup: float = Field(
        default=0.05, ge=0, le=1, description="share of the training in which the learning rate rises"
    )
    patience: int | None = Field(default=None, ge=1, description="stop after so many validations without improvement")
    averaging: float | None = Field(default=None, gt=0, lt=1, description="decay of the running average of the weights")
    accumulate: int = Field(default=1, ge=1, description="batches whose gradients make one update")
