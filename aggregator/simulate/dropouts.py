"""Drop-outs on a seeded schedule: a simulation whose members never fail would show nothing of what the protocol is for.

Each round loses `each_round` members, each in one exchange: the request does not reach it, or its answer does not
reach the coordinator. Cold rounds have all five exchanges; later ones have three, and losing `agreed` or `revealed`
there also loses the Keys or Shares of the next round that travel with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from aggregator.carriers import Carrier, Exchange

Lost = Literal["request", "answer"]
_COLD = ("keys", "shares", "masked", "agreed", "revealed")
_STEADY = ("masked", "agreed", "revealed")


def schedule(members: Sequence[str], rounds: int, each_round: int, seed: int) -> dict[tuple[Exchange, str], Lost]:
    """(exchange, member) -> what is lost there, for `rounds` rounds. The steps take turns, so that each occurs."""
    stream = np.random.Generator(np.random.Philox(key=seed))
    lost: dict[tuple[Exchange, str], Lost] = {}
    turn = 0
    for round in range(1, rounds + 1):
        steps = _COLD if round == 1 else _STEADY
        for member in stream.choice(len(members), size=each_round, replace=False):
            how: Lost = "request" if stream.random() < 0.5 else "answer"
            lost[Exchange(round, steps[turn % len(steps)]), members[int(member)]] = how
            turn += 1
    return lost


class Dropping:
    """A carrier that loses what the schedule says, once."""

    def __init__(self, carrier: Carrier, lost: Mapping[tuple[Exchange, str], Lost]) -> None:
        self._carrier, self._lost = carrier, lost

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """As the carrier underneath, without what is lost."""
        reached = {m: request for m, request in requests.items() if self._lost.get((exchange, m)) != "request"}
        for member, answer in self._carrier.exchange(exchange, reached):
            if self._lost.get((exchange, member)) != "answer":
                yield member, answer
