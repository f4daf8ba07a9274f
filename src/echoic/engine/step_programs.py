"""The programs of a recorded step: forward with and without what the backward needs, and backward."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from echoic.engine.sorting import Outer
from echoic.engine.trace import Recording
from echoic.program import Operation, Program, Source
from echoic.program.operations import CHEAP, REDUCTIONS, SPREAD


class StepPrograms(NamedTuple):
    """What runs a cell.

    inference: ``output`` and ``state.*`` from ``input`` and ``state.*``.
    forward: the same and ``saved.*``.
    backward: ``grad.input``, ``grad.state.*`` and the operands of the deferred sums, from ``grad.*``, ``input``,
        ``state.*`` (before the step), ``new.*`` (after it) and ``saved.*``.
    recompute: the same from ``input``, ``state.*`` and ``grad.*``.
    again: ``state.*`` and ``saved.*`` where the output of every step is known already and is a field of the state: that
        field before the step is the row source ``before`` and no result. None where the output is no such field.
    saved: their widths, the widest first: a single column does not push the others out of line.
    operands: result names of the deferred sums' operands; ``input`` and ``state.*`` stand for themselves, being kept.
    """

    inference: Program
    forward: Program
    backward: Program
    recompute: Program
    again: Program | None
    saved: dict[str, int]
    operands: tuple[tuple[str, ...], ...]


def step_programs(recording: Recording) -> StepPrograms:
    """Cut a recording in programs and choose what the forward keeps for the backward."""
    builder = recording.builder
    results = dict(recording.backward)
    operands: list[tuple[str, ...]] = []
    names: dict[str, str] = {}  # of operands: never a gradient's, which may lie where only one step has room
    kept_anyway = {"input", *(f"state.{field}" for field in recording.fields)}
    for deferred in recording.deferred:
        values = (deferred.left, deferred.right) if isinstance(deferred, Outer) else (deferred.value,)
        for value in values:
            if value not in names:
                names[value] = value if value in kept_anyway else f"deferred.{len(names)}"
            if names[value] not in kept_anyway:
                results[names[value]] = value
        operands.append(tuple(names[value] for value in values))
    saved = sorted(_chosen(recording, list(results.values())), key=builder.widths.__getitem__, reverse=True)
    forward = dict(recording.forward)
    kept = {f"saved.{i}": value for i, value in enumerate(saved)}
    whole, known = builder.program({**forward, **kept}), field_of_output(recording)
    return StepPrograms(
        inference=builder.program(forward),
        forward=whole,
        backward=_with_sources(recording, results, kept),
        recompute=builder.program(results),
        again=None if known is None else _with_known_state(whole, f"state.{known}"),
        saved={name: builder.widths[value] for name, value in kept.items()},
        operands=tuple(operands),
    )


def field_of_output(recording: Recording) -> str | None:
    """The field of the state that is the output too, if there is one."""
    output = recording.forward["output"]
    same = [field for field in recording.fields if recording.forward[f"state.{field}"] == output]
    return same[0] if same and output in recording.builder.by_name else None


def _with_known_state(program: Program, name: str) -> Program:
    """A forward program that reads ``before`` for a state and makes neither it nor the output."""
    sources = [replace(source, name="before") if source.name == name else source for source in program.sources]
    operations = [_reading({name: "before"}, operation) for operation in program.operations]
    results = [(result, "before" if value == name else value) for result, value in program.results]
    left = [result for result, _ in results if result not in ("output", name)]
    return Program(tuple(sources), tuple(operations), tuple(results)).keeping(left)


def _reading(names: dict[str, str], operation: Operation) -> Operation:
    """An operation whose operands go by other names."""
    return replace(operation, operands=tuple(names.get(x, x) if isinstance(x, str) else x for x in operation.operands))


def _with_sources(recording: Recording, results: dict[str, str], kept: dict[str, str]) -> Program:
    """The backward program, in which saved values and new states come from outside."""
    outside = {value: name for name, value in _new_states(recording).items()} | {v: n for n, v in kept.items()}
    outside = {value: name for value, name in outside.items() if value in recording.builder.by_name or name in kept}
    widths = recording.builder.widths
    sources = [Source(name, "row", (widths[value],)) for value, name in outside.items()]
    operations = [_reading(outside, o) for o in recording.builder.operations if o.name not in outside]
    renamed = {name: outside.get(value, value) for name, value in results.items()}
    whole = Program((*recording.builder.sources, *sources), tuple(operations), tuple(renamed.items()))
    return whole.keeping(list(renamed))


def _new_states(recording: Recording) -> dict[str, str]:
    """new.* to the value; the backward can read the states, which are kept anyway."""
    found = {f"new.{f}": recording.forward[f"state.{f}"] for f in recording.fields}
    return {name: value for name, value in found.items() if value in recording.builder.by_name}


def _chosen(recording: Recording, results: list[str]) -> list[str]:
    """The forward values that the backward needs and cannot cheaply make from others that it has."""
    builder = recording.builder
    made = builder.by_name
    forward = _ancestors(list(recording.forward.values()), made)
    tangents = {s.name for s in builder.sources if s.name.startswith("grad.")}
    after: set[str] = set(tangents)  # values that depend on a gradient
    for operation in builder.operations:
        if any(o in after for o in operation.operands):
            after.add(operation.name)
    needed: list[str] = []
    for operation in builder.operations:
        if operation.name in after:
            needed += [o for o in operation.operands if isinstance(o, str) and o not in after]
    needed += [value for value in results if value not in after]
    free = {"input", *(f"state.{f}" for f in recording.fields)} | set(_new_states(recording).values())
    free |= {s.name for s in builder.sources if s.kind != "row"}
    saved: dict[str, None] = {}

    def narrow(value: str) -> str:
        """What a value repeats."""
        operation = made.get(value)
        repeats = operation is not None and operation.kind in SPREAD and isinstance(operation.operands[0], str)
        return operation.operands[0] if repeats else value  # pyright: ignore

    def keep_costly(value: str) -> None:
        """Save what cannot be made again; go on to the operands of what can."""
        value = narrow(value)
        if value in free or value in saved:
            return
        operation = made.get(value)
        costly = operation is None or operation.kind == "matmul" or operation.kind in REDUCTIONS
        if operation is None or costly or (operation.kind not in CHEAP and value in forward):
            saved[value] = None
        elif value not in forward:
            for operand in operation.operands:
                if isinstance(operand, str):
                    keep_costly(operand)

    def makeable(value: str) -> bool:
        """Whether a value can be made from what is kept."""
        if value in free or value in saved:
            return True
        operation = made.get(value)
        if operation is None or operation.kind not in CHEAP:
            return False
        return all(makeable(o) for o in operation.operands if isinstance(o, str))

    def keep_rest(value: str) -> None:
        value = narrow(value)
        if makeable(value):
            return
        operation = made.get(value)
        if operation is not None and value not in forward:
            for operand in operation.operands:
                if isinstance(operand, str):
                    keep_rest(operand)
        else:
            saved[value] = None

    for value in needed:
        keep_costly(value)
    for value in needed:
        keep_rest(value)
    return list(saved)


def _ancestors(values: list[str], made: dict[str, Operation]) -> set[str]:
    found: set[str] = set()
    open_ = list(values)
    while open_:
        value = open_.pop()
        if value not in found:
            found.add(value)
            if value in made:
                open_ += [o for o in made[value].operands if isinstance(o, str)]
    return found
