"""All members in this process: tests, the demo and experiments on one machine. The bytes are the same as anywhere."""

from collections.abc import Callable, Iterator, Mapping

from aggregator.carriers import Exchange

Handle = Callable[[bytes], bytes]


class InProcess:
    """Calls each member's `handle` in turn."""

    def __init__(self, members: Mapping[str, Handle]) -> None:
        self._members = members

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Ask the members in order of id and yield each answer before the next is asked."""
        for member in sorted(requests):
            yield member, self._members[member](requests[member])
