"""The run directory: everything about one training, and no code.

RUN/config.json        settings, seed, versions, data fingerprint, command
RUN/model/             weights.safetensors, preprocessing.json, config.json
RUN/metrics.json       metrics on validation and test, and the baselines on the same rows
RUN/log.jsonl          one line per logged step; TensorBoard events beside it
RUN/checkpoints/       last and best
RUN/report.html        one self-contained page
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from echoic.errors import OptionError, RunError
from echoic.runs.files import atomic_write_json, atomic_write_text, read_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FORMAT = 1
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
ENTRIES = ("config.json", "model", "metrics.json", "log.jsonl", "checkpoints", "report.html", "tensorboard")


class RunDirectory:
    """A folder with the layout above.

    Args:
        path: the folder. Nothing is read or written before a method is called.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model = self.path / "model"

    def check_free(self, overwrite: bool) -> None:
        """Refuse early, before any work, what ``create`` would refuse.

        Raises OptionError if the folder holds something and may not be overwritten, or cannot be written at all.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OptionError(f"--out {self.path}: this is a file, expected a folder that does not exist yet.")
        if self.path.is_dir() and any(self.path.iterdir()):
            if not self.is_run():
                raise OptionError(
                    f"--out {self.path}: the folder holds files that are not a run of echoic; they are left alone. "
                    "Name a new folder."
                )
            if not overwrite:
                raise OptionError(
                    f"--out {self.path}: there is a run in this folder already. Name another folder, pass --resume to "
                    "continue it, or --overwrite to replace it."
                )
        ancestor = next(p for p in [self.path, *self.path.absolute().parents] if p.exists())
        if not ancestor.is_dir() or not os.access(ancestor, os.W_OK):
            raise OptionError(
                f"--out {self.path}: {ancestor} cannot be written to. Name a folder that you may write to."
            )

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Inside the block no other training may write here; the folder is made if it is not there.

        The claim is a lock of the folder itself, which ends with the process however that ends. Raises OptionError if
        another training holds it. Where the system or the disk knows no locks, nothing is claimed.
        """
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            yield
            return
        folder = os.open(self.path, os.O_RDONLY)
        try:
            self._lock(folder)
            yield
        finally:
            os.close(folder)

    def _lock(self, folder: int) -> None:
        assert fcntl is not None
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(
                f"--out {self.path}: another training is writing to this folder now. Name another folder, or wait for "
                "it to end."
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise

    def create(self, overwrite: bool = False) -> None:
        """Make the folder, empty of any earlier run (see ``check_free``)."""
        self.check_free(overwrite)
        with self._writing():
            self.path.mkdir(parents=True, exist_ok=True)
            for name in ENTRIES:
                entry = self.path / name
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OptionError(
                f"--out {self.path}: cannot be written ({error}). Name a folder that you may write to."
            ) from error

    def is_run(self) -> bool:
        """Whether the folder looks like a run of ours."""
        return (self.path / "config.json").is_file()

    def open(self) -> RunDirectory:
        """This directory, if it is a run whose format is known; RunError otherwise."""
        if not self.path.is_dir():
            raise RunError(f"{self.path}: there is no such folder. Name the folder given to --out when it was trained.")
        config = self.config()
        if config.get("format") != FORMAT:
            raise RunError(
                f"{self.path / 'config.json'}: found format {config.get('format')!r}, expected {FORMAT}. "
                "The run was written by another version of echoic, or edited."
            )
        return self

    def config(self) -> dict[str, Any]:
        """RUN/config.json as a dict; RunError if it is missing or damaged."""
        config = read_json(self.path / "config.json", "configuration of a run")
        if not isinstance(config, dict):
            raise RunError(f"{self.path / 'config.json'}: expected a JSON object. Restore the file or train again.")
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        """Write RUN/config.json."""
        atomic_write_json(self.path / "config.json", {"format": FORMAT, **config})

    def metrics(self) -> dict[str, Any]:
        """RUN/metrics.json as a dict; RunError if the training has not finished."""
        return read_json(self.path / "metrics.json", "metrics of a finished run")

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write RUN/metrics.json."""
        atomic_write_json(self.path / "metrics.json", metrics)

    def write_report(self, html: str) -> None:
        """Write RUN/report.html."""
        atomic_write_text(self.path / "report.html", html)
