"""A trained model in a folder: settings, preprocessing and weights, and back again. No code is stored or run.

A cell of the user's own is stored as the name and SHA-256 of its file, which runs only if the user names it again.

MODEL/config.json          {"format", "task", "settings"}
MODEL/preprocessing.json   vocabularies, scalers, column names
MODEL/weights.safetensors
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from echoic.cells import Cell
from echoic.cells.own import is_own, reopened
from echoic.errors import CellError, ModelError, UserError
from echoic.runs.files import atomic_write_json, read_json
from echoic.runs.weights import read_weights, write_weights
from echoic.tasks.base import Task

FORMAT = 1


def save_model(folder: Path, task: Task, model: nn.Module) -> None:
    """Write a trained model; ``folder`` is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    write_weights(folder / "weights.safetensors", weights)
    atomic_write_json(folder / "preprocessing.json", task.preprocessing.model_dump(mode="json"))
    settings = task.settings.model_dump(mode="json")
    atomic_write_json(folder / "config.json", {"format": FORMAT, "task": task.name, "settings": settings})


def load_model(folder: Path, cell: str | type[Cell] | None = None) -> tuple[Task, nn.Module]:
    """The task and model of a folder written by ``save_model``, ready to predict.

    Args:
        folder: of the model.
        cell: file and class (``path/to/file.py:Class``), or class, of a model whose cell is somebody's own. The file is
            run. Nothing that the folder names is.

    Raises:
        ModelError: names the file and what is wrong; RunError for files that are missing or no JSON.
        CellError: the cell is somebody's own and is not named, or not the one the model was trained with.
    """
    from echoic.tasks import task_named  # the registry imports every task, and tasks import this package

    config = read_json(folder / "config.json", "configuration of a model")
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise ModelError(
            f"{folder / 'config.json'}: found format {found!r}, expected {FORMAT}. Train again, or restore it."
        )
    kind = task_named(str(config.get("task")))
    preprocessing = read_json(folder / "preprocessing.json", "preprocessing of a model")
    settings = with_own_cell(config.get("settings"), cell)
    try:
        task = kind(kind.Settings.model_validate(settings), kind.Preprocessing.model_validate(preprocessing))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(
            f"{folder}: {error.title}: {where}: found {str(first['input'])[:80]!r}; {first['msg']}. "
            "A file of the model was changed: restore it or train again."
        ) from error
    return task, _with_weights(task, folder / "weights.safetensors")


def with_own_cell(settings: Any, cell: str | type[Cell] | None) -> Any:
    """Settings as read from a file, with the name of the user's own cell as it is known now; others as they are.

    Raises CellError if their cell is somebody's own and is not named (see ``cells.own.reopened``), or if one is named
    for a model that has none.
    """
    model = settings.get("model") if isinstance(settings, dict) else None
    recorded = model.get("cell") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(recorded, str):
        return settings  # what is wrong with them is said by whoever checks them
    if is_own(recorded):
        return {**settings, "model": {**model, "cell": reopened(recorded, cell)}}
    if cell is not None and not _names(cell, recorded):
        raise CellError(f"cell: found {cell!r}, expected none to be named: the model's cell is {recorded}.")
    return settings


def _names(cell: str | type[Cell], recorded: str) -> bool:
    return (cell if isinstance(cell, str) else cell.__name__).lower() == recorded.lower()


def _with_weights(task: Task, path: Path) -> nn.Module:
    """Build the model without memory first, so that edited sizes meet the file's header before any allocation."""
    try:
        with torch.device("meta"):
            shapes = task.build_model().state_dict()
    except UserError:
        raise
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        raise ModelError(
            f"{path.parent}: no model can be built from config.json and preprocessing.json ({error}). "
            "One of them was changed: restore it or train again."
        ) from error
    expected = {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in shapes.items()}
    arrays = read_weights(path, expected)
    model = task.build_model()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return model.eval()
