"""GRU whose matmuls are diffusions over a graph (DCRNN; Li et al., 2018)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class GraphGRUState(NamedTuple):
    """hidden: [B, H], the C features of the first node, of the second, ..."""

    hidden: Tensor


class GraphGRU(Cell):
    """A GRU at every node of a graph, all with the same weights, that sees its neighbours up to some hops away.

    Inputs, states and outputs are blocks, one for each node. Edges are the buffer ``adjacency`` [N, N], weights not
    negative, from row to column: a ring until ``set_adjacency`` is called. Gate blocks of the weights are ordered r, z,
    n; columns by diffusion: the node itself, then 1 to ``hops`` steps along the edges, then as many against them. The
    reset gate acts before the matmul, as published. In a bidirectional stack the layers above cannot tell the nodes
    apart: their inputs are all nodes of one direction, then of the other. (The authors' code takes Chebyshev
    polynomials of the transposes of P and Q instead of the paper's powers.)

    Args:
        input_size: N times the features of a node's input.
        hidden_size: N times the features of a node's state, C.
        nodes: N.
        hops: how far a step sees along and against the edges.

    Raises:
        OptionError: sizes that are no multiples of the nodes; no node; hops below 1 or above 8.
    """

    equations = """
        D(v) = [v, P v, ..., P^K v, Q v, ..., Q^K v]                  [P, Q: mean over edges out of and into a node]
        r = sigmoid(W_ir D(x) + b_ir + W_hr D(h))
        z = sigmoid(W_iz D(x) + b_iz + W_hz D(h))
        n = tanh(W_in D(x) + b_in + W_hn D(r * h))
        h' = (1 - z) * n + z * h
    """
    variants = ({}, {"nodes": 2, "hops": 2})

    adjacency: Tensor  # [N, N]
    diffusion: Tensor  # [N * S, N], the S rows of the first node, of the second, ...

    def __init__(self, input_size: int, hidden_size: int, nodes: int = 4, hops: int = 1) -> None:
        super().__init__(input_size, hidden_size)
        if nodes < 1:
            raise OptionError(f"nodes: found {nodes}, expected at least 1.")
        if not 1 <= hops <= 8:
            raise OptionError(f"hops: found {hops}, expected 1 to 8.")
        for name, size in {"input_size": input_size, "hidden_size": hidden_size}.items():
            if size % nodes:
                raise OptionError(f"GraphGRU: {name}: found {size}, expected a multiple of the {nodes} nodes.")
        self.nodes, self.hops = nodes, hops
        self.channels, diffusions = hidden_size // nodes, 1 + 2 * hops
        self.weight_ih = nn.Parameter(torch.empty(3 * self.channels, diffusions * (input_size // nodes)))
        self.weight_hh = nn.Parameter(torch.empty(3 * self.channels, diffusions * self.channels))
        self.bias_ih = nn.Parameter(torch.empty(3 * self.channels))
        self.register_buffer("adjacency", torch.zeros(nodes, nodes))
        self.register_buffer("diffusion", torch.zeros(nodes * diffusions, nodes))
        self.set_adjacency(torch.eye(nodes).roll(1, dims=1))
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        nodes = options.get("nodes", 4)
        return input_size + -input_size % nodes, hidden_size + -hidden_size % nodes

    @torch.no_grad()
    def set_adjacency(self, adjacency: Tensor) -> None:
        """Set the graph's edges, [N, N] weights from row to column. Raises OptionError for another shape, negative
        weights or what is no finite number."""
        expected = [self.nodes, self.nodes]
        if list(adjacency.shape) != expected:
            raise OptionError(f"adjacency: found shape {list(adjacency.shape)}, expected {expected}.")
        if not torch.isfinite(adjacency).all() or (adjacency < 0).any():
            raise OptionError("adjacency: found negative or infinite weights or NaN, expected weights from 0 up.")
        self.adjacency.copy_(adjacency)
        edges = self.adjacency.double()
        supports = [torch.eye(self.nodes, dtype=torch.float64, device=edges.device)]
        for direction in (edges, edges.T):
            mean = direction / direction.sum(1, keepdim=True).where(direction.sum(1, keepdim=True) > 0, 1)
            supports += [torch.linalg.matrix_power(mean, hop) for hop in range(1, self.hops + 1)]
        self.diffusion.copy_(torch.stack(supports, dim=1).flatten(0, 1))

    def reset_parameters(self) -> None:
        """Glorot's weights; gates that begin open (bias 1), as published."""
        nn.init.xavier_uniform_(self.weight_ih)
        nn.init.xavier_uniform_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        with torch.no_grad():
            self.bias_ih[: 2 * self.channels] = 1

    def initial_state(self, batch_size: int) -> GraphGRUState:
        return GraphGRUState(self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        given = inputs.unflatten(-1, (self.nodes, -1))
        return self._at_nodes(given, self.weight_ih, self.bias_ih).flatten(-2)

    def update(self, projected: Tensor, state: GraphGRUState) -> tuple[Tensor, GraphGRUState]:
        gates, new = slice(2 * self.channels), slice(2 * self.channels, None)
        before = state.hidden.unflatten(-1, (self.nodes, self.channels))
        reset_x, update_x, new_x = projected.unflatten(-1, (self.nodes, -1)).chunk(3, dim=-1)
        reset_h, update_h = self._at_nodes(before, self.weight_hh[gates]).chunk(2, dim=-1)
        r, z = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
        n = torch.tanh(new_x + self._at_nodes(r * before, self.weight_hh[new]))
        self.observe(r=r.flatten(-2), z=z.flatten(-2), n=n.flatten(-2))
        hidden = (n + z * (before - n)).flatten(-2)
        return hidden, GraphGRUState(hidden)

    def _at_nodes(self, features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The same weights at every node, of its features [..., N, C] and their diffusions: [..., N, outputs]."""
        diffused = self.diffusion @ features  # [..., N * S, C]
        return F.linear(diffused.flatten(-2).unflatten(-1, (self.nodes, -1)), weight, bias)
