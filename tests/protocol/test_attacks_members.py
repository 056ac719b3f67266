"""Members that lie, and a coordinator that touches envelopes: the round goes on without them, or says who it was."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from aggregator.carriers import Exchange
from aggregator.exchange import Rejected
from clients.dataset import Blocks
from clients.member import Member
from federation import step
from federation.errors import JobStopped
from federation.plan import SecAgg, Train
from federation.secagg.client import KeysSent, SharesSent
from federation.secagg.contexts import leaf, share_commitment
from federation.secagg.merkle import root_and_paths
from federation.secagg.messages import Inbox, Masked, Revealed, Sealed
from federation.secagg.primitives import agree, derive, seal
from federation.tensors import Tensors
from federation.wire import Signed, canonical_cbor, read_body, read_cbor
from tests.protocol.consortium import Consortium, Losing, TinyLearner, Trained, digest, make_consortium, undisturbed
from tests.protocol.liars import Liar, altered
from tests.protocol.play import Play

LIAR = "m01"


def lie(consortium: Consortium, kind: str, rewrite: Callable[[Signed], Signed]) -> None:
    """The liar rewrites its first statement of this kind and is honest otherwise."""
    once = [rewrite]
    Liar(consortium, LIAR, lambda s: once.pop()(s) if once and s.header.kind == kind else s)


def rejected(consortium: Consortium) -> list[tuple[str, str, str]]:
    """(step, member, code) of what the coordinator did not accept."""
    return [(e.exchange.step, e.member, e.code) for e in consortium.events if isinstance(e, Rejected)]


def resealed(statement: Signed, change: Callable[[int, Sealed], Sealed]) -> tuple[bytes, bytes]:
    """A Shares' blob and root with each recipient's Sealed changed."""
    plain = read_cbor(statement.blob)
    sealed = [change(index, read_body(Sealed, item)) for index, item in enumerate(plain)]
    root, paths = root_and_paths([leaf(s.seed_commitment, s.key_commitment) for s in sealed])
    return canonical_cbor([replace(s, path=path).to_plain() for s, path in zip(sealed, paths, strict=True)]), root


def test_one_member_that_says_all_have_diverged_stops_no_job(folder: Path) -> None:
    """The round's losses are unknown then, and the sum hides who did it."""
    consortium = make_consortium(folder)

    def all_diverged(statement: Signed) -> Signed:
        words = np.frombuffer(bytes(statement.blob), "<u4").copy()
        words[-1:] += np.uint32(1 << 28)  # the highest limb of the last scalar
        return altered(consortium.identities[LIAR], statement, blob=words.tobytes())

    lie(consortium, "masked", all_diverged)
    assert digest(consortium.run()) == undisturbed(folder)
    first, *others = (done.scalars for done in consortium.rounds)
    assert first[step.DIVERGED] > 1
    assert step.HELD_OUT_LOSS not in first
    assert all(figures[step.HELD_OUT_LOSS] > 0 for figures in others)


def test_a_false_share_is_named_and_the_round_goes_on(folder: Path) -> None:
    consortium = make_consortium(folder)

    def false_share(statement: Signed) -> Signed:
        revealed = read_body(Revealed, statement.header.body)
        shares = revealed.seed_shares | {"m03": bytes(33)}
        return altered(consortium.identities[LIAR], statement, seed_shares=shares)

    lie(consortium, "revealed", false_share)
    consortium.run()
    assert rejected(consortium) == [("revealed", LIAR, "false-share")]
    [reason] = [e.reason for e in consortium.events if isinstance(e, Rejected)]
    assert "m01 revealed a share of m03's seed" in reason
    consortium.check_sums()


@pytest.mark.parametrize("other", [{}, {"m02": bytes(33)}])
def test_revealing_too_little_or_the_other_kind_is_rejected(folder: Path, other: dict[str, bytes]) -> None:
    consortium = make_consortium(folder)
    liar = consortium.identities[LIAR]
    lie(consortium, "revealed", lambda s: altered(liar, s, seed_shares={}, key_shares=other))
    consortium.run()
    assert rejected(consortium) == [("revealed", LIAR, "malformed")]


def test_oversized_envelopes_of_one_member_do_not_keep_the_others_from_their_inboxes(folder: Path) -> None:
    """An envelope has one size. A larger one would make every recipient's Inbox larger than it accepts."""
    consortium = make_consortium(folder)

    def bloated(statement: Signed) -> Signed:
        room = 60_000 // len(consortium.names)
        blob, root = resealed(statement, lambda _, s: replace(s, envelope=bytes(room)))
        return altered(consortium.identities[LIAR], statement, blob=blob, root=root)

    lie(consortium, "shares", bloated)
    consortium.run()
    assert rejected(consortium) == [("shares", LIAR, "malformed")]
    assert not consortium.failed


@pytest.mark.parametrize("unopened", [("m99",), ("m02", "m02"), ("x" * 1000,) * 60])
def test_a_made_up_list_of_unopened_dealers_is_rejected(folder: Path, unopened: tuple[str, ...]) -> None:
    """It is in a header that everyone gets: three such lists would be more than an honest member reads."""
    consortium = make_consortium(folder)
    lie(consortium, "masked", lambda s: altered(consortium.identities[LIAR], s, unopened=unopened))
    consortium.run()
    assert rejected(consortium) == [("masked", LIAR, "malformed")]
    assert LIAR not in consortium.rounds[0].aggregation.u3
    consortium.check_sums()


def misled(statement: Signed, at: int) -> bytes:
    """The blob with a path that leads elsewhere."""
    plain = read_cbor(statement.blob)
    plain[at]["path"] = bytes(len(plain[at]["path"]))
    return canonical_cbor(plain)


@pytest.mark.parametrize(
    "change",
    [lambda s: {"root": bytes(32)}, lambda s: {"blob": misled(s, 0)}, lambda s: {"blob": misled(s, 4)}],
    ids=["another root", "a path that leads elsewhere", "the last path"],
)
def test_commitments_that_do_not_match_their_root_are_rejected(
    folder: Path, change: Callable[[Signed], dict[str, bytes]]
) -> None:
    consortium = make_consortium(folder)
    lie(consortium, "shares", lambda s: altered(consortium.identities[LIAR], s, **change(s)))
    consortium.run()
    assert rejected(consortium) == [("shares", LIAR, "malformed")]


def test_a_vector_of_another_length_is_rejected(folder: Path) -> None:
    consortium = make_consortium(folder)
    lie(consortium, "masked", lambda s: altered(consortium.identities[LIAR], s, blob=bytes(s.blob) + bytes(4)))
    consortium.run()
    assert rejected(consortium) == [("masked", LIAR, "wrong-terms")]
    consortium.check_sums()


def test_a_vote_for_another_set_is_rejected(folder: Path) -> None:
    consortium = make_consortium(folder)
    lie(consortium, "agreed", lambda s: altered(consortium.identities[LIAR], s, survivors=bytes(32)))
    consortium.run()
    assert rejected(consortium) == [("agreed", LIAR, "wrong-terms")]


@pytest.mark.parametrize("field", ["mask_key", "channel_key"])
def test_a_low_order_key_is_rejected_by_the_coordinator_already(folder: Path, field: str) -> None:
    consortium = make_consortium(folder)
    lie(consortium, "keys", lambda s: altered(consortium.identities[LIAR], s, **{field: bytes(32)}))
    consortium.run()
    assert rejected(consortium) == [("keys", LIAR, "bad-point")]


def flipped(envelope: bytes) -> bytes:
    return envelope[:-1] + bytes([envelope[-1] ^ 1])


def with_envelope(play: Play, message: Signed, at: int, change: Callable[[Inbox], Sealed]) -> Signed:
    inbox = read_body(Inbox, message.header.body)
    sealed = (*inbox.sealed[:at], change(inbox), *inbox.sealed[at + 1 :])
    return altered(play.consortium.coordinator, message, sealed=sealed)


def reflected(play: Play, inbox: Inbox) -> Sealed:
    """What m00 sealed for m01, given back to m00 as if m01 had sealed it."""
    mine = read_body(Sealed, read_cbor(play.answers["shares"]["m00"].blob)[1])
    return replace(inbox.sealed[1], envelope=mine.envelope)


def dealt_otherwise(play: Play, inbox: Inbox, *, committed: bool) -> Sealed:
    """The dealer colludes and seals other shares for m00, with commitments to them or with those to the first ones."""
    dealer = play.consortium.members["m01"]._sessions[1, 1].state
    assert isinstance(dealer, SharesSent)
    ctx, shares = dealer.share_ctx, {"seed": b"\0" + bytes([1] * 32), "key": b"\0" + bytes([2] * 32)}
    key = derive(agree(dealer._channel_private, dealer.keys["m00"].channel_key), ctx, "envelope", "m01", "m00")
    sealed = replace(inbox.sealed[1], envelope=seal(key, ctx, "m01", "m00", shares["seed"], shares["key"]))
    if not committed:
        return sealed
    seed, mask = (share_commitment(ctx, kind, "m01", "m00", share) for kind, share in shares.items())
    return replace(sealed, seed_commitment=seed, key_commitment=mask)


ENVELOPES: dict[str, Callable[[Play, Inbox], Sealed]] = {
    "bit flipped": lambda _, inbox: replace(inbox.sealed[1], envelope=flipped(inbox.sealed[1].envelope)),
    "another dealer's": lambda _, inbox: replace(inbox.sealed[1], envelope=inbox.sealed[2].envelope),
    "another dealer's, commitments and all": lambda _, inbox: inbox.sealed[2],
    "reflected": reflected,
    "empty": lambda _, inbox: replace(inbox.sealed[1], envelope=b""),
    "other commitments": lambda _, inbox: replace(inbox.sealed[1], key_commitment=bytes(32)),
    "other shares than committed to": partial(dealt_otherwise, committed=False),
    "other shares, other commitments, the same root": partial(dealt_otherwise, committed=True),
    "a path that leads elsewhere": lambda _, inbox: replace(inbox.sealed[1], path=bytes(len(inbox.sealed[1].path))),
    "another dealer's path": lambda _, inbox: replace(inbox.sealed[1], path=inbox.sealed[2].path),
    "no path": lambda _, inbox: replace(inbox.sealed[1], path=b""),
}


@pytest.mark.parametrize("how", ENVELOPES)
def test_an_envelope_that_was_touched_names_its_dealer_unopened_and_the_round_completes(folder: Path, how: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("shares")

    def touch(name: str, messages: list[Signed]) -> list[Signed]:
        if name != "m00":
            return messages
        return [with_envelope(play, messages[0], 1, lambda inbox: ENVELOPES[how](play, inbox)), messages[1]]

    play.do("masked", tamper=touch).through("revealed").result()
    unopened = {n: read_body(Masked, s.header.body).unopened for n, s in play.answers["masked"].items()}
    assert unopened == {name: ("m01",) if name == "m00" else () for name in consortium.names}
    assert "m01" not in read_body(Revealed, play.answers["revealed"]["m00"].header.body).seed_shares
    assert not play.refused


class Extreme(TinyLearner):
    """As far as a member can go, in one direction."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self._sign = sign

    def _train(self, factors: Tensors, blocks: Blocks, train: Train) -> Trained:
        return Trained({name: array + np.float32(self._sign * 1e30) for name, array in factors.items()})


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("sign", [1, -1])
def test_all_members_at_the_limit_of_their_range_overflow_nothing(folder: Path, bits: int, sign: int) -> None:
    """Updates have one weight in this version, so this is the top; the words of the sum say what they should."""
    consortium = make_consortium(
        folder, 7, rounds=1, secagg=SecAgg(bits, "malicious", None, None, "auto", 3, 0.5, 8.0, 1e-6)
    )
    for name in consortium.names:
        consortium.members[name]._contribution._learner = Extreme(sign)
    consortium.run()
    done = consortium.rounds[0]
    words = consortium.checkpoints[0].total.view(f"<i{bits // 8}")[:18]
    assert set(words.tolist()) == {sign * 7 * done.ring.levels}
    assert 7 * done.ring.levels < 2 ** (bits - 1)
    assert all(np.allclose(mean, sign * 0.5, rtol=1e-12) for mean in done.mean.values())
    assert done.scalars["clipped_share"] == 1


def stand_by(member: Member, lied: Signed) -> Signed:
    """Make the liar's own machine believe that these are the shares that it sent."""
    session = max(member._sessions.values(), key=lambda session: session.position)
    session.state = replace(session.state, shares=lied.without_blob())
    return lied


def junk_for(consortium: Consortium, count: int) -> Callable[[Signed], Signed]:
    """The liar's envelopes for the first `count` recipients do not open."""
    member = consortium.members[LIAR]

    def rewrite(statement: Signed) -> Signed:
        spoil = lambda index, s: replace(s, envelope=flipped(s.envelope)) if index < count else s  # noqa: E731
        blob, root = resealed(statement, spoil)
        return stand_by(member, altered(consortium.identities[LIAR], statement, blob=blob, root=root))

    return rewrite


def test_a_dealer_whose_shares_too_few_hold_is_found_before_anything_is_revealed(folder: Path) -> None:
    """Its secrets could never be recovered. Once members have revealed there is no other attempt, so the coordinator
    must notice when it still can begin anew."""
    consortium = make_consortium(folder)
    lie(consortium, "shares", junk_for(consortium, 3))
    final = consortium.run()
    assert [(f.round, f.attempt, f.code) for f in consortium.failed] == [(1, 1, "too-few-members")]
    assert "shares of m01" in consortium.failed[0].reason
    assert consortium.left("m00").count("revealed") == 3
    assert digest(final) == undisturbed(folder)


def test_a_lost_vote_of_a_needed_holder_is_found_before_anything_is_revealed(folder: Path) -> None:
    consortium = make_consortium(folder)
    lie(consortium, "shares", junk_for(consortium, 1))
    final = consortium.run(Losing(consortium, {(1, "agreed", "m04"): "answer"}, once=True))
    assert [failed.code for failed in consortium.failed] == ["too-few-members"]
    assert digest(final) == undisturbed(folder)


def test_a_lost_reveal_of_a_needed_holder_is_asked_again(folder: Path) -> None:
    """Four of five revealed, which is t; but m00 has no share of m01's, so the fifth is needed."""
    consortium = make_consortium(folder)
    lie(consortium, "shares", junk_for(consortium, 1))
    carrier = Losing(consortium, {(1, "revealed", "m04"): "answer"}, once=True)
    consortium.run(carrier)
    assert carrier.exchanges.count(Exchange(1, "revealed")) == 2
    assert not consortium.failed
    consortium.check_sums()


class Relabelling:
    """A carrier that swaps the names on two members' answers."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for member, request in requests.items():
            label = {"m00": "m01", "m01": "m00"}.get(member, member)
            yield label, self._consortium.members[member].handle(request)


def test_answers_count_for_who_signed_them_whatever_the_carrier_says(folder: Path) -> None:
    consortium = make_consortium(folder)
    final = consortium.run(Relabelling(consortium))
    assert rejected(consortium) == []
    assert digest(final) == undisturbed(folder)


class Swapping(Relabelling):
    """A carrier that brings two members each other's requests."""

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for member in requests:
            other = {"m00": "m01", "m01": "m00"}.get(member, member)
            yield member, self._consortium.members[member].handle(requests.get(other, requests[member]))


def test_members_refuse_requests_that_are_for_others(folder: Path) -> None:
    consortium = make_consortium(folder, 7)
    consortium.run(Swapping(consortium))
    assert set(consortium.left("m00")) == set(consortium.left("m01")) == {"refused"}
    assert all(done.aggregation.u3 == consortium.names[2:] for done in consortium.rounds)
    consortium.check_sums()


@pytest.mark.parametrize("what", ["seed", "mask key"])
def test_a_false_dealer_is_named_and_the_job_stops(folder: Path, what: str) -> None:
    """Commitments prove what was dealt and not that it is the secret. Members have revealed by then: no other attempt
    on this adapter."""
    consortium = make_consortium(folder)
    member = consortium.members[LIAR]

    def false_dealing(statement: Signed) -> Signed:
        [session] = member._sessions.values()
        sent = session.state
        private = X25519PrivateKey.generate() if what == "mask key" else sent._mask_private
        dealer = KeysSent(sent.seat, session.answered["offer"][1], private, sent._channel_private)
        root, sealed = dealer._deal(sent.keys, sent.share_ctx, bytes(32) if what == "seed" else sent._seed)
        blob = canonical_cbor([s.to_plain() for s in sealed])
        return stand_by(member, altered(consortium.identities[LIAR], statement, blob=blob, root=root))

    lie(consortium, "shares", false_dealing)
    lost = {(1, "masked", LIAR): "answer"} if what == "mask key" else {}
    with pytest.raises(JobStopped, match="m01 dealt shares that match its commitments but not its secret"):
        consortium.run(Losing(consortium, lost))  # type: ignore[arg-type]  # str, of which one Literal is drawn
    assert [(name, "revealed" in consortium.left(name)) for name in ("m00", "m04")] == [("m00", True), ("m04", True)]
