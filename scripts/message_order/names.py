"""Who is called what. To itself each member is 0; of states that differ by names only, one is searched; in a schedule
that is printed the honest members are A, B and C and the corrupt one is D."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from federation.secagg.history import Position
from message_order.alone import Key
from message_order.coordinator import Label, bits

HONEST = (0, 1, 2)
Said = tuple[tuple[Label, ...], ...]
"""What one member said: for each (attempt, round), a label for each set-up that it began (one, if the rule holds)."""
Names = tuple[int, int, int, int]
NAMES: tuple[Names, ...] = ((0, 1, 2, 3), (1, 0, 2, 3), (2, 0, 1, 3))
"""Who is who, to whom: each member is 0 to itself, the others follow in order, the corrupt one is 3."""
RENAMINGS: tuple[tuple[Names, tuple[int, int]], ...] = tuple(
    (names, adapters) for adapters in ((0, 1), (1, 0)) for names in ((0, 1, 2, 3), (0, 2, 1, 3))
)
ORDERS = tuple(
    tuple((order[m], int(order[m == 0] > order[2 - (m == 2)])) for m in HONEST) for order in permutations(HONEST)
)
"""Each order of the honest members: who takes each place, and whether its two others change places by that."""


@dataclass(frozen=True)
class Step:
    """One move of a schedule: `member` says, at `position`, what brings it to the label; it restarts when there is
    none. Sets in the label are of members by their number, the corrupt one is 3."""

    member: int
    position: Position | None = None
    label: Label | None = None

    def __str__(self) -> str:
        who = NAMES_OF[self.member]
        if self.position is None or self.label is None:
            return f"{who} is restarted"
        attempt, round = self.position
        place = f"round {round}, attempt {attempt}"
        match self.label:
            case ():
                return f"{place}: {who} answers Offer with Keys"
            case (u1,):
                return f"{place}: {who} is shown Keys of {named(u1)}, answers with Shares"
            case (_, (u2, adapter)):
                return f"{place}: {who} is shown Shares of {named(u2)} and adapter {adapter}, answers with Masked"
            case (_, _, u3):
                return f"{place}: {who} is shown Masked of {named(u3)}, answers with Agreed"
            case (*_, (seeds, keys)):
                return f"{place}: {who} reveals seed shares of {named(seeds)}, key shares of {named(keys)}"
        raise AssertionError(self.label)


NAMES_OF = "ABCD"


def named(members: int) -> str:
    """A, B and C are honest, D is corrupt."""
    return "".join(NAMES_OF[bit] for bit in bits(members)) or "nobody"


def _mask(members: int, names: Names) -> int:
    return sum(1 << names[bit] for bit in bits(members))


def renamed(label: Label, names: Names, adapters: Sequence[int] = (0, 1)) -> Label:
    """The label with other names for the members, and for the adapters."""
    parts: list[Any] = [_mask(part, names) if isinstance(part, int) else part for part in label]
    if len(label) > 1:
        u2, adapter = label[1]
        parts[1] = (_mask(u2, names), adapters[adapter])
    if len(label) > 3:
        parts[3] = tuple(_mask(dealers, names) for dealers in label[3])
    return tuple(parts)


def renamed_said(said: Said, names: Names, adapters: Sequence[int] = (0, 1)) -> Said:
    return tuple(tuple(renamed(label, names, adapters) for label in labels) for labels in said)


def renamed_key(key: Key, names: Names, adapters: Sequence[int]) -> Key:
    *history, spent, sessions = key
    spent = frozenset(adapters[adapter] for adapter in spent)
    labels = ((position, None if label is None else renamed(label, names, adapters)) for position, label in sessions)
    return (*history, spent, tuple(labels))
