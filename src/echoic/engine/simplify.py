"""Graphs of tensor operations without detours: transposed twice, reshaped to what it is already."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten
Shape = tuple[int, ...]


def simplify(graph: fx.Graph, shapes: Mapping[str, Shape]) -> None:
    """Take permutations and reshapes that change nothing out of a graph.

    Args:
        graph: of aten operations; is changed.
        shapes: of what it takes, by name.
    """
    known: dict[fx.Node, Shape] = {}
    for node in list(graph.nodes):
        if node.op == "placeholder":
            known[node] = shapes[str(node.target)]
        elif node.op == "call_function":
            node.args = _shortened(node)
            shape = _shape(node, known)
            if shape is None:
                continue
            known[node] = shape
            if _changes_nothing(node, known):
                node.replace_all_uses_with(node.args[0])  # pyright: ignore
    graph.eliminate_dead_code()


def _shortened(node: fx.Node) -> Any:
    """The arguments of a permutation of a permutation, or a reshape of a reshape, in one."""
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or source.op != "call_function":
        return node.args
    if node.target is source.target is aten.permute.default:
        inner: list[int] = list(source.args[1])  # pyright: ignore
        return (source.args[0], [inner[d] for d in node.args[1]])  # pyright: ignore
    if _reshapes(node) and _reshapes(source):
        return (source.args[0], node.args[1])
    return node.args


def _reshapes(node: fx.Node) -> bool:
    return node.target in (aten.reshape.default, aten.view.default)


def _shape(node: fx.Node, known: Mapping[fx.Node, Shape]) -> Shape | None:
    """The shape of what a node makes, or None where nothing says it."""
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    source = known.get(node.args[0]) if node.args else None  # pyright: ignore
    if not _reshapes(node) or source is None:
        return None
    wanted: list[int] = list(node.args[1])  # pyright: ignore
    rest = math.prod(size for size in wanted if size != -1)
    return tuple(math.prod(source) // rest if size == -1 else size for size in wanted)


def _changes_nothing(node: fx.Node, known: Mapping[fx.Node, Shape]) -> bool:
    if node.target is aten.permute.default:
        return list(node.args[1]) == list(range(len(known[node])))  # pyright: ignore
    return _reshapes(node) and known.get(node.args[0]) == known[node]  # pyright: ignore
