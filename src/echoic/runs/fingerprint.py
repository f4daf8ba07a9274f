"""A short name for the exact data and software of a run, so that it can be told apart and run again."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "polars", "safetensors", "tokenizers", "scikit-learn", "lightning-fabric")


def fingerprint(source: Any) -> dict[str, Any]:
    """Identity of a data source: path, size and SHA-256 of its bytes; for data in memory a digest of the values."""
    if isinstance(source, str) and len(source) > 4096:
        return {"kind": "text", "sha256": hashlib.sha256(source.encode()).hexdigest()}
    if isinstance(source, str | Path) and Path(source).exists():
        path = Path(source)
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        digest = hashlib.sha256()
        for file in files:
            with open(file, "rb") as stream:
                while block := stream.read(2**20):
                    digest.update(block)
        return {"path": str(path), "bytes": sum(f.stat().st_size for f in files), "sha256": digest.hexdigest()}
    return {"kind": type(source).__name__, "sha256": _digest_of_values(source)}


def _digest_of_values(source: Any) -> str:
    if hasattr(source, "hash_rows"):  # a polars DataFrame
        content = source.hash_rows(seed=0).to_numpy().tobytes() + repr(source.schema).encode()
    elif hasattr(source, "tobytes"):
        content = source.tobytes()
    elif isinstance(source, list | tuple):
        content = "".join(_digest_of_values(item) for item in source).encode()
    else:
        content = repr(source).encode()
    return hashlib.sha256(content).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python, echoic and the packages that decide the numbers."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in ("echoic", *PACKAGES):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
