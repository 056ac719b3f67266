"""The same call for many things: one after another, or several at once in threads, with results in the same order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class InOrder(Protocol):
    """The built-in `map`, or what stands in for it: results one by one, in the order of the items."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]: ...


class Workers:
    """`count` threads. `stop`: ends what they are doing early; called where an error, or Ctrl-C, leaves the `with`.

    One is no thread at all: every call is made by whoever asks for its result.
    """

    def __init__(self, count: int, stop: Callable[[], None]) -> None:
        self.count, self._stop = count, stop
        self._threads = ThreadPoolExecutor(count) if count > 1 else None

    def in_order(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """As `map`. What a call raises is raised where its result is due.

        Calls begin at most twice `count` ahead of the result that is asked for: results may be large.
        """
        if self._threads is None:
            yield from map(function, items)
            return
        ahead: deque[Future[R]] = deque()
        for item in items:
            ahead.append(self._threads.submit(function, item))
            if len(ahead) > 2 * self.count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing runs on behind whoever leaves."""
        if kind is not None:
            self._stop()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
