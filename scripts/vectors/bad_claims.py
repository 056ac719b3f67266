"""Requests that an honest member refuses in a job with neighbourhoods, for its claims, neighbours and voters: what
bad_requests.py has beside them is refused here as it is there."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from aggregator.carriers import Exchange
from federation import plan as p
from federation.identity import COORDINATOR
from federation.secagg.messages import Agreed, Broadcast, Claim, Cohort, Inbox, Keys, Survivors, Unmask
from federation.wire import Signed, canonical_cbor, read_body, read_cbor
from vectors.bad_requests import Identities, Requests, changed


def sealed_claim(claim: Claim) -> bytes:
    """As it travels."""
    return canonical_cbor(claim.to_plain())


def not_claims(claim: Claim, outside: str) -> dict[str, bytes]:
    """Data that stands for no claim in any job that has `claim`'s members and three or more of them."""
    plain, some = claim.to_plain(), claim.absent
    reordered = {"statements": plain["statements"], "absent": plain["absent"]}
    pairs = b"".join(canonical_cbor(name) + canonical_cbor(value) for name, value in reordered.items())
    encoded = sealed_claim(claim)

    def absent(*names: str) -> bytes:
        return sealed_claim(replace(claim, absent=names))

    return {
        "nothing": b"",
        "a list": canonical_cbor([plain["absent"], plain["statements"]]),
        "no list of those absent": canonical_cbor({"statements": plain["statements"]}),
        "another field": canonical_cbor({**plain, "present": []}),
        "a digest of 31 bytes": sealed_claim(replace(claim, statements=claim.statements[1:])),
        "a byte behind it": encoded + b"\0",
        "a byte too few": encoded[:-1],
        "not canonical: fields out of order": b"\xa2" + pairs,
        "not canonical: a length of two bytes": encoded.replace(b"\x58\x20", b"\x59\x00\x20"),
        "not canonical: a map of indefinite length": b"\xbf" + encoded[1:] + b"\xff",
        "absent: unsorted": absent(*reversed(some)),
        "absent: a member twice": absent(some[0], *some),
        "absent: not of the job": absent(*sorted((*some, outside))),
        "absent: a number": canonical_cbor({**plain, "absent": [1]}),
    }


IN_REQUESTS = (
    "nothing",
    "not canonical: fields out of order",
    "absent: unsorted",
    "absent: a member twice",
    "absent: not of the job",
)


@dataclass(frozen=True)
class BadClaims:
    """The requests of one job of `plan`, by what is wrong with each. `outside` is in the roster and not in the job;
    `lost` is a voter in round 1, and its vector does not come."""

    plan: p.Plan
    lost: str
    outside: str

    def __call__(self, exchange: Exchange, good: tuple[Signed, ...], identities: Identities) -> Requests:
        if exchange.round > 1:
            return self._proofs(good, identities) if exchange.step == "masked" else {}
        make = {"shares": self._cohorts, "masked": self._inboxes, "agreed": self._survivors, "revealed": self._votes}
        return make[exchange.step](good[0], identities) if exchange.step in make else {}

    def _cohorts(self, good: Signed, identities: Identities) -> Requests:
        keys, me = read_body(Cohort, good.header.body).keys, good.header.recipient
        far = next(m for m in self.plan.members if m not in {s.header.sender for s in keys})
        theirs = identities[far].sign(Keys(bytes([9] * 32), bytes([10] * 32)), good.header.digest, COORDINATOR)
        near = next(s for s in keys if s.header.sender != me)
        shown = {
            "a neighbour is held back": without(keys, near),
            "a member that is no neighbour": ordered((*keys, theirs)),
            "a member that is no neighbour in the place of one": ordered((*without(keys, near), theirs)),
            "fewer than t members": keys[: self.plan.threshold - 1],
            "without its recipient": tuple(s for s in keys if s.header.sender != me),
        }
        bad = {what: [changed(identities[COORDINATOR], good, keys=each)] for what, each in shown.items()}
        return self._claims(good, identities, near.header.sender) | bad

    def _inboxes(self, good: Signed, identities: Identities) -> Requests:
        body, me = read_body(Inbox, good.header.body), good.header.recipient
        near = next(at for at, s in enumerate(body.shares) if s.header.sender != me)

        def shown(places: Iterable[int]) -> list[Signed]:
            shares, sealed = (tuple(each[at] for at in places) for each in (body.shares, body.sealed))
            return [changed(identities[COORDINATOR], good, shares=shares, sealed=sealed)]

        every = range(len(body.shares))
        return self._claims(good, identities, body.shares[near].header.sender) | {
            "a neighbour is held back": shown([at for at in every if at != near]),
            "fewer than t members": shown(every[: self.plan.threshold - 1]),
        }

    def _survivors(self, good: Signed, identities: Identities) -> Requests:
        body, me = read_body(Survivors, good.header.body), good.header.recipient
        near = next(s for s in body.masked if s.header.sender != me)
        far = next(m for m in self.plan.members if m not in {*body.gone, *(s.header.sender for s in body.masked)})
        shown: dict[str, dict[str, Any]] = {
            "a neighbour is neither gone nor alive": {"gone": ()},
            "a member that is no neighbour is gone": {"gone": tuple(sorted((*body.gone, far)))},
            "fewer than t members": {"masked": body.masked[: self.plan.threshold - 1]},
        }
        bad = {what: [changed(identities[COORDINATOR], good, **fields)] for what, fields in shown.items()}
        return self._claims(good, identities, near.header.sender) | bad

    def _votes(self, good: Signed, identities: Identities) -> Requests:
        votes, me = read_body(Unmask, good.header.body).agreed, good.header.recipient
        shown = {
            "fewer than t votes": without(votes, next(s for s in votes if s.header.sender != me)),
            "without its recipient's": tuple(s for s in votes if s.header.sender != me),
            "a vote of a member that is no voter": ordered((*votes, self._vote_of_no_voter(votes, identities))),
            "a vote of a voter that is gone": ordered((*votes, vote_of(self.lost, votes, identities))),
        }
        return {what: [changed(identities[COORDINATOR], good, agreed=each)] for what, each in shown.items()}

    def _proofs(self, good: tuple[Signed, ...], identities: Identities) -> Requests:
        """To one that has not been in the round before."""
        inbox, broadcast = good
        last = read_body(Broadcast, broadcast.header.body).last
        if last is None:
            raise ValueError("a first round has no proof")
        votes = last.proof.agreed
        proofs = {
            "a proof with fewer than t votes": votes[: self.plan.threshold - 1],
            "a proof with a vote of a member that is no voter": ordered(
                (*votes, self._vote_of_no_voter(votes, identities))
            ),
        }
        lasts = {what: replace(last, proof=replace(last.proof, agreed=each)) for what, each in proofs.items()}
        lasts["a last sum of fewer than q members"] = replace(last, count=self.plan.quorum - 1)
        coordinator = identities[COORDINATOR]
        return {what: [inbox, changed(coordinator, broadcast, last=each)] for what, each in lasts.items()}

    def _vote_of_no_voter(self, votes: tuple[Signed, ...], identities: Identities) -> Signed:
        voters = {self.lost, *(s.header.sender for s in votes)}
        return vote_of(next(m for m in self.plan.members if m not in voters), votes, identities)

    def _claims(self, good: Signed, identities: Identities, shown: str) -> Requests:
        claim, members = claim_of(good), self.plan.members
        bad = not_claims(replace(claim, absent=members[:2]), self.outside)
        data = {f"a claim: {what}": bad[what] for what in IN_REQUESTS}
        absent = {
            "fewer than q members are not absent": members[: len(members) - self.plan.quorum + 1],
            "one that is shown is absent": tuple(sorted((*claim.absent, shown))),
            "nobody is absent": (),
        }
        for what, names in absent.items():
            if names != claim.absent:
                data[f"a claim: {what}"] = sealed_claim(replace(claim, absent=names))
        return {what: [changed(identities[COORDINATOR], good, blob)] for what, blob in data.items()}


def claim_of(message: Signed) -> Claim:
    """The data of a Cohort, Inbox or Survivors."""
    return read_body(Claim, read_cbor(message.blob))


def vote_of(member: str, votes: tuple[Signed, ...], identities: Identities) -> Signed:
    """Its Agreed, for the set that all of `votes` are for."""
    body = read_body(Agreed, votes[0].header.body)
    return identities[member].sign(body, votes[0].header.digest, COORDINATOR)


def without(statements: tuple[Signed, ...], one: Signed) -> tuple[Signed, ...]:
    """All but one."""
    return tuple(s for s in statements if s != one)


def ordered(statements: Iterable[Signed]) -> tuple[Signed, ...]:
    """By member."""
    return tuple(sorted(statements, key=lambda s: s.header.sender))
