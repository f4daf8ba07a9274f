"""Stacks of cells, regularisers, pooling, and the drop-ins for torch.nn."""

from echoic.layers.recurrent import Recurrent

__all__ = ["Recurrent"]
