"""A folder for local sockets and their keys: for this user alone, gone with its process.

It is not in a program's own folder: a socket's path has at most 108 bytes, and a home may be deep. Each process holds a
lock on its folder, which ends with it however it ends; what a killed one left is removed by the next that starts.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "rengo-sockets-"


class SocketFolder:
    """A new folder at `path`, mode 0700, until `remove` or the end of the process."""

    def __init__(self) -> None:
        _remove_abandoned()
        self._lock: int | None = None
        while self._lock is None:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            # Another process that starts may see it before it is locked, and remove it.
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                self._lock = _locked(self.path)
                if not self.path.exists():
                    self.remove()

    def remove(self) -> None:
        """Take it away with what is in it; once is enough."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _remove_abandoned() -> None:
    """This user's folders whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Somebody else's, one that is in use, or gone meanwhile: each stays as it is.
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.geteuid():
                lock = _locked(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int:
    """A handle with the folder's lock. Raises BlockingIOError, or OSError for what is no folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
