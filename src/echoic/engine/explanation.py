"""What the native engine does for a cell, in words and numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from echoic.cells import Cell
from echoic.engine.compiled import Kernel, compiled
from echoic.engine.precision import BFLOAT16, FLOAT32, numbers, products
from echoic.program.phases import Phase
from echoic.program.plan import Matmul, Pointwise, Reduce, Stage


def explain_native(cell: Cell, inputs: Tensor) -> str:
    """Instruction set, threads, operations of a step, the matmuls' share of the arithmetic, bytes kept and moved."""
    import echoic._native as engine

    step, dtype = compiled(cell), numbers(inputs)
    assert not isinstance(step, str)
    kernels = [step.kernel(name, dtype) for name in ("forward", "backward")]
    sums = sum(2 * s.multiplications for s in step.sums)
    of_matmuls, others = (sum(_arithmetic(kernel)[i] for kernel in kernels) for i in (0, 1))
    kept = step.saved_width + sum(w for w, keep in zip(step.widths, step.kept("gates"), strict=True) if keep)
    weights = sum(
        kernels[0].plan.matrix_sizes[s.matrix] for s in _stages(kernels[0], within=True) if isinstance(s, Matmul)
    )
    size, multiplied = dtype.itemsize, products(inputs)
    read = 2 if multiplied == BFLOAT16 else size  # bytes of a packed weight
    lines = (
        f"{engine.instruction_set()}, up to {torch.get_num_threads()} threads",
        f"a step forward: {_operations(_stages(kernels[0], within=True))}",
        f"backward: {_operations(_stages(kernels[1], within=True))}",
        f"for many steps at once: {_operations([s for kernel in kernels for s in _stages(kernel, within=False)])}, "
        f"{len(step.sums)} gradient{'s' * (len(step.sums) != 1)} of parameters",
        f"matmuls are {(of_matmuls + sums) / (of_matmuls + sums + others):.0%} of the arithmetic",
        f"{weights * read:,} bytes of recurrent weights are read a step, "
        f"{kept * size:,} bytes a row and step are kept for the backward",
        *_products(multiplied, by_tiles=dtype == torch.float32 and engine.has_bfloat16()),
        *([f"the inputs are projected by PyTorch: {step.recording.apart}"] if step.recording.apart else []),
    )
    return "; ".join(lines)


def _products(multiplied: int, by_tiles: bool) -> list[str]:
    """What autocast, the precision of matmuls and a processor's tiles change."""
    if multiplied == FLOAT32:
        autocast = ["in float32, whatever autocast asks for"] if torch.is_autocast_enabled("cpu") else []
        rows = "from 16 rows on (8 of 512 numbers)"
        digits = f"{rows}, matmuls of 128 by 128 numbers and more multiply whole numbers of 24 bits"
        return [*autocast, digits] if by_tiles else autocast
    return ["matmuls multiply " + ("bfloat16 numbers" if multiplied == BFLOAT16 else "sums of two bfloat16 numbers")]


def _stages(kernel: Kernel, within: bool) -> list[Stage]:
    return [stage for stage in kernel.plan.stages if (stage.phase == Phase.WITHIN) == within]


def _operations(stages: list[Stage]) -> str:
    counts = {
        "matmul": sum(isinstance(stage, Matmul) for stage in stages),
        "reduction": sum(isinstance(stage, Reduce) for stage in stages),
        "pointwise operation": sum(len(stage.micros) for stage in stages if isinstance(stage, Pointwise)),
    }
    return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count) or "no operation"


def _arithmetic(kernel: Kernel) -> tuple[int, int]:
    """Floating-point operations for one row and step: of the matmuls, of everything else."""
    stages = kernel.plan.stages
    pointwise = sum(s.width * len(s.micros) for s in stages if isinstance(s, Pointwise))
    reduced = sum(s.width for s in stages if isinstance(s, Reduce))
    return 2 * kernel.plan.multiplications, pointwise + reduced
