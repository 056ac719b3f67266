"""Neighbourhoods in bytes: today's code against neighbourhoods-v1.json, which test_vectors.py makes anew."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from federation.identity import Identity, Roster, RosterEntry
from federation.plan import least_quorum
from federation.secagg import contexts
from federation.secagg.graph import Parameters, graph_of, parameters
from federation.secagg.messages import Claim
from federation.secagg.parties import Parties
from federation.wire import Malformed, canonical_cbor

FILE = Path(__file__).parents[1] / "vectors/neighbourhoods-v1.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
CLAIMS = VECTORS["claims"]
RATES = ("members", "corruption_rate", "dropout_rate")


@pytest.mark.parametrize("found", VECTORS["numbers"], ids=lambda found: "-".join(str(found[name]) for name in RATES))
def test_numbers(found: dict[str, Any]) -> None:
    given = parameters(found["members"], float(found["corruption_rate"]), float(found["dropout_rate"]))
    exact = {name: Fraction(found[name]) for name in ("not_private", "not_complete")}
    counts = {name: found[name] for name in ("degree", "threshold", "corrupt", "lost")}
    assert given == Parameters(**counts, **exact)
    assert least_quorum(found["members"], found["corrupt"]) == found["quorum"]


@pytest.mark.parametrize("found", VECTORS["no_neighbourhoods"], ids=str)
def test_rates_without_neighbourhoods(found: dict[str, Any]) -> None:
    assert parameters(found["members"], float(found["corruption_rate"]), float(found["dropout_rate"])) is None


@pytest.mark.parametrize("found", VECTORS["rings"], ids=lambda found: f"{len(found['members'])}-{found['degree']}")
def test_ring(found: dict[str, Any]) -> None:
    graph = graph_of(found["members"], found["degree"], bytes.fromhex(found["share_ctx"]))
    assert (list(graph.ring), list(graph.voters)) == (found["ring"], found["voters"])
    for member, around in found["neighbourhoods"].items():
        assert list(graph.neighbourhood(member)) == around


def parties() -> Parties:
    """With the members that the claims are about; whoever they are."""
    entries = tuple(RosterEntry(m, m, Identity.create(m).public_key) for m in CLAIMS["members"])
    roster = Roster("連合", 1, Identity.create("coordinator").public_key, entries)
    return Parties(roster, tuple(CLAIMS["members"]), parameters(8, 0.125, 0.125))


@pytest.mark.parametrize("name", CLAIMS["good"])
def test_claim(name: str) -> None:
    found = CLAIMS["good"][name]
    claim = Claim(bytes.fromhex(found["statements"]), tuple(found["absent"]))
    assert canonical_cbor(claim.to_plain()).hex() == found["cbor"]
    everyone = parties().everyone(name, (), bytes.fromhex(found["cbor"]))
    assert everyone.members == tuple(m for m in CLAIMS["members"] if m not in found["absent"])
    assert everyone.digest.hex() == found["digest"]


@pytest.mark.parametrize("data", CLAIMS["refused"].values(), ids=CLAIMS["refused"])
def test_refused_claim(data: str) -> None:
    with pytest.raises(Malformed):
        parties().everyone("U3", (), bytes.fromhex(data))


def test_contexts_over_claims() -> None:
    found = CLAIMS["contexts"]
    u1, u2, u3 = (bytes.fromhex(CLAIMS["good"][name]["digest"]) for name in ("U1", "U2", "U3"))
    terms: dict[str, Any] = {n: bytes.fromhex(v) if isinstance(v, str) else v for n, v in found["terms"].items()}
    share_ctx = contexts.share_context_from(bytes.fromhex(found["setup_ctx"]), u1)
    ctx = contexts.round_context_from(share_ctx, u2, contexts.Terms(**terms))
    survivors = contexts.survivors_digest_from(ctx, u3)
    assert {"share_ctx": share_ctx.hex(), "ctx": ctx.hex(), "survivors": survivors.hex()}.items() <= found.items()
