"""A cell stepped one observation at a time by the native engine: the state kept, NumPy in and out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from echoic.cells import Cell
from echoic.engine.compiled import effective_tensors
from echoic.engine.native import BUILT
from echoic.engine.precision import FLOAT32, FLOAT64
from echoic.engine.sorting import TraceRefusal
from echoic.engine.trace import record_step
from echoic.errors import BackendError, OptionError, ProgramError
from echoic.program.encode import encode
from echoic.program.plan import Place
from echoic.program.planning import make_plan

WEIGHTS = ("as given", "int8")


class Stepper:
    """Sequences that go on together, a step at a time. Parameters are read once, when it is made.

    Args:
        cell: what makes one step; float32 or float64, on the CPU.
        batch: sequences, B.
        threads: that may share a step, where the weights are more than a megabyte or so. Several pay where one step
            follows the other at once; waiting threads fall asleep, and waking them takes longer than they save.
        weights: "as given", or "int8" for matrices rounded to whole numbers of eight bits, with a unit for each column
            and 512 rows: a quarter of the memory, and less time where a step waits for it. For float32 alone. A row
            with a number that is not finite gives NaN.

    Raises:
        BackendError: the engine is not built, or the cell is no program; the message says why.
        OptionError: no such weights, or none for the cell's type of numbers.
    """

    def __init__(self, cell: Cell, batch: int = 1, threads: int = 1, weights: str = "as given") -> None:
        if weights not in WEIGHTS:
            raise OptionError(f'weights: found "{weights}", expected one of {", ".join(WEIGHTS)}.')
        if not BUILT:
            raise BackendError("stepping needs the native engine, which is not built here; pip install builds it.")
        import echoic._native as engine
        from echoic.engine.execute import use_openmp_of_torch

        try:
            with ThreadPoolExecutor(1) as thread:  # where no exporter or transform of the caller looks on
                recording = thread.submit(record_step, cell).result()
            program = recording.builder.program(recording.results)
        except (TraceRefusal, ProgramError) as refusal:
            raise BackendError(f"{type(cell).__name__} is no program: {refusal}") from None
        start = cell.initial_state(batch)
        self._dtype = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}[start[0].dtype]
        if weights == "int8" and self._dtype != np.float32:
            raise OptionError(f'weights: found "int8" for a cell in {self._dtype}, expected one in float32.')
        self._input, self._output = (batch, cell.input_size), (batch, cell.output_size)
        widths = [part.shape[1] for part in start]
        self._start = [np.ascontiguousarray(part.detach().numpy()) for part in start]
        count, fields = len(start), [f"state.{name}" for name in recording.fields]
        sources = {"input": Place(0, 0), **{name: Place(2 + i, 0) for i, name in enumerate(fields)}}
        results = {"output": [Place(1, 0)], **{name: [Place(2 + count + i, 0)] for i, name in enumerate(fields)}}
        ports = [cell.input_size, cell.output_size, *widths, *widths]
        plan = make_plan(program, ports, sources, results)
        code = encode(plan, program, engine.opcode)
        self._plan = engine.Plan(code, plan.constants, FLOAT64 if self._dtype == np.float64 else FLOAT32)
        with torch.no_grad():
            derived = recording.prologue(*(t.detach() for t in effective_tensors(cell, recording.parameters)))
        by_name = dict(zip(recording.derived, derived, strict=True))
        vectors = [by_name[name].contiguous() for name in plan.vectors]
        matrices = [by_name[name] for name in plan.matrices]
        use_openmp_of_torch()
        self._session = engine.Session(
            self._plan, batch, threads, weights == "int8", [v.data_ptr() for v in vectors],
            [(m.data_ptr(), m.stride(0), m.stride(1), 0) for m in matrices],
        )  # fmt: skip
        self.reset()

    def step(self, x: ArrayLike) -> NDArray[np.floating]:
        """The output [B, O] for an input [B, I]; the state goes on.

        Raises:
            ValueError: another shape.
        """
        output = np.empty(self._output, self._dtype)
        if not self._session.step(x, output):
            taken = self._session.step(self._converted(x), output)
            assert taken
        return output

    def reset(self, rows: list[int] | None = None) -> None:
        """Begin anew: all sequences, or those of some rows."""
        for now, start in zip(self.state(), self._start, strict=True):
            chosen = slice(None) if rows is None else rows
            now[chosen] = start[chosen]

    def state(self) -> list[NDArray[np.floating]]:
        """The state's fields [B, W], to be read and written in place until the next step."""
        return [self._session.state(i) for i in range(len(self._start))]

    def _converted(self, x: ArrayLike) -> NDArray[np.floating]:
        """An array [B, I] of the cell's type that the session takes as it lies: contiguous and aligned."""
        given = np.ascontiguousarray(x, dtype=self._dtype)
        if given.shape != self._input:
            raise ValueError(f"x: found shape {list(given.shape)}, expected {list(self._input)}.")
        return given if given.flags.aligned else given.copy()
