"""Checkpoints: one safetensors file each, tensors by name and the rest as JSON in its header. No pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from echoic.errors import RunError

FORMAT = "1"


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write under a temporary name, flush to the disk and rename: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    held = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(held, temporary, metadata={"format": FORMAT, "facts": json.dumps(facts)})
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a checkpoint. Raises RunError naming the file if it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise RunError(f"{path}: found format {metadata.get('format')!r}, expected {FORMAT!r}. Train anew.")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["facts"])  # noqa: SIM118
    except FileNotFoundError:
        raise RunError(
            f"{path}: there is no checkpoint to resume from. The run was stopped before its first one: start it anew "
            "with --overwrite."
        ) from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path}: the checkpoint cannot be read ({error}). It is damaged: start anew with --overwrite."
        ) from error


def flatten_optimiser(optimiser: Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The optimiser's tensors by "index/name", and its groups of plain options."""
    state = optimiser.state_dict()
    tensors = {
        f"{index}/{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, entries in state["state"].items()
        for name, value in entries.items()
        if value is not None
    }
    return tensors, state["param_groups"]


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """Undo ``flatten_optimiser``."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = tensor
    for group in groups:
        if "betas" in group:
            group["betas"] = tuple(group["betas"])
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names with a prefix, to hold several sets of tensors in one file."""
    return {f"{prefix}:{name}": tensor for name, tensor in tensors.items()}


def of_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under a prefix, by their own names."""
    return {n.removeprefix(f"{prefix}:"): t for n, t in tensors.items() if n.startswith(f"{prefix}:")}
