"""A coordinator that lies while a sum is opened: about the adapter, about who survived, about who signed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from federation.identity import Identity
from federation.schemes import State
from federation.secagg.contexts import round_context_from
from federation.secagg.messages import Agreed, Inbox, Revealed, Survivors, Unmask
from federation.secagg.primitives import Words, add_masks, derive
from federation.wire import Signed, read_body
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.liars import altered
from tests.protocol.play import Play, ask, make_offer, nudged, refusal

VICTIM = "m00"


def headers_of(play: Play, kind: str, names: Sequence[str] | None = None) -> tuple[Signed, ...]:
    answers = play.answers[kind]
    return tuple(answers[name].without_blob() for name in sorted(names if names is not None else answers))


def survivors_for(play: Play, name: str, gone: Sequence[str], alive: tuple[Signed, ...]) -> Signed:
    return play.say(Survivors(tuple(gone), alive), play.aggregation.ctx, name)


def refused_survivors(play: Play, gone: Sequence[str], alive: tuple[Signed, ...]) -> str:
    """The code of the victim's refusal of a survivor set; it did not sign."""
    code = refusal(ask(play.consortium, VICTIM, survivors_for(play, VICTIM, gone, alive)))
    assert "agreed" not in play.consortium.left(VICTIM)
    return code


def refused_unmask(play: Play, agreed: tuple[Signed, ...]) -> str:
    """The code of the victim's refusal to reveal; no share left."""
    code = refusal(ask(play.consortium, VICTIM, play.say(Unmask(agreed), play.aggregation.ctx, VICTIM)))
    assert "revealed" not in play.consortium.left(VICTIM)
    return code


def shares_revealed(answer: Signed) -> tuple[set[str], set[str]]:
    """(dealers of seed shares, dealers of key shares)."""
    revealed = read_body(Revealed, answer.header.body)
    return set(revealed.seed_shares), set(revealed.key_shares)


def without_self_masks(play: Play, seeds: dict[str, bytes], contexts: dict[str, bytes]) -> Words:
    """What a coordinator could get at best: every vector it holds, with every self mask taken out by cheating."""
    total = np.zeros(play.ring.dimension, play.ring.dtype)
    for name, statement in play.answers["masked"].items():
        total += np.frombuffer(statement.blob, play.ring.dtype)
        add_masks(total, [(derive(seeds[name], contexts[name], "self", name), -1)])
    return total


def plain_total(play: Play, names: Sequence[str], state: State) -> Words:
    words = [play.consortium.plain_words(name, 1, state, play.ring) for name in names]
    return np.sum(words, axis=0, dtype=play.ring.dtype)


def masked_with_two_views(consortium: Consortium, *, lie: bool) -> tuple[Play, Words, Words]:
    """A round in which m00 and m01 are told another adapter: (play, what is left of the masks, the plain sum).

    The second round, and an adapter one ulp away: the first round's has to be exact."""
    opening = Play(consortium).through("revealed").result()
    play = Play(consortium, make_offer(consortium, 2, 2), opening).through("shares")
    requests, seeds, contexts = play.prepare("masked"), {}, {}
    other = nudged(play.opening.state)
    for name in consortium.names:
        inbox, broadcast = requests[name]
        ask(consortium, name, inbox)
        [session] = consortium.members[name]._sessions.values()
        seeds[name] = session.state._seed
        lied_to = lie and name in ("m00", "m01")
        adapter = other.factors if lied_to else play.adapter
        terms = play.terms(adapter)
        contexts[name] = round_context_from(play.aggregation.share_ctx, session.state.u2, terms)
        play.take("masked", name, [play.broadcast(name, adapter) if lied_to else broadcast], accept=not lied_to)
    states = {name: other if lie and name in ("m00", "m01") else play.opening.state for name in consortium.names}
    words = [consortium.plain_words(name, 2, states[name], play.ring) for name in consortium.names]
    plain = np.sum(words, axis=0, dtype=play.ring.dtype)
    return play, without_self_masks(play, seeds, contexts), plain


def test_masks_cancel_when_all_were_told_the_same(folder: Path) -> None:
    """The control for the next test."""
    _, left, plain = masked_with_two_views(make_consortium(folder), lie=False)
    assert np.array_equal(left, plain)


def test_masks_do_not_cancel_between_members_that_were_told_two_adapters(folder: Path) -> None:
    play, left, plain = masked_with_two_views(make_consortium(folder), lie=True)
    assert not np.any(left == plain)
    # Nor does either view have enough signatures: a survivor set with the other half's headers is not signed.
    everyone = headers_of(play, "masked")
    told_otherwise = everyone[0].header.digest
    survivors = play.say(Survivors((), everyone), told_otherwise, VICTIM)
    assert refusal(ask(play.consortium, VICTIM, survivors)) == "signature-invalid"
    own = play.say(Survivors(("m02", "m03", "m04"), everyone[:2]), told_otherwise, VICTIM)
    assert refusal(ask(play.consortium, VICTIM, own)) == "cohort-too-small"


def test_unequal_inboxes_make_vectors_that_do_not_count_for_each_other(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("shares")
    inbox, broadcast = play.prepare("masked")[VICTIM]
    body = read_body(Inbox, inbox.header.body)
    fewer = altered(consortium.coordinator, inbox, shares=body.shares[:4], sealed=body.sealed[:4])
    [masked] = ask(consortium, VICTIM, fewer, broadcast)
    assert masked.header.digest != play.aggregation.ctx
    for name in consortium.names[1:]:
        play.take("masked", name, play.sent["masked"][name])
    alive = (masked.without_blob(), *headers_of(play, "masked", ["m01", "m02", "m03"]))
    mixed = play.say(Survivors((), alive), masked.header.digest, VICTIM)
    assert refusal(ask(consortium, VICTIM, mixed)) == "signature-invalid"


def test_a_second_inbox_or_adapter_for_one_round_is_conflicting(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("masked")
    inbox = play.sent["masked"][VICTIM][0]
    body = read_body(Inbox, inbox.header.body)
    other = altered(consortium.coordinator, inbox, shares=body.shares[:4], sealed=body.sealed[:4])
    assert refusal(ask(consortium, VICTIM, other)) == "conflicting"
    adapter = play.broadcast(VICTIM, nudged(play.opening.state).factors)
    assert refusal(ask(consortium, VICTIM, adapter)) == "conflicting"
    assert len(consortium.journals[VICTIM].evidence()) == 4
    assert consortium.left(VICTIM).count("masked") == 1


def test_a_member_both_gone_and_alive_is_refused(folder: Path) -> None:
    """Both of m04's secrets would follow: its seed as a survivor's, its mask key as a drop-out's."""
    play = Play(make_consortium(folder)).through("masked")
    play.prepare("agreed")
    assert refused_survivors(play, ["m04"], headers_of(play, "masked")) == "survivors-inconsistent"


def test_a_member_neither_gone_nor_alive_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).through("masked")
    play.prepare("agreed")
    alive = headers_of(play, "masked", ["m00", "m01", "m02", "m03"])
    assert refused_survivors(play, [], alive) == "survivors-inconsistent"


@pytest.mark.parametrize("gone", [["m04", "m04"], ["m04", "m99"], ["m99"]])
def test_repeated_and_foreign_members_among_the_gone_are_refused(folder: Path, gone: list[str]) -> None:
    play = Play(make_consortium(folder)).through("masked")
    play.prepare("agreed")
    alive = headers_of(play, "masked", ["m00", "m01", "m02", "m03"])
    assert refused_survivors(play, gone, alive) == "survivors-inconsistent"


def test_survivors_without_me_are_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).through("masked")
    play.prepare("agreed")
    alive = headers_of(play, "masked", ["m01", "m02", "m03", "m04"])
    assert refused_survivors(play, ["m00"], alive) == "not-included"


def test_survivors_below_the_threshold_are_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).through("masked")
    play.prepare("agreed")
    alive = headers_of(play, "masked", ["m00", "m01", "m02"])
    assert refused_survivors(play, ["m03", "m04"], alive) == "cohort-too-small"


def test_survivors_below_the_sites_own_minimum_are_refused(folder: Path) -> None:
    play = Play(make_consortium(folder, minimum_cohort=5)).through("masked")
    play.prepare("agreed")
    alive = headers_of(play, "masked", ["m00", "m01", "m02", "m03"])
    assert refused_survivors(play, ["m04"], alive) == "cohort-too-small"


def test_a_survivor_whose_vector_was_never_sent_cannot_be_made_up(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("shares").do("masked", unreached=["m04"])
    play.prepare("agreed")
    honest = headers_of(play, "masked")
    impostor = Identity("m04", consortium.identities["m03"]._key)
    forged = altered(impostor, play.answers["masked"]["m03"]).without_blob()
    assert refused_survivors(play, [], (*honest, forged)) == "signature-invalid"


def test_a_second_survivor_set_after_the_vote_is_conflicting_and_kept_as_evidence(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("agreed")
    second = survivors_for(play, VICTIM, ["m04"], headers_of(play, "masked", ["m00", "m01", "m02", "m03"]))
    assert refusal(ask(consortium, VICTIM, second)) == "conflicting"
    kept = consortium.journals[VICTIM].evidence()
    first = play.sent["agreed"][VICTIM][0]
    assert [(header, signature) for _, header, signature in kept] == [
        (s.header_bytes, s.signature) for s in (first, second)
    ]
    assert {reason for reason, _, _ in kept} == {"two different survivors"}
    assert consortium.left(VICTIM).count("agreed") == 1


def test_two_survivor_sets_to_two_halves_win_no_vote(folder: Path) -> None:
    """Seven members, t = 5: all of them, and all but m06. Neither half can be shown five votes for its own set."""
    consortium = make_consortium(folder, 7)
    play = Play(consortium).through("masked")
    play.prepare("agreed")
    everyone, without = headers_of(play, "masked"), headers_of(play, "masked", consortium.names[:6])
    votes: dict[str, Signed] = {}
    for name in consortium.names:
        halves = ([], everyone) if name in ("m00", "m01", "m02", "m06") else (["m06"], without)
        [votes[name]] = ask(consortium, name, survivors_for(play, name, *halves))
    mixed = tuple(votes[name] for name in consortium.names)
    assert refused_unmask(play, mixed) == "survivors-inconsistent"
    own = tuple(votes[name] for name in ("m00", "m01", "m02", "m06"))
    assert refused_unmask(play, own) == "too-few-signatures"


def votes_of(play: Play) -> tuple[Signed, ...]:
    play.through("agreed")
    play.prepare("revealed")
    return headers_of(play, "agreed")


def test_one_signature_below_the_threshold_reveals_nothing(folder: Path) -> None:
    play = Play(make_consortium(folder))
    assert refused_unmask(play, votes_of(play)[:3]) == "too-few-signatures"


def test_the_sites_own_minimum_holds_for_signatures_too(folder: Path) -> None:
    play = Play(make_consortium(folder, minimum_cohort=5))
    assert refused_unmask(play, votes_of(play)[:4]) == "too-few-signatures"


def test_a_signature_given_twice_counts_as_a_fault(folder: Path) -> None:
    play = Play(make_consortium(folder))
    votes = votes_of(play)
    assert refused_unmask(play, (votes[0], votes[1], votes[1], votes[2])) == "duplicated"


def test_votes_without_mine_reveal_nothing(folder: Path) -> None:
    play = Play(make_consortium(folder))
    assert refused_unmask(play, votes_of(play)[1:]) == "not-included"


def test_a_forged_vote_reveals_nothing(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium)
    votes = votes_of(play)
    forged = Signed(votes[3].header_bytes, consortium.coordinator.sign_bytes(votes[3].to_sign()))
    assert refused_unmask(play, (*votes[:3], forged)) == "signature-invalid"


def test_a_vote_of_another_round_reveals_nothing(folder: Path) -> None:
    consortium = make_consortium(folder)
    old = votes_of(Play(consortium))
    play = Play(consortium, make_offer(consortium, attempt=2))
    votes = votes_of(play)
    assert refused_unmask(play, (*votes[:3], old[3])) == "signature-invalid"


def test_a_vote_of_a_member_that_is_gone_does_not_count(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("shares").do("masked", lost=["m04"])
    votes = votes_of(play)
    digest = read_body(Agreed, votes[0].header.body).survivors
    colluding = consortium.identities["m04"].sign(Agreed(digest), play.aggregation.ctx, "coordinator")
    assert refused_unmask(play, (*votes[:3], colluding)) == "survivors-inconsistent"


def test_a_second_set_of_votes_after_the_reveal_is_conflicting(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("revealed")
    other = play.say(Unmask(headers_of(play, "agreed")[:4]), play.aggregation.ctx, VICTIM)
    assert refusal(ask(consortium, VICTIM, other)) == "conflicting"
    assert consortium.left(VICTIM).count("revealed") == 1


def test_exactly_one_kind_of_share_is_revealed_of_each_dealer(folder: Path) -> None:
    play = Play(make_consortium(folder)).through("shares").do("masked", lost=["m03"]).through("revealed")
    for answer in play.answers["revealed"].values():
        assert shares_revealed(answer) == ({"m00", "m01", "m02", "m04"}, {"m03"})


def test_a_vector_that_arrived_and_was_called_lost_keeps_its_self_mask(folder: Path) -> None:
    """The coordinator keeps m04's vector, calls m04 gone and takes out m04's pair masks: what remains is no vector."""
    consortium = make_consortium(folder)
    play = Play(consortium).through("shares").do("masked", lost=["m04"]).through("revealed")
    total = play.aggregation.total()
    with_it = total + np.frombuffer(play.answers["masked"]["m04"].blob, play.ring.dtype)
    alive = ["m00", "m01", "m02", "m03"]
    plain = plain_total(play, alive, play.opening.state)
    assert np.array_equal(total, plain)
    vector = consortium.plain_words("m04", 1, play.opening.state, play.ring)
    assert not np.any(with_it == plain + vector)
    assert not any("m04" in shares_revealed(answer)[0] for answer in play.answers["revealed"].values())
