"""Writing a program operation by operation; what was written before is not written twice."""

from __future__ import annotations

from echoic.errors import ProgramError
from echoic.program.program import Operand, Operation, Program, Source

_COMMUTES = {"add", "mul", "maximum", "minimum", "eq", "ne"}


class Builder:
    """Collects sources and operations. ``emit`` gives the name of the value, an old one where it exists already."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.operations: list[Operation] = []
        self.widths: dict[str, int] = {}
        self.by_name: dict[str, Operation] = {}
        self._made: dict[tuple[object, ...], str] = {}

    def source(self, name: str, kind: str, *shape: int) -> str:
        """Declare what comes from outside."""
        self.sources.append(Source(name, kind, shape))
        if kind != "matrix":
            self.widths[name] = shape[0]
        return name

    def emit(self, kind: str, *operands: Operand, attributes: tuple[int, ...] = (), width: int) -> Operand:
        """The value of an operation, which has ``width`` columns."""
        if any(operand != operand for operand in operands):
            raise ProgramError(f"{kind} of NaN, which is no number of a program")
        simple = self._simplified(kind, operands)
        if simple is not None:
            return simple
        ordered = tuple(sorted(operands, key=str)) if kind in _COMMUTES else operands
        key = (kind, tuple(map(repr, ordered)), attributes)  # 0.0 and -0.0 are two
        if key not in self._made:
            name = f"v{len(self.operations)}"
            operation = Operation(name, kind, operands, attributes)
            self.operations.append(operation)
            self.by_name[name] = operation
            self._made[key], self.widths[name] = name, width
        return self._made[key]

    def slice(self, value: Operand, start: int, stop: int) -> Operand:
        """Columns of a value; of a slice, of what it was cut from; of a concatenation, of its part."""
        if not isinstance(value, str):
            return value
        if (start, stop) == (0, self.widths[value]):
            return value
        made = self.by_name.get(value)
        if made is not None and made.kind == "slice" and isinstance(made.operands[0], str):
            return self.slice(made.operands[0], made.attributes[0] + start, made.attributes[0] + stop)
        if made is not None and made.kind == "concat":
            at = 0
            for part in made.operands:
                assert isinstance(part, str)
                if at <= start and stop <= at + self.widths[part]:
                    return self.slice(part, start - at, stop - at)
                at += self.widths[part]
        return self.emit("slice", value, attributes=(start, stop), width=stop - start)

    def spread(self, value: Operand, width: int) -> Operand:
        """A value of one column as one of ``width``; numbers stay numbers, which fit any width."""
        if not isinstance(value, str) or self.widths[value] == width:
            return value
        return self.emit("broadcast", value, attributes=(width,), width=width)

    def full(self, value: Operand, width: int) -> str:
        """A value where a number will not do."""
        if isinstance(value, str):
            return value
        made = self.emit("broadcast", value, attributes=(width,), width=width)
        assert isinstance(made, str)
        return made

    def program(self, results: dict[str, str]) -> Program:
        """The program of some results, without what none of them needs."""
        return Program(tuple(self.sources), tuple(self.operations), tuple(results.items())).keeping(list(results))

    def _simplified(self, kind: str, operands: tuple[Operand, ...]) -> Operand | None:
        """An operand where the operation changes nothing, or None."""
        if kind == "copy":
            return operands[0]
        if kind in ("add", "mul", "sub", "div"):
            a, b = operands
            if isinstance(a, float) and isinstance(b, float):
                if kind == "div" and b == 0:
                    raise ProgramError("a number divided by zero")
                return _ARITHMETIC[kind](a, b)
            neutral = 0.0 if kind in ("add", "sub") else 1.0
            if b == neutral:
                return a
            if a == neutral and kind in ("add", "mul"):
                return b
        elif all(isinstance(operand, float) for operand in operands) and kind != "broadcast":
            raise ProgramError(f"{kind} of numbers alone, which belongs to the parameters")
        return None


_ARITHMETIC = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}
