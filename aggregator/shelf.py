"""Shelves (federation/secagg/shelf.py) as files, one a set-up: a round's own is read while the next round's is filled.
What is put there is durable once `sync` has returned; which of them count is said by the store.
"""

import contextlib
import io
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from federation.wire import Buffer, Malformed, Signed


class ShelfFile:
    """Opened where it lies, or made (0600). What is put goes behind what is there. Raises OSError with the file's name
    where the disk refuses; then nothing was added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "r+b", buffering=0)
        self._end = os.fstat(self._file.fileno()).st_size

    def put(self, data: Buffer) -> int:
        """As in Shelf."""
        start, rest = self._end, memoryview(data)
        with self._named():
            while rest:
                # What an error leaves behind `_end` is written over.
                rest = rest[os.pwrite(self._file.fileno(), rest, start + len(data) - len(rest)) :]
        self._end += len(data)
        return start

    def read(self, start: int, stop: int) -> bytes:
        """As in Shelf."""
        with self._named():
            return os.pread(self._file.fileno(), stop - start, start)

    def sync(self) -> None:
        """What was put is on disk."""
        with self._named():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing is read from it any more."""
        self._file.close()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """An error of an open file names no file."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(self._path)) from error


class Shelves:
    """Those in one folder, by the round whose envelopes they hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[Path, ShelfFile] = {}

    def path(self, round: int) -> Path:
        """Where a round's shelf lies."""
        return self._folder / f"envelopes-{round:05d}.shelf"

    def of(self, round: int) -> ShelfFile:
        """A round's shelf, with all that was put there."""
        path = self.path(round)
        if path not in self._open:
            self._open[path] = ShelfFile(path)
        return self._open[path]

    def holds(self, round: int, statements: Sequence[Signed], places: Sequence[int]) -> bool:
        """Whether the data that each header names lies at its place. Nothing is made, and one after the other read."""
        path = self.path(round)
        with path.open("rb") if path.exists() else io.BytesIO() as file:
            for statement, place in zip(statements, places, strict=True):
                file.seek(place)
                data = file.read(statement.header.blob_size)
                try:
                    Signed(statement.header_bytes, statement.signature, data).check_blob()
                except Malformed:
                    return False
        return True

    def remove(self, round: int) -> None:
        """Remove a round's shelf, if it has one."""
        self._remove(self.path(round))

    def remove_but(self, rounds: Collection[int]) -> None:
        """Remove all but these rounds', also such as lie there from another life."""
        for path in set(self._folder.glob("envelopes-*.shelf")) - {self.path(round) for round in rounds}:
            self._remove(path)

    def close(self) -> None:
        """Nothing is put or read any more."""
        for shelf in self._open.values():
            shelf.close()

    def _remove(self, path: Path) -> None:
        if path in self._open:
            self._open.pop(path).close()
        path.unlink(missing_ok=True)
