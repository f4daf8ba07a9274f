"""The programs of a cell laid out for the native engine, made once for all cells of one structure."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import count
from threading import Lock
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, finalize

import torch
from torch import Tensor

from echoic.cells import Cell
from echoic.engine.deferred import DeferredSum, plan_sums, plan_totals
from echoic.engine.precision import BFLOAT16, FLOAT32, FLOAT64, PAIRS
from echoic.engine.sorting import TraceRefusal
from echoic.engine.step_programs import StepPrograms, field_of_output, step_programs
from echoic.engine.trace import Recording, record
from echoic.errors import ProgramError
from echoic.program import Program
from echoic.program.encode import encode
from echoic.program.plan import Place, Plan, Pointwise
from echoic.program.planning import make_plan

PACKED, ENTERING, LEAVING, GRADIENT_IN, GRADIENT_OUT = range(5)  # as in native/engine/engine.h


class Port(NamedTuple):
    """What the engine is given for a port: its role, and which state, gradient or array."""

    role: int
    index: int
    name: str
    width: int


class Kernel(NamedTuple):
    """A plan with the meaning of its ports.

    vectors, matrices: positions of the plan's parameters among what the prologue gives.
    totals: which of the recording's deferred sums each total of the plan is, and its width.
    work: multiplications for one row and step, roughly.
    """

    plan: Plan
    ports: tuple[Port, ...]
    native: Any
    vectors: tuple[int, ...]
    matrices: tuple[int, ...]
    totals: tuple[tuple[int, int], ...]
    work: int


class Compiled:
    """A cell's step for the native engine.

    Args:
        recording: the step. programs: forward, inference, backward and recomputing programs of it.
        key: stands for this object in the arguments of operators.
        products: what matmuls multiply: FLOAT32, or rounded to BFLOAT16 or PAIRS.

    Attributes:
        used: positions of the parameters that the step uses; trained: those among them that get a gradient here.
        aliased: the field of the state that is the output too, or None.
    """

    def __init__(self, recording: Recording, programs: StepPrograms, key: str, products: int = FLOAT32) -> None:
        self.recording, self.programs, self.key, self.products = recording, programs, key, products
        self.fields = recording.fields
        widths = recording.builder.widths
        self.widths = tuple(widths[f"state.{field}"] for field in self.fields)
        self.input_width, self.output_width = widths["input"], widths[recording.forward["output"]]
        field = field_of_output(recording)
        self.aliased = None if field is None else self.fields.index(field)
        self._needed: dict[str, set[str]] = {}
        self._kept: dict[str, tuple[bool, ...]] = {}
        self._kernels: dict[tuple[str, torch.dtype, bool], Kernel] = {}

    @cached_property
    def sums(self) -> tuple[DeferredSum, ...]:
        """What is added up over all rows after a backward."""
        return plan_sums(self.recording, self.programs, self.totals)

    @cached_property
    def handed_through(self) -> tuple[int, ...] | None:
        """Of each trained parameter which sum its gradient is; None where the epilogue makes something of these."""
        *given, result = self.recording.epilogue.graph.nodes
        names = [node.target for node in given if node.op == "placeholder"][len(self.recording.parameters) :]
        found = [str(node.target) for node in result.args[0]]  # pyright: ignore - those that are returned
        return tuple([names.index(name) for name in found]) if set(found) <= set(names) else None

    @cached_property
    def totals(self) -> dict[str, int]:
        """What is added up on the way, by the result of the backward that every row gives."""
        return plan_totals(self.recording, self.programs)

    def needed(self, keep: str) -> set[str]:
        """The names of what the backward needs, if the forward keeps "gates" or "states" for it."""
        if keep not in self._needed:
            backward = self.programs.recompute if keep == "states" else self.programs.backward
            operands = {name for names in self.programs.operands for name in names}
            self._needed[keep] = operands | {source.name for source in backward.sources}
        return self._needed[keep]

    def kept(self, keep: str) -> tuple[bool, ...]:
        """For each field whether the backward needs it after every step."""
        if keep not in self._kept:
            needed = self.needed(keep)
            self._kept[keep] = tuple(f"state.{f}" in needed or f"new.{f}" in needed for f in self.fields)
        return self._kept[keep]

    @cached_property
    def saved_width(self) -> int:
        """Columns of what the forward keeps for the backward, besides states."""
        return sum(self.programs.saved.values())

    def kernel(self, name: str, dtype: torch.dtype, to_inputs: bool = True) -> Kernel:
        """One of the programs (``StepPrograms``) by name, laid out for a type of numbers.

        to_inputs: whether a backward goes on to the inputs.
        """
        key = (name, dtype, to_inputs)
        if key not in self._kernels:
            program: Program = getattr(self.programs, name)
            if not to_inputs:
                program = program.keeping([result for result, _ in program.results if result != "grad.input"])
            self._kernels[key] = self._lay_out(program, dtype)
        return self._kernels[key]

    def _lay_out(self, program: Program, dtype: torch.dtype) -> Kernel:
        import echoic._native as engine

        ports: list[Port] = []
        places: dict[Port, int] = {}

        def place(port: Port, offset: int = 0) -> Place:
            if port not in places:
                places[port] = len(ports)
                ports.append(port)
            return Place(places[port], offset)

        rows = [source for source in program.sources if source.kind == "row"]
        sources = {s.name: place(*self._port(s.name, s.shape[0])) for s in rows}
        results = {
            n: [place(*self._port(n, program.widths[v], result=True))]
            for n, v in program.results
            if n not in self.totals
        }
        placed = {**sources, **{name: where for name, (where,) in results.items()}}
        timeless = [name for name, where in placed.items() if ports[where.port].role == PACKED]
        plan = make_plan(program, [port.width for port in ports], sources, results, timeless)
        kind = FLOAT64 if dtype == torch.float64 else self.products
        native = engine.Plan(encode(plan, program, engine.opcode), plan.constants, kind)
        derived = self.recording.derived
        vectors, matrices = (tuple(derived.index(n) for n in names) for names in (plan.vectors, plan.matrices))
        work = plan.multiplications + sum(4 * s.width * len(s.micros) for s in plan.stages if isinstance(s, Pointwise))
        if "grad.output" in program.widths:
            work += sum(s.multiplications for s in self.sums)
        summed = [self.totals[name] for name, _ in program.results if name in self.totals]
        totals = tuple(zip(summed, plan.totals, strict=True))
        return Kernel(plan, tuple(ports), native, vectors, matrices, totals, work + 1)

    def _port(self, name: str, width: int, result: bool = False) -> tuple[Port, int]:
        """Where a source or a result lies, and at which column."""
        if name == "output" and self.aliased is not None:
            name = f"state.{self.fields[self.aliased]}"
        prefix, _, field = name.rpartition(".")
        if prefix in ("state", "new", "grad.state"):
            roles = {"state": LEAVING if result else ENTERING, "new": LEAVING,
                     "grad.state": GRADIENT_OUT if result else GRADIENT_IN}  # fmt: skip
            return Port(roles[prefix], self.fields.index(field), "", width), 0
        return Port(PACKED, 0, name, width), 0


_PLAIN = {bool, int, float, str, type, NoneType, FunctionType, BuiltinFunctionType}
_MODULES_OWN = frozenset(torch.nn.Module().__dict__) - {"training"}
_by_structure: dict[Hashable, Compiled | str] = {}
_by_key: dict[str, Compiled] = {}
_compiling = Lock()  # one at a time: PyTorch's recorder has state of its own


_of_cell: dict[int, tuple[Hashable, Compiled | str]] = {}


def compiled(cell: Cell) -> Compiled | str:
    """The step of a cell for the native engine, or the reason why it cannot be: a sentence."""
    if torch.compiler.is_compiling():
        return _as_constant(cell, plain_options(cell))
    return _looked_up(cell, options_with_parts(cell))


def compiled_before(cell: Cell, products: int) -> Compiled | str:
    """What ``compiled`` gave for a cell last, with such products."""
    if torch.compiler.is_compiling():
        return _as_constant(cell, plain_options(cell), products)
    return with_products(_of_cell[id(cell)][1], products)


@torch.compiler.assume_constant_result
def _as_constant(cell: Cell, options: tuple[Any, ...] | None, products: int = FLOAT32) -> Compiled | str:
    """``compiled`` for torch.compile, which takes what comes out and does not look in, but guards the options."""
    return with_products(_looked_up(cell, None if cell._modules else options), products)


def _looked_up(cell: Cell, options: tuple[Any, ...] | None) -> Compiled | str:
    known, about = _of_cell.get(id(cell)), (options, _forms(cell))
    if known is not None and options is not None and known[0] == about:
        return known[1]
    found = _compiled_anew(cell)
    if known is None:
        finalize(cell, _of_cell.pop, id(cell), None)
    _of_cell[id(cell)] = (about, found)
    return found


def _forms(module: torch.nn.Module) -> tuple[tuple[torch.Size, torch.dtype] | None, ...]:
    """Shapes and types of a module's own tensors."""
    tensors = (*module._parameters.values(), *module._buffers.values())
    return tuple([None if tensor is None else (tensor.shape, tensor.dtype) for tensor in tensors])


def _compiled_anew(cell: Cell) -> Compiled | str:
    structure = _structure(cell)
    with _compiling:
        if structure not in _by_structure:
            try:
                key = f"{type(cell).__name__}-{len(_by_structure)}"
                # In a thread of its own, where no exporter, function transform or autocast of the caller looks on
                with ThreadPoolExecutor(1) as thread:
                    recording = thread.submit(record, cell).result()
                programs = step_programs(recording)
                for products in (FLOAT32, BFLOAT16, PAIRS):
                    own = _key_with(key, products)
                    _by_key[own] = Compiled(recording, programs, own, products)
                _by_structure[structure] = _by_key[key]
            except TraceRefusal as refusal:
                _by_structure[structure] = str(refusal)
            except ProgramError as error:
                _by_structure[structure] = f"its step makes too large a program: {error}"
    return _by_structure[structure]


def with_products(step: Compiled | str, products: int) -> Compiled | str:
    """The same step with such products; a reason stays one."""
    return step if isinstance(step, str) or products == FLOAT32 else _by_key[_key_with(step.key, products)]


def _key_with(key: str, products: int) -> str:
    return key if products == FLOAT32 else f"{key}/{products}"


def compiled_by_key(key: str) -> Compiled:
    """The object of a key made in this process."""
    return _by_key[key]


def effective_tensors(cell: Cell, names: tuple[str, ...]) -> list[Tensor]:
    """The parameters and buffers of a cell by name; of a parametrised one, what the parametrisation makes."""
    own = cell._parameters
    if all(map(own.__contains__, names)):
        return list(map(own.__getitem__, names))  # pyright: ignore - a parameter that is None is none of a program
    found = []
    for name in names:
        *path, last = name.split(".")
        module: Any = cell
        for part in path:
            module = getattr(module, part)
        found.append(getattr(module, last))
    return found


def _structure(cell: Cell) -> Hashable:
    """What the recording of a cell depends on: class, options, sizes and types of the parameters, not their values."""
    simple: list[Hashable] = []
    for name, module in cell.named_modules():
        if ".parametrizations" in f".{name}":
            continue
        options = [(k, _frozen(v)) for k, v in module.__dict__.items() if k not in _MODULES_OWN]
        odd = any(value is _UNKNOWN for _, value in options)
        simple.append((name, type(module), tuple(options), _numbered.setdefault(cell, next(_count)) if odd else 0))
    tensors = tuple((name, tuple(p.shape), p.dtype) for name, p in [*cell.named_parameters(), *cell.named_buffers()])
    return (tuple(simple), tensors)


_UNKNOWN = object()
_numbered: WeakKeyDictionary[Cell, int] = WeakKeyDictionary()  # cells with options that cannot be compared
_count = count(1)


def plain_options(cell: torch.nn.Module) -> tuple[Any, ...] | None:
    """All options of a cell, where they are numbers, words, functions or pairs of such."""
    options = tuple(v for k, v in cell.__dict__.items() if k not in _MODULES_OWN)
    for value in options:
        if type(value) not in _PLAIN and not (type(value) is tuple and all(type(part) in _PLAIN for part in value)):
            return None
    return options


def options_with_parts(module: torch.nn.Module) -> tuple[Any, ...] | None:
    """The same of a cell and the modules in it, with their classes and sizes; None where one is parametrised, too."""
    found = plain_options(module)
    for name, part in module._modules.items():
        inside = None if part is None or name == "parametrizations" else options_with_parts(part)
        if found is None or part is None or inside is None:
            return None
        found += (name, type(part), _forms(part), inside)
    return found


def _frozen(value: Any) -> Hashable:
    """A value that can be compared with what it is later, or ``_UNKNOWN``."""
    if isinstance(value, tuple | list):
        parts = tuple(_frozen(part) for part in value)
        return _UNKNOWN if _UNKNOWN in parts else (type(value), parts)
    if isinstance(value, dict):
        return _frozen([(key, part) for key, part in value.items()])
    return (type(value), value) if type(value) in _PLAIN else _UNKNOWN
