"""One member process a home: what it does to itself before secrets are made in it, and how others see that it runs."""

import contextlib
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from federation.errors import RengoError


class MemberRunning(RengoError):
    """A member already runs on {path}. `rengo member status` shows it."""

    ja = "{path} では既に参加拠点が動作中です。`rengo member status` で確認できます。"
    exit_code = 2


def forbid_core_dumps() -> None:
    """A crash must not write round secrets to a disk. Swap and hibernation are the site's to turn off."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """One member a home, and no core dumps of it. Raises MemberRunning."""
    forbid_core_dumps()
    with _lock_file(home) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MemberRunning(path=home) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield


def running(home: Path) -> int | None:
    """The process id of the member that runs on `home`. By its lock, which ends with it: an id alone may be another
    program's by now."""
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
