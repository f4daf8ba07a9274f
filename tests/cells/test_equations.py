"""Cells against their papers' equations, written out here once more: NumPy, one row, one unit or node at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from echoic.cells import build_cell

Array = NDArray[np.float64]
Step = Callable[[Mapping[str, Array], Array, list[Array]], list[Array]]  # parameters, x, state to new state


def sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


def relu(v: Array) -> Array:
    return np.maximum(v, 0)


def gates(p: Mapping[str, Array], x: Array, h: Array, count: int) -> list[Array]:
    """W_i x + b_i + W_h h + b_h, gate by gate."""
    sums = p["weight_ih"] @ x + p["bias_ih"] + p["weight_hh"] @ h + p["bias_hh"]
    return np.split(sums, count)


def ligru(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    (h,) = state
    sums = p["weight_ih"] @ x + p["bias_ih"]
    sums = (sums - sums.mean()) / np.sqrt(sums.var() + 1e-5) * p["norm_ih.weight"] + p["norm_ih.bias"]
    z, n = np.split(sums + p["weight_hh"] @ h + p["bias_hh"], 2)
    return [sigmoid(z) * h + (1 - sigmoid(z)) * relu(n)]


def indrnn(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    (h,) = state
    return [np.array([relu(p["weight_ih"][j] @ x + p["weight_hh"][j] * h[j] + p["bias_ih"][j]) for j in range(len(h))])]


def mgu(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    (h,) = state
    (w_f, w_n), (u_f, u_n) = np.split(p["weight_ih"], 2), np.split(p["weight_hh"], 2)
    b_f, b_n = np.split(p["bias_ih"] + p["bias_hh"], 2)
    f = sigmoid(w_f @ x + u_f @ h + b_f)
    return [(1 - f) * h + f * np.tanh(w_n @ x + u_n @ (f * h) + b_n)]


def janet(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    (h,) = state
    s, g = gates(p, x, h, 2)
    return [sigmoid(s) * h + (1 - sigmoid(s - 1)) * np.tanh(g)]


def cornn(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    y, z = state
    size, dt, gamma, epsilon = len(y), 0.3, 1.2, 0.7
    on_y, on_z = p["weight_hh"][:, :size], p["weight_hh"][:, size:]
    force = np.tanh(on_y @ y + on_z @ z + p["weight_ih"] @ x + p["bias_ih"] + p["bias_hh"])
    z = z + dt * force - dt * gamma * y - dt * epsilon * z
    return [y + dt * z, z]


def slstm_plain(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    """Without stabiliser: cell and normaliser at their full size, as e^stabiliser says."""
    h, c, n, m = state
    i, f, g, o = gates(p, x, h, 4)
    c, n = c * np.exp(m), n * np.exp(m)
    c = sigmoid(f) * c + np.exp(i) * np.tanh(g)
    n = sigmoid(f) * n + np.exp(i)
    new_m = np.maximum(np.log(sigmoid(f)) + m, i)
    return [sigmoid(o) * c / n, c / np.exp(new_m), n / np.exp(new_m), new_m]


def slstm_heads(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    """With exp as forget gate and two heads, which are blocks on the diagonal of W_h."""
    h, c, n, m = state
    size, own = len(h), len(h) // 2
    whole = np.zeros((4, size, size))
    for head in range(2):
        for gate in range(4):
            for unit in range(own):
                row = p["weight_hh"][head * 4 * own + gate * own + unit]
                whole[gate, head * own + unit, head * own : (head + 1) * own] = row
    i, f, g, o = gates({**p, "weight_hh": whole.reshape(4 * size, size)}, x, h, 4)
    new_m = np.maximum(f + m, i)
    c = np.exp(f + m - new_m) * c + np.exp(i - new_m) * np.tanh(g)
    n = np.exp(f + m - new_m) * n + np.exp(i - new_m)
    return [sigmoid(o) * c / n, c, n, new_m]


def mlstm(p: Mapping[str, Array], x: Array, state: list[Array], heads: int = 1) -> list[Array]:
    """Without stabiliser: memory and normaliser at their full size, as e^stabiliser says."""
    _, memory, n, m = state
    size, own = len(n), len(n) // heads
    z = p["weight_ih"] @ x + p["bias_ih"]
    i, f = z[4 * size : 4 * size + heads], z[4 * size + heads :]
    new_m = np.maximum(np.log(sigmoid(f)) + m, i)
    matrices, hidden = memory.reshape(heads, own, own).copy(), np.zeros(size)
    n = n.copy()
    for head in range(heads):
        units = slice(head * own, (head + 1) * own)
        q, k, v, o = (z[gate * size : (gate + 1) * size][units] for gate in range(4))
        k = k / math.sqrt(own)
        whole, keys = matrices[head] * np.exp(m[head]), n[units] * np.exp(m[head])
        whole = sigmoid(f[head]) * whole + np.exp(i[head]) * np.outer(v, k)
        keys = sigmoid(f[head]) * keys + np.exp(i[head]) * k
        hidden[units] = sigmoid(o) * (whole @ q) / max(abs(keys @ q), 1)
        matrices[head], n[units] = whole / np.exp(new_m[head]), keys / np.exp(new_m[head])
    return [hidden, matrices.ravel(), n, new_m]


def mlstm_heads(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    return mlstm(p, x, state, heads=2)


def deltanet(p: Mapping[str, Array], x: Array, state: list[Array], heads: int = 1, gated: bool = False) -> list[Array]:
    """As a gradient step, at the rate b, of half the squared distance between v and what the weights give for k."""
    hidden, weights = state
    size, own = len(hidden), len(hidden) // heads
    z = p["weight_ih"] @ x + p["bias_ih"]
    matrices, made = weights.reshape(heads, own, own), []
    new = []
    for head in range(heads):
        q, k, v = (z[part * size + head * own : part * size + (head + 1) * own] for part in range(3))
        q, k = q / np.linalg.norm(q), k / np.linalg.norm(k)
        before = matrices[head] * (sigmoid(z[3 * size + heads + head]) if gated else 1)
        new.append(before - sigmoid(z[3 * size + head]) * np.outer(before @ k - v, k))
        made.append(new[-1] @ q)
    return [np.concatenate(made), np.concatenate([matrix.ravel() for matrix in new])]


def deltanet_gated(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    return deltanet(p, x, state, heads=2, gated=True)


def selective(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    size, states = p["log_rates"].shape
    z = p["weight_ih"] @ x + p["bias_ih"]
    u, d, b, c = np.split(z, [size, 2 * size, 2 * size + states])
    memory, hidden = state[1].reshape(size, states).copy(), np.zeros(size)
    for unit in range(size):
        step = math.log1p(math.exp(d[unit]))
        for n in range(states):
            memory[unit, n] *= math.exp(-step * math.exp(p["log_rates"][unit, n]))
            memory[unit, n] += step * b[n] * u[unit]
        hidden[unit] = memory[unit] @ c + p["skip"][unit] * u[unit]
    return [hidden, memory.ravel()]


def cfc(p: Mapping[str, Array], x: Array, state: list[Array], elapsed: float = 1.0) -> list[Array]:
    (h,) = state
    joined = np.concatenate([p["weight_ih"], p["weight_hh"]], axis=1) @ np.concatenate([x, h])
    u = 1.7159 * np.tanh(0.666 * (joined + p["bias_ih"] + p["bias_hh"]))
    f, g, a, b = (w @ u + c for w, c in zip(np.split(p["weight_head"], 4), np.split(p["bias_head"], 4), strict=True))
    passed = sigmoid(a * elapsed + b)
    return [np.tanh(f) * (1 - passed) + passed * np.tanh(g)]


def cfc_timed(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    return cfc(p, x[:-1], state, x[-1])


def grud(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    """As published, with z for what is new; the mean stands in the last value seen."""
    h, observed = state
    values, mask, elapsed = np.split(x, 3)
    filled, last = np.zeros_like(values), np.zeros_like(values)
    for d in range(len(values)):
        mean, before = p["means"][d], observed[d] + p["means"][d]
        decay = math.exp(-max(0, p["weight_decay"][d] * elapsed[d] + p["bias_decay"][d]))
        filled[d] = values[d] if mask[d] else decay * before + (1 - decay) * mean
        last[d] = (values[d] if mask[d] else before) - mean
    h = np.exp(-relu(p["weight_decay_hh"] @ elapsed + p["bias_decay_hh"])) * h
    w, v, u = (np.split(p[name], 3) for name in ("weight_ih", "weight_mask", "weight_hh"))
    b = np.split(p["bias_ih"], 3)
    r = sigmoid(w[0] @ filled + u[0] @ h + v[0] @ mask + b[0])
    z = 1 - sigmoid(w[1] @ filled + u[1] @ h + v[1] @ mask + b[1])
    new = np.tanh(w[2] @ filled + u[2] @ (r * h) + v[2] @ mask + b[2])
    return [(1 - z) * h + z * new, last]


def timelstm(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    h, c = state
    short = np.tanh(p["weight_short"] @ c + p["bias_short"])
    long = c - short
    adjusted = long + short * (1 / math.log(math.e + x[-1]))
    i, f, g, o = gates(p, x[:-1], h, 4)
    c = sigmoid(f) * adjusted + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def multiplicative(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    h, c = state
    *w, w_m = np.split(p["weight_ih"], 5)
    m = (w_m @ x) * (p["weight_hh"] @ h)
    rows = zip(w, np.split(p["weight_mh"], 4), np.split(p["bias_ih"], 4), strict=True)
    i, f, g, o = (a @ x + u @ m + b for a, u, b in rows)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [np.tanh(c) * sigmoid(o), c]


def lstm(i: Array, f: Array, g: Array, o: Array, c: Array) -> list[Array]:
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def nested(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    h, c, inner = state
    i, f, g, o = gates(p, x, h, 4)
    seen, kept = sigmoid(i) * np.tanh(g), sigmoid(f) * c
    sums = p["weight_inner_ih"] @ seen + p["weight_inner_hh"] @ kept + p["bias_inner"]
    c, inner = lstm(*np.split(sums, 4), inner)
    return [sigmoid(o) * np.tanh(c), c, inner]


def clockwork(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    """Six units, two with each of the periods 1, 2 and 4."""
    h, count = state
    periods = [1, 1, 2, 2, 4, 4]
    new = h.copy()
    for j, period in enumerate(periods):
        if count[0] % period == 0:
            total = p["weight_ih"][j] @ x + p["bias_ih"][j] + p["bias_hh"][j]
            total += sum(p["weight_hh"][j, k] * h[k] for k in range(6) if periods[k] >= period)
            new[j] = np.tanh(total)
    return [new, (count + 1) % 4]


def graph_gru(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    """Diffusion convolution over four nodes, node by node, two steps each way."""
    edges, channels = p["adjacency"], len(state[0]) // 4
    ahead, back = (a / a.sum(1, keepdims=True) for a in (edges, edges.T))
    supports = [np.eye(4), ahead, ahead @ ahead, back, back @ back]

    def convolve(weight: Array, nodes: Array) -> Array:
        return np.stack([weight @ np.concatenate([s[node] @ nodes for s in supports]) for node in range(4)])

    h, inputs = state[0].reshape(4, channels), x.reshape(4, -1)
    (w_r, w_z, w_n), (u_r, u_z, u_n) = np.split(p["weight_ih"], 3), np.split(p["weight_hh"], 3)
    b_r, b_z, b_n = np.split(p["bias_ih"], 3)
    r = sigmoid(convolve(w_r, inputs) + convolve(u_r, h) + b_r)
    z = sigmoid(convolve(w_z, inputs) + convolve(u_z, h) + b_z)
    n = np.tanh(convolve(w_n, inputs) + convolve(u_n, r * h) + b_n)
    return [(z * h + (1 - z) * n).reshape(-1)]


def conv_lstm(p: Mapping[str, Array], x: Array, state: list[Array]) -> list[Array]:
    """Maps of three rows and two columns, place by place, beyond which all is zero."""
    h, c = (part.reshape(-1, 3, 2) for part in state)

    def seen(weight: Array, maps: Array) -> Array:
        sums = np.zeros((len(weight), 3, 2))
        for row, column, down, right in np.ndindex(3, 2, 3, 3):
            y, z = row + down - 1, column + right - 1
            if 0 <= y < 3 and 0 <= z < 2:
                sums[:, row, column] += weight[:, :, down, right] @ maps[:, y, z]
        return sums

    sums = seen(p["weight_ih"], x.reshape(-1, 3, 2)) + seen(p["weight_hh"], h) + p["bias_ih"][:, None, None]
    sum_i, sum_f, sum_g, sum_o = np.split(sums, 4)
    peep_i, peep_f, peep_o = (peep.reshape(-1, 3, 2) for peep in p["weight_peephole"])
    new = sigmoid(sum_f + peep_f * c) * c + sigmoid(sum_i + peep_i * c) * np.tanh(sum_g)
    return [(sigmoid(sum_o + peep_o * new) * np.tanh(new)).reshape(-1), new.reshape(-1)]


class Written(NamedTuple):
    """A cell with options, its step written here, and where its inputs and first state differ from random numbers."""

    name: str
    step: Step
    options: Mapping[str, Any] = {}
    sizes: tuple[int, int] = (3, 6)
    prepare: Callable[[torch.Tensor, list[torch.Tensor]], None] = lambda inputs, state: None


def elapsed_last(inputs: torch.Tensor, state: list[torch.Tensor]) -> None:
    inputs[..., -1] = 5 * inputs[..., -1].abs()


def masked(inputs: torch.Tensor, state: list[torch.Tensor]) -> None:
    inputs[..., 3:6] = (inputs[..., 3:6] > 0).double()
    inputs[..., 6:] = inputs[..., 6:].abs()


def counted(inputs: torch.Tensor, state: list[torch.Tensor]) -> None:
    state[1].copy_(torch.tensor([[0.0], [1.0], [2.0], [3.0]]))


def summed(inputs: torch.Tensor, state: list[torch.Tensor]) -> None:
    """A normaliser as runs have it: from 1 up."""
    state[2].abs_().add_(1)


WRITTEN = [
    Written("LiGRU", ligru),
    Written("IndRNN", indrnn),
    Written("MGU", mgu),
    Written("JANET", janet),
    Written("CoRNN", cornn, {"time_step": 0.3, "frequency": 1.2, "damping": 0.7}),
    Written("SLSTM", slstm_plain, prepare=summed),
    Written("SLSTM", slstm_heads, {"heads": 2, "exponential_forget": True}, prepare=summed),
    Written("MLSTM", mlstm, {"heads": 1}),
    Written("MLSTM", mlstm_heads, {"heads": 2}),
    Written("DeltaNet", deltanet, {"heads": 1}),
    Written("DeltaNet", deltanet_gated, {"heads": 2, "gated": True}),
    Written("SelectiveSSM", selective, {"states": 5}),
    Written("CfC", cfc, {"backbone_size": 5}),
    Written("CfC", cfc_timed, {"timed": True}, prepare=elapsed_last),
    Written("GRUD", grud, sizes=(9, 5), prepare=masked),
    Written("TimeLSTM", timelstm, prepare=elapsed_last),
    Written("MultiplicativeLSTM", multiplicative),
    Written("NestedLSTM", nested),
    Written("Clockwork", clockwork, prepare=counted),
    Written("GraphGRU", graph_gru, {"hops": 2}, sizes=(8, 12)),
    Written("ConvLSTM", conv_lstm, {"height": 3, "width": 2}, sizes=(12, 18)),
]


@pytest.mark.parametrize("written", WRITTEN, ids=lambda w: w.step.__name__)
def test_a_cell_is_its_papers_equations(written: Written) -> None:
    """Nine steps of four rows: every part of the state after each."""
    torch.manual_seed(0)
    cell = build_cell(written.name, *written.sizes, **written.options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(0, 0.5)
    if written.name == "GRUD":
        cell.means.normal_()
    if written.name == "GraphGRU":
        cell.set_adjacency(torch.rand(4, 4))
    start = cell.initial_state(4)
    inputs = torch.randn(9, 4, cell.input_size, dtype=torch.float64)
    state = type(start)(*(torch.randn_like(part) for part in start))
    written.prepare(inputs, list(state))
    parameters = {name: value.detach().numpy() for name, value in [*cell.named_parameters(), *cell.named_buffers()]}
    rows = [[part[row].numpy() for part in state] for row in range(4)]
    for x in inputs:
        output, state = cell.step(x, state)
        rows = [written.step(parameters, x[row].numpy(), rows[row]) for row in range(4)]
        for part, expected in zip(state, zip(*rows, strict=True), strict=True):
            np.testing.assert_allclose(part.detach(), np.stack(expected), rtol=1e-9, atol=1e-12)
        assert torch.equal(output, state[0])
