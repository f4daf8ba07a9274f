"""Continuing a run: with the options and the data it was started with, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from echoic.cells.own import is_own
from echoic.errors import OptionError, RunError
from echoic.runs import RunDirectory, fingerprint
from echoic.tasks.base import TaskSettings
from echoic.tasks.options import flat_values, settings_from
from echoic.tasks.saved import with_own_cell

MAY_CHANGE = ("epochs", "max_minutes", "patience")  # how long to train; anything else would be another training


def resumed_settings(
    run: RunDirectory, task: str, kind: type[TaskSettings], given: Mapping[str, Any], source: Any
) -> TaskSettings:
    """Settings of a run that is to be continued, with the given changes of its length.

    Raises RunError if the run is of another task or other data, OptionError for an option that differs from the run's,
    CellError if its cell is somebody's own and ``given`` does not name it.
    """
    config = run.open().config()
    if config.get("task") != task:
        raise RunError(f"{run.path}: is a run of {config.get('task')}, expected {task}. Name the folder of that run.")
    flat = {name: name.rsplit(".", 1)[-1].replace("-", "_") for name in given}
    cell = next((value for name, value in given.items() if flat[name] == "cell"), None)
    saved = config["settings"]
    if is_own(saved["model"]["cell"]):
        saved = with_own_cell(saved, cell)
        given = {name: saved["model"]["cell"] if flat[name] == "cell" else value for name, value in given.items()}
    stored = flat_values(kind.model_validate(saved))
    asked = flat_values(settings_from(kind, given))
    names = set(flat.values())
    changed = sorted(n for n in names if asked[n] != stored[n] and n not in MAY_CHANGE)
    if changed:
        differences = ", ".join(f"{n} {stored[n]!r} to {asked[n]!r}" for n in changed)
        raise OptionError(
            f"--resume {run.path}: cannot change {differences}. A resumed run keeps its options "
            f"({', '.join(MAY_CHANGE)} may change); start a new run instead."
        )
    found = fingerprint(source)
    if found["sha256"] != config.get("data", {}).get("sha256"):
        raise RunError(
            f"{run.path}: was started on other data than {source} (their SHA-256 differs). "
            "Resume with the same file, or start a new run."
        )
    return settings_from(kind, stored | {n: asked[n] for n in names})
