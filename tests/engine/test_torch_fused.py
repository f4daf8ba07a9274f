"""torch's kernels: that they run, and what they must not do in the padding."""

from __future__ import annotations

import pytest
import torch
from tests.tolerances import TOLERANCES, assert_same
from torch.profiler import profile

from echoic.cells import GRU, LSTM, Elman, LSTMState
from echoic.engine import unroll
from echoic.engine.torch_fused import SATURATED

LENGTHS = torch.tensor([11, 3, 0, 7])


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
def test_the_lstm_trains_on_onednn(lengths: torch.Tensor | None, reverse: bool) -> None:
    cell, inputs = LSTM(3, 7), torch.randn(4, 11, 3)
    with profile() as recorded:
        outputs, _ = unroll(cell, inputs, lengths=lengths, reverse=reverse, options=("torch", "store"))
        outputs.sum().backward()
    ran = [event.key for event in recorded.key_averages()]
    assert "aten::mkldnn_rnn_layer" in ran
    assert "aten::mkldnn_rnn_layer_backward" in ran


def test_a_step_is_not_lost_in_saturation() -> None:
    """The flag's weight shuts and opens gates to the last bit in every type of numbers that trains."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        gates = torch.sigmoid(torch.tensor([-SATURATED, SATURATED], dtype=dtype) + torch.randn(2, dtype=dtype) * 100)
        assert gates.tolist() == [0.0, 1.0]


def test_cell_state_is_held_over_a_long_padding() -> None:
    cell = LSTM(3, 7)
    state = LSTMState(torch.randn(2, 7), torch.randn(2, 7))
    inputs = torch.randn(2, 3000, 3)
    _, held = unroll(cell, inputs, state, lengths=torch.tensor([2, 3000]), options=("torch", "store"))
    _, alone = unroll(cell, inputs[:, :2], state, options=("torch", "store"))
    torch.testing.assert_close(held.cell[0], alone.cell[0], rtol=0, atol=1e-7)
    torch.testing.assert_close(held.hidden[0], alone.hidden[0], rtol=0, atol=1e-7)


def test_rectified_units_do_not_overflow_in_the_padding() -> None:
    """A unit that grows threefold a step would pass all numbers in the padding, and 0 times infinity is no gradient."""
    found = []
    for backend in ("torch", "reference"):
        cell = Elman(2, 3, nonlinearity="relu")
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.fill_(1.0)
        outputs, end = unroll(
            cell, torch.ones(2, 400, 2), lengths=torch.tensor([3, 2]), options=(backend, "store"), reverse=True
        )
        (outputs.sum() + end.hidden.sum()).backward()
        gradients = {name: parameter.grad for name, parameter in cell.named_parameters() if parameter.grad is not None}
        found.append({"outputs": outputs.detach(), "end": end.hidden.detach(), **gradients})
    assert len(found[1]) == 6
    assert found[1]["weight_hh"].isfinite().all()
    assert_same(found[0], found[1], TOLERANCES[torch.float32])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
@pytest.mark.parametrize("kind", [Elman, LSTM, GRU])
def test_bf16_on_a_cpu_with_or_without_it(kind: type, lengths: torch.Tensor | None) -> None:
    """Autocast gives what float32 gives, in fewer digits, also where oneDNN has no bf16 LSTM."""
    torch.manual_seed(0)
    cell, inputs = kind(3, 7), torch.randn(4, 11, 3)
    expected, _ = unroll(cell, inputs, lengths=lengths)
    with torch.autocast("cpu", torch.bfloat16):
        outputs, end = unroll(cell, inputs, lengths=lengths)
    (outputs.float().sum() + end[0].float().sum()).backward()
    assert cell.weight_hh.grad is not None
    assert cell.weight_hh.grad.isfinite().all()
    assert_same({"outputs": outputs.detach()}, {"outputs": expected.detach()}, TOLERANCES[torch.bfloat16])


def test_projections_do_not_warn() -> None:
    outputs, _ = unroll(LSTM(3, 7, projection_size=2), torch.randn(2, 5, 3), options=("torch", "store"))
    assert outputs.shape == (2, 5, 2)
