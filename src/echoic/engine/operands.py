"""The vectors and matrices of a run as the engine takes them: addresses and strides of what the prologue gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from echoic.engine.onlookers import recording_operators


class Operands(NamedTuple):
    """addresses: of vectors, then of matrices. strides: of the rows and columns of each matrix. alive: memory that must
    stay while they are used."""

    addresses: list[int]
    strides: tuple[tuple[int, int], ...]
    alive: Any


class _View(NamedTuple):
    """A parameter seen otherwise: which, from which of its numbers on, with which strides."""

    parameter: int
    offset: int
    strides: tuple[int, ...]


class _Seen(NamedTuple):
    """The operands of a plan. places: of each its parameter, and at which byte it begins. strides: of matrices."""

    places: list[tuple[int, int]]
    strides: tuple[tuple[int, int], ...]


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
        self._seen: dict[Any, _Seen] = {}

    def operands(self, parameters: Sequence[Tensor], vectors: tuple[int, ...], matrices: tuple[int, ...]) -> Operands:
        """Those of the derived tensors that are vectors and matrices of a plan, by position."""
        views = self._views_of(parameters)
        if views is None:
            derived = self.module.forward(*parameters)
            rows = [derived[i].contiguous() for i in vectors]
            grids = [derived[i] for i in matrices]
            strides = tuple((grid.stride(0), grid.stride(1)) for grid in grids)
            return Operands([part.data_ptr() for part in (*rows, *grids)], strides, (rows, grids))
        key = vectors, matrices, parameters[0].itemsize if parameters else 0
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _seen(views, *key)
        at = [parameter.data_ptr() for parameter in parameters]
        return Operands([at[parameter] + offset for parameter, offset in seen.places], seen.strides, parameters)

    def _views_of(self, parameters: Sequence[Tensor]) -> list[_View] | None:
        """Each derived tensor as a view, or None where one is none, or where parameters lie otherwise than usual."""
        if not self._looked and not recording_operators():
            self._looked, self._views = True, _views(self.module, parameters)
        if self._views is None or not all(parameter.is_contiguous() for parameter in parameters):
            return None
        return self._views


def _seen(views: list[_View], vectors: tuple[int, ...], matrices: tuple[int, ...], size: int) -> _Seen:
    places = [(views[i].parameter, views[i].offset * size) for i in (*vectors, *matrices)]
    strides = [views[i].strides for i in matrices]
    return _Seen(places, tuple((down, right) for down, right in strides))


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
