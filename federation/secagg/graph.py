"""Who is whose neighbour under `threat=semi_malicious`, and how many neighbours that takes.

The members stand in a ring, in an order that the set-up gives, and each is the neighbour of the `degree` / 2 members on
either side: the Harary graph on a random permutation of Bell et al. 2020 (CCS), "Secure Single-Server Aggregation with
(Poly)Logarithmic Overhead". A member's neighbourhood is itself and its neighbours: it deals to them, masks with them
and reveals for them. Everyone the neighbour of everyone, the graph of `threat=malicious`, is the widest such ring.

Of n members up to f are corrupt and up to d drop out, each fixed without a look at the ring. With c corrupt members
among an honest member's k neighbours and threshold t, both conditions hold except with the stated probabilities:

  private   c <= t - k/2 - 2 for every honest member. Then a secret that is opened was opened by more than k/2 honest
            neighbours, so that whoever is opened has honest neighbours opened with it on both sides of the ring, and
            they have, all the way round: what is opened is one sum over all honest survivors, whoever is called lost.
  complete  at least t of every neighbourhood are left, for every secret that is needed.

The argument is in docs/security.md. All of it in integers: both sides find the same numbers on any machine.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from math import comb

from federation.wire import canonical_cbor

PRIVACY_BITS = 40
"""A set-up's neighbourhoods are not private with a probability of at most 2^-40."""

COMPLETION_BITS = 20
"""A round with as many drop-outs as stated fails for want of neighbours with a probability of at most 2^-20."""


MOST_NEIGHBOURS = 1000
"""A plan comes from others: so far its rates are tried, and no farther."""


@dataclass(frozen=True)
class Parameters:
    """What n members and the two rates give. `corrupt` and `lost` are numbers of members, `not_private` (a set-up) and
    `not_complete` (a round) probabilities."""

    degree: int
    threshold: int
    corrupt: int
    lost: int
    not_private: Fraction
    not_complete: Fraction

    @property
    def facts(self) -> dict[str, float]:
        """For people and programs, as far as a float goes."""
        counts = {"degree": self.degree, "threshold": self.threshold, "corrupt": self.corrupt, "lost": self.lost}
        return counts | {"not_private": float(self.not_private), "not_complete": float(self.not_complete)}


@lru_cache(maxsize=64)
def parameters(members: int, corruption_rate: float, dropout_rate: float) -> Parameters | None:
    """The smallest degree that fulfils both conditions. None when that is everyone the neighbour of everyone or more
    than MOST_NEIGHBOURS, or when as many as may be lost leave no quorum (federation/plan.py)."""
    corrupt, lost = (_rate_of(members, rate) for rate in (corruption_rate, dropout_rate))
    if 3 * lost >= members - corrupt:
        return None
    spare = 0
    for reach in range(2, min(members, MOST_NEIGHBOURS + 2) // 2):
        # More neighbours never need fewer that may be corrupt.
        while spare < reach - 1:
            found = _checked(members, corrupt, lost, reach, spare)
            if found.not_private <= Fraction(1, 2**PRIVACY_BITS):
                break
            spare += 1
        else:
            continue
        if found.not_complete <= Fraction(1, 2**COMPLETION_BITS):
            return found
    return None


def _rate_of(members: int, rate: float) -> int:
    """How many of `members` a rate is, rounded down. By its shortest decimal: 0.1 of 30 is 3 on any machine."""
    return int(Fraction(repr(rate)) * members)


def _checked(members: int, corrupt: int, lost: int, reach: int, spare: int) -> Parameters:
    """`reach` neighbours on either side, of which `spare` may be corrupt."""
    degree, threshold = 2 * reach, reach + 2 + spare
    others = members - 1
    # Voters: two sets of t of them have more in common than are corrupt.
    not_private = (members - corrupt) * _tail(others, corrupt, degree, spare + 1)
    not_private += _tail(members, corrupt, degree + 1, 2 * threshold - degree - 1)
    # Who is lost holds no share of its own secrets either; a survivor does.
    too_many = degree + 2 - threshold
    not_complete = (members - lost) * _tail(others, lost, degree, too_many)
    not_complete += lost * _tail(others, lost - 1, degree, too_many - 1) + _tail(members, lost, degree + 1, too_many)
    return Parameters(degree, threshold, corrupt, lost, not_private, not_complete)


def _tail(population: int, marked: int, drawn: int, least: int) -> Fraction:
    """P[at least `least` of `drawn` are marked], drawn without replacement: the tail of the hypergeometric."""
    unmarked = population - marked
    first, last = max(least, drawn - unmarked), min(drawn, marked)
    if first > last:
        return Fraction(0)
    term = ways = comb(marked, first) * comb(unmarked, drawn - first)
    for hit in range(first, last):
        term = term * (marked - hit) * (drawn - hit) // ((hit + 1) * (unmarked - drawn + hit + 1))
        ways += term
    return Fraction(ways, comb(population, drawn))


@dataclass(frozen=True)
class Graph:
    """The ring of one set-up: all members of a job in order, of which those `present` take part. Neighbours are up to
    `reach` places apart."""

    ring: tuple[str, ...]
    reach: int
    present: frozenset[str]

    @cached_property
    def voters(self) -> tuple[str, ...]:
        """Whose votes count for everybody, sorted: as many as a neighbourhood has, evenly over the ring."""
        count = min(2 * self.reach + 1, len(self.ring))
        chosen = {self.ring[at * len(self.ring) // count] for at in range(count)}
        return tuple(sorted(chosen & self.present))

    def neighbourhood(self, member: str) -> tuple[str, ...]:
        """The member and its neighbours, those present, sorted."""
        if 2 * self.reach + 1 >= len(self.ring):
            return self._everyone
        at = self._places[member]
        around = (self.ring[place % len(self.ring)] for place in range(at - self.reach, at + self.reach + 1))
        return tuple(sorted(self.present.intersection(around)))

    def among(self, present: Collection[str]) -> "Graph":
        """The same ring when only these take part."""
        return Graph(self.ring, self.reach, frozenset(present))

    @cached_property
    def _everyone(self) -> tuple[str, ...]:
        return tuple(sorted(self.present))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {member: place for place, member in enumerate(self.ring)}


def graph_of(members: Collection[str], degree: int, share_ctx: bytes) -> Graph:
    """The ring that `share_ctx` gives: the members in the order of a hash of it with their id. Nobody can foresee it
    before all Keys of the set-up are there, and both sides compute it."""
    if degree >= len(members) - 1:
        return Graph(tuple(sorted(members)), len(members), frozenset(members))
    ring = sorted(members, key=lambda member: _place(share_ctx, member))
    return Graph(tuple(ring), degree // 2, frozenset(members))


def _place(share_ctx: bytes, member: str) -> bytes:
    return hashlib.sha256(b"rengo place v1\0" + canonical_cbor([share_ctx, member])).digest()
