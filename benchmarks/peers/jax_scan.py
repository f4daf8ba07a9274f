"""jax.lax.scan under jit: the projection of the inputs is one matmul outside the scan, gradients are by jax.vjp.

XLA has no setting for its threads on a CPU. Its pool has as many as the environment variable PJRT_NPROC (NPROC in
older versions) says, or as there are CPUs in the process's affinity mask; both are set, the latter by the worker.
How far to unroll the scan is tried at every problem, and the fastest kept.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from peers.problem import WEIGHTS, Array, Problem

UNROLLS, TRIALS = (1, 4), 3


class JaxScan:
    """A compiled layer over a batch."""

    def __init__(self, threads: int) -> None:
        os.environ |= {"PJRT_NPROC": str(threads), "NPROC": str(threads), "JAX_PLATFORMS": "cpu"}
        import jax

        self.jax = jax
        self.about = f"jax {jax.__version__}, {threads} threads, the faster of unroll {UNROLLS}"

    def prepare(self, problem: Problem) -> None:
        jax = self.jax
        jax.clear_caches()
        arrays = problem.arrays()
        natural = [arrays["weight_ih"].T.copy(), arrays["weight_hh"].T.copy(), arrays["bias_ih"], arrays["bias_hh"]]
        self.arguments = [jax.device_put(value) for value in (arrays["inputs"], *natural)]
        if problem.train:
            self.arguments.append(jax.device_put(arrays["seed"]))
        works = [jax.jit(self._work(layer_of(problem, unroll), problem.train)) for unroll in UNROLLS]
        self.work = min(works, key=self._seconds)

    def _work(self, layer: Any, train: bool) -> Any:
        """Outputs, and where it trains all gradients."""

        def forward(*values: Any) -> Any:
            return (layer(*values),)

        def with_backward(*values: Any) -> Any:
            outputs, pull = self.jax.vjp(layer, *values[:-1])
            return outputs, *pull(values[-1])

        return with_backward if train else forward

    def _seconds(self, work: Any) -> float:
        """Of the fastest call, after one that compiles."""
        self.jax.block_until_ready(work(*self.arguments))
        taken = []
        for _ in range(TRIALS):
            begin = time.perf_counter()
            self.jax.block_until_ready(work(*self.arguments))
            taken.append(time.perf_counter() - begin)
        return min(taken)

    def run(self) -> Any:
        return self.jax.block_until_ready(self.work(*self.arguments))

    def results(self) -> dict[str, Array]:
        names = ("outputs", "inputs", *WEIGHTS)
        found = {name: np.asarray(value) for name, value in zip(names, self.run(), strict=False)}
        return {name: value.T.copy() if name.startswith("weight") else value for name, value in found.items()}


def layer_of(problem: Problem, unroll: int) -> Any:
    """Function of inputs [T, B, H] or [B, T, H], weights [H, gates * H] and biases, to outputs."""
    import jax
    import jax.numpy as jnp

    size = problem.hidden

    def lstm(projected: Any, weight: Any, bias: Any) -> Any:
        def step(state: Any, at: Any) -> Any:
            hidden, cell = state
            i, f, g, o = jnp.split(at + hidden @ weight, 4, axis=-1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        zeros = jnp.zeros((problem.batch, size))
        return jax.lax.scan(step, (zeros, zeros), projected + bias, unroll=unroll)[1]

    def gru(projected: Any, weight: Any, bias: Any) -> Any:
        outside = jnp.concatenate([bias[: 2 * size], jnp.zeros(size)])

        def step(hidden: Any, at: Any) -> Any:
            reset_x, update_x, new_x = jnp.split(at, 3, axis=-1)
            reset_h, update_h, new_h = jnp.split(hidden @ weight, 3, axis=-1)
            update = jax.nn.sigmoid(update_x + update_h)
            new = jnp.tanh(new_x + jax.nn.sigmoid(reset_x + reset_h) * (new_h + bias[2 * size :]))
            hidden = (1 - update) * new + update * hidden
            return hidden, hidden

        return jax.lax.scan(step, jnp.zeros((problem.batch, size)), projected + outside, unroll=unroll)[1]

    def elman(projected: Any, weight: Any, bias: Any) -> Any:
        def step(hidden: Any, at: Any) -> Any:
            hidden = jnp.tanh(at + hidden @ weight)
            return hidden, hidden

        return jax.lax.scan(step, jnp.zeros((problem.batch, size)), projected + bias, unroll=unroll)[1]

    cell = {"LSTM": lstm, "GRU": gru, "Elman": elman}[problem.cell]

    def layer(inputs: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any) -> Any:
        entering = jnp.swapaxes(inputs, 0, 1) if problem.batch_first else inputs
        outputs = cell(entering @ weight_ih + bias_ih, weight_hh, bias_hh)
        return jnp.swapaxes(outputs, 0, 1) if problem.batch_first else outputs

    return layer
