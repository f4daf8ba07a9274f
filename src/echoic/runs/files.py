"""Files written whole or not at all, and read within limits."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from echoic.errors import RunError

JSON_LIMIT = 256 * 2**20  # bytes; a vocabulary of a million subwords is about 30 MiB


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, flush it to the disk and rename it: readers see old or new."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def atomic_write_text(path: Path, content: str) -> None:
    """``atomic_write_bytes`` of UTF-8 text."""
    atomic_write_bytes(path, content.encode("utf-8"))


def atomic_write_json(path: Path, content: Any) -> None:
    """``atomic_write_bytes`` of readable JSON. NaN and infinities become null: JSON has no word for them."""
    atomic_write_text(path, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> Any:
    """Parse a JSON file of a run.

    Raises RunError naming the file if it is missing, too large, not UTF-8 or not JSON.
    """
    try:
        size = path.stat().st_size
        if size > JSON_LIMIT:
            raise RunError(
                f"{path}: found {size} bytes, expected at most {JSON_LIMIT} for {what}. This is no file of ours."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            f"{path}: there is no {what} here. Either the folder is no run of echoic, or the run was cut off before it "
            "was written: train again, with --resume if there are checkpoints."
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise RunError(
            f"{path}: {what} cannot be read ({error}). The file is damaged or was edited: restore it or train again."
        ) from error


def finite(value: Any) -> Any:
    """The same JSON value with every NaN and infinity replaced by None."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
