"""Neighbourhoods in bytes (docs/protocol.md, section 15): numbers, rings, claims, and the plan of a whole job."""

import hashlib
from dataclasses import replace
from fractions import Fraction
from typing import Any

from federation import plan as p
from federation.secagg import contexts
from federation.secagg.graph import graph_of, parameters
from federation.secagg.messages import Claim
from vectors import whole_job
from vectors.bad_claims import BadClaims, not_claims, sealed_claim

MEMBERS = tuple(sorted(("a1", "東京", "浜松", "豊田", "鈴鹿", "名古屋", "岡崎", "z9")))
PLAN = replace(
    whole_job.PLAN,
    job="neighbours",
    members=MEMBERS,
    # One of eight is corrupt and one is lost: the fewest members of whom any may be, and who have neighbours.
    secagg=p.SecAgg(16, "semi_malicious", 0.125, 0.125, "auto", 3, "auto", 8.0, 1e-6),
)
LOST = "豊田"
WHOLE_JOB = whole_job.Example(
    PLAN, LOST, BadClaims(PLAN, LOST, whole_job.OUTSIDE), {1: MEMBERS[0], 2: LOST}
)  # fmt: skip

RATES = (
    (6, 0.0, 0.0),
    (8, 0.125, 0.125),
    (10, 0.1, 0.1),
    (20, 0.08, 0.1),
    (30, 0.05, 0.05),
    (100, 0.29, 0.05),
    (100, 0.05, 0.3),
    (200, 0.1, 0.1),
    (300, 0.05, 0.1),
    (1000, 0.05, 0.05),
)
NO_NEIGHBOURHOODS = ((5, 0.0, 0.0), (7, 0.15, 0.0), (30, 0.3, 0.3), (100, 0.1, 0.3), (100, 0.33, 0.33))
RINGS = ((6, 4), (8, 6), (9, 4), (20, 12), (100, 26))


def fixed(name: str) -> bytes:
    """32 bytes that stand for a digest."""
    return hashlib.sha256(b"rengo test vectors v1, neighbourhoods\0" + name.encode()).digest()


def make() -> dict[str, Any]:
    """The whole file as plain data."""
    return {
        "about": "Neighbourhoods of Rengo secure aggregation, version 1. Made by scripts/make_vectors.py. "
        "Probabilities are exact, as numerator/denominator.",
        "numbers": [_numbers(*rates) for rates in RATES],
        "no_neighbourhoods": [_stated(*rates) for rates in NO_NEIGHBOURHOODS],
        "rings": [_ring(members, degree) for members, degree in RINGS],
        "claims": _claims(),
    }


def _stated(members: int, corruption_rate: float, dropout_rate: float) -> dict[str, Any]:
    """As a plan states them."""
    return {"members": members, "corruption_rate": repr(corruption_rate), "dropout_rate": repr(dropout_rate)}


def _numbers(members: int, corruption_rate: float, dropout_rate: float) -> dict[str, Any]:
    found = parameters(members, corruption_rate, dropout_rate)
    if found is None:
        raise ValueError(f"no neighbourhoods: {members} members, {corruption_rate}, {dropout_rate}")
    return {
        **_stated(members, corruption_rate, dropout_rate),
        "corrupt": found.corrupt,
        "lost": found.lost,
        "degree": found.degree,
        "threshold": found.threshold,
        "quorum": p.least_quorum(members, found.corrupt),
        "not_private": _exact(found.not_private),
        "not_complete": _exact(found.not_complete),
    }


def _exact(probability: Fraction) -> str:
    return f"{probability.numerator}/{probability.denominator}"


def _ring(count: int, degree: int) -> dict[str, Any]:
    """Among members of whom some ids are not ASCII."""
    members, share_ctx = tuple(sorted(f"{'工場' * (at % 2)}{at}" for at in range(count))), fixed(f"{count} members")
    graph = graph_of(members, degree, share_ctx)
    return {
        "share_ctx": share_ctx.hex(),
        "members": members,
        "degree": degree,
        "ring": graph.ring,
        "voters": graph.voters,
        "neighbourhoods": {member: graph.neighbourhood(member) for member in members[:: max(1, count // 8)]},
    }


def _claims() -> dict[str, Any]:
    absents = {"U1": (), "U2": MEMBERS[1:2], "U3": (*MEMBERS[1:2], MEMBERS[4])}
    claims = {name: Claim(fixed(f"statements of {name}"), absent) for name, absent in absents.items()}
    digests = {name: contexts.claim_digest(name, claim) for name, claim in claims.items()}
    setup_ctx = fixed("setup context")
    terms = contexts.Terms(fixed("adapter"), 1000, 16, fixed("encoding"), fixed("privacy"), fixed("last"))
    share_ctx = contexts.share_context_from(setup_ctx, digests["U1"])
    ctx = contexts.round_context_from(share_ctx, digests["U2"], terms)
    good = {
        name: {
            "statements": claim.statements.hex(),
            "absent": claim.absent,
            "cbor": sealed_claim(claim).hex(),
            "digest": digests[name].hex(),
        }
        for name, claim in claims.items()
    }
    return {
        "members": MEMBERS,
        "good": good,
        "refused": {what: data.hex() for what, data in not_claims(claims["U3"], whole_job.OUTSIDE).items()},
        "contexts": {
            "setup_ctx": setup_ctx.hex(),
            "terms": {name: value.hex() if isinstance(value, bytes) else value for name, value in vars(terms).items()},
            "share_ctx": share_ctx.hex(),
            "ctx": ctx.hex(),
            "survivors": contexts.survivors_digest_from(ctx, digests["U3"]).hex(),
        },
    }
