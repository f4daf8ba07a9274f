"""Weights of a model as safetensors, checked against the model before they are copied into it."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from echoic.errors import ModelError
from echoic.runs.files import atomic_write_bytes

HEADER_LIMIT = 100 * 2**20  # bytes, as in the safetensors format itself


def write_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to one file, whole or not at all."""
    atomic_write_bytes(path, save({name: np.asarray(array, order="C") for name, array in weights.items()}))


def read_weights(path: Path, expected: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, np.ndarray]:
    """Read named arrays whose names, shapes and types (as ``float32``) are known beforehand.

    The header is compared with what is expected before any array is allocated. Raises ModelError with the first
    difference.
    """
    found = _header(path)
    missing, surplus = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or surplus:
        detail = f"missing {missing[:3]}" if missing else f"unknown {surplus[:3]}"
        raise ModelError(
            f"{path}: its arrays are not those of the model in config.json ({detail}). "
            "One of the two files was changed: restore them or train again."
        )
    for name, (shape, kind) in expected.items():
        if found[name] != (shape, kind):
            raise ModelError(
                f'{path}: array "{name}" is {found[name][1]} {list(found[name][0])}, expected {kind} {list(shape)} '
                "as config.json says. One of the two files was changed: restore them or train again."
            )
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: the weights cannot be read ({error}). The file is damaged: train again.") from error


_KINDS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32"}
_KINDS |= {"I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}


def _header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, HEADER_LIMIT):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length))
        return {
            name: (tuple(entry["shape"]), _KINDS.get(entry["dtype"], str(entry["dtype"])))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except FileNotFoundError:
        raise ModelError(
            f"{path}: the weights are not here. The run was cut off before its first checkpoint."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise ModelError(
            f"{path}: not a safetensors file ({error}). It is damaged: restore it or train again."
        ) from error
