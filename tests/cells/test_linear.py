"""MinGRU, MinLSTM, SRU and LRU against formulas written out here."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch import Tensor

from echoic.cells import LRU, SRU, LRUState, MinGRU, MinGRUState, MinLSTM, MinLSTMState, SRUState
from echoic.errors import OptionError


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def sigmoid(values: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-values))


def kept_positive(values: Tensor) -> Tensor:
    return torch.where(values >= 0, values + 0.5, sigmoid(values))


def sums(cell: MinGRU | MinLSTM | SRU, x: Tensor) -> tuple[Tensor, ...]:
    """What each block of the weights makes of the input."""
    return (x @ cell.weight_ih.T + cell.bias_ih).split(5, dim=1)


@pytest.mark.parametrize("positive", [False, True])
def test_mingru(positive: bool) -> None:
    cell, x, h = MinGRU(3, 5, positive=positive).double(), draw(4, 3), draw(4, 5)
    output, state = cell.step(x, MinGRUState(h))
    z, n = sums(cell, x)
    z, n = sigmoid(z), kept_positive(n) if positive else n
    torch.testing.assert_close(output, (1 - z) * h + z * n)
    assert torch.equal(state.hidden, output)


@pytest.mark.parametrize("positive", [False, True])
def test_minlstm(positive: bool) -> None:
    cell, x, h = MinLSTM(3, 5, positive=positive).double(), draw(4, 3), draw(4, 5)
    output, state = cell.step(x, MinLSTMState(h))
    i, f, g = sums(cell, x)
    i, f, g = sigmoid(i), sigmoid(f), kept_positive(g) if positive else g
    torch.testing.assert_close(output, f / (f + i) * h + i / (f + i) * g)
    assert torch.equal(state.hidden, output)


def test_minlstm_with_both_gates_shut() -> None:
    """Sums of -200 leave nothing of either gate in single precision; their ratio is still known."""
    cell = MinLSTM(1, 2)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih.copy_(torch.tensor([-200.0, -201.0, -200.0, -199.0, 7.0, 7.0]))
    output, _ = cell.step(torch.zeros(1, 1), MinLSTMState(torch.tensor([[3.0, 3.0]])))
    output.sum().backward()
    kept = torch.tensor([0.5, 1 / (1 + math.exp(-2))])
    torch.testing.assert_close(output.detach(), (kept * 3 + (1 - kept) * 7).unsqueeze(0))
    assert cell.bias_ih.grad is not None
    assert cell.bias_ih.grad.isfinite().all()


@pytest.mark.parametrize("nonlinearity", ["identity", "tanh"])
@pytest.mark.parametrize("width", [3, 5], ids=["W_s x", "x"])
def test_sru(width: int, nonlinearity: str) -> None:
    cell = SRU(width, 5, nonlinearity=nonlinearity).double()
    x, unused, c = draw(4, width), draw(4, 5), draw(4, 5)
    output, state = cell.step(x, SRUState(unused, c))
    parts = sums(cell, x)
    assert len(parts) == (3 if width == 5 else 4)
    candidate, f, r = parts[0], sigmoid(parts[1]), sigmoid(parts[2])
    expected = f * c + (1 - f) * candidate
    skip = x if width == 5 else parts[3]
    shown = torch.tanh(expected) if nonlinearity == "tanh" else expected
    torch.testing.assert_close(state.cell, expected)
    torch.testing.assert_close(output, r * shown + (1 - r) * skip)
    assert torch.equal(state.hidden, output)


@pytest.mark.parametrize("nonlinearity", ["identity", "silu", "tanh"])
def test_lru_is_a_complex_diagonal(nonlinearity: str) -> None:
    cell = LRU(3, 5, state_size=4, nonlinearity=nonlinearity).double()
    x, state = draw(2, 3), LRUState(draw(2, 5), draw(2, 4), draw(2, 4))
    output, after = cell.step(x, state)
    drive = torch.complex(cell.weight_ih[:4], cell.weight_ih[4:8])
    read = torch.complex(cell.weight_hy[:, :4], -cell.weight_hy[:, 4:])
    direct = cell.weight_ih[8:]
    values = [
        -math.exp(u) + 1j * math.exp(w) for u, w in zip(cell.decay_log.tolist(), cell.angle_log.tolist(), strict=True)
    ]
    diagonal = torch.tensor([cmath.exp(value) for value in values])
    memory = diagonal * torch.complex(state.real, state.imag) + cell.scale_log.exp() * ((x + 0j) @ drive.T)
    expected = (memory @ read.T).real + x @ direct.T
    expected = {"identity": expected, "silu": expected * sigmoid(expected), "tanh": torch.tanh(expected)}[nonlinearity]
    torch.testing.assert_close(torch.complex(after.real, after.imag), memory)
    torch.testing.assert_close(output, expected)
    assert torch.equal(after.hidden, output)


def test_lru_starts_in_its_ring() -> None:
    torch.manual_seed(0)
    cell = LRU(3, 5, state_size=4000, min_radius=0.6, max_radius=0.9)
    radius = torch.exp(-torch.exp(cell.decay_log.detach()))
    assert 0.6 <= radius.min() < 0.61
    assert 0.89 < radius.max() <= 0.9
    assert radius.square().mean().item() == pytest.approx((0.36 + 0.81) / 2, abs=0.01)  # uniform in the ring's area
    torch.testing.assert_close(cell.scale_log.exp().detach(), (1 - radius.square()).sqrt())
    assert cell.angle_log.detach().exp().mean().item() == pytest.approx(math.pi, abs=0.1)


@pytest.mark.parametrize(("cell", "block", "bias"), [(MinGRU, 0, -1.0), (MinLSTM, 1, 1.0), (SRU, 1, 1.0)])
def test_gates_start_by_keeping(cell: type, block: int, bias: float) -> None:
    own = cell(3, 5)
    assert own.bias_ih[block * 5 : (block + 1) * 5].tolist() == [bias] * 5
    assert own.bias_ih.unique().numel() > 1
    option = "update_bias" if cell is MinGRU else "forget_bias"
    assert cell(3, 5, **{option: 3.0}).bias_ih[block * 5].item() == 3.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SRU(3, 5, nonlinearity="relu"), 'nonlinearity: found "relu", expected one of identity, tanh'),
        (lambda: LRU(3, 5, nonlinearity="SiLU"), 'nonlinearity: found "SiLU", expected one of identity, silu, tanh'),
        (lambda: LRU(3, 5, state_size=0), "state_size: found 0, expected at least 1"),
        (lambda: LRU(3, 5, min_radius=0.9, max_radius=0.8), "found 0.9 and 0.8, expected 0 <= min_radius < max_radius"),
        (lambda: LRU(3, 5, max_radius=1.0), "max_radius"),
    ],
)
def test_wrong_options_are_refused(make, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()
