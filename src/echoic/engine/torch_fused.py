"""PyTorch's own kernels (cuDNN, oneDNN) for cells that are exactly theirs.

Unequal lengths go without packed sequences, which leave the fast kernels on CPUs: what runs past a row's end is
discarded, a reversed row is flipped within its own length, and an extra input, 1 on padding, holds what must not run
on: an LSTM's cell state (its forget gate is opened and its input gate shut fully), and rectified units, which stay 0
where they could otherwise grow past all numbers.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from echoic.cells import GRU, LSTM, Cell, Elman, observing
from echoic.engine.call import Call
from echoic.engine.record import recording

SATURATED = 1e4  # added to a gate's sum: its sigmoid is then 0 or 1 to the last bit, and its gradient 0
EQUATIONS = ("project", "recurrent", "update")  # a subclass that writes one of these anew is another cell


class TorchFused:
    """torch.nn's kernels for Elman (tanh, relu), LSTM (plain or projected) and GRU (reset after)."""

    name = "torch"
    reads_padding = True

    def refusal(self, cell: Cell, call: Call) -> str | None:
        kind = next((k for k in KERNELS if isinstance(cell, k)), None)
        if kind is None or any(getattr(type(cell), part) is not getattr(kind, part) for part in EQUATIONS):
            return f"torch has no kernel for {type(cell).__name__}"
        reason = DIFFERENCES[kind](cell)
        if reason is not None:
            return f"torch's {kind.__name__} kernel has no {reason}"
        if call.reset is not None:
            return "torch's kernels cannot clear the state in the midst of a sequence"
        if call.memory != "store":
            return f"torch's kernels keep all gates; memory={call.memory!r} needs another backend"
        if recording() is not None or observing():
            return "the steps are being observed one by one"
        if _has_one_kernel(cell) and _asks_for_shorter(call.inputs) and not _has_shorter():
            return f"this processor has no {torch.get_autocast_dtype('cpu')} kernel for the LSTM"
        return None

    def run(self, cell: Cell, call: Call) -> tuple[Tensor, Any]:
        kernel = next(run for kind, run in KERNELS.items() if isinstance(cell, kind))
        if call.lengths is None:
            inputs = call.inputs.flip(0) if call.reverse else call.inputs
            outputs, state = kernel(cell, inputs, call.state, None)
            return (outputs.flip(0) if call.reverse else outputs), state
        steps = torch.arange(call.inputs.shape[0], device=call.inputs.device).unsqueeze(1)  # [T, 1]
        padding = steps >= call.lengths  # [T, B]
        mirror = torch.where(padding, steps, call.lengths - 1 - steps) if call.reverse else None
        inputs = call.inputs if mirror is None else _reorder(call.inputs, mirror)
        outputs, ended = kernel(cell, inputs, call.state, padding)
        last = (call.lengths - 1).clamp(min=0)[None, :, None].expand(1, -1, outputs.shape[2])
        empty = (call.lengths == 0).unsqueeze(1)
        hidden = torch.where(empty, call.state[0].to(outputs.dtype), outputs.gather(0, last)[0])
        outputs = torch.where(padding.unsqueeze(2), 0, outputs)
        if mirror is not None:
            outputs = _reorder(outputs, mirror)
        return outputs, type(call.state)(hidden, *ended[1:])


def calculates_shorter(cell: Cell, call: Call) -> bool:
    """Whether autocast has torch run the whole of a cell in a kernel of a shorter type than float32."""
    return _has_one_kernel(cell) and _asks_for_shorter(call.inputs) and _has_shorter()


def _has_one_kernel(cell: Cell) -> bool:
    """Whether all steps are one kernel of oneDNN; other cells are loops over torch's operations."""
    return isinstance(cell, LSTM) and cell.projection_size is None


def _asks_for_shorter(inputs: Tensor) -> bool:
    return inputs.is_cpu and torch.is_autocast_enabled("cpu") and torch.backends.mkldnn.is_available()


def _has_shorter() -> bool:
    """Whether oneDNN can run here in the type that autocast asks for. Else torch would fail in mid-call."""
    known = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return known[torch.get_autocast_dtype("cpu")]()


def _reorder(values: Tensor, order: Tensor) -> Tensor:
    """values [T, B, F] with step order[t, b] of row b at t."""
    return values.gather(0, order.unsqueeze(2).expand(-1, -1, values.shape[2]))


def _elman(cell: Any, inputs: Tensor, state: Any, padding: Tensor | None) -> tuple[Tensor, Any]:
    weights = _weights(cell)
    if padding is not None and cell.nonlinearity == "relu":
        inputs = _flagged(inputs, padding)
        weights[0] = torch.cat([weights[0], _holding(cell, weights[0], (-SATURATED,))], dim=1)
    run = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}[cell.nonlinearity]
    outputs, hidden = run(inputs, state.hidden.unsqueeze(0), weights, True, 1, 0.0, cell.training, False, False)
    return outputs, type(state)(hidden.squeeze(0))


def _gru(cell: Any, inputs: Tensor, state: Any, padding: Tensor | None) -> tuple[Tensor, Any]:
    options = (True, 1, 0.0, cell.training, False, False)
    outputs, hidden = torch.gru(inputs, state.hidden.unsqueeze(0), _weights(cell), *options)
    return outputs, type(state)(hidden.squeeze(0))


def _lstm(cell: Any, inputs: Tensor, state: Any, padding: Tensor | None) -> tuple[Tensor, Any]:
    weights = _weights(cell)
    if padding is not None:
        inputs = _flagged(inputs, padding)
        weights[0] = torch.cat([weights[0], _holding(cell, weights[0], (-SATURATED, SATURATED, 0, 0))], dim=1)
    if cell.projection_size is not None:
        weights.append(cell.weight_hr)
    start = [part.unsqueeze(0) for part in state]
    with contextlib.nullcontext() if cell.projection_size is None else _quietly():
        outputs, hidden, memory = torch.lstm(inputs, start, weights, True, 1, 0.0, cell.training, False, False)
    return outputs, type(state)(hidden.squeeze(0), memory.squeeze(0))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """oneDNN has no LSTM with projections, and torch warns that its own loop runs; that is no news to act upon."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
        yield


def _flagged(inputs: Tensor, padding: Tensor) -> Tensor:
    """The inputs [T, B, I] with one more feature: 1 where a step is padding."""
    return torch.cat([inputs, padding.unsqueeze(2).to(inputs.dtype)], dim=2)


def _holding(cell: Cell, like: Tensor, blocks: tuple[float, ...]) -> Tensor:
    """Input weights [G*H, 1] of that feature: what it adds to each block's sums."""
    sums = torch.tensor(blocks, dtype=like.dtype, device=like.device)
    return sums.repeat_interleave(cell.hidden_size).unsqueeze(1)


def _weights(cell: Cell) -> list[Tensor]:
    return [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]


def _elman_difference(cell: Any) -> str | None:
    return None if cell.nonlinearity in ("tanh", "relu") else f"nonlinearity {cell.nonlinearity!r}"


def _lstm_difference(cell: Any) -> str | None:
    options = {"peepholes": cell.peephole, "coupled gates": cell.coupled, "layer normalisation": cell.layer_norm}
    return next((name for name, used in options.items() if used), None)


def _gru_difference(cell: Any) -> str | None:
    return None if cell.reset_after else "reset before the matmul"


KERNELS: dict[type[Cell], Callable[[Any, Tensor, Any, Tensor | None], tuple[Tensor, Any]]] = {
    Elman: _elman,
    LSTM: _lstm,
    GRU: _gru,
}
DIFFERENCES: dict[type[Cell], Callable[[Any], str | None]] = {
    Elman: _elman_difference,
    LSTM: _lstm_difference,
    GRU: _gru_difference,
}
