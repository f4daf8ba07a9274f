"""What the training loop asks of a model and of its batches; it knows nothing else of the task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Loss(NamedTuple):
    """The loss of one batch.

    mean: scalar tensor with its graph, averaged over the targets.
    count: how many targets were averaged; weights the mean over several batches.
    carry: recurrent state to hand to the next batch of the same streams (truncated backpropagation through time),
        or None where batches are independent. The loop detaches it.
    """

    mean: Tensor
    count: int
    carry: Any = None


class Trainable(Protocol):
    """A ``torch.nn.Module`` with a loss."""

    def loss(self, batch: Any, carry: Any = None) -> Loss:
        """Loss of a batch, given the state carried from the batch before (None at the start of an epoch)."""
        ...

    def final_step_loss(self, batch: Any) -> Tensor:
        """Scalar loss that depends on the last step's output alone: how far back its gradient reaches is measured."""
        ...


class Batches(Protocol):
    """Batches in an order fixed by the seed and the epoch's number, so that a resumed run sees the same ones.

    A batch is any pytree (NamedTuple, dict, tuple) of tensors.
    """

    def __len__(self) -> int:
        """Batches in one epoch."""
        ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Batches of epoch ``number``, beginning with batch ``start``."""
        ...

    @property
    def padding_share(self) -> float:
        """Share of all time steps in the batches that are padding, 0 to 1."""
        ...
