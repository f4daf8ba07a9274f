"""A step as data: operations, shapes, JSON, checks, and a NumPy interpreter that is the oracle."""

from echoic.program.builder import Builder
from echoic.program.interpreter import interpret
from echoic.program.json_form import from_json, to_json
from echoic.program.program import Operand, Operation, Program, Source

__all__ = ["Builder", "Operand", "Operation", "Program", "Source", "from_json", "interpret", "to_json"]
