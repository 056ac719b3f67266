"""What a coordinator can do with the ring once it knows it, under `threat=semi_malicious`: cut it into parts by calling
members lost, claim members that are not there, divide the members between two attempts, and draw another ring."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest

from federation.plan import SecAgg
from federation.secagg import shamir
from federation.secagg.contexts import claim_digest, share_context_from
from federation.secagg.graph import graph_of
from federation.secagg.messages import Claim, Cohort, Inbox, Keys, Masked, Revealed, Sealed, Unmask
from federation.secagg.primitives import Words, add_masks, agree, derive
from federation.wire import canonical_cbor, read_body, read_cbor
from tests.protocol.consortium import make_consortium
from tests.protocol.liars import altered
from tests.protocol.neighbours import around, make_sparse, parameters_of
from tests.protocol.play import Play, ask, make_offer, refusal
from tests.protocol.test_secrets import ready

# Cutting the ring


class Cut:
    """A set-up of thirty members. Three places of the ring, twice, belong to `colluders` or to members that the
    coordinator calls lost; `part` are the ten between them. Who votes for that is asked to reveal."""

    def __init__(self, folder: Path, colluders: Collection[int]) -> None:
        secagg = SecAgg(32, "semi_malicious", 0.05, 0.05, "auto", 3, "auto", 8.0, 1e-6)
        self.consortium = make_consortium(folder, 30, secagg=secagg)
        found = parameters_of(self.consortium)
        assert (found.degree, found.threshold, found.corrupt) == (6, 6, 1)
        self.play, self.threshold = Play(self.consortium).through("shares"), found.threshold
        self.ring = self.play.aggregation._near1.ring
        self.part, self.edges = self.ring[:10], (*self.ring[10:13], *self.ring[27:])
        self.colluders = [self.ring[place] for place in colluders]
        self.lost = set(self.edges) - set(self.colluders)
        self._mask()
        self.revealed = self._reveal()

    def _mask(self) -> None:
        requests = self.play.prepare("masked")
        for name, (inbox, _) in requests.items():
            ask(self.consortium, name, inbox)
        states = {name: ready(self.consortium, name) for name in self.edges}
        self.mask_keys = {name: state._mask_private for name, state in states.items()}
        self.held = {name: states[name]._held for name in self.colluders}
        for name, (_, broadcast) in requests.items():
            self.play.take("masked", name, [broadcast], accept=name not in self.lost)

    def _reveal(self) -> dict[str, Revealed]:
        votes = self.play.do("agreed").answers["agreed"]
        shown = tuple(votes[m] for m in self.play.aggregation._near3.voters if m in votes)
        asked = {
            name: ask(self.consortium, name, self.play.say(Unmask(shown), self.play.aggregation.ctx, name))[0]
            for name in votes
        }
        return {n: read_body(Revealed, a.header.body) for n, a in asked.items() if a.header.kind == "revealed"}

    def seed_shares(self, member: str) -> dict[int, bytes]:
        """By index: what was revealed of a member's seed, and what colluders hold of it."""
        shares = {m: given.seed_shares[member] for m, given in self.revealed.items() if member in given.seed_shares}
        shares |= {m: held[member][0] for m, held in self.held.items() if member in held}
        return {self.consortium.job.parties.index(m): share for m, share in shares.items()}

    def unmasked(self) -> Words:
        """The part's vectors added up, without the masks of the seeds that can be opened and of the pairs with
        colluders and with those called lost: of these, more than the coordinator can have, every mask key."""
        ctx, total = self.play.aggregation.ctx, np.zeros(self.play.terms().dimension, "<u4")
        for name in self.part:
            total += np.frombuffer(self.play.answers["masked"][name].blob, "<u4")
            shares = dict(list(self.seed_shares(name).items())[: self.threshold])
            if len(shares) == self.threshold:
                seed = shamir.combine(shares, shamir.lagrange_at_zero(tuple(shares)))
                add_masks(total, [(derive(seed, ctx, "self", name), -1)])
            mask_key = read_body(Keys, self.play.answers["keys"][name].header.body).mask_key
            for peer in {*around(self.consortium, self.play.aggregation.share_ctx, name)} & {*self.edges}:
                low, high = sorted((name, peer))
                pair = derive(agree(self.mask_keys[peer], mask_key), ctx, "pair", low, high)
                add_masks(total, [(pair, -1 if name == low else 1)])
        return total

    def plain(self) -> Words:
        """What the part's vectors add up to."""
        state, ring = self.play.opening.state, self.play.ring
        return np.sum([self.consortium.plain_words(m, 1, state, ring) for m in self.part], axis=0, dtype="<u4")


def test_a_part_of_the_ring_cut_off_by_members_called_lost_is_not_voted_for(folder: Path) -> None:
    """f colluders, where they help most: of the part's ends each is shown fewer than t that are left."""
    cut = Cut(folder, [29])
    assert {cut.play.refused[cut.part[at]] for at in (0, -1)} == {"cohort-too-small"}
    assert not cut.revealed


def test_nor_does_it_give_its_sum_where_it_is_voted_for(folder: Path) -> None:
    """Three colluders, two at one end: there are t votes, and shares, and the seed at the other end lacks some."""
    cut = Cut(folder, [28, 29, 10])
    assert cut.revealed
    assert len(cut.seed_shares(cut.part[0])) == cut.threshold
    assert len(cut.seed_shares(cut.part[-1])) < cut.threshold
    assert not np.array_equal(cut.unmasked(), cut.plain())


def test_the_control_four_colluders_two_at_either_end_have_the_parts_sum(folder: Path) -> None:
    """2 (t - r - 1), where f is 1: the condition of security.md is tight, and what is tried above does work."""
    cut = Cut(folder, [28, 29, 10, 11])
    assert np.array_equal(cut.unmasked(), cut.plain())


# Claiming members that are not there


@pytest.mark.parametrize(("lost", "step"), [("shares", "masked"), ("masked", "agreed")])
def test_a_member_that_is_claimed_and_not_there_is_missed_by_all_its_neighbours(
    folder: Path, lost: str, step: str
) -> None:
    """So that a quorum, or a site's minimum, cannot be made up: whoever reveals would have missed somebody."""
    consortium = make_sparse(folder, 20)
    play = Play(consortium)
    for before in ("keys", "shares", "masked")[: ("masked", "agreed").index(step) + 2]:
        play.do(before, lost=["m07"] if before == lost else [])
    answers = {}
    for name, (message, *_) in play.prepare(step).items():
        claim = read_cbor(message.blob)
        assert isinstance(claim, dict)
        assert claim["absent"] == ["m07"]
        false = canonical_cbor(Claim(claim["statements"], ()).to_plain())
        answers[name] = ask(consortium, name, altered(consortium.coordinator, message, false))
    missed = {name for name, given in answers.items() if given and given[0].header.kind == "refused"}
    assert missed == set(around(consortium, play.aggregation.share_ctx, "m07")) - {"m07"}
    assert {refusal(answers[name]) for name in missed} == {"neighbours-differ"}


@pytest.mark.parametrize(("absent", "code"), [(7, "cohort-too-small"), (6, "neighbours-differ")])
def test_a_quorum_is_of_more_members_where_some_collude(folder: Path, absent: int, code: str) -> None:
    """16 of 22 for one that may, where floor(2N/3) + 1 is 15: otherwise two attempts could have one each."""
    play = Play(make_sparse(folder, 22)).do("keys")
    message = play.prepare("shares")["m00"][0]
    claim = Claim(bytes(32), ("m00", *play.consortium.names[-absent + 1 :]))
    false = altered(play.consortium.coordinator, message, canonical_cbor(claim.to_plain()))
    assert refusal(ask(play.consortium, "m00", false)) == code


# Two attempts


def test_members_divided_between_two_attempts_open_one_sum(folder: Path) -> None:
    """All mask in the first; as many as the second is reckoned to do without are kept for it, the others go on."""
    consortium = make_sparse(folder, 20)
    found = parameters_of(consortium)
    first = Play(consortium).through("agreed")
    kept = first.aggregation._near1.ring[: found.lost]
    second = Play(consortium, make_offer(consortium, 1, 2)).do("keys", unreached=kept).through("agreed")
    answers = {name: ask(consortium, name, *sent)[0] for name, sent in first.prepare("revealed").items()}
    assert {name for name, answer in answers.items() if answer.header.kind == "revealed"} == set(kept)
    shares = [read_body(Revealed, answers[name].header.body).seed_shares for name in kept]
    for member in consortium.names:
        assert sum(member in given for given in shares) + found.corrupt < found.threshold
    second.do("revealed").result()
    assert not second.refused


def test_members_that_revealed_leave_no_quorum_to_a_second_attempt(folder: Path) -> None:
    """The other way round: the first sum is opened by as few as can, and then all are asked again."""
    consortium = make_sparse(folder, 20)
    first = Play(consortium).through("agreed")
    ring, requests = first.aggregation._near1.ring, first.prepare("revealed")
    silent = ring[::10]  # two, at opposite places: each neighbourhood can do without one or two
    for name in sorted({*ring} - {*silent}):
        first.take("revealed", name, requests[name])
    first.result()
    second = Play(consortium, make_offer(consortium, 1, 2)).do("keys")
    assert set(second.refused) == {*ring} - {*silent}
    assert set(second.refused.values()) == {"closed"}


# Two rings, and one colluder's two faces


def test_two_rings_told_to_two_halves_give_neither_a_quorum(folder: Path) -> None:
    """A coordinator that lies about the Keys already draws rings until it likes them: one half stands together on its
    ring. It still needs all on one: only who sees no neighbour outside its half goes on, and that is no quorum."""
    consortium = make_sparse(folder, 20)
    threshold, play = parameters_of(consortium).threshold, Play(consortium).do("keys")
    lies = [Claim(bytes([number]) * 32, ()) for number in (0, 1)]
    contexts = [share_context_from(play.aggregation.setup_ctx, claim_digest("U1", lie)) for lie in lies]
    together = graph_of(consortium.names, parameters_of(consortium).degree, contexts[0]).ring[:10]
    apart = [name for name in consortium.names if name not in together]
    content = [goes_on(play, half, lie, ctx) for half, lie, ctx in zip((together, apart), lies, contexts, strict=True)]
    assert content[0] == set(together[4:6])  # four neighbours on either side
    assert all(len(names) < threshold for names in content)


def goes_on(play: Play, half: Sequence[str], u1: Claim, share_ctx: bytes) -> set[str]:
    """Who of `half`, told this U1 and then that only half of all sent their shares, would mask."""
    consortium, keys = play.consortium, play.answers["keys"]
    near = {name: around(consortium, share_ctx, name) for name in half}
    shares, content = {}, set()
    for name in half:
        cohort = Cohort(tuple(keys[m] for m in near[name]))
        told = play.say(cohort, play.aggregation.setup_ctx, name, canonical_cbor(u1.to_plain()))
        [shares[name]] = ask(consortium, name, told)
        assert shares[name].header.digest == share_ctx
    for name in half:
        dealers = [m for m in near[name] if m in half]
        sealed = tuple(Sealed(bytes(32), bytes(32), b"", b"") for _ in dealers)
        inbox = Inbox(tuple(shares[m].without_blob() for m in dealers), sealed)
        for absent in (tuple(m for m in consortium.names if m not in half), ()):
            claim = canonical_cbor(Claim(bytes(32), absent).to_plain())
            answers = ask(consortium, name, play.say(inbox, share_ctx, name, claim))
            if not absent and len(dealers) == len(near[name]):
                assert answers == ()
                content.add(name)
            else:
                assert refusal(answers) in ("cohort-too-small", "neighbours-differ")
    return content


def test_what_is_not_noticed_a_colluder_that_shows_two_neighbours_other_shares_in_one_context(folder: Path) -> None:
    """Nobody sees both. All that it brings is what colluders bring anyway: their own secrets and vectors."""
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("shares")
    near = [m for m in around(consortium, play.aggregation.share_ctx, "m00") if m != "m00"]
    requests, contexts = play.prepare("masked"), set()
    for name, root in zip(near[:2], (bytes(32), b"\1" * 32), strict=True):
        message, broadcast = requests[name]
        shown = [
            altered(consortium.identities["m00"], s, root=root).without_blob() if s.header.sender == "m00" else s
            for s in read_body(Inbox, message.header.body).shares
        ]
        lie = altered(consortium.coordinator, message, shares=tuple(shown))
        [masked] = ask(consortium, name, lie, broadcast)
        assert read_body(Masked, masked.header.body).unopened == ("m00",)
        contexts.add(masked.header.digest)
    assert contexts == {play.aggregation.ctx}


# Other rings


def test_what_is_not_stopped_a_ring_is_drawn_again_as_often_as_somebody_waits_for_it(folder: Path) -> None:
    """A coordinator that looks at a ring and gives the attempt up. No text is asked about, and each is in the journal:
    the 2^-40 of security.md are for one set-up."""
    consortium, rings = make_sparse(folder, 20), set()
    for attempt in range(1, 6):
        play = Play(consortium, make_offer(consortium, 1, attempt)).through("shares")
        assert not play.refused
        rings.add(play.aggregation._near1.ring)
    assert len(rings) == 5
    journal = consortium.journals["m00"]
    assert journal.contributions() == 0
    assert [kind for row in journal.sent() for kind in row.kinds.split()] == ["keys", "shares"] * 5
