"""The same floats every time, from any thread: deterministic kernels, the plan's number of threads and a seed."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from federation.errors import DeviceUnavailable


@contextmanager
def exact(seed: int, threads: int, device: torch.device) -> Iterator[None]:
    """What is computed inside is bit for bit repeatable; torch's settings come back afterwards.

    torch hands `threads` to OpenMP and MKL, where the number holds for the calling thread alone. Deterministic kernels
    and the random generator belong to the process: so a model that draws random numbers would repeat itself only where
    one thread is in here at a time. None that is supported draws any.
    """
    # Asked before it is set: at its first question, torch gives a new thread the number that any other set last.
    before = torch.get_num_threads()
    with _PROCESS.deterministic(device):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class _Process:
    """What torch keeps once a process: set by the first thread that comes, put back as it was by the last to go."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, ExitStack()

    @contextmanager
    def deterministic(self, device: torch.device) -> Iterator[None]:
        """Deterministic kernels as long as any thread is in here."""
        with self._lock:
            if not self._inside:
                self._before.enter_context(_deterministic(device))
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._before.close()


_PROCESS = _Process()


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    memory: Any = torch.utils.deterministic
    fill, mode = memory.fill_uninitialized_memory, torch.get_deterministic_debug_mode()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.use_deterministic_algorithms(True)
        # The default writes NaN into all memory first, to find faults in kernels: it costs, and changes no result.
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            memory.fill_uninitialized_memory = fill


def device_of(name: str) -> torch.device:
    """Raises DeviceUnavailable unless `name` is cpu, or a CUDA device that this machine has."""
    if name == "cpu":
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    count = torch.cuda.device_count()  # 0 without a driver, too
    if kind != "cuda" or not (index or "0").isdecimal() or int(index or 0) >= count:
        raise DeviceUnavailable(device=name, available=", ".join(["cpu", *(f"cuda:{i}" for i in range(count))]))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    return torch.device("cuda", int(index or 0))
