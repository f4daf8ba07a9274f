"""NumPy transcription of docs/mathematics.md: the same formulas under the same names, one sequence at a time.

Every network is a function ``name(p, x, start, loss)``: ``p`` holds the parameters by name, ``x`` is [T, I], ``start``
the state before the first step, and ``loss(t, a_y)`` (for Jordan ``loss(t, y)``) gives the loss of a step and its
gradient. Each returns the total loss, the outputs h (for Jordan y), [T, *], and the gradients by name: those of ``p``,
"x" and those of ``start``. Weights of the output layer are W_hy and b_y.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Array = np.ndarray
StepLoss = Callable[[int, Array], tuple[float, Array]]


class Result(NamedTuple):
    loss: float
    outputs: Array
    gradients: dict[str, Array]


class Activation(NamedTuple):
    """f, and f' written with the value h = f(a)."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


ACTIVATIONS = {
    "tanh": Activation(np.tanh, lambda h: 1 - h**2),
    "sigmoid": Activation(sigmoid, lambda h: h * (1 - h)),
    "relu": Activation(lambda a: np.maximum(0, a), lambda h: (h > 0).astype(float)),
    "identity": Activation(lambda a: a, np.ones_like),
}


# Section 3


def squared_error(d: Array) -> StepLoss:
    """L_t = 1/2 |y_t - d_t|^2 with y_t = a^y_t: delta^y_t = y_t - d_t. ``d`` is [T, O]."""
    return lambda t, a_y: (0.5 * float(np.sum((a_y - d[t]) ** 2)), a_y - d[t])


def softmax_cross_entropy(d: Array) -> StepLoss:
    """L_t = -sum_k d_k ln y_k with y = softmax(a^y): delta^y_t = y_t - d_t. ``d`` is [T, O], its rows sum to 1."""

    def loss(t: int, a_y: Array) -> tuple[float, Array]:
        m = np.max(a_y)
        log_y = a_y - m - np.log(np.sum(np.exp(a_y - m)))
        return -float(np.sum(d[t] * log_y)), np.exp(log_y) - d[t]

    return loss


def outputs_layer(p: Mapping[str, Array], h: Array, loss: StepLoss) -> tuple[float, list[Array], dict[str, Array]]:
    """Total loss, delta^y_t of every step, and the gradients of W_hy and b_y, for h_1 ... h_T in ``h``, [T, H]."""
    steps = [loss(t, p["W_hy"] @ h[t] + p["b_y"]) for t in range(len(h))]
    delta_y = [delta for _, delta in steps]
    gradients = {"W_hy": sum_outer(delta_y, h), "b_y": np.sum(delta_y, axis=0)}
    return sum(value for value, _ in steps), delta_y, gradients


def sum_outer(deltas: list[Array], inputs: Array | list[Array]) -> Array:
    """The sum over t of delta_t u_t^T."""
    return np.sum([np.outer(delta, u) for delta, u in zip(deltas, inputs, strict=True)], axis=0)


# Sections 2 and 4


def elman(p: Mapping[str, Array], x: Array, start: Mapping[str, Array], loss: StepLoss, f: str) -> Result:
    """Parameters W_xh, W_hh, b_h; start h_0."""
    T, act = len(x), ACTIVATIONS[f]
    h = [start["h_0"]]
    for t in range(T):
        h.append(act.value(p["W_xh"] @ x[t] + p["W_hh"] @ h[t] + p["b_h"]))
    before, h = h[:-1], np.array(h[1:])
    total, delta_y, gradients = outputs_layer(p, h, loss)

    delta: list[Array] = [np.zeros_like(p["b_h"])] * (T + 1)
    for t in reversed(range(T)):
        grad_h = p["W_hy"].T @ delta_y[t] + p["W_hh"].T @ delta[t + 1]
        delta[t] = grad_h * act.slope(h[t])
    delta.pop()
    gradients |= {
        "W_xh": sum_outer(delta, x),
        "W_hh": sum_outer(delta, before),
        "b_h": np.sum(delta, axis=0),
        "x": np.array(delta) @ p["W_xh"],
        "h_0": p["W_hh"].T @ delta[0],
    }
    return Result(total, h, gradients)


# Section 5


def jordan(p: Mapping[str, Array], x: Array, start: Mapping[str, Array], loss: StepLoss, f: str, g: str) -> Result:
    """Parameters W_xh, W_yh, b_h, W_hy, b_y; start y_0. The loss reads y_t, and its gradient is e_t."""
    T, act, out = len(x), ACTIVATIONS[f], ACTIVATIONS[g]
    h, y = [], [start["y_0"]]
    for t in range(T):
        h.append(act.value(p["W_xh"] @ x[t] + p["W_yh"] @ y[t] + p["b_h"]))
        y.append(out.value(p["W_hy"] @ h[t] + p["b_y"]))
    before, y = y[:-1], np.array(y[1:])
    steps = [loss(t, y[t]) for t in range(T)]

    delta: list[Array] = [np.zeros_like(p["b_h"])] * (T + 1)
    delta_y: list[Array] = [np.zeros_like(p["b_y"])] * T
    for t in reversed(range(T)):
        e_t = steps[t][1]
        grad_y = e_t + p["W_yh"].T @ delta[t + 1]
        delta_y[t] = grad_y * out.slope(y[t])
        delta[t] = (p["W_hy"].T @ delta_y[t]) * act.slope(h[t])
    delta.pop()
    gradients = {
        "W_hy": sum_outer(delta_y, h),
        "b_y": np.sum(delta_y, axis=0),
        "W_xh": sum_outer(delta, x),
        "W_yh": sum_outer(delta, before),
        "b_h": np.sum(delta, axis=0),
        "x": np.array(delta) @ p["W_xh"],
        "y_0": p["W_yh"].T @ delta[0],
    }
    return Result(sum(value for value, _ in steps), y, gradients)


# Section 6


def lstm(p: Mapping[str, Array], x: Array, start: Mapping[str, Array], loss: StepLoss, coupled: bool = False) -> Result:
    """Parameters W, U, b_ih, b_hh in blocks i f g o (f g o when coupled: i = 1 - f); optionally peepholes p_i, p_f, p_o
    and a projection P; start h_0, c_0."""
    T, H = len(x), len(start["c_0"])
    zero = np.zeros(H)
    p_i, p_f, p_o = (p.get(name, zero) for name in ("p_i", "p_f", "p_o"))
    P = p.get("P", np.eye(H))
    blocks = ("f", "g", "o") if coupled else ("i", "f", "g", "o")
    h, c, m = [start["h_0"]], [start["c_0"]], []
    i, f, g, o = [], [], [], []
    for t in range(T):
        a = dict(zip(blocks, np.split(p["W"] @ x[t] + p["b_ih"] + p["U"] @ h[t] + p["b_hh"], len(blocks)), strict=True))
        f.append(sigmoid(a["f"] + p_f * c[t]))
        i.append(1 - f[t] if coupled else sigmoid(a["i"] + p_i * c[t]))
        g.append(np.tanh(a["g"]))
        c.append(f[t] * c[t] + i[t] * g[t])
        o.append(sigmoid(a["o"] + p_o * c[t + 1]))
        m.append(o[t] * np.tanh(c[t + 1]))
        h.append(P @ m[t])
    h_before, c_before, h, c = h[:-1], c[:-1], np.array(h[1:]), c[1:]
    total, delta_y, gradients = outputs_layer(p, h, loss)

    delta: list[Array] = [np.zeros(len(blocks) * H)] * (T + 1)
    h_bars: list[Array] = [np.zeros(len(P))] * T
    c_bar, f_next = zero, zero
    for t in reversed(range(T)):
        later = dict(zip(blocks, np.split(delta[t + 1], len(blocks)), strict=True))
        peeped = p_i * later.get("i", zero) + p_f * later["f"]
        h_bars[t] = p["W_hy"].T @ delta_y[t] + p["U"].T @ delta[t + 1]
        m_bar = P.T @ h_bars[t]
        d = {"o": m_bar * np.tanh(c[t]) * o[t] * (1 - o[t])}
        c_bar = m_bar * o[t] * (1 - np.tanh(c[t]) ** 2) + c_bar * f_next + p_o * d["o"] + peeped
        d["i"] = c_bar * g[t] * i[t] * (1 - i[t])
        d["f"] = c_bar * (c_before[t] - g[t] if coupled else c_before[t]) * f[t] * (1 - f[t])
        d["g"] = c_bar * i[t] * (1 - g[t] ** 2)
        delta[t] = np.concatenate([d[block] for block in blocks])
        f_next = f[t]
    delta.pop()
    by_gate = dict(zip(blocks, np.moveaxis(np.array(delta).reshape(T, len(blocks), H), 1, 0), strict=True))
    delta_i, delta_f, delta_o = by_gate.get("i", np.zeros((T, H))), by_gate["f"], by_gate["o"]
    gradients |= {
        "W": sum_outer(delta, x),
        "U": sum_outer(delta, h_before),
        "b_ih": np.sum(delta, axis=0),
        "b_hh": np.sum(delta, axis=0),
        "p_i": np.sum(delta_i * np.array(c_before), axis=0),
        "p_f": np.sum(delta_f * np.array(c_before), axis=0),
        "p_o": np.sum(delta_o * np.array(c), axis=0),
        "P": sum_outer(h_bars, m),
        "x": np.array(delta) @ p["W"],
        "h_0": p["U"].T @ delta[0],
        "c_0": c_bar * f_next + p_i * delta_i[0] + p_f * delta_f[0],
    }
    return Result(total, h, gradients)


# Section 7


def gru(p: Mapping[str, Array], x: Array, start: Mapping[str, Array], loss: StepLoss, reset_after: bool) -> Result:
    """Parameters W, U, b, beta in blocks r z n; start h_0."""
    T, H = len(x), len(start["h_0"])
    U_r, U_z, U_n = np.split(p["U"], 3)
    beta_r, beta_z, beta_n = np.split(p["beta"], 3)
    h, r, z, n, m = [start["h_0"]], [], [], [], []
    for t in range(T):
        x_r, x_z, x_n = np.split(p["W"] @ x[t] + p["b"], 3)
        r.append(sigmoid(x_r + U_r @ h[t] + beta_r))
        z.append(sigmoid(x_z + U_z @ h[t] + beta_z))
        m.append(U_n @ h[t] + beta_n)
        n.append(np.tanh(x_n + (r[t] * m[t] if reset_after else U_n @ (r[t] * h[t]) + beta_n)))
        h.append((1 - z[t]) * n[t] + z[t] * h[t])
    before, h = h[:-1], np.array(h[1:])
    total, delta_y, gradients = outputs_layer(p, h, loss)

    delta: list[Array] = [np.zeros(3 * H)] * T
    recurrent_n: list[Array] = [np.zeros(H)] * T  # gradient of what U_n and beta_n make
    s = np.zeros(H)
    for t in reversed(range(T)):
        h_bar = p["W_hy"].T @ delta_y[t] + s
        delta_z = h_bar * (before[t] - n[t]) * z[t] * (1 - z[t])
        delta_n = h_bar * (1 - z[t]) * (1 - n[t] ** 2)
        if reset_after:
            recurrent_n[t] = mu = delta_n * r[t]
            delta_r = delta_n * m[t] * r[t] * (1 - r[t])
            through_n = U_n.T @ mu
        else:
            recurrent_n[t] = delta_n
            q = U_n.T @ delta_n
            delta_r = q * before[t] * r[t] * (1 - r[t])
            through_n = r[t] * q
        s = z[t] * h_bar + U_r.T @ delta_r + U_z.T @ delta_z + through_n
        delta[t] = np.concatenate([delta_r, delta_z, delta_n])
    read_by_n = before if reset_after else [r[t] * before[t] for t in range(T)]
    delta_rz = [row[: 2 * H] for row in delta]
    gradients |= {
        "W": sum_outer(delta, x),
        "b": np.sum(delta, axis=0),
        "U": np.concatenate([sum_outer(delta_rz, before), sum_outer(recurrent_n, read_by_n)]),
        "beta": np.concatenate([np.sum(delta_rz, axis=0), np.sum(recurrent_n, axis=0)]),
        "x": np.array(delta) @ p["W"],
        "h_0": s,
    }
    return Result(total, h, gradients)
