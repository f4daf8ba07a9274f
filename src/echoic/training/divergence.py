"""What to say when the loss or a gradient is no longer a number."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from echoic.errors import TrainingDiverged


def check_finite(model: nn.Module, batch: Any, carry: Any, loss: float, norm: float, where: str) -> None:
    """Raise TrainingDiverged, with the layer in which it began, unless loss and gradient norm are finite.

    where: the step and epoch, in words.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"the loss became {loss}" if not math.isfinite(loss) else f"the gradient's norm became {norm}"
    raise TrainingDiverged(
        f"{where}: {what}, first seen in {_culprit(model, batch, carry)}.\n"
        "Try a smaller --learning-rate, a smaller --clip, or look for extreme values in the data; "
        "the last weights saved before this step, if any were, are in checkpoints/."
    )


def _culprit(model: nn.Module, batch: Any, carry: Any) -> str:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"the weights {name}"
    module = _first_bad_output(model, batch, carry)
    if module is not None:
        return f"the output of {module}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"the gradient of {name}"
    return "the loss itself"


def _first_bad_output(model: nn.Module, batch: Any, carry: Any) -> str | None:
    """Run the batch again and watch the modules."""
    bad: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, outputs: Any) -> None:
            tensors = [t for t in pytree.tree_leaves(outputs) if isinstance(t, Tensor) and t.is_floating_point()]
            if any(not torch.isfinite(t).all() for t in tensors):
                bad.append(f"{name} ({type(module).__name__})")

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    try:
        with torch.no_grad():
            model.loss(batch, carry)  # type: ignore[operator]
    finally:
        for handle in handles:
            handle.remove()
    return bad[0] if bad else None
