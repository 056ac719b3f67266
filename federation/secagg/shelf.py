"""Where the coordinator puts what it has accepted and does not hold: the envelopes of all pairs of neighbours would be
most of its memory. A durable one is a file beside the store (aggregator/shelf.py).
"""

from typing import Protocol

from federation.errors import RengoError
from federation.wire import Buffer


class ShelfDamaged(RengoError):
    """What was put aside of {dealer}'s envelopes is not what comes back: the disk has changed it. The round was not
    gone on with. Start the coordinator again; if it says that its state is damaged, restore it from a backup."""

    ja = (
        "保管した {dealer} の封筒データが、読み出すと異なっていました（ディスク上で変化しています）。"
        "この学習回は続行していません。事務局を再起動してください。状態の破損が表示された場合は、バックアップから復元してください。"
    )
    exit_code = 10


class Shelf(Protocol):
    """Bytes by their place. What is read is compared with what was put by whoever reads it."""

    def put(self, data: Buffer) -> int:
        """Add `data` behind what is there; the place where it begins."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """What lies from `start` to `stop`; less where the shelf ends before."""
        ...


class InMemory:
    """For a process whose coordinator dies with it: tests, previews, benchmarks."""

    def __init__(self) -> None:
        self._data = bytearray()

    def put(self, data: Buffer) -> int:
        """As in Shelf."""
        start = len(self._data)
        self._data += data
        return start

    def read(self, start: int, stop: int) -> bytes:
        """As in Shelf."""
        return bytes(self._data[start:stop])
