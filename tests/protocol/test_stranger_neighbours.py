"""The specification of neighbourhoods at work: the stranger of test_stranger.py under `threat=semi_malicious`."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.protocol import stranger_bytes as form
from tests.protocol import stranger_neighbours as near
from tests.protocol.consortium import Losing
from tests.protocol.neighbours import make_sparse
from tests.protocol.play import Play, ask, refusal
from tests.protocol.test_neighbourhoods import EmptyingANeighbourhood
from tests.protocol.test_stranger import STRANGER, VECTORS, mixed, repeat, with_stranger

PARTS = json.loads((VECTORS / "neighbourhoods-v1.json").read_text(encoding="utf-8"))
JOB = json.loads((VECTORS / "round-neighbourhoods-v1.json").read_text(encoding="utf-8"))
CLAIMS = PARTS["claims"]
RATES = ("members", "corruption_rate", "dropout_rate")


@pytest.mark.parametrize("member", JOB["members"])
def test_a_stranger_gives_every_answer_of_the_whole_job_to_the_byte(member: str) -> None:
    assert repeat(JOB, member) == {"a1": 36, "豊田": 3}.get(member, 0)


@pytest.mark.parametrize("found", PARTS["numbers"], ids=lambda found: "-".join(str(found[name]) for name in RATES))
def test_a_stranger_computes_the_same_numbers(found: dict[str, Any]) -> None:
    exact = (Fraction(found[name]) for name in ("not_private", "not_complete"))
    counts = (found[name] for name in ("corrupt", "lost", "degree", "threshold", "quorum"))
    assert near.numbers(*(found[name] for name in RATES)) == near.Numbers(*counts, *exact)


@pytest.mark.parametrize("found", PARTS["no_neighbourhoods"], ids=str)
def test_a_stranger_finds_no_neighbourhoods_where_there_are_none(found: dict[str, Any]) -> None:
    assert near.numbers(*(found[name] for name in RATES)) is None


@pytest.mark.parametrize("found", PARTS["rings"], ids=lambda found: f"{len(found['members'])}-{found['degree']}")
def test_a_stranger_has_the_same_neighbours_and_voters(found: dict[str, Any]) -> None:
    ring = near.ring(found["members"], bytes.fromhex(found["share_ctx"]))
    assert ring == found["ring"]
    assert sorted(near.voters(ring, found["degree"])) == found["voters"]
    for member, around in found["neighbourhoods"].items():
        assert sorted(near.neighbourhood(ring, found["degree"], member)) == around


CIRCLE = near.Circle(tuple(CLAIMS["members"]), 6, 6, 6, 6)


@pytest.mark.parametrize("name", CLAIMS["good"])
def test_a_stranger_reads_claims(name: str) -> None:
    found = CLAIMS["good"][name]
    step = CIRCLE.read(name, [], (), bytes.fromhex(found["cbor"]), 1)
    assert step.ids == set(CIRCLE.members) - set(found["absent"])
    assert step.digest.hex() == found["digest"]


@pytest.mark.parametrize("data", CLAIMS["refused"].values(), ids=CLAIMS["refused"])
def test_a_stranger_refuses_claims_in_bad_form(data: str) -> None:
    with pytest.raises(form.Refuse, match="malformed"):
        CIRCLE.read("U3", [], (), bytes.fromhex(data), 1)


# Among our own


def test_a_stranger_takes_part_in_a_whole_job_with_our_members_and_coordinator(folder: Path) -> None:
    consortium = mixed(make_sparse(folder, 20, rounds=2))
    consortium.run()
    assert [done.aggregation.u3 for done in consortium.rounds] == [consortium.names] * 3
    assert not consortium.failed
    consortium.check_sums()


@pytest.mark.parametrize(
    "lost", [("shares", "m03"), ("masked", "m03"), ("masked", STRANGER), ("agreed", STRANGER), ("revealed", "m00")]
)
def test_a_stranger_takes_part_when_members_are_lost_itself_included(folder: Path, lost: tuple[str, str]) -> None:
    """Back in the job it is shown the votes for the round that it missed."""
    consortium = mixed(make_sparse(folder, 20, rounds=2))
    consortium.run(Losing(consortium, {(1, *lost): "request"}))
    assert len(consortium.rounds) == 3
    assert not consortium.failed
    assert STRANGER in consortium.rounds[2].aggregation.u3
    consortium.check_sums()


def test_a_stranger_is_in_the_next_attempt_when_one_fails(folder: Path) -> None:
    consortium = mixed(make_sparse(folder, 20, rounds=1))
    consortium.run(EmptyingANeighbourhood(consortium))
    assert [failed.code for failed in consortium.failed] == ["too-few-members"]
    assert all(STRANGER in done.aggregation.u3 for done in consortium.rounds)
    consortium.check_sums()


def test_a_stranger_whose_site_does_not_permit_it_takes_no_part(folder: Path) -> None:
    consortium = make_sparse(folder, 20)
    with_stranger(consortium).permits = ("malicious",)
    assert refusal(ask(consortium, STRANGER, *Play(consortium).prepare("keys")[STRANGER])) == "threat-not-permitted"
