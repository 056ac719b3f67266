"""Where a benchmark ran: a figure without its machine says nothing."""

import json
import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any


def machine(threads: int, packages: Iterable[str] = ("torch", "transformers", "peft")) -> dict[str, Any]:
    """CPU, cores, threads and versions. `load`: of the last minute before; near 0 on a quiet machine."""
    versions = {name: metadata.version(name) for name in packages}
    facts = {"cpu": cpu_model(), "cores": os.cpu_count(), "threads": threads, "load": round(os.getloadavg()[0], 2)}
    return {**facts, "python": platform.python_version(), "versions": versions}


def cpu_model() -> str:
    """As the kernel calls it; the architecture where it does not say."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def say(text: str) -> None:
    """Progress; stdout belongs to the result."""
    print(text, file=sys.stderr, flush=True)


def emit(result: dict[str, Any]) -> None:
    """The one line of a benchmark."""
    print(json.dumps(result, ensure_ascii=False), flush=True)
