"""All members in this process: tests, the demo and experiments on one machine. The bytes are the same as anywhere."""

from collections.abc import Callable, Iterator, Mapping

from aggregator.carriers import Exchange
from aggregator.workers import InOrder

Handle = Callable[[bytes], bytes]


class InProcess:
    """Calls each member's `handle`, in turn or, with `Workers.in_order`, several at once. Nobody is late: a call that
    takes long is waited for."""

    def __init__(self, members: Mapping[str, Handle], in_order: InOrder = map) -> None:
        self._members, self._in_order = members, in_order

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Ask the members in order of id, and yield the answers in that order, however they come in."""
        asked = sorted(requests)
        yield from zip(asked, self._in_order(lambda m: self._members[m](requests[m]), asked), strict=True)
