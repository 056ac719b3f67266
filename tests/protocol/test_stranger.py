"""The specification at work: a member written from it takes part with ours and repeats the vectors to the byte."""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation import plan as p
from federation.ring import Ring
from federation.schemes import State
from federation.wire import read_cbor
from tests.protocol import stranger_bytes as form
from tests.protocol import stranger_cryptography as crypto
from tests.protocol import stranger_encoding as own
from tests.protocol.consortium import SHAPES, Consortium, Losing, make_consortium
from tests.protocol.play import Play, ask, refusal
from tests.protocol.stranger import Stranger

VECTORS = Path(__file__).parents[1] / "vectors"
PARTS = json.loads((VECTORS / "secagg-v1.json").read_text(encoding="utf-8"))
JOB = json.loads((VECTORS / "round-v1.json").read_text(encoding="utf-8"))
REFUSED = json.loads((VECTORS / "refused-cbor.json").read_text(encoding="utf-8"))
ROSTER = form.read_cbor(bytes.fromhex(JOB["roster"]["cbor"]))


# Against the vectors


def from_vectors(job: dict[str, Any], member: str) -> Stranger:
    """A stranger that draws what this member drew and trains to where it trained."""
    found, roster = job["members"][member], form.read_cbor(bytes.fromhex(job["roster"]["cbor"]))
    set_ups = iter(found["set_ups"])
    drawing: dict[str, Any] = {}

    def draw(what: str) -> bytes:
        if what == "mask key":
            drawing.update(next(set_ups))
        names = {"mask key": "mask_private", "channel key": "channel_private", "seed": "self_mask_seed"}
        return bytes.fromhex(drawing[names[what]])

    def below_p(what: str) -> int:
        kind, _, number = what.split()
        return int.from_bytes(bytes.fromhex(drawing[f"{kind}_coefficients"][int(number) - 1])) % crypto.P

    def update(round: int, adapter: Mapping[str, own.Tensor]) -> tuple[dict[str, list[float]], tuple[float, float]]:
        changes = {
            name: [own.f32(new - old) for new, old in zip(found["trained"][name], values, strict=True)]
            for name, (_, values) in adapter.items()
        }
        return changes, (found["base_loss"] if round == 1 else found["loss"], found["base_loss"])

    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(found["signing_private"]))
    return Stranger(member, key, roster, job["plan"], job["layers"], update, draw, below_p)


def repeat(job: dict[str, Any], member: str) -> int:
    """Have a stranger give every answer of a member, to the byte; how many bad requests it was shown."""
    stranger, bad = from_vectors(job, member), 0
    for exchange in job["exchanges"]:
        for what, refused in exchange.get("refused", {}).items():
            request = bytes.fromhex(refused["request"])
            if form.read_frame(request)[-1].h["to"] == member:
                [answer] = form.read_frame(stranger.handle(request))
                assert (what, answer.h["body"]["code"]) == (what, refused["code"])
                bad += 1
        if member in exchange["answers"]:
            answer = stranger.handle(bytes.fromhex(exchange["requests"][member]))
            assert answer.hex() == exchange["answers"][member]
    return bad


@pytest.mark.parametrize("member", JOB["members"])
def test_a_stranger_gives_every_answer_of_the_whole_job_to_the_byte(member: str) -> None:
    """Good requests and bad ones: the same frames, the same codes."""
    assert repeat(JOB, member) == (49 if member == "a1" else 0)


def test_a_stranger_reads_the_roster_and_checks_the_roots_signature() -> None:
    data = b"rengo roster v1\0" + bytes.fromhex(JOB["roster"]["cbor"])
    root, signature = (bytes.fromhex(JOB["roster"][part]) for part in ("root", "signature"))
    assert form.verifies(root, signature, data)
    assert not form.verifies(root, signature, data + b"\0")
    assert form.H("roster", ROSTER) == hashlib.sha256(data).digest()


def test_a_stranger_repeats_the_single_parts() -> None:
    found, ctx = PARTS["masks"], bytes.fromhex(PARTS["ctx"]["ctx"])
    pair = found["pair"]
    private = bytes.fromhex(PARTS["identities"][pair["low"]]["mask_private"])
    public = crypto.public_of(bytes.fromhex(PARTS["identities"][pair["high"]]["mask_private"]))
    shared = crypto.exchange(private, public)
    assert shared.hex() == pair["shared_secret"]
    assert crypto.hkdf(shared, ctx, "pair", pair["low"], pair["high"]).hex() == pair["key"]
    stream = crypto.mask(bytes.fromhex(found["self"]["key"]), 32, 16)
    assert np.array(stream, "<u2").tobytes().hex() == found["self"]["first_64_bytes"]
    assert form.H("plan", PARTS["plan"]["plain"]).hex() == PARTS["plan"]["digest"]
    digests = {name: bytes.fromhex(PARTS["setup"]["offer"][name]) for name in ("parent", "roster", "plan", "model")}
    offer = PARTS["setup"]["offer"] | digests
    assert form.H("setup context", offer).hex() == PARTS["setup"]["setup_ctx"]


@pytest.mark.parametrize("found", PARTS["rings"], ids=["16 bits", "32 bits"])
def test_a_stranger_encodes_as_the_vectors_do(found: dict[str, Any]) -> None:
    shapes = {name: tuple(shape) for name, shape in found["shapes"].items()}
    ranges = {name: float.fromhex(text) for name, text in found["ranges"].items()}
    ring = own.Ring(found["bits"], found["members"], shapes, ranges, tuple(found["scalars"]))
    assert ring.digest().hex() == found["digest"]
    update = {name: np.ravel(values).tolist() for name, values in found["update"].items()}
    seed = [found["rounding"][part] for part in ("consortium", "job", "seed", "member", "round")]
    assert ring.encode(update, found["scalars"], own.stream("rounding", seed)) == found["words"]


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_a_stranger_refuses_the_cbor_that_nobody_may_read(data: str) -> None:
    with pytest.raises(form.Refuse, match="malformed"):
        form.read_cbor(bytes.fromhex(data))


@pytest.mark.parametrize("point", PARTS["refused"]["point"].values(), ids=PARTS["refused"]["point"])
def test_a_stranger_refuses_unsafe_points(point: str) -> None:
    assert not crypto.safe(bytes.fromhex(point))


# Among our own

STRANGER = "m01"


def with_stranger(consortium: Consortium) -> Stranger:
    """In the place of one of our members, with its identity and an update of its own."""
    roster = read_cbor(consortium.roster.to_bytes())
    key = Ed25519PrivateKey.from_private_bytes(consortium.identities[STRANGER].private_bytes())
    stranger = Stranger(
        STRANGER, key, roster, p.plain(consortium.plan), SHAPES, own_update, lambda _: secrets.token_bytes(32),
        lambda _: secrets.randbelow(crypto.P),
    )  # fmt: skip
    consortium.members[STRANGER] = stranger  # type: ignore[assignment]
    return stranger


def own_update(round: int, adapter: Mapping[str, own.Tensor]) -> tuple[dict[str, list[float]], tuple[float, float]]:
    return {name: [0.01 * round] * len(values) for name, (_, values) in adapter.items()}, (1.5, 2.5)


class Mixed(Consortium):
    """Whose plain sums know what the stranger sends."""

    def plain_words(self, name: str, round: int, state: State, ring: Ring) -> Any:
        if name != STRANGER:
            return super().plain_words(name, round, state, ring)
        adapter = {n: (array.shape, array.ravel().tolist()) for n, array in state.factors.items()}
        update, losses = own_update(round, adapter)
        values = [(abs(v), ring.ranges[n]) for n in ring.shapes for v in update[n]]
        figures = own.figures(losses, sum(v > g for v, g in values) / max(1, len(values)))
        seed = [self.plan.consortium, self.plan.job, self.plan.seed, name, round]
        theirs = own.Ring(ring.bits, ring.members, ring.shapes, ring.ranges, ring.scalars)
        return np.array(theirs.encode(update, figures, own.stream("rounding", seed)), ring.dtype)


def mixed(consortium: Consortium) -> Mixed:
    """The same with the stranger in it."""
    found = Mixed(**vars(consortium))
    with_stranger(found)
    return found


@pytest.mark.parametrize("bits", [16, 32])
def test_a_stranger_takes_part_in_a_whole_job_with_our_members_and_coordinator(folder: Path, bits: int) -> None:
    secagg = p.SecAgg(bits, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6)
    consortium = mixed(make_consortium(folder, rounds=3, secagg=secagg))
    consortium.run()
    assert [done.aggregation.u3 for done in consortium.rounds] == [consortium.names] * 4
    assert not consortium.failed
    consortium.check_sums()


@pytest.mark.parametrize("lost", [("masked", "m03"), ("masked", STRANGER), ("agreed", STRANGER), ("revealed", "m00")])
def test_a_stranger_takes_part_when_members_are_lost_itself_included(folder: Path, lost: tuple[str, str]) -> None:
    consortium = mixed(make_consortium(folder, rounds=3))
    consortium.run(Losing(consortium, {(2, *lost): "request"}))
    assert len(consortium.rounds) == 4
    assert not consortium.failed
    assert STRANGER in consortium.rounds[3].aggregation.u3
    consortium.check_sums()


def test_a_stranger_is_in_the_next_attempt_when_one_fails(folder: Path) -> None:
    consortium = mixed(make_consortium(folder))
    consortium.run(Losing(consortium, {(2, "masked", m): "answer" for m in ("m00", "m03")}, once=True))
    assert [failed.round for failed in consortium.failed] == [2]
    assert all(STRANGER in done.aggregation.u3 for done in consortium.rounds)
    consortium.check_sums()


def test_a_stranger_holds_to_a_larger_quorum_and_votes_by_the_least(folder: Path) -> None:
    secagg = p.SecAgg(32, "malicious", None, None, 5, 3, "auto", 8.0, 1e-6)
    consortium = mixed(make_consortium(folder, rounds=2, secagg=secagg))
    consortium.run(Losing(consortium, {(3, "agreed", "m03"): "answer"}))
    assert [done.aggregation.u3 for done in consortium.rounds] == [consortium.names] * 3
    assert not consortium.failed
    play = Play(mixed(make_consortium(folder / "play", secagg=secagg)))
    play.aggregation.parties = replace(play.consortium.job.parties, asked=0)
    cohorts = play.do("keys", lost=["m03"]).prepare("shares")
    assert refusal(ask(play.consortium, STRANGER, *cohorts[STRANGER])) == "cohort-too-small"
