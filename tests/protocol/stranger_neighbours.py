"""Who a stranger (see stranger.py) deals with: everybody, or the neighbours of section 15 of docs/protocol.md."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Any

from tests.protocol.stranger_bytes import FIELDS, H, fits, read_cbor, require
from tests.protocol.stranger_cryptography import D


@dataclass(frozen=True)
class Numbers:
    """`f` are corrupt and `d` lost; then the two sums of probabilities."""

    f: int
    d: int
    k: int
    t: int
    q: int
    not_private: Fraction
    not_complete: Fraction


def tail(n: int, m: int, x: int, a: int) -> Fraction:
    """T: of x out of n, m of them marked, at least a are marked."""
    return Fraction(sum(comb(m, i) * comb(n - m, x - i) for i in range(max(a, 0), x + 1)), comb(n, x))


def numbers(n: int, corruption_rate: str, dropout_rate: str) -> Numbers | None:
    f, d = (int(Fraction(rate) * n) for rate in (corruption_rate, dropout_rate))
    if 3 * d >= n - f:
        return None
    for r in range(2, min(500, (n - 2) // 2) + 1):
        k = 2 * r
        for s in range(r - 1):
            t = r + 2 + s
            not_private = (n - f) * tail(n - 1, f, k, s + 1) + tail(n, f, k + 1, 2 * t - k - 1)
            if not_private <= Fraction(1, 2**40):
                break
        else:
            continue
        not_complete = (n - d) * tail(n - 1, d, k, k + 2 - t) + tail(n, d, k + 1, k + 2 - t)
        not_complete += d * tail(n - 1, d - 1, k, k + 1 - t) if d else 0
        if not_complete <= Fraction(1, 2**20):
            return Numbers(f, d, k, t, (2 * n + f) // 3 + 1, not_private, not_complete)
    return None


def ring(members: Collection[str], share_ctx: bytes) -> list[str]:
    return sorted(members, key=lambda id: H("place", [share_ctx, id]))


def neighbourhood(ring: Sequence[str], k: int, id: str) -> set[str]:
    at = ring.index(id)
    return {ring[(at + step) % len(ring)] for step in range(-(k // 2), k // 2 + 1)}


def voters(ring: Sequence[str], k: int) -> set[str]:
    return {ring[i * len(ring) // (k + 1)] for i in range(k + 1)}


def asked_for(secagg: Mapping[str, Any], least: int) -> int:
    """q, from the plan's and the least."""
    return least if secagg["quorum"] == "auto" else int(secagg["quorum"])


@dataclass(frozen=True)
class Circle:
    """The members of a job. `k` is None where everybody is everybody's neighbour; `t` is Shamir's, `q` of a sum,
    `votes` of a vote."""

    members: tuple[str, ...]
    k: int | None
    t: int
    q: int
    votes: int

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> "Circle":
        members, secagg = tuple(plan["members"]), plan["secagg"]
        if secagg["threat"] == "malicious":
            t = 2 * len(members) // 3 + 1
            return cls(members, None, t, asked_for(secagg, t), t)
        found = numbers(len(members), secagg["corruption_rate"], secagg["dropout_rate"])
        if found is None:
            raise ValueError("a plan without neighbourhoods")
        return cls(members, found.k, found.t, asked_for(secagg, found.q), found.t)

    def around(self, share_ctx: bytes, id: str) -> set[str]:
        return set(self.members) if self.k is None else neighbourhood(ring(self.members, share_ctx), self.k, id)

    def voters(self, share_ctx: bytes) -> set[str]:
        return set(self.members) if self.k is None else voters(ring(self.members, share_ctx), self.k)

    def shown_needed(self, minimum: int) -> int:
        """How many statements have to be shown: m."""
        return max(self.q, minimum) if self.k is None else self.t

    def votes_needed(self, minimum: int) -> int:
        return max(self.votes, minimum) if self.k is None else self.votes

    def read(self, name: str, shown: list[list[bytes]], ids: Collection[str], data: bytes, minimum: int) -> "Step":
        """Who is in the set `name` and what stands for it, of which the statements of `ids` are shown."""
        if self.k is None:
            return Step(set(ids), D(name, shown))
        claim = read_cbor(data)
        require(fits(claim, FIELDS["claim"]), "malformed")
        absent = claim["absent"]
        require(absent == sorted(set(absent) & set(self.members)), "malformed")
        require(len(self.members) - len(absent) >= max(self.q, minimum), "cohort-too-small")
        return Step(set(self.members) - set(absent), H(f"{name} claim", claim))


@dataclass(frozen=True)
class Step:
    """U1, U2 or U3, and the D in the context over it."""

    ids: set[str]
    digest: bytes
