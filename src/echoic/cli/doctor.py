"""``echoic doctor``."""

from __future__ import annotations

import os
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from echoic.cli.console import AsJson, Debug, new_app, print_json
from echoic.runs import versions

app = new_app()


@app.command()
def doctor(as_json: AsJson = False, debug: Debug = False) -> None:
    """What is installed, which instruction set, which backends, what is missing."""
    report: dict[str, Any] = {"versions": versions(), "missing": _missing(), "cores": os.cpu_count()}
    report["native_engine"] = _native_engine()
    if "torch" not in report["missing"]:
        report |= _torch()
    if as_json:
        print_json(report)
        return
    for name, version in report["versions"].items():
        print(f"{name:<18} {version}")
    for key in ("native_engine", "cores", "threads", "instruction_set", "onednn", "cuda"):
        if key in report:
            print(f"{key.replace('_', ' '):<18} {report[key]}")
    for name, text in report.get("backends", {}).items():
        print(f"backend {name:<10} {text}")
    if report["missing"]:
        print(f"missing            {', '.join(report['missing'])}: pip install 'echoic[all]'")


def _native_engine() -> str:
    """The instruction set that the engine runs on, and those it could be told to."""
    if find_spec("echoic._native") is None:
        return "not built: pip install builds it where there is a C++20 compiler"
    import echoic._native as engine

    others = [name for name in engine.instruction_sets() if name != engine.instruction_set()]
    return f"{engine.instruction_set()} (ECHOIC_ISA can force {', '.join(others) or 'no other'})"


def _missing() -> list[str]:
    """Packages named by the extras that are not installed."""
    absent = []
    for requirement in metadata.requires("echoic") or []:
        name = requirement.split(";")[0].strip()
        for end in "<>=!~[ ":
            name = name.split(end)[0]
        if "extra ==" in requirement and "dev" not in requirement and name != "echoic":
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                absent.append(name)
    return absent


def _torch() -> dict[str, Any]:
    import torch

    from echoic.engine import describe_backends

    return {
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.is_available(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "no device",
        "backends": describe_backends(),
    }
