"""A user's own cell: a class in a file of theirs, named ``path/to/file.py:Class``.

Naming a file runs it, so only ``adopt`` does, and only what the user names goes there. Settings hold the name with the
file's SHA-256, ``path/to/file.py:Class#sha256``: that tells whether a file is the one a model was trained with, and
reading it runs nothing.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import inspect
import re
import shlex
import sys
import traceback
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from echoic.cells.base import Cell
from echoic.cells.trial import try_step
from echoic.errors import CellError

LIMIT = 2**20  # bytes of a file with a cell
SHOWN = 12  # digits of a SHA-256 that are shown and are enough to name a changed file
_NAME = re.compile(r"(?P<path>[^\x00-\x1f\x7f]+\.py):(?P<kind>[^\W\d]\w*)(?:#(?P<sha256>[0-9a-f]{8,64}))?")


class OwnName(NamedTuple):
    """The parts of a name.

    path: of the file, as given.
    kind: name of the class.
    sha256: of the file's bytes in hexadecimal digits, or their beginning, or empty.
    """

    path: str
    kind: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.path}:{self.kind}" + (f"#{self.sha256}" if self.sha256 else "")


_adopted: dict[tuple[str, str], type[Cell]] = {}  # by class name and SHA-256: the same file elsewhere is the same cell


def is_own(name: str) -> bool:
    """Whether a name is meant to be that of a file; no registered cell has a dot, a colon or a slash."""
    return any(mark in name for mark in ".:/\\")


def parse_own(text: str) -> OwnName:
    """The parts of ``path/to/file.py:Class``; CellError for anything else."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise CellError(
            f'cell: found "{text}", expected path/to/file.py:Class, the file and the class of your cell in it, '
            "or a cell of `echoic cells`."
        )
    return OwnName(found["path"], found["kind"], found["sha256"] or "")


def adopted(text: str) -> type[Cell] | None:
    """The class of a name with its whole SHA-256, if such a file was adopted in this process. Runs nothing."""
    name = parse_own(text)
    return _adopted.get((name.kind, name.sha256))


def adopt(cell: str | type[Cell]) -> str:
    """Run the file that the user names and take the class in it.

    Args:
        cell: ``path/to/file.py:Class``, with ``#`` and the beginning of its SHA-256 if only that content will do; or
            the class itself, defined at the top of a file.

    Returns:
        The name with the whole SHA-256, under which ``adopted`` and ``build_cell`` know the class in this process.

    Raises:
        CellError: no such file or class, an error in the file with its line, or a class that is no cell.
    """
    if isinstance(cell, str):
        name = parse_own(cell)
        content = _read(name)
        whole = name._replace(sha256=hashlib.sha256(content).hexdigest())
        if not whole.sha256.startswith(name.sha256):
            raise CellError(
                f"cell: found SHA-256 {whole.sha256[:SHOWN]} of {name.path}, expected {name.sha256}. "
                f"If that is the file you mean, name it {whole._replace(sha256=whole.sha256[:SHOWN])}"
            )
        if _key(whole) not in _adopted:
            kind = _class_in(_run(whole, content), whole)
            try_step(kind, str(name))
            _adopted[_key(whole)] = kind
        return str(whole)
    whole = _name_of(cell)
    try_step(cell, f"{whole.path}:{whole.kind}")
    _adopted[_key(whole)] = cell
    return str(whole)


def reopened(recorded: str, given: str | type[Cell] | None) -> str:
    """The name under which the own cell of a saved model is known now; its file runs only if the user names it.

    Args:
        recorded: the name that the model was saved with. It may come from anywhere: it is compared, shown, never run.
        given: what the user names as its file or class, if anything.

    Raises:
        CellError: nothing is given and nothing the same was adopted in this process; or the file has changed and the
            name given does not say, by its SHA-256, that the new content is meant.
    """
    saved = parse_own(recorded)
    if given is None:
        if adopted(recorded) is not None:
            return recorded
        named = f"{saved.path}:{saved.kind}"
        raise CellError(
            f"this model has a cell of somebody's own, {saved.kind} in {saved.path} (SHA-256 {saved.sha256[:SHOWN]}), "
            "and holds no code. Opening it runs that file, so it is opened only if you name it: have a look at the "
            f"file, then add to the command\n    --cell {shlex.quote(named)}\nor in Python "
            f"echoic.load(run, cell={named!r})."
        )
    if isinstance(given, str) and not is_own(given):
        raise CellError(
            f"cell: found {given}, expected the cell that the model was trained with, {saved.kind} in {saved.path}: "
            "its weights mean nothing to another. Name that file."
        )
    found = parse_own(given) if isinstance(given, str) else _name_of(given)
    whole = found._replace(sha256=hashlib.sha256(_read(found)).hexdigest())
    if _key(whole) != _key(saved) and not (isinstance(given, str) and found.sha256):
        changed = whole._replace(sha256=whole.sha256[:SHOWN])
        what = "another file" if whole.sha256 != saved.sha256 else f"another class than {saved.kind}"
        raise CellError(
            f"cell: found {changed.path}:{changed.kind} with SHA-256 {changed.sha256}, expected the one that the model "
            f"was trained with, {saved.kind} with SHA-256 {saved.sha256[:SHOWN]}: it is {what}, or has been changed "
            "since. Its weights may mean nothing to this one. Restore the file, or, if you know that the "
            f"change does not matter, name the content you mean:\n    --cell {shlex.quote(str(changed))}"
        )
    return adopt(str(whole)) if isinstance(given, str) else adopt(given)


def displayed(text: str) -> str:
    """How a name is shown to people: the class, and its file with the beginning of the SHA-256."""
    name = parse_own(text)
    return f"{name.kind} ({name.path}, SHA-256 {name.sha256[:SHOWN]})"


def _key(name: OwnName) -> tuple[str, str]:
    return name.kind, name.sha256


def _read(name: OwnName) -> bytes:
    path = Path(name.path)
    if not path.is_file():
        raise CellError(
            f"cell: there is no file {name.path}. Name the file and the class of your cell: path/to/file.py:Class"
        )
    try:
        with path.open("rb") as stream:
            content = stream.read(LIMIT + 1)
    except OSError as error:
        raise CellError(f"cell: {name.path} cannot be read ({error.strerror}). Mend its permissions.") from error
    if len(content) > LIMIT:
        raise CellError(f"cell: {name.path} has more than {LIMIT} bytes, expected a file with the equations of a cell.")
    return content


def _name_of(kind: type[Cell]) -> OwnName:
    """The name of a class that is given itself: of the file it was read from."""
    if not (isinstance(kind, type) and issubclass(kind, Cell)):
        raise CellError(f"cell: found {kind!r}, expected a name or a subclass of echoic.cells.Cell.")
    try:
        path = inspect.getsourcefile(kind)
    except (TypeError, OSError):
        path = None
    if path is None or not path.endswith(".py") or "<locals>" in kind.__qualname__ or not Path(path).is_file():
        raise CellError(
            f"cell: {kind.__name__} is not defined at the top of a .py file, and a saved model names its cell by one. "
            "Write the class to a file and import it from there."
        )
    name = OwnName(path, kind.__name__, "")
    return name._replace(sha256=hashlib.sha256(_read(name)).hexdigest())


class _Content(importlib.abc.SourceLoader):
    """Runs exactly the bytes whose SHA-256 was taken, never a cached compilation."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path, self.content = path, content

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_data(self, path: str | bytes) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        if path != self.path:
            raise OSError(f"{path!r} is not asked for")
        return self.content


def _run(name: OwnName, content: bytes) -> ModuleType:
    path = str(Path(name.path).absolute())
    full = f"echoic_own_{name.sha256[:SHOWN]}.{Path(path).stem}"
    loader = _Content(path, content)
    spec = ModuleSpec(full, loader, origin=path)
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[full] = module  # where inspect and typing look the names of its classes up
    try:
        loader.exec_module(module)
    except SyntaxError as error:
        sys.modules.pop(full)
        raise CellError(f"cell: {name.path}, line {error.lineno}: {error.msg}. Mend that line.") from error
    except Exception as error:
        sys.modules.pop(full)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        place = f"{name.path}, line {lines[-1]}" if lines else name.path
        raise CellError(
            f"cell: {place}: the file stops with {type(error).__name__}: {error}. It is run when the cell is opened: "
            "let it define the cell, and keep everything else behind `if __name__ == '__main__':`."
        ) from error
    return module


def _class_in(module: ModuleType, name: OwnName) -> type[Cell]:
    kind = getattr(module, name.kind, None)
    if isinstance(kind, type) and issubclass(kind, Cell) and kind.__module__ == module.__name__:
        return kind
    own = [k for k, v in vars(module).items() if isinstance(v, type) and issubclass(v, Cell) and v is not Cell]
    there = f"The cells in it: {', '.join(own)}." if own else "A cell is a subclass of echoic.cells.Cell."
    what = f"no class {name.kind}" if kind is None else f"{name.kind}, which is no cell of this file"
    raise CellError(f"cell: {name.path}: found {what}, expected a cell. {there}")
