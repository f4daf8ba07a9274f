"""Continuing a run: with the options and the data it was started with, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from echoic.errors import OptionError, RunError
from echoic.runs import RunDirectory, fingerprint
from echoic.tasks.base import TaskSettings
from echoic.tasks.options import flat_values, settings_from

MAY_CHANGE = ("epochs", "max_minutes", "patience")  # how long to train; anything else would be another training


def resumed_settings(
    run: RunDirectory, task: str, kind: type[TaskSettings], given: Mapping[str, Any], source: Any
) -> TaskSettings:
    """Settings of a run that is to be continued, with the given changes of its length.

    Raises RunError if the run is of another task or other data, OptionError for an option that differs from the run's.
    """
    config = run.open().config()
    if config.get("task") != task:
        raise RunError(f"{run.path}: is a run of {config.get('task')}, expected {task}. Name the folder of that run.")
    stored = flat_values(kind.model_validate(config["settings"]))
    asked = flat_values(settings_from(kind, given))
    names = {name.rsplit(".", 1)[-1].replace("-", "_") for name in given}
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
