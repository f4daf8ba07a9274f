"""``torch.nn``'s RNN, LSTM and GRU upon echoic's engine: same constructors, shapes, parameters and results.

The parameters live on the module itself under ``torch.nn``'s names (weight_ih_l0, weight_hh_l0_reverse, weight_hr_l0).
Whatever replaces one (weight normalisation, tying, ``load_state_dict(assign=True)``) is honoured at the next call,
because each call lends them to a ``Recurrent`` that is no submodule.

With ``dropout`` the same random seed gives another mask than ``torch.nn`` draws; everything else agrees.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from echoic.cells import GRU as GRUCell
from echoic.cells import LSTM as LSTMCell
from echoic.cells import Cell, Elman
from echoic.errors import OptionError
from echoic.layers.recurrent import Recurrent

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class DropIn(nn.Module):
    """What the three share. Arguments, attributes and parameters are those of ``torch.nn.RNNBase``.

    Raises:
        OptionError: (a ValueError) an argument that ``torch.nn`` would refuse too.
    """

    mode: str
    blocks: ClassVar[int]  # gates of the cell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._check_options()
        for name, shape in self._shapes().items():
            setattr(self, name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def _check_options(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}: found {getattr(self, name)}, expected at least 1.")
        if not 0 <= self.dropout <= 1:
            raise OptionError(f"dropout: found {self.dropout}, expected a probability from 0 to 1.")
        if not 0 <= self.proj_size < self.hidden_size:
            raise OptionError(f"proj_size: found {self.proj_size}, expected 0 (none) to {self.hidden_size - 1}.")
        if self.dropout > 0 and self.num_layers == 1:
            warnings.warn("dropout acts between layers, and there is one layer only", stacklevel=4)

    @property
    def _suffixes(self) -> list[str]:
        """One for each layer and direction, in the order of the states."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [f"_l{layer}{direction}" for layer in range(self.num_layers) for direction in directions]

    @property
    def _output_size(self) -> int:
        """Features of one direction's output."""
        return self.proj_size or self.hidden_size

    def _layer_input_size(self, position: int) -> int:
        """Inputs of the layer to which the cell at ``position`` of ``_suffixes`` belongs."""
        directions = 1 + self.bidirectional
        return self.input_size if position < directions else directions * self._output_size

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter by name, in ``torch.nn``'s order."""
        rows = self.blocks * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {}
        for position, suffix in enumerate(self._suffixes):
            shapes["weight_ih" + suffix] = (rows, self._layer_input_size(position))
            shapes["weight_hh" + suffix] = (rows, self._output_size)
            if self.bias:
                shapes["bias_ih" + suffix] = shapes["bias_hh" + suffix] = (rows,)
            if self.proj_size:
                shapes["weight_hr" + suffix] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(hidden_size), drawn in ``torch.nn``'s order: the same seed gives the same weights."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do here; ``torch.nn`` packs weights for cuDNN at this call."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction."""
        return [
            [getattr(self, part + suffix) for part in PARTS if hasattr(self, part + suffix)]
            for suffix in self._suffixes
        ]

    def explain(self) -> str:
        """Which backend runs this, and why."""
        return self._recurrent.explain()

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """As ``torch.nn``: ``input`` is [T, B, I] ([B, T, I] if ``batch_first``), [T, I] without a batch, or packed;
        ``hx`` is [L * D, B, H] (a pair for the LSTM), [L * D, H] without a batch, or None for zeros."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            raise OptionError(f"{self.mode}: found an input of {input.dim()} dimensions, expected 2 or 3.")
        batched = input.dim() == 3
        time_major = not (batched and self.batch_first)
        inputs = input if batched else input.unsqueeze(1)
        parts = self._parts(hx)
        if not batched:
            parts = tuple(part.unsqueeze(1) for part in parts)
        outputs, ends = self._run(inputs.transpose(0, 1) if time_major else inputs, parts, None)
        outputs = outputs.transpose(0, 1) if time_major else outputs
        if not batched:
            outputs, ends = outputs.squeeze(1), tuple(end.squeeze(1) for end in ends)
        return outputs, self._joined(ends)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        data, batch_sizes, order, back = input
        parts = self._parts(hx)
        if order is not None:
            parts = tuple(part.index_select(1, order) for part in parts)
        inputs, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes), batch_first=True)
        outputs, ends = self._run(inputs, parts, lengths)
        if back is not None:
            ends = tuple(end.index_select(1, back) for end in ends)
        packed = pack_padded_sequence(outputs, lengths, batch_first=True)
        return PackedSequence(packed.data, batch_sizes, order, back), self._joined(ends)

    def _run(
        self, inputs: Tensor, parts: tuple[Tensor, ...], lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``inputs`` [B, T, I] and the parts of the state, [L * D, B, *] (none for zeros), to outputs and parts."""
        if inputs.shape[2] != self.input_size:
            raise OptionError(f"{self.mode}: found inputs of {inputs.shape[2]} features, expected {self.input_size}.")
        for part, size in zip(parts, self._state_sizes, strict=False):
            expected = (len(self._suffixes), inputs.shape[0], size)
            if tuple(part.shape) != expected:
                raise OptionError(f"{self.mode}: found a state of shape {tuple(part.shape)}, expected {expected}.")
        recurrent = self._recurrent.train(self.training)
        state = None
        if parts:
            kind = type(recurrent.layers()[0][0].initial_state(1))
            state = tuple(kind(*(part[position] for part in parts)) for position in range(len(self._suffixes)))
        options = {"state": state, "lengths": lengths}
        if not torch.compiler.is_compiling() and self._holds_parameters(recurrent):
            outputs, ends = recurrent(inputs, **options)
        else:
            outputs, ends = functional_call(recurrent, self._lent_parameters(recurrent), (inputs,), options)
        return outputs, tuple(torch.stack(part) for part in zip(*ends, strict=True))

    @property
    def _state_sizes(self) -> tuple[int, ...]:
        return (self._output_size,)

    def _parts(self, hx: Any) -> tuple[Tensor, ...]:
        return () if hx is None else (hx,)

    def _joined(self, parts: tuple[Tensor, ...]) -> Any:
        return parts[0]

    def _cell(self, input_size: int) -> Cell:
        raise NotImplementedError

    @property
    def _recurrent(self) -> Recurrent:
        """The layer that runs the equations. It is no submodule: its parameters are lent to it at each call."""
        if "_skeleton" not in self.__dict__:
            with torch.device("meta"):
                cells = [self._cell(self._layer_input_size(position)) for position in range(len(self._suffixes))]
                between = nn.Dropout(self.dropout) if self.dropout else None
                self.__dict__["_skeleton"] = Recurrent(cells, bidirectional=self.bidirectional, between=between)
        return self.__dict__["_skeleton"]

    def _holds_parameters(self, recurrent: Recurrent) -> bool:
        """Whether all parameters are plain ones of this module, which then stand in the cells themselves: lending them
        anew at every call costs more than a short sequence."""
        for cell, suffix in zip(recurrent.cells._modules.values(), self._suffixes, strict=True):
            held = cell._parameters  # pyright: ignore
            for name, there in held.items():
                own = self._parameters.get(name + suffix)
                if own is None:
                    return False
                if own is not there:
                    held[name] = own
        return True

    def _lent_parameters(self, recurrent: Recurrent) -> dict[str, Tensor]:
        lent: dict[str, Tensor] = {}
        for position, suffix in enumerate(self._suffixes):
            for name, own in recurrent.cells[position].named_parameters():
                given = getattr(self, name + suffix, None)
                if given is None:  # bias=False: the cell adds zeros
                    given = getattr(self, "weight_ih" + suffix).new_zeros(own.shape)
                lent[f"cells.{position}.{name}"] = given
        return lent

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_skeleton"}

    def extra_repr(self) -> str:
        shown = [str(self.input_size), str(self.hidden_size)]
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        for name, default in {"proj_size": 0, **defaults}.items():
            if getattr(self, name) != default:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)


class RNN(DropIn):
    """``torch.nn.RNN``: ``nonlinearity`` is "tanh" or "relu" and comes fourth, as there."""

    blocks = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **options: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise OptionError(f'nonlinearity: found "{nonlinearity}", expected "tanh" or "relu".')
        if "proj_size" in options or len(args) > 4:
            raise OptionError("proj_size: an RNN has no projection; use LSTM.")
        self.mode = f"RNN_{nonlinearity.upper()}"
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, *args, **options)

    def _cell(self, input_size: int) -> Cell:
        return Elman(input_size, self.hidden_size, nonlinearity=self.nonlinearity)


class LSTM(DropIn):
    """``torch.nn.LSTM``, projections included."""

    mode = "LSTM"
    blocks = 4

    def _cell(self, input_size: int) -> Cell:
        return LSTMCell(input_size, self.hidden_size, projection_size=self.proj_size or None)

    @property
    def _state_sizes(self) -> tuple[int, ...]:
        return (self._output_size, self.hidden_size)

    def _parts(self, hx: Any) -> tuple[Tensor, ...]:
        if hx is None:
            return ()
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise OptionError("LSTM: expected the state as a pair (h_0, c_0).")
        return tuple(hx)

    def _joined(self, parts: tuple[Tensor, ...]) -> Any:
        return parts


class GRU(DropIn):
    """``torch.nn.GRU``: the reset gate acts after the matrix product."""

    mode = "GRU"
    blocks = 3

    def _cell(self, input_size: int) -> Cell:
        return GRUCell(input_size, self.hidden_size)
