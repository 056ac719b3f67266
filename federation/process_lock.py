"""One process a home, and how others see that it runs: by a lock that ends with the process, however that ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """Hold the home's lock, with this process's id in its file. Raises BlockingIOError when another one has it."""
    with _lock_file(home) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield


def running(home: Path) -> int | None:
    """The process id of who holds the lock of `home`. By the lock: an id alone may be another program's by now."""
    with _lock_file(home) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(handle, 20, 0) or 0) or None
    return None


@contextlib.contextmanager
def _lock_file(home: Path) -> Iterator[int]:
    handle = os.open(home / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
