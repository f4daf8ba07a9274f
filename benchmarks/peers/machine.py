"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

EXTENSIONS = {"avx2": "AVX2", "fma": "FMA", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "amx_tile": "AMX",
              "asimd": "NEON"}  # fmt: skip


def describe() -> str:
    """Name and instruction set of the processor, how many CPUs, and what else keeps them busy."""
    name, flags = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
        facts = {key.strip(): value.strip() for key, _, value in reversed(lines)}
        name, flags = facts.get("model name", name), facts.get("flags", facts.get("Features", ""))
    found = [label for flag, label in EXTENSIONS.items() if flag in flags.split()]
    load = f", load average {os.getloadavg()[0]:.2f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{name}, {', '.join(found) or 'no vector extension known'}, {os.cpu_count()} CPUs{load}"


def distinct_cores(count: int) -> set[int]:
    """CPUs for the contenders: of different cores where there are enough."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    first: dict[str, int] = {}
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        first.setdefault(siblings.read_text() if siblings.exists() else str(cpu), cpu)
    cores = list(first.values())
    return set((cores + [cpu for cpu in allowed if cpu not in cores])[:count])
