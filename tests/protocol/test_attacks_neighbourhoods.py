"""A coordinator that lies once the keys are there, and colluding neighbours, under `threat=semi_malicious`; and that a
member of a `malicious` job takes nothing of what is allowed there."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from federation.plan import SecAgg
from federation.secagg import shamir
from federation.secagg.contexts import (
    claim_digest,
    share_context_from,
    statements_digest,
    survivors_digest_from,
)
from federation.secagg.messages import Agreed, Claim, Cohort, Keys, Revealed, Survivors, Unmask
from federation.secagg.primitives import agree, derive
from federation.wire import Signed, canonical_cbor, read_body
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.liars import altered
from tests.protocol.neighbours import around, make_sparse, parameters_of
from tests.protocol.play import Play, ask, make_offer, refusal
from tests.protocol.test_secrets import TERMS, WORDS, interpolate, is_uniform, ready, stretched

VICTIM = "m00"


def data_of(statements: bytes, *absent: str) -> bytes:
    """A claim as it travels."""
    return canonical_cbor(Claim(statements, absent).to_plain())


def neighbours(play: Play) -> list[str]:
    """The victim's, without itself."""
    return [m for m in around(play.consortium, play.aggregation.share_ctx, VICTIM) if m != VICTIM]


def lied(play: Play, step: str, blob: bytes | None = None, **fields: object) -> str:
    """The code of the victim's refusal when the first message of `step` says something else."""
    message = play.prepare(step)[VICTIM][0]
    answers = ask(play.consortium, VICTIM, altered(play.consortium.coordinator, message, blob, **fields))
    return refusal(answers)


# What a member of a `malicious` job is asked to take on faith


def test_a_neighbourhood_for_a_cohort_is_refused_in_a_malicious_job(folder: Path) -> None:
    consortium = make_consortium(folder, 20)
    play = Play(consortium).do("keys")
    assert lied(play, "shares", keys=tuple(play.answers["keys"][m] for m in consortium.names[:9])) == "cohort-too-small"
    assert consortium.left(VICTIM) == ["keys", "refused"]


@pytest.mark.parametrize("step", ["shares", "masked", "agreed"])
def test_a_claim_is_refused_in_a_malicious_job(folder: Path, step: str) -> None:
    consortium = make_consortium(folder, 5)
    play = Play(consortium)
    for before in ("keys", "shares", "masked")[: ("shares", "masked", "agreed").index(step) + 1]:
        play.do(before)
    left = consortium.left(VICTIM)
    assert lied(play, step, data_of(bytes(32))) == "malformed"
    assert consortium.left(VICTIM) == [*left, "refused"]


def test_the_machine_itself_takes_no_claim_in_a_malicious_job(folder: Path) -> None:
    """Behind the member's own check of what may carry data."""
    consortium = make_consortium(folder, 5)
    play = Play(consortium).do("keys")
    cohort = play.prepare("shares")[VICTIM][0]
    [session] = consortium.members[VICTIM]._sessions.values()
    with pytest.raises(Exception, match="a claim stands in for nobody"):
        session.state.on_cohort(altered(consortium.coordinator, cohort, data_of(bytes(32))))


def test_a_site_that_does_not_permit_it_takes_part_in_no_such_job(folder: Path) -> None:
    consortium = make_sparse(folder, 20)
    consortium.start_member(VICTIM, semi_malicious=False)
    assert refusal(ask(consortium, VICTIM, *Play(consortium).prepare("keys")[VICTIM])) == "threat-not-permitted"
    assert consortium.left(VICTIM) == ["refused"]


def test_a_plan_for_one_threat_is_no_approval_of_the_other(folder: Path) -> None:
    consortium = make_sparse(folder, 20)
    malicious = SecAgg(32, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6)
    strict = make_consortium(folder / "strict", 20, secagg=malicious).plan
    consortium.start_member(VICTIM, approved_plan=strict.digest())
    assert refusal(ask(consortium, VICTIM, *Play(consortium).prepare("keys")[VICTIM])) == "plan-not-approved"


# Claims


def cohort_of(play: Play) -> tuple[dict[str, Signed], bytes]:
    """All Keys of a step 0 that is done, and their digest."""
    keys = {name: play.answers["keys"][name] for name in play.consortium.names}
    return keys, statements_digest("U1", list(keys.values()))


def test_a_neighbour_that_is_held_back_is_missed(folder: Path) -> None:
    play = Play(make_sparse(folder, 20)).do("keys")
    cohort = read_body(Cohort, play.prepare("shares")[VICTIM][0].header.body)
    fewer = tuple(s for s in cohort.keys if s.header.sender != neighbours(play)[0])
    message = play.sent["shares"][VICTIM][0]
    code = refusal(ask(play.consortium, VICTIM, altered(play.consortium.coordinator, message, keys=fewer)))
    assert code == "neighbours-differ"


def test_a_member_that_is_no_neighbour_is_noticed(folder: Path) -> None:
    play = Play(make_sparse(folder, 20)).do("keys")
    message = play.prepare("shares")[VICTIM][0]
    keys, _ = cohort_of(play)
    near = neighbours(play)
    stranger = next(m for m in play.consortium.names if m not in (*near, VICTIM))
    shown = tuple(keys[m] for m in sorted({VICTIM, stranger, *near[1:]}))
    assert refusal(ask(play.consortium, VICTIM, altered(play.consortium.coordinator, message, keys=shown))) == (
        "neighbours-differ"
    )


@pytest.mark.parametrize(
    ("absent", "code"),
    [
        (("m01", "m02", "m03", "m04", "m05", "m06", "m07"), "cohort-too-small"),
        (("m02", "m01"), "malformed"),
        (("m01", "m01"), "malformed"),
        (("stranger",), "malformed"),
        ((VICTIM,), "neighbours-differ"),
    ],
    ids=["below the quorum", "not sorted", "twice", "no member of the job", "the member itself"],
)
def test_claims_of_who_is_absent_have_to_make_sense(folder: Path, absent: tuple[str, ...], code: str) -> None:
    play = Play(make_sparse(folder, 20)).do("keys")
    _, digest = cohort_of(play)
    assert lied(play, "shares", data_of(digest, *absent)) == code


@pytest.mark.parametrize("step", ["shares", "masked", "agreed"])
@pytest.mark.parametrize("claim", [b"", b"\x80", canonical_cbor({"absent": []}), bytes(40)], ids=repr)
def test_without_a_claim_in_good_form_there_is_no_answer(folder: Path, step: str, claim: bytes) -> None:
    play = Play(make_sparse(folder, 20))
    for before in ("keys", "shares", "masked")[: ("shares", "masked", "agreed").index(step) + 1]:
        play.do(before)
    assert lied(play, step, claim) == "malformed"


def test_the_sites_own_minimum_is_of_all_members_and_not_of_its_neighbours(folder: Path) -> None:
    for minimum, refused in ((19, set()), (20, {"cohort-too-small"})):
        consortium = make_sparse(folder / str(minimum), 20, minimum_cohort=minimum)
        play = Play(consortium).do("keys", lost=["m07"]).do("shares")
        assert set(play.refused.values()) == refused


def test_a_member_that_was_told_of_other_keys_stands_in_another_context(folder: Path) -> None:
    """A false claim, with the neighbours that it gives: whatever the member says counts for nobody else."""
    play = Play(make_sparse(folder, 20)).do("keys")
    keys, _ = cohort_of(play)
    other = Claim(bytes(32), ())
    share_ctx = share_context_from(play.aggregation.setup_ctx, claim_digest("U1", other))
    shown = tuple(keys[m] for m in around(play.consortium, share_ctx, VICTIM))
    message = play.prepare("shares")[VICTIM][0]
    lie = altered(play.consortium.coordinator, message, canonical_cbor(other.to_plain()), keys=shown)
    [shares] = ask(play.consortium, VICTIM, lie)
    assert shares.header.kind == "shares"
    assert shares.header.digest == share_ctx != play.aggregation.share_ctx
    with pytest.raises(Exception, match="in this context"):
        play.aggregation.accept(shares)


# Votes


def split_views(play: Play) -> tuple[dict[str, Signed], dict[str, Signed], str]:
    """(one Survivors for each member, another in which `target` is gone, the target): both signed, both well-formed."""
    consortium, ctx = play.consortium, play.aggregation.ctx
    masked = {name: play.answers["masked"][name].without_blob() for name in consortium.names}
    target = neighbours(play)[0]
    views = []
    for gone in ((), (target,)):
        left = {name: s for name, s in masked.items() if name not in gone}
        data = data_of(statements_digest("U3", list(left.values())), *gone)
        view = {}
        for name in consortium.names:
            near = around(consortium, play.aggregation.share_ctx, name)
            body = Survivors(tuple(m for m in near if m in gone), tuple(left[m] for m in near if m in left))
            view[name] = consortium.coordinator.sign(body, ctx, name, data)
        views.append(view)
    return views[0], views[1], target


def test_of_two_survivor_sets_only_one_is_opened_however_they_are_told(folder: Path) -> None:
    """As many voters as a round can do without hear of a set without the target, all others of one with it."""
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("masked")
    play.prepare("agreed")
    whole, without, target = split_views(play)
    voters = play.aggregation._near1.voters
    few = [m for m in voters if m != target][: len(voters) - parameters_of(consortium).threshold - 1]
    told = {name: without if name in few else whole for name in consortium.names}
    votes = {name: ask(consortium, name, view[name])[0] for name, view in told.items()}
    assert {vote.header.kind for vote in votes.values()} == {"agreed"}
    given = {}
    for name, view in told.items():
        shown = tuple(votes[m] for m in voters if told[m] is view)
        [given[name]] = ask(consortium, name, play.say(Unmask(shown), play.aggregation.ctx, name))
    assert {name for name, answer in given.items() if answer.header.kind == "refused"} == set(few)
    shares = [read_body(Revealed, answer.header.body) for name, answer in given.items() if name not in few]
    assert any(target in answer.seed_shares for answer in shares)
    assert not any(answer.key_shares for answer in shares)


def test_votes_of_members_that_are_no_voters_do_not_count(folder: Path) -> None:
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("agreed")
    voters, t = play.aggregation._near1.voters, parameters_of(consortium).threshold
    others = [m for m in consortium.names if m not in voters]
    shown = tuple(play.answers["agreed"][m] for m in sorted({*others[:t]}))
    asked = others[-1]
    code = refusal(ask(consortium, asked, play.say(Unmask(shown), play.aggregation.ctx, asked)))
    assert code == "survivors-inconsistent"


def test_one_vote_below_t_reveals_nothing(folder: Path) -> None:
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("agreed")
    voters, t = play.aggregation._near1.voters, parameters_of(consortium).threshold
    asked = voters[0]
    for count, kind in ((t - 1, "refused"), (t, "revealed")):
        shown = tuple(play.answers["agreed"][m] for m in voters[:count])
        [answer] = ask(consortium, asked, play.say(Unmask(shown), play.aggregation.ctx, asked))
        assert answer.header.kind == kind


def test_colluding_voters_cannot_make_a_set_that_the_honest_did_not_vote_for(folder: Path) -> None:
    """f voters with their keys, and every honest vote for the true set."""
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("agreed")
    found, ctx = parameters_of(consortium), play.aggregation.ctx
    voters = play.aggregation._near1.voters
    false = survivors_digest_from(ctx, bytes(32))
    votes = {m: play.answers["agreed"][m] for m in voters}
    for m in voters[: found.corrupt]:
        votes[m] = consortium.identities[m].sign(Agreed(false), ctx, "coordinator")
    asked = voters[-1]
    code = refusal(ask(consortium, asked, play.say(Unmask(tuple(votes.values())), ctx, asked)))
    assert code == "survivors-inconsistent"


# Neighbours that collude


def ready_sparse(folder: Path) -> tuple[Consortium, Play]:
    """Everyone in a sparse consortium holds its Inbox and nobody has masked a vector yet."""
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("shares")
    for name, (inbox, _) in play.prepare("masked").items():
        ask(consortium, name, inbox)
    return consortium, play


def test_t_minus_1_colluding_neighbours_hold_shares_that_fit_every_secret(folder: Path) -> None:
    consortium, play = ready_sparse(folder)
    near, t = neighbours(play), parameters_of(consortium).threshold
    index = consortium.job.parties.index
    for kind in (0, 1):
        pooled = {index(m): ready(consortium, m)._held[VICTIM][kind] for m in near[: t - 1]}
        for guess in (bytes(32), b"\xff" * 32, secrets.token_bytes(32)):
            points = {x: int.from_bytes(share) for x, share in pooled.items()} | {0: int.from_bytes(guess)}
            missing = interpolate(points, index(near[t - 1])).to_bytes(shamir.SHARE_SIZE)
            shares = pooled | {index(near[t - 1]): missing}
            assert shamir.combine(shares, shamir.lagrange_at_zero(tuple(shares))) == guess
    shares = {index(m): ready(consortium, m)._held[VICTIM][0] for m in near[:t]}
    assert shamir.combine(shares, shamir.lagrange_at_zero(tuple(shares))) == ready(consortium, VICTIM)._seed


def test_t_minus_1_colluding_neighbours_leave_the_vector_uniform_even_with_its_seed(folder: Path) -> None:
    """The seed is what the round reveals; the masks with the honest rest of the neighbours stay on."""
    consortium, play = ready_sparse(folder)
    vector = np.zeros(WORDS, "<u4")
    state = ready(consortium, VICTIM)
    sent, _ = state.mask(vector, TERMS)
    victims = read_body(Keys, play.answers["keys"][VICTIM].header.body).mask_key
    vector -= stretched(derive(state._seed, sent.ctx, "self", VICTIM))
    near, t = neighbours(play), parameters_of(consortium).threshold
    for at, name in enumerate(near):
        if at == t - 1:
            assert is_uniform(vector.tobytes())
        key = derive(agree(ready(consortium, name)._mask_private, victims), sent.ctx, "pair", VICTIM, name)
        vector -= stretched(key)
    assert not vector.any()


def test_a_stranger_holds_no_share_of_the_victims(folder: Path) -> None:
    consortium, play = ready_sparse(folder)
    near = neighbours(play)
    holders = {name for name in consortium.names if VICTIM in ready(consortium, name)._held}
    assert holders == {VICTIM, *near}


def test_both_kinds_of_share_of_one_member_are_given_by_no_honest_neighbour(folder: Path) -> None:
    consortium = make_sparse(folder, 20)
    play = Play(consortium).through("masked")
    play.prepare("agreed")
    whole, without, target = split_views(play)
    for name in around(consortium, play.aggregation.share_ctx, target):
        if name != target:
            [vote] = ask(consortium, name, whole[name])
            assert vote.header.kind == "agreed"
            assert refusal(ask(consortium, name, without[name])) == "conflicting"


def test_who_is_absent_is_part_of_what_a_claim_stands_for() -> None:
    claims = [Claim(bytes(32), absent) for absent in ((), ("m01",), ("m02",))]
    assert len({claim_digest("U1", claim) for claim in claims}) == 3


# The proof of the last round


def second_round(consortium: Consortium, agreed: Callable[[Play], tuple[Signed, ...]]) -> Play:
    """Round 2 after a round 1 that m04 missed, with these votes for proof."""
    first = Play(consortium).do("keys", unreached=["m04"]).through("revealed")
    opening = first.result()
    assert opening.last is not None
    proof = replace(opening.last.proof, agreed=agreed(first))
    shown = replace(opening, last=replace(opening.last, proof=proof))
    return Play(consortium, make_offer(consortium, 2, 2), shown).do("keys").do("shares").do("masked")


def test_a_member_that_missed_a_round_is_content_with_the_votes_of_t_voters(folder: Path) -> None:
    play = second_round(make_sparse(folder, 20), lambda first: first.aggregation.proof().agreed)
    assert play.refused == {}


def test_and_not_with_one_fewer_or_with_the_votes_of_others(folder: Path) -> None:
    def fewer(first: Play) -> tuple[Signed, ...]:
        return first.aggregation.proof().agreed[: parameters_of(first.consortium).threshold - 1]

    def others(first: Play) -> tuple[Signed, ...]:
        return tuple(first.answers["agreed"][m] for m in sorted(first.answers["agreed"]))

    for number, votes in enumerate((fewer, others)):
        play = second_round(make_sparse(folder / str(number), 20), votes)
        assert play.refused == {"m04": "round-unproven"}
