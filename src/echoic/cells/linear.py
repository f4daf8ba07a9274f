"""Cells whose recurrence is linear in the state, so that time need not be walked step by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from echoic.cells.base import Cell


class Decay(NamedTuple):
    """One field of the state that decays and is driven: m' = decay * m + drive, element by element.

    decay: [..., F] or [F], from -1 to 1: what grows does not belong in a scan, which multiplies decays.
    drive: [..., F].
    """

    decay: Tensor
    drive: Tensor

    width = 1  # fields of the state that it moves

    def step(self, fields: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The field [B, F] one step later."""
        return (self.decay * fields[0] + self.drive,)

    def packed(self) -> tuple[Tensor, Tensor]:
        """Decay and drive of the fields packed into one tensor, as a scan takes them."""
        return self.decay, self.drive

    def pack(self, fields: Sequence[Tensor]) -> Tensor:
        """The field as it is."""
        return fields[0]

    def unpack(self, packed: Tensor) -> tuple[Tensor, ...]:
        """And back."""
        return (packed,)


class Turn(NamedTuple):
    """Two fields, real and imaginary part of a complex number that turns, decays and is driven: m' = decay * m + drive.

    decay_real, decay_imag: [..., F] or [F], of magnitude 1 at most.
    drive_real, drive_imag: [..., F].
    """

    decay_real: Tensor
    decay_imag: Tensor
    drive_real: Tensor
    drive_imag: Tensor

    width = 2

    def step(self, fields: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Real and imaginary part [B, F] one step later."""
        real, imag = fields
        return (
            self.decay_real * real - self.decay_imag * imag + self.drive_real,
            self.decay_real * imag + self.decay_imag * real + self.drive_imag,
        )

    def packed(self) -> tuple[Tensor, Tensor]:
        """Decay and drive as complex numbers."""
        return _complex(self.decay_real, self.decay_imag), _complex(self.drive_real, self.drive_imag)

    def pack(self, fields: Sequence[Tensor]) -> Tensor:
        """Both fields as one complex tensor."""
        return _complex(*fields)

    def unpack(self, packed: Tensor) -> tuple[Tensor, ...]:
        """And back."""
        return torch.view_as_real(packed).unbind(-1)


class LinearCell(Cell):
    """A cell whose state goes on by m' = decay * m + drive, where decay and drive depend on the input alone.

    A subclass writes ``coefficients`` and ``read_out`` in the place of ``update``, which follows from them; so the loop
    and the scan over time (``echoic.engine.scan``) cannot mean different things. What recurs are the last fields of the
    state; where the hidden state is none of them, it is the first field, and holds the output.
    """

    def coefficients(self, projected: Tensor) -> tuple[Decay | Turn, ...]:
        """How the recurring fields go on, in their order: [..., G*H] to coefficients [..., F]."""
        raise NotImplementedError

    def read_out(self, projected: Tensor, memory: Sequence[Tensor]) -> Tensor:
        """The output [..., output_size] of the recurring fields [..., F] after the step."""
        raise NotImplementedError

    @final
    def update(self, projected: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: projected input [B, G*H] and state to output [B, output_size] and new state."""
        coefficients = self.coefficients(projected)
        start = len(state) - sum(part.width for part in coefficients)
        memory: list[Tensor] = []
        for part in coefficients:
            first = start + len(memory)
            memory.extend(part.step(state[first : first + part.width]))
        output = self.read_out(projected, memory)
        return output, type(state)(*memory) if start == 0 else type(state)(output, *memory)

    def make_input_weights(self, rows: int) -> None:
        """Create weight_ih [rows, I] and bias_ih [rows]: such a cell multiplies the state by no matrix."""
        self.weight_ih = nn.Parameter(torch.empty(rows, self.input_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))

    def set_bias(self, block: int, value: float) -> None:
        """Set the bias of one gate, counted in blocks of ``hidden_size``."""
        with torch.no_grad():
            self.bias_ih[block * self.hidden_size : (block + 1) * self.hidden_size] = value

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform within 1/sqrt(I): the sums of these gates run over the inputs alone."""
        bound = 1 / math.sqrt(self.input_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)


def positive(values: Tensor) -> Tensor:
    """x + 1/2 above zero and sigmoid(x) below: what keeps a state positive (Feng et al., 2024)."""
    return torch.relu(values) + torch.sigmoid(-torch.relu(-values))


def _complex(real: Tensor, imag: Tensor) -> Tensor:
    """Complex numbers of single or double precision; there are none of less that could be multiplied."""
    least = torch.promote_types(torch.promote_types(real.dtype, imag.dtype), torch.float32)
    return torch.complex(real.to(least), imag.to(least))
