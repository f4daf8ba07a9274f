"""What the native engine does for a cell, in words and numbers."""

from __future__ import annotations

import torch

from echoic.cells import Cell
from echoic.engine.compiled import Kernel, compiled
from echoic.program.plan import Matmul, Pointwise, Reduce


def explain_native(cell: Cell, dtype: torch.dtype) -> str:
    """Instruction set, threads, operations of a step, the matmuls' share of the arithmetic, bytes kept and moved."""
    import echoic._native as engine

    step = compiled(cell)
    assert not isinstance(step, str)
    forward, backward = (step.kernel(name, dtype) for name in ("forward", "backward"))
    products, others = (sum(_arithmetic(kernel)[i] for kernel in (forward, backward)) for i in (0, 1))
    kept = step.saved_width + sum(w for w, keep in zip(step.widths, step.kept("gates"), strict=True) if keep)
    weights = sum(forward.plan.matrix_sizes)
    size = dtype.itemsize
    return (
        f"{engine.instruction_set()}, up to {torch.get_num_threads()} threads; "
        f"a step forward: {_operations(forward)}; backward: {_operations(backward)}; "
        f"matmuls are {products / (products + others):.0%} of the arithmetic; "
        f"{weights * size:,} bytes of recurrent weights are read a step, "
        f"{kept * size:,} bytes a row and step are kept for the backward"
    )


def _operations(kernel: Kernel) -> str:
    stages = kernel.plan.stages
    counts = {
        "matmul": sum(isinstance(stage, Matmul) for stage in stages),
        "reduction": sum(isinstance(stage, Reduce) for stage in stages),
        "pointwise operation": sum(len(stage.micros) for stage in stages if isinstance(stage, Pointwise)),
    }
    return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)


def _arithmetic(kernel: Kernel) -> tuple[int, int]:
    """Floating-point operations for one row and step: of the matmuls, of everything else."""
    stages = kernel.plan.stages
    pointwise = sum(s.width * len(s.micros) for s in stages if isinstance(s, Pointwise))
    reduced = sum(s.width for s in stages if isinstance(s, Reduce))
    return 2 * sum(kernel.plan.matrix_sizes), pointwise + reduced
