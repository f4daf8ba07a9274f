"""What can go wrong, said so that the reader can mend it.

``UserError`` and its kinds are the reader's to mend: the command line prints the message without a traceback and
exits with 2. Anything else that escapes is a fault of ours and exits with 1.
"""

from __future__ import annotations

from pathlib import Path


class EchoicError(Exception):
    """Root of all errors raised by echoic on purpose."""


class UserError(EchoicError):
    """Something the user can mend: the message says what arrived, what was expected and what to do."""


class OptionError(UserError, ValueError):
    """An option or argument has a value that cannot be honoured."""


class DataError(UserError, ValueError):
    """Data that cannot be used as they are.

    Args:
        source: file (or "table" for data given in memory) the data came from.
        found: what is there.
        expected: what should be there.
        remedy: what to do about it, a whole sentence.
        row: number of the offending row as an editor shows it: the header line of a file is row 1.
        column: name of the offending column.
    """

    def __init__(
        self,
        source: str | Path,
        found: str,
        expected: str,
        remedy: str,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.source, self.found, self.expected, self.remedy = str(source), found, expected, remedy
        self.row, self.column = row, column
        place = str(source)
        if row is not None:
            place += f", row {row}"
        if column is not None:
            place += f', column "{column}"'
        super().__init__(f"{place}: found {found}, expected {expected}.\n{remedy}")


class RunError(UserError):
    """A run directory that is missing, incomplete, damaged or in the way."""


class ModelError(UserError):
    """A model file that does not hold what its format promises."""


class ProgramError(UserError, ValueError):
    """A program of a step that is malformed."""


class CellError(UserError):
    """A cell of the user's own that cannot be taken, or a saved model whose cell is to be named first."""


class BackendError(UserError, ValueError):
    """An explicitly chosen backend that cannot run this cell or call."""


class TrainingDiverged(UserError):
    """The loss or a gradient became NaN or infinite."""
