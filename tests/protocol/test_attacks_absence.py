"""Attacks on a member that was not in the last round, and cannot recompute the adapter: it asks for proof that at least
t members can. A coordinator that skips a round number would otherwise make everyone absent and choose the adapter."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from federation.schemes import State
from federation.secagg.messages import LastSum, RoundProof
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.play import Opening, Play, make_offer

ABSENT = "m04"


def crafted(opening: Opening) -> Opening:
    """The same claim with another adapter."""
    factors = {name: array + np.float32(0.5) for name, array in opening.state.factors.items()}
    return dataclasses.replace(opening, state=State(opening.state.round, factors))


def without(consortium: Consortium, absent: str) -> tuple[Play, Opening]:
    """Round 1 without one member: (the round, what stands after it)."""
    play = Play(consortium).do("keys", unreached=[absent]).through("revealed")
    return play, play.result()


def second_round(consortium: Consortium, opening: Opening) -> Play:
    return Play(consortium, make_offer(consortium, 2, 2), opening).do("keys").do("shares").do("masked")


def test_a_round_that_was_skipped_is_refused_by_all(folder: Path) -> None:
    consortium = make_consortium(folder)
    claim = Play(consortium).claim(np.zeros(Play(consortium).ring.dimension, "<u4"))
    play = second_round(consortium, crafted(claim))
    assert play.refused == dict.fromkeys(consortium.names, "round-unproven")
    assert "masked" not in play.answers


def test_a_member_that_missed_a_round_takes_part_again_with_proof_of_it(folder: Path) -> None:
    consortium = make_consortium(folder)
    _, opening = without(consortium, ABSENT)
    play = second_round(consortium, opening)
    assert play.refused == {}
    assert play.through("revealed").result()


def test_a_crafted_adapter_finds_only_the_absent_to_accept_it(folder: Path) -> None:
    consortium = make_consortium(folder)
    _, opening = without(consortium, ABSENT)
    play = second_round(consortium, crafted(opening))
    present = [name for name in consortium.names if name != ABSENT]
    assert play.refused == dict.fromkeys(present, "adapter-unexplained")
    assert len(play.answers["masked"]) == 1 < consortium.plan.threshold


def test_a_member_that_was_restarted_asks_for_proof_too(folder: Path) -> None:
    consortium = make_consortium(folder)
    _, opening = without(consortium, ABSENT)
    for name in consortium.names:
        consortium.start_member(name)
    assert second_round(consortium, opening).refused == {}


@pytest.mark.parametrize(("restarts", "opened"), [(2, True), (1, False)])
def test_what_is_not_stopped_restarts_between_two_rounds(folder: Path, restarts: int, opened: bool) -> None:
    """Eight members, t = 6: two colluders, two called lost in round 1, and 2t - N - f = 2 that were restarted."""
    consortium = make_consortium(folder, 8)
    colluders, lost, present = consortium.names[:2], consortium.names[2:4], consortium.names[4:]
    opening = Play(consortium).do("keys", unreached=lost).through("revealed").result()
    for name in (*colluders, *present[:restarts]):  # a colluder is one that remembers nothing
        consortium.start_member(name)
    play = Play(consortium, make_offer(consortium, 2, 2), crafted(opening)).do("keys").do("shares").do("masked")
    assert play.refused == dict.fromkeys(present[restarts:], "adapter-unexplained")
    assert (len(play.answers["masked"]) >= consortium.plan.threshold) == opened
    if opened:
        assert len(play.through("revealed").aggregation.total())


Forge = Callable[[Play, RoundProof], RoundProof]
FORGERIES: dict[str, tuple[Forge, str]] = {
    "too few votes": (lambda _, proof: dataclasses.replace(proof, agreed=proof.agreed[:3]), "round-unproven"),
    "one vote twice": (
        lambda _, proof: dataclasses.replace(proof, agreed=(*proof.agreed[:3], proof.agreed[2])),
        "duplicated",
    ),
    "votes of another context": (lambda _, proof: dataclasses.replace(proof, adapter=bytes(32)), "signature-invalid"),
    "another cohort": (lambda _, proof: dataclasses.replace(proof, keys=bytes(32)), "signature-invalid"),
    "another job": (
        lambda _, proof: dataclasses.replace(proof, offer=dataclasses.replace(proof.offer, job="other")),
        "round-unproven",
    ),
    "another plan": (
        lambda _, proof: dataclasses.replace(proof, offer=dataclasses.replace(proof.offer, plan=bytes(32))),
        "round-unproven",
    ),
    "another round": (
        lambda _, proof: dataclasses.replace(proof, offer=dataclasses.replace(proof.offer, round=2)),
        "round-unproven",
    ),
    "votes signed by the coordinator": (
        lambda play, proof: dataclasses.replace(
            proof,
            agreed=tuple(
                dataclasses.replace(vote, signature=play.consortium.coordinator.sign_bytes(vote.to_sign()))
                for vote in proof.agreed
            ),
        ),
        "signature-invalid",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_proof_is_refused_by_the_absent(name: str, folder: Path) -> None:
    consortium = make_consortium(folder)
    play, opening = without(consortium, ABSENT)
    assert isinstance(opening.last, LastSum)
    forge, code = FORGERIES[name]
    last = dataclasses.replace(opening.last, proof=forge(play, opening.last.proof))
    refused = second_round(consortium, dataclasses.replace(opening, last=last)).refused
    assert refused[ABSENT] == code


def test_a_proof_of_another_encoding_is_refused_by_the_absent(folder: Path) -> None:
    """Ranges are only stated; the encoding in the proof, which t members signed, has to be theirs."""
    consortium = make_consortium(folder)
    _, opening = without(consortium, ABSENT)
    assert isinstance(opening.last, LastSum)
    wider = tuple((2 * float.fromhex(text)).hex() for text in opening.last.ranges)
    last = dataclasses.replace(opening.last, ranges=wider)
    assert second_round(consortium, dataclasses.replace(opening, last=last)).refused[ABSENT] == "wrong-terms"
