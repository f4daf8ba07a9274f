"""The scan of m' = decay * m + drive against a loop written out here, with decays that logarithms would spoil."""

from __future__ import annotations

import pytest
import torch
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor

from echoic.engine import linear_scan as module
from echoic.engine.linear_scan import linear_scan

# steps, batch, features: one step, none but a remainder, chunks of four steps and up, and rows too wide for chunks
SIZES = [(1, 2, 3), (7, 1, 5), (48, 2, 3), (49, 3, 1), (61, 1, 7), (200, 2, 3), (53, 3, 1000)]


def by_loop(decay: Tensor, drive: Tensor, start: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    states, state = {}, start
    decay = decay.expand_as(drive)
    for t in reversed(range(len(drive))) if reverse else range(len(drive)):
        state = decay[t] * state + drive[t]
        states[t] = state
    return torch.stack([states[t] for t in range(len(drive))]), state


def problem(size: tuple[int, int, int], kind: torch.dtype, constant: bool = False) -> list[Tensor]:
    """Decays from -1 to 1, some of them 0 or 1 exactly, or turning; drives and starts of both signs."""
    generator = torch.Generator().manual_seed(sum(size))
    _, batch, features = size
    shape = (1, 1, features) if constant else size
    decay = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    if kind.is_complex:
        decay = torch.polar(decay.abs(), 6 * torch.rand(shape, generator=generator, dtype=torch.float64))
    if not constant:
        pick = torch.rand(shape, generator=generator)
        decay[pick < 0.2] = 0
        decay[pick > 0.8] = 1
    double = torch.complex128 if kind.is_complex else torch.float64
    drive, start = (torch.randn(s, generator=generator, dtype=double) for s in (size, (batch, features)))
    return [decay, drive, start]


def solve(run, given: list[Tensor], kind: torch.dtype, reverse: bool) -> dict[str, Tensor]:
    leaves = [part.to(kind).requires_grad_() for part in given]
    states, end = run(*leaves, reverse)
    generator = torch.Generator().manual_seed(9)
    pulls = [torch.randn(part.shape, generator=generator, dtype=torch.float64).to(kind) for part in (states, end)]
    loss = sum((part * pull).sum() for part, pull in zip((states, end), pulls, strict=True))
    grads = torch.autograd.grad(loss.real if kind.is_complex else loss, leaves)
    named = zip(["states", "end", "decay", "drive", "start"], [states.detach(), end.detach(), *grads], strict=True)
    return {name: torch.view_as_real(v) if kind.is_complex else v for name, v in named}


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.complex128, torch.complex64], ids=str)
@pytest.mark.parametrize("constant", [False, True], ids=["varying", "constant"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_is_the_loop(size: tuple[int, int, int], constant: bool, kind: torch.dtype, reverse: bool) -> None:
    given = problem(size, kind, constant)
    double = torch.complex128 if kind.is_complex else torch.float64
    found, expected = solve(linear_scan, given, kind, reverse), solve(by_loop, given, double, reverse)
    if constant and kind in (torch.float32, torch.complex64):  # a sum over all steps and rows
        for result in (found, expected):
            result["decay"] = result["decay"] / size[0]
    precision = torch.float64 if kind in (torch.float64, torch.complex128) else torch.float32
    assert_same(found, expected, TOLERANCES[precision])


def test_the_sizes_run_both_ways() -> None:
    chunks = {size: module._chunks(size[0], size[1] * size[2], "cpu") for size in SIZES}
    assert chunks[(61, 1, 7)] == 13
    assert chunks[(7, 1, 5)] == chunks[(53, 3, 1000)] == 1


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize(
    ("size", "kind"),
    [
        ((1, 2, 1), torch.float64),
        ((1, 2, 1), torch.complex128),
        ((3, 1, 2), torch.float64),
        ((3, 1, 2), torch.complex128),
        ((48, 1, 1), torch.float64),
    ],
    ids=str,
)
def test_first_and_second_derivatives(size: tuple[int, int, int], kind: torch.dtype, reverse: bool) -> None:
    given = [part.requires_grad_() for part in problem(size, kind)]
    assert torch.autograd.gradcheck(lambda *leaves: linear_scan(*leaves, reverse), given)
    assert torch.autograd.gradgradcheck(lambda *leaves: linear_scan(*leaves, reverse), given)


def test_extremes_are_as_exact_as_a_loop() -> None:
    """Decays of 1e-30 underflow when multiplied, a sudden 0 clears what is large, and nothing becomes NaN."""
    decay = torch.full((200, 1, 4), 1e-30)
    decay[:, :, 1] = 1
    decay[:, :, 2] = 0
    decay[::3, :, 3] = -1
    drive = torch.randn(200, 1, 4) * torch.tensor([1e-20, 1e20, 1e30, 1.0])
    start = torch.tensor([[1.0, -1e38, 3e38, 0.0]])
    states, end = linear_scan(decay, drive, start)
    expected, last = by_loop(decay.double(), drive.double(), start.double(), False)
    assert states.isfinite().all()
    # relative to the largest number that went in: sums that cancel are no more exact in a loop
    scale = torch.tensor([1e-20, 1e38, 1e30, 1.0]).double()
    assert ((states.double() - expected).abs() <= 3e-5 * scale).all()
    assert ((end.double() - last).abs() <= 3e-5 * scale).all()


def test_a_pull_of_any_layout_comes_through() -> None:
    """The gradient of a sum is one number expanded, that of a transposed output is transposed."""
    given = problem((200, 2, 3), torch.float64)
    results = []
    for run in (linear_scan, by_loop):
        leaves = [part.clone().requires_grad_() for part in given]
        states, _ = run(*leaves, False)
        results.append(torch.autograd.grad(states.sum() + states.transpose(0, 1).square().sum(), leaves))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
