"""The vectors and matrices of a run as the engine takes them: addresses and strides of what the prologue gives."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add, attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from echoic.engine.onlookers import recording_operators
from echoic.errors import OptionError


class Operands(NamedTuple):
    """addresses: of vectors, then of matrices. strides: of the rows and columns of each matrix. alive: memory that must
    stay while they are used."""

    addresses: list[int]
    strides: tuple[tuple[int, int], ...]
    alive: Any


_shape = attrgetter("shape")


class Prologue:
    """What is done with parameters before the runs of a plan.

    Mostly they are transposed or cut and nothing is computed: then where the results lie is known beforehand, and
    PyTorch is not asked again in every run.

    Args:
        module: parameters to derived tensors.
        shapes: of the parameters.
        vectors, matrices: which of these the plan takes, by position.
    """

    def __init__(
        self, module: fx.GraphModule, shapes: Sequence[torch.Size], vectors: Sequence[int], matrices: Sequence[int]
    ) -> None:
        self._module, self._shapes, self._vectors, self._matrices = module, tuple(shapes), vectors, matrices
        self._looked = False
        # Of each operand, where all are views, its parameter and at which byte it begins
        self._owners: list[int] | None = None
        self._bytes: list[int] = []
        self._strides: tuple[tuple[int, int], ...] = ()

    def operands(self, parameters: Sequence[Tensor]) -> Operands:
        """The vectors and matrices made of parameters.

        Raises:
            OptionError: parameters of other shapes, beyond which the engine would read.
        """
        if tuple(map(_shape, parameters)) != self._shapes:
            known, found = ([list(each) for each in shapes] for shapes in (self._shapes, map(_shape, parameters)))
            raise OptionError(f"parameters: found shapes {found}, expected {known}, as recorded.")
        if not self._looked and not recording_operators():
            self._look(parameters)
        # Where views lie was seen of contiguous parameters alone
        if self._owners is None or not all(map(Tensor.is_contiguous, parameters)):
            return self._computed(parameters)
        at = list(map(Tensor.data_ptr, parameters))
        return Operands(list(map(add, map(at.__getitem__, self._owners), self._bytes)), self._strides, parameters)

    def _computed(self, parameters: Sequence[Tensor]) -> Operands:
        derived = self._module.forward(*parameters)
        rows = [derived[i].contiguous() for i in self._vectors]
        grids = [derived[i] for i in self._matrices]
        strides = tuple((grid.stride(0), grid.stride(1)) for grid in grids)
        return Operands([part.data_ptr() for part in (*rows, *grids)], strides, (rows, grids))

    def _look(self, parameters: Sequence[Tensor]) -> None:
        self._looked = True
        if any("device" in node.kwargs for node in self._module.graph.nodes):
            return  # tensors of its own, which are made in every run
        hollow = [torch.empty(parameter.shape, dtype=parameter.dtype, device="meta") for parameter in parameters]
        owners = {parameter.untyped_storage()._cdata: i for i, parameter in enumerate(hollow)}
        derived, places = self._module.forward(*hollow), []
        for i in (*self._vectors, *self._matrices):
            owner = owners.get(derived[i].untyped_storage()._cdata)
            if owner is None or (derived[i].dim() == 1 and not derived[i].is_contiguous()):
                return
            places.append((owner, int(derived[i].storage_offset()) * derived[i].itemsize))
        self._owners, self._bytes = [owner for owner, _ in places], [byte for _, byte in places]
        self._strides = tuple((derived[i].stride(0), derived[i].stride(1)) for i in self._matrices)
