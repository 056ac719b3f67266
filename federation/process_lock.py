"""One process a home, and how others see that it runs: by a lock that ends with the process, however that ends. What
several processes of a home share, and one of them removes, has a lock of another name."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(home: Path, name: str = "lock") -> Iterator[None]:
    """Hold the home's lock, with this process's id in its file. Raises BlockingIOError when another one has it."""
    with _lock_file(home, name) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield


@contextlib.contextmanager
def alone(home: Path, name: str) -> Iterator[None]:
    """As `locked`, after waiting for whoever has it: for what takes no time."""
    with _lock_file(home, name) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared(home: Path, name: str) -> Iterator[None]:
    """Hold a lock that others may share. Raises BlockingIOError when one has it for itself (`locked`)."""
    with _lock_file(home, name) as handle:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


def running(home: Path) -> int | None:
    """The process id of who holds the lock of `home`. By the lock: an id alone may be another program's by now."""
    with _lock_file(home, "lock") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(handle, 20, 0) or 0) or None
    return None


@contextlib.contextmanager
def _lock_file(home: Path, name: str) -> Iterator[int]:
    handle = os.open(home / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
