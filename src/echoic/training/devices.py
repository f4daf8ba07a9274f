"""Where a training runs and in which precision, by Lightning Fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from echoic.errors import OptionError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(device: str, precision: str) -> Fabric:
    """Fabric for one device. Raises OptionError for a device that is not there or has no bf16."""
    from lightning_fabric import Fabric  # takes two seconds to import, which only a training pays

    if device not in ("auto", "cpu", "cuda"):
        raise OptionError(f'--device: found "{device}", expected cpu, cuda or auto.')
    if device == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda: torch sees no CUDA device here. Use --device cpu, or a torch built for CUDA.")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if precision == "bf16" and not _has_bf16(chosen):
        raise OptionError(f"--precision bf16: this {chosen} device has no bf16 arithmetic. Use --precision float32.")
    return Fabric(accelerator=chosen, devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true")


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return "AVX512" in torch.backends.cpu.get_cpu_capability()
