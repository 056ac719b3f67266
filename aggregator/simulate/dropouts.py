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
    """(exchange, member) -> what is lost there, for `rounds` rounds.

    The steps take turns, so that each occurs, and nobody is chosen in two rounds running: who was lost late in a round
    is missing from the next anyway, and losing it again would be no drop-out.
    """
    stream = np.random.Generator(np.random.Philox(key=seed))
    lost: dict[tuple[Exchange, str], Lost] = {}
    turn, chosen = 0, set[str]()
    for round in range(1, rounds + 1):
        steps = _COLD if round == 1 else _STEADY
        present = [member for member in members if member not in chosen]
        chosen = {present[int(index)] for index in stream.choice(len(present), size=each_round, replace=False)}
        for member in sorted(chosen):
            how: Lost = "request" if stream.random() < 0.5 else "answer"
            lost[Exchange(round, steps[turn % len(steps)]), member] = how
            turn += 1
    return lost


class Dropping:
    """A carrier that loses what the schedule says, once."""

    def __init__(self, carrier: Carrier, lost: Mapping[tuple[Exchange, str], Lost]) -> None:
        self._carrier, self._lost = carrier, dict(lost)

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """As the carrier underneath, without what is lost."""
        # Taken out of the schedule: a second attempt at the round, or the same question again, gets through.
        when = _scheduled(exchange)
        lost = {member: self._lost.pop((when, member), None) for member in requests}
        reached = {member: request for member, request in requests.items() if lost[member] != "request"}
        for member, answer in self._carrier.exchange(exchange, reached):
            if lost.get(member) != "answer":
                yield member, answer


def _scheduled(exchange: Exchange) -> Exchange:
    """Where the schedule has the losses of an exchange. A later round that starts cold, because the run was resumed,
    misses those who would have been missing from the set-up that the round before carried."""
    carrying = {"keys": "agreed", "shares": "revealed"}.get(exchange.step)
    if exchange.round == 1 or carrying is None:
        return exchange
    return Exchange(exchange.round - 1, carrying)
