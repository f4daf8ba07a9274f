"""The recurrent state that goes from batch to batch, and through checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree


class Carried:
    """State of truncated backpropagation through time: any pytree, or None where batches are independent.

    A checkpoint holds its tensors alone, no types: after a resume the model makes the structure anew.
    """

    def __init__(self) -> None:
        self._value: Any = None
        self._saved: dict[str, Tensor] = {}

    def reset(self) -> None:
        """Forget everything: an epoch begins."""
        self._value, self._saved = None, {}

    def take(self, value: Any) -> None:
        """Hold a state without its graph."""
        self._value = pytree.tree_map_only(Tensor, Tensor.detach, value)

    def before(self, batch: Any, model: nn.Module) -> Any:
        """The state with which the model reads a batch."""
        if self._saved:
            structure = _structure(batch, model)
            leaves = [self._saved.get(str(i), leaf) for i, leaf in enumerate(pytree.tree_leaves(structure))]
            self._value = pytree.tree_unflatten(leaves, pytree.tree_structure(structure))
            self._saved = {}
        return self._value

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by their place in the structure."""
        if self._saved:
            return self._saved
        return {str(i): leaf for i, leaf in enumerate(pytree.tree_leaves(self._value)) if isinstance(leaf, Tensor)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Undo ``tensors``."""
        self._value, self._saved = None, dict(tensors)


def _structure(batch: Any, model: nn.Module) -> Any:
    """What the model carries on from a batch; leaves no trace in the random state or in the model's statistics."""
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            return model.loss(batch, None).carry  # type: ignore[operator]
    finally:
        model.train(training)
