"""On what a run was made: its figures in seconds mean nothing without."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("torch", "transformers", "peft", "numpy")
"""What the figures of an arm may depend on beside our own code."""


def machine() -> dict[str, str | int]:
    """Processor, cores and system."""
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Python, and the libraries by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def processor() -> str:
    """By the name that its maker gave it, where the system tells that."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
