"""The oracle: a program run with NumPy, one operation after the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from echoic.errors import ProgramError
from echoic.program.operations import KINDS, Array
from echoic.program.program import Operand, Program


def interpret(program: Program, sources: Mapping[str, Array]) -> dict[str, Array]:
    """Run a program once.

    Args:
        program: what to run.
        sources: every source by name: rows [B, W], vectors [N], matrices [K, N], all of one floating type.

    Returns:
        Every result [B, W] by name.

    Raises:
        ProgramError: a source is missing or has another shape.
    """
    values: dict[str, Array] = {}
    rows = {sources[s.name].shape[0] for s in program.sources if s.kind == "row" and s.name in sources}
    if len(rows) > 1:
        raise ProgramError(f"found row values of {sorted(rows)} rows, expected one number of rows.")
    batch = rows.pop() if rows else 1
    for source in program.sources:
        expected = (batch, *source.shape) if source.kind == "row" else source.shape
        if source.name not in sources or sources[source.name].shape != expected:
            found = sources[source.name].shape if source.name in sources else "nothing"
            raise ProgramError(f"source {source.name}: found {found}, expected shape {expected}.")
        value = sources[source.name]
        values[source.name] = np.broadcast_to(value, (batch, len(value))) if source.kind == "vector" else value
    dtype = next((v.dtype for v in values.values()), np.dtype(np.float64))

    def read(operand: Operand) -> Array:
        return values[operand] if isinstance(operand, str) else np.full((batch, 1), operand, dtype)

    with np.errstate(all="ignore"):  # infinities and NaN are values here, as in the engine
        for operation in program.operations:
            meaning = KINDS[operation.kind].meaning
            made = meaning(*(read(operand) for operand in operation.operands), *operation.attributes)
            values[operation.name] = np.broadcast_to(made, (batch, program.widths[operation.name])).astype(dtype)
    return {name: values[value] for name, value in program.results}
