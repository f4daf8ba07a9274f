"""The one table of tolerances: how far results may lie from the reference in float64 that count as the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class Tolerance(NamedTuple):
    """|found - expected| <= absolute + relative * |expected|."""

    relative: float
    absolute: float


# The same sums in another order and, below float64, of rounded weights and inputs; over at most 63 steps.
TOLERANCES: dict[torch.dtype, Tolerance] = {
    torch.float64: Tolerance(1e-9, 1e-10),
    torch.float32: Tolerance(5e-4, 5e-5),
    torch.bfloat16: Tolerance(0.05, 0.05),
    torch.int8: Tolerance(0.05, 0.05),  # of weights
}
# Of norms, where products are of sums of two bfloat16 numbers, 16 significant bits.
OF_PAIRS = Tolerance(1e-4, 0.0)
# Numbers that see the same operations in the same order on the same values.
EXACT = Tolerance(0.0, 0.0)
# Two results that must not be taken for each other differ by more than this.
DIFFERENT = 1e-3


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: Tolerance) -> None:
    """Every named tensor of one result is that of the other. Raises AssertionError naming the first that is not."""
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name].double(),
            value.double(),
            rtol=tolerance.relative,
            atol=tolerance.absolute,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def differ(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str) -> bool:
    """Whether the tensors of a name are told apart by far more than any tolerance."""
    return (found[name].double() - expected[name].double()).abs().max().item() > DIFFERENT
