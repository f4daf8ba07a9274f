"""Where a training runs and in which precision, by Lightning Fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from echoic import notices
from echoic.engine.precision import has_bfloat16
from echoic.errors import OptionError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(device: str, precision: str) -> Fabric:
    """Fabric for one device.

    Sets PyTorch's precision of float32 matmuls: "high", if that is asked for, or "highest". Raises OptionError for a
    device that is not there or has no bf16.
    """
    from lightning_fabric import Fabric  # takes two seconds to import, which only a training pays

    if device not in ("auto", "cpu", "cuda"):
        raise OptionError(f'--device: found "{device}", expected cpu, cuda or auto.')
    if device == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda: torch sees no CUDA device here. Use --device cpu, or a torch built for CUDA.")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if precision == "bf16" and not _has_bf16(chosen):
        raise OptionError(f"--precision bf16: this {chosen} device has no bf16 arithmetic. Use --precision float32.")
    if precision == "high" and chosen == "cpu" and not has_bfloat16():
        notices.notice("--precision high: there are no faster products here that are nearly as exact; it is float32.")
    torch.set_float32_matmul_precision("high" if precision == "high" else "highest")
    return Fabric(accelerator=chosen, devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true")


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return "AVX512" in torch.backends.cpu.get_cpu_capability()
