"""A disk that refuses the n-th write under a folder, and from then on every one, or only that one.

Writes are what reaches the operating system: SQLite's own (through the hook that its VFS has for tests,
`xSetSystemCall`) and those of Python's file objects and `os` functions. So the code under test is the real one.
"""

import _sqlite3
import contextlib
import ctypes
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from unittest import mock

_WRITING = (os.write, os.pwrite)

Fault = Literal["no space", "no space once", "io error", "io error once", "torn", "read-only"]
FAULTS: tuple[Fault, ...] = ("no space", "no space once", "io error", "io error once", "torn", "read-only")
_ERRNO: dict[Fault, int] = {"io error": errno.EIO, "io error once": errno.EIO, "read-only": errno.EROFS}

_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = (
        [("iVersion", _INT), ("szOsFile", _INT), ("mxPathname", _INT), ("pNext", _POINTER), ("zName", _TEXT)]
        + [("pAppData", _POINTER)]
        + [(f"method{number}", _POINTER) for number in range(13)]
        + [("xSetSystemCall", ctypes.CFUNCTYPE(_INT, _POINTER, _TEXT, _POINTER))]
    )


_Pwrite = ctypes.CFUNCTYPE(ctypes.c_ssize_t, _INT, _POINTER, ctypes.c_size_t, ctypes.c_longlong)
_Truncate = ctypes.CFUNCTYPE(_INT, _INT, ctypes.c_longlong)
_libc = ctypes.CDLL(None, use_errno=False)
_errno_location = getattr(_libc, "__errno_location")
_errno_location.restype = ctypes.POINTER(_INT)
_libc.pwrite64.argtypes, _libc.pwrite64.restype = (_INT, _POINTER, ctypes.c_size_t, ctypes.c_longlong), ctypes.c_ssize_t
_libc.ftruncate64.argtypes = (_INT, ctypes.c_longlong)


def sqlite_can_be_hooked() -> bool:
    """Whether this Python's SQLite shows its VFS: not where it is linked in without its symbols."""
    return hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_find")


class FailingDisk:
    """`writes` counts what was written under `folder`; from the `fails_at`-th one on (0: never), `fault` happens."""

    def __init__(self, folder: Path, fault: Fault = "no space", fails_at: int = 0) -> None:
        self._folder, self._fault, self._fails_at = folder, fault, fails_at
        self.writes = 0

    @contextlib.contextmanager
    def mounted(self) -> Iterator["FailingDisk"]:
        """While this lasts, whatever this process writes under the folder goes through here."""
        with contextlib.ExitStack() as stack:
            for name in ("fsync", "replace", "unlink", "write", "pwrite"):
                stack.enter_context(mock.patch.object(os, name, self._wrapped(getattr(os, name))))
            stack.enter_context(mock.patch.object(os, "fdopen", self._opened(os.fdopen)))
            stack.enter_context(self._hooked())
            yield self

    def _turn(self, where: int | str | os.PathLike[str]) -> bool:
        """One write to a descriptor or path: whether it is to fail."""
        path = os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else os.fspath(where)
        if not Path(path).is_relative_to(self._folder):
            return False
        self.writes += 1
        once = self._fault.endswith("once") and self.writes > self._fails_at
        return self._fails_at != 0 and self.writes >= self._fails_at and not once

    def _error(self) -> int:
        return _ERRNO.get(self._fault, errno.ENOSPC)

    def _wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(where: Any, *args: Any, **options: Any) -> Any:
            if not self._turn(where):
                return real(where, *args, **options)
            if self._fault == "torn" and real in _WRITING:
                data, *rest = args
                real(where, memoryview(data)[: len(data) // 2], *rest)
            raise OSError(self._error(), os.strerror(self._error()))

        return call

    def _opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def fdopen(handle: int, *args: Any, **options: Any) -> Any:
            file = real(handle, *args, **options)
            return mock.NonCallableMock(wraps=file, **self._file(file)) if file.writable() else file

        return fdopen

    def _file(self, file: Any) -> dict[str, Any]:
        def write(data: Any) -> int:
            if not self._turn(file.fileno()):
                return int(file.write(data))
            if self._fault == "torn":
                file.write(memoryview(data)[: len(data) // 2])
                file.flush()
            raise OSError(self._error(), os.strerror(self._error()))

        def leave(*_: object) -> None:
            file.close()

        return {"write": write, "__enter__": lambda this: this, "__exit__": leave}

    @contextlib.contextmanager
    def _hooked(self) -> Iterator[None]:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        vfs = library.sqlite3_vfs_find(None)
        calls = {b"pwrite64": _Pwrite(self._pwrite), b"ftruncate": _Truncate(self._truncate)}
        for name, call in calls.items():
            assert vfs.contents.xSetSystemCall(vfs, name, ctypes.cast(call, _POINTER)) == sqlite3.SQLITE_OK
        try:
            yield
        finally:
            for name in calls:
                vfs.contents.xSetSystemCall(vfs, name, None)

    def _pwrite(self, handle: int, data: int, size: int, offset: int) -> int:
        if not self._turn(handle):
            return int(_libc.pwrite64(handle, data, size, offset))
        if self._fault == "torn":
            _libc.pwrite64(handle, data, size // 2, offset)
        _errno_location()[0] = self._error()
        return -1

    def _truncate(self, handle: int, size: int) -> int:
        if not self._turn(handle):
            return int(_libc.ftruncate64(handle, size))
        _errno_location()[0] = self._error()
        return -1
