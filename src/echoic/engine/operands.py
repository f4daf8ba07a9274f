"""The vectors and matrices of a run as the engine takes them: addresses and strides of what the prologue gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from echoic.engine.onlookers import recording_operators


class Operands(NamedTuple):
    """vectors: addresses. matrices: ``echoic_matrix`` each. alive: memory that must stay while they are used."""

    vectors: list[int]
    matrices: list[tuple[int, int, int, int]]
    alive: Any


_Addresses = tuple[list[int], list[tuple[int, int, int, int]]]


class _View(NamedTuple):
    """A parameter seen otherwise: which, from which of its numbers on, with which strides."""

    parameter: int
    offset: int
    strides: tuple[int, ...]


class Prologue:
    """What is done with parameters before a run.

    Mostly they are transposed or cut and nothing is computed: then where the results lie is known beforehand, and
    PyTorch is not asked again in every run.

    Args:
        module: parameters to derived tensors.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        self.module = module
        self._views: list[_View] | None = None
        self._looked = False
        # What was found last for a plan, and for parameters of which size and where
        self._last: dict[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, list[int]], _Addresses]] = {}

    def operands(self, parameters: Sequence[Tensor], vectors: Sequence[int], matrices: Sequence[int]) -> Operands:
        """Those of the derived tensors that are vectors and matrices of a plan, by position."""
        views = self._views_of(parameters)
        if views is None:
            derived = self.module.forward(*parameters)
            rows = [derived[i].contiguous() for i in vectors]
            grids = [derived[i] for i in matrices]
            described = [(grid.data_ptr(), grid.stride(0), grid.stride(1), 0) for grid in grids]
            return Operands([row.data_ptr() for row in rows], described, (rows, grids))
        size = parameters[0].itemsize if parameters else 0
        at = [parameter.data_ptr() for parameter in parameters]
        plan = tuple(vectors), tuple(matrices)
        before = self._last.get(plan)
        if before is not None and before[0] == (size, at):
            return Operands(*before[1], parameters)
        found = []
        for i in matrices:
            parameter, offset, (down, right) = views[i]
            found.append((at[parameter] + offset * size, down, right, 0))
        last = [at[views[i].parameter] + views[i].offset * size for i in vectors], found
        self._last[plan] = (size, at), last
        return Operands(*last, parameters)

    def _views_of(self, parameters: Sequence[Tensor]) -> list[_View] | None:
        """Each derived tensor as a view, or None where one is none, or where parameters lie otherwise than usual."""
        if not self._looked and not recording_operators():
            self._looked, self._views = True, _views(self.module, parameters)
        if self._views is None or not all(parameter.is_contiguous() for parameter in parameters):
            return None
        return self._views


def _views(module: fx.GraphModule, parameters: Sequence[Tensor]) -> list[_View] | None:
    hollow = [torch.empty(parameter.shape, device="meta") for parameter in parameters]
    owners = {parameter.untyped_storage()._cdata: i for i, parameter in enumerate(hollow)}
    found = []
    for derived in module.forward(*hollow):
        owner = owners.get(derived.untyped_storage()._cdata)
        if owner is None or (derived.dim() == 1 and not derived.is_contiguous()):
            return None
        found.append(_View(owner, int(derived.storage_offset()), derived.stride()))
    return found
