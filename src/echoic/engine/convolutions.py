"""Convolutions of a step as what a program has: maps shifted by every tap of a kernel, and one matmul at all places."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class Unfolded(TorchFunctionMode):
    """Inside the block the convolutions of a batch of sequences or images are sums over shifted maps.

    Their gradients are PyTorch's own of these operations. Other convolutions stay as they are.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _UNFOLDED.get(func, func)(*args, **(kwargs or {}))


def _conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """[B, C, T] by a kernel [O, C, L]."""
    if input.dim() != 3:
        return torch.conv1d(input, weight, bias, stride, padding, dilation, groups)
    padding = padding if isinstance(padding, str) else (0, _pair(padding)[1])
    by, apart = (1, _pair(stride)[1]), (1, _pair(dilation)[1])
    return _conv2d(input.unsqueeze(2), weight.unsqueeze(2), bias, by, padding, apart, groups).squeeze(2)


def _conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """[B, C, H, W] by a kernel [O, C, K, L]."""
    every = _pair(stride)
    if input.dim() != 4 or (padding == "same" and every != (1, 1)):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    if groups > 1:
        biases = [None] * groups if bias is None else bias.chunk(groups)
        parts = zip(input.chunk(groups, 1), weight.chunk(groups), biases, strict=True)
        return torch.cat([_conv2d(*part, stride, padding, dilation) for part in parts], 1)
    kernel, apart = _pair(weight.shape[2:]), _pair(dilation)
    reach = apart[0] * (kernel[0] - 1), apart[1] * (kernel[1] - 1)
    before, after = _padding(padding, reach)
    around = (before[1], after[1], before[0], after[0])
    offsets = [(i * apart[0], j * apart[1]) for i in range(kernel[0]) for j in range(kernel[1])]
    if every == (1, 1) and (before[0] + after[0], before[1] + after[1]) == reach:
        inside = _cut(F.pad(weight.new_ones(1, 1, *input.shape[2:]), around), offsets, reach, every)
        taps = _moved(input, inside, [(i - before[0]) * input.shape[3] + j - before[1] for i, j in offsets])
    else:
        taps = _cut(F.pad(input, around), offsets, reach, every)
    seen = torch.stack(taps, 2).permute(0, 3, 4, 1, 2)  # [B, H, W, C, taps]
    places = seen.shape[1:3]
    made = F.linear(seen.flatten(3).flatten(1, 2), weight.flatten(1), bias)  # [B, H * W, O]
    return made.transpose(1, 2).unflatten(2, places)


def _moved(values: Tensor, inside: Sequence[Tensor], moves: Sequence[int]) -> list[Tensor]:
    """Maps as every tap of a kernel sees them: all moved as a whole, and zeros where that is no longer inside."""
    size, most = math.prod(values.shape[1:]), max(map(abs, moves))
    flat = F.pad(values.flatten(1), (most, most))
    taps = []
    for move, there in zip(moves, inside, strict=True):
        moved = flat[:, most + move : most + move + size].unflatten(1, values.shape[1:])
        taps.append(torch.where(there.expand(1, *values.shape[1:]) > 0, moved, 0.0))
    return taps


def _cut(values: Tensor, offsets: Sequence[Pair], reach: Pair, every: Pair) -> list[Tensor]:
    """The places of maps that every tap of a kernel sees."""
    rows, columns = ((n - r - 1) // s * s + 1 for n, r, s in zip(values.shape[2:], reach, every, strict=True))
    return [values[:, :, i : i + rows : every[0], j : j + columns : every[1]] for i, j in offsets]


def _padding(padding: Any, reach: Pair) -> tuple[Pair, Pair]:
    """Rows and columns of zeros before a map and after it."""
    if padding == "same":
        before = (reach[0] // 2, reach[1] // 2)
        return before, (reach[0] - before[0], reach[1] - before[1])
    both = (0, 0) if padding == "valid" else _pair(padding)
    return both, both


def _pair(number: int | Sequence[int]) -> Pair:
    """Of rows and of columns."""
    if isinstance(number, int):
        return number, number
    return number[0], number[-1]


_UNFOLDED: dict[Any, Callable[..., Tensor]] = {torch.conv1d: _conv1d, torch.conv2d: _conv2d}
