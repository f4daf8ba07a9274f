"""The contract of a cell: one step of a recurrent network, written once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.errors import OptionError

_observer: ContextVar[dict[str, list[Tensor]] | None] = ContextVar("observer", default=None)


@contextlib.contextmanager
def observed() -> Iterator[dict[str, list[Tensor]]]:
    """Collect what cells name by ``observe`` inside the block: name to the list of its values over the steps run."""
    values: dict[str, list[Tensor]] = {}
    token = _observer.set(values)
    try:
        yield values
    finally:
        _observer.reset(token)


def observing() -> bool:
    """Whether a block of ``observed`` is active: only step-by-step backends can serve it."""
    return _observer.get() is not None


class Cell(nn.Module):
    """One step of a recurrent network.

    A subclass writes ``initial_state`` and ``update``; the weights of an ordinary cell come from ``make_weights`` and
    ``project`` multiplies all inputs by ``weight_ih`` at once. State is a NamedTuple of [B, *] tensors whose first
    field is the hidden state; it is passed and returned, never kept.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the hidden state, H.
        output_size: features of the output; ``hidden_size`` if None.

    Raises:
        OptionError: a size below 1.
    """

    equations: ClassVar[str] = ""  # for `echoic cells`, one equation a line
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)  # options under which the conformance suite tests it
    input_layout: str = ""  # what stands where in an input, of a cell whose features have places; it is a first layer
    unzoned: ClassVar[tuple[str, ...]] = ()  # state fields whose parts zoneout must not mix: counters, scaled sums

    weight_ih: Tensor  # [G*H, I]
    weight_hh: Tensor  # [G*H, width of what recurs]
    bias_ih: Tensor  # [G*H]
    bias_hh: Tensor  # [G*H]

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.output_size = hidden_size if output_size is None else output_size
        for name in ("input_size", "hidden_size", "output_size"):
            if getattr(self, name) < 1:
                raise OptionError(f"{type(self).__name__}: {name}: found {getattr(self, name)}, expected at least 1.")

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        """The input and hidden size from these upwards that the cell can have; most cells can have any."""
        return input_size, hidden_size

    def make_weights(self, blocks: int, recurrent_size: int | None = None) -> None:
        """Create weight_ih, weight_hh, bias_ih and bias_hh for ``blocks`` gates of ``hidden_size`` units."""
        rows = blocks * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, self.input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, recurrent_size or self.output_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform within 1/sqrt(H), as torch.nn does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first step, zeros: a NamedTuple of [B, *] tensors on the weights' device."""
        raise NotImplementedError

    def project(self, inputs: Tensor) -> Tensor:
        """All that needs no state: [..., I] to [..., G*H], one matmul for all time."""
        return F.linear(inputs, self.weight_ih, self.bias_ih)

    def recurrent(self, hidden: Tensor) -> Tensor:
        """What the state adds: [B, width] to [B, G*H]."""
        return F.linear(hidden, self.weight_hh, self.bias_hh)

    def update(self, projected: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: projected input [B, G*H] and state to output [B, output_size] and new state."""
        raise NotImplementedError

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step from an input [B, I]: what streaming and export run."""
        return self.update(self.project(x), state)

    def observe(self, **named: Tensor) -> None:
        """Name values inside a step (gates) for diagnostics; costs nothing unless ``observed`` is active."""
        values = _observer.get()
        if values is not None:
            for name, value in named.items():
                values.setdefault(name, []).append(value)

    def zeros(self, batch_size: int, size: int) -> Tensor:
        """[B, size] zeros of the weights' type and device."""
        like = next((p for p in self._parameters.values() if p is not None), None)  # parameters() costs microseconds
        like = next(self.parameters()) if like is None else like
        return like.new_zeros(batch_size, size)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"
