"""The yardstick: float32 multiply-adds of a large matrix product by torch on the same threads."""

from __future__ import annotations

import numpy as np
import torch

from peers.problem import Array

SIZE = 1536


class Product:
    """A product of two square matrices."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.about = f"torch.mm of {SIZE} x {SIZE}, torch kernels for {torch.backends.cpu.get_cpu_capability()}"
        self.left, self.right, self.out = (torch.randn(SIZE, SIZE) for _ in range(3))

    def prepare(self, problem: object) -> None:
        self.run()

    def results(self) -> dict[str, Array]:
        return {"flops": np.float32(2.0 * SIZE**3).reshape(1)}

    def run(self) -> None:
        torch.mm(self.left, self.right, out=self.out)
