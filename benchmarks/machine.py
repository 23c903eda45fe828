"""The machine that a benchmark runs on, and other work beside it.

    python benchmarks/machine.py

Every benchmark prints this line first: figures of a CPU with other features are other figures.
`ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` in front of a command lets torch and oneDNN
compute as on a CPU without AVX512, `FBGEMM_ENABLE_INSTRUCTIONS=AVX2` torch's int8 products (MKL
looks at the CPU itself).
"""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimddp")
EMULATED = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "FBGEMM_ENABLE_INSTRUCTIONS",
)


def describe() -> str:
    """Return the CPU with its features, cores, memory, and what the environment takes from it."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in info.splitlines())
    }
    flags = fields.get("flags", fields.get("Features", "")).split()
    parts = [
        fields.get("model name", platform.processor() or platform.machine()),
        f"{len(usable_cores())} cores",
        " ".join(name for name in FEATURES if name in flags) or "unknown features",
        *(f"{name}={os.environ[name]}" for name in EMULATED if name in os.environ),
    ]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB")
    if hasattr(os, "getloadavg"):
        parts.append(f"load {os.getloadavg()[0]:.1f}")
    return ", ".join(parts)


def usable_cores() -> list[int]:
    """Return the cores that the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Keep so many other processes busy, each with one core, for as long as this lasts."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    print(describe())
