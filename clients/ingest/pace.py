"""How fast and at what time of day files are read: a file server has other users. How far it and what follows is."""

import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

_EVERY = 5.0
"""Seconds between two lines about progress."""
_LOOK = 60.0
"""Seconds between two looks at the clock while the hours have not come."""


@dataclass(frozen=True)
class Progress:
    """How far a step is: `reading`, or of the documents that were read `masking`, `cleaning`, `comparing` or `tokens`,
    whose `bytes` are characters. `seconds_left` is estimated from what was done; `paused`: until the hours come."""

    files: int
    files_in_all: int
    bytes: int
    bytes_in_all: int
    seconds_left: float
    paused: bool = False
    step: str = "reading"


def untold(_: Progress) -> None:
    """For whom nobody waits."""


def followed(
    each: Sequence[T],
    step: str,
    size: Callable[[T], int],
    tell: Callable[[Progress], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """One by one, while `tell` hears every few seconds how far that is."""
    in_all, done = sum(map(size, each)), 0
    began = told = clock()
    for number, one in enumerate(each, start=1):
        yield one
        done += size(one)
        if (now := clock()) - told >= _EVERY:
            told = now
            left = (now - began) / max(done, 1) * (in_all - done)
            tell(Progress(number, len(each), done, in_all, left, step=step))


@dataclass
class Pace:
    """Between two files. `rate`: bytes a second at most, over the whole reading; 0 for any. `hours`: whether files may
    be read at a time of day, local. `tell` hears of progress every few seconds."""

    rate: float = 0
    hours: Callable[[datetime.time], bool] | None = None
    tell: Callable[[Progress], None] = untold
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime.datetime] = datetime.datetime.now
    clock: Callable[[], float] = time.monotonic
    _began: float = field(default=0, init=False)
    _told: float = field(default=0, init=False)
    _paused: float = field(default=0, init=False)
    _all: tuple[int, int] = field(default=(0, 0), init=False)
    _done: tuple[int, int] = field(default=(0, 0), init=False)

    def begin(self, files: int, size: int) -> None:
        """So many files, of so many bytes together, are to be read."""
        self._began = self._told = self.clock()
        self._all, self._done, self._paused = (files, size), (0, 0), 0.0

    def wait(self) -> None:
        """Before a file is opened: until the hours have come."""
        if self.hours is None or self.hours(self.now().time()):
            return
        self.tell(self._progress(paused=True))
        began = self.clock()
        while not self.hours(self.now().time()):
            self.sleep(_LOOK)
        self._paused += self.clock() - began

    def read(self, size: int) -> None:
        """A file of `size` bytes was read: wait as long as the rate wants, and tell."""
        files, done = self._done
        self._done = files + 1, done + size
        if self.rate:
            ahead = self._done[1] / self.rate - self._spent()
            if ahead > 0:
                self.sleep(ahead)
        if self.clock() - self._told >= _EVERY:
            self._told = self.clock()
            self.tell(self._progress())

    def _spent(self) -> float:
        return self.clock() - self._began - self._paused

    def _progress(self, paused: bool = False) -> Progress:
        (files, done), (files_in_all, in_all) = self._done, self._all
        left = self._spent() / done * (in_all - done) if done else 0.0
        return Progress(files, files_in_all, done, in_all, left, paused)
