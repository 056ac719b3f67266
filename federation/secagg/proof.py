"""Proof that a round took place: the votes of at least t members for one survivor set in one context.

A member that was in the last round recomputes the adapter from its sum; one that was not cannot. With this proof it
knows that at least t members were there. A coordinator that shows a crafted adapter in the next round then finds only
f colluders and N - t absent members to accept it, fewer than t in all, since the others recompute and refuse. Without
it, a coordinator that skips a round number would make everyone absent.
"""

from dataclasses import replace

from federation.errors import RengoError
from federation.secagg.contexts import Terms, round_context_from, setup_context, share_context_from
from federation.secagg.messages import Agreed, Offer, RoundProof
from federation.secagg.parties import Parties
from federation.secagg.refusals import RoundUnproven
from federation.wire import Signed

_SAME = ("suite", "consortium", "job", "plan", "model")
"""Not the roster: a job goes on under a newer one. That its members voted is checked with the keys of this one."""


def check_proof(proof: RoundProof, current: Offer, parties: Parties) -> None:
    """Raises RoundUnproven, or what is wrong with a vote, unless `proof` is of the round before `current`."""
    before = proof.offer
    if before.round != current.round - 1 or any(getattr(before, f) != getattr(current, f) for f in _SAME):
        raise RoundUnproven(round=current.round - 1, detail="the proof is of another round, job or plan")
    share_ctx, ctx = _contexts(proof)
    votes = parties.open_all(proof.agreed, Agreed, ctx, "Agreed", minimum=0)
    if not set(votes) <= set(parties.graph(share_ctx).voters):
        raise RoundUnproven(round=before.round, detail="votes are shown of members whose votes do not count")
    if len(votes) < parties.threshold or len({vote.survivors for vote in votes.values()}) != 1:
        detail = f"{parties.threshold} votes for one survivor set are needed, {len(votes)} are shown"
        raise RoundUnproven(round=before.round, detail=detail)


def verifiable(proof: RoundProof, parties: Parties) -> RoundProof:
    """`proof` without the votes that do not verify under this roster: a voter that has joined again has another key."""

    def verifies(vote: Signed) -> bool:
        try:
            parties.open(vote, Agreed, ctx, "Agreed")
        except RengoError:
            return False
        return True

    _, ctx = _contexts(proof)
    return replace(proof, agreed=tuple(vote for vote in proof.agreed if verifies(vote)))


def _contexts(proof: RoundProof) -> tuple[bytes, bytes]:
    """(share_ctx, ctx)."""
    terms = Terms(proof.adapter, proof.dimension, proof.ring_bits, proof.encoding, proof.privacy, proof.last)
    share_ctx = share_context_from(setup_context(proof.offer), proof.keys)
    return share_ctx, round_context_from(share_ctx, proof.shares, terms)
