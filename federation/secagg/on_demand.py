"""One value a member, made when it is asked for and not kept: requests for all members at once would take as much
memory as there are members times neighbours, or times values."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class OnDemand(Mapping[str, T]):
    """Member -> `make(member)`, in the order given. Who asks twice has it made twice: `make` gives the same again."""

    def __init__(self, members: Iterable[str], make: Callable[[str], T]) -> None:
        self._members, self._make = dict.fromkeys(members), make

    def __getitem__(self, member: str) -> T:
        if member not in self._members:
            raise KeyError(member)
        return self._make(member)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: object) -> bool:
        return member in self._members
