"""Tasks. Adding one is a file in this folder and a line in ``registered_tasks``."""

from __future__ import annotations

from echoic.errors import ModelError
from echoic.tasks.base import Task
from echoic.tasks.classify import Classify
from echoic.tasks.forecast import Forecast
from echoic.tasks.generate import Generate
from echoic.tasks.summarize import Summarize
from echoic.tasks.tag import Tag
from echoic.tasks.translate import Translate

REGISTERED: tuple[type[Task], ...] = (
    Forecast,
    Generate,
    Classify,
    Tag,
    Translate,
    Summarize,
)


def registered_tasks() -> dict[str, type[Task]]:
    """Every task by the name it has on the command line."""
    return {task.name: task for task in REGISTERED}


def task_named(name: str) -> type[Task]:
    """The task of that name; ModelError if there is none (the name comes from a saved model)."""
    tasks = registered_tasks()
    if name not in tasks:
        raise ModelError(
            f'found a model of task "{name}", expected one of {", ".join(tasks)}. It needs another version.'
        )
    return tasks[name]
