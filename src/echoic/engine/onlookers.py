"""Whether somebody looks on at a call: a compiler, an exporter, a function transform."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode


def transforming() -> bool:
    """Whether a function transform (vmap, grad, hessian) is at work: tensors are its own, and end with it."""
    return torch._C._are_functorch_transforms_active()


def recording_operators() -> bool:
    """Whether compilation, export or a dispatch mode looks at operators."""
    return torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None
