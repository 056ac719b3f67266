"""A coordinator that lies while a round is set up: who is there, with which keys, under what terms."""

from dataclasses import replace
from pathlib import Path

import pytest

from clients.journal import MOST_EVIDENCE
from federation.errors import SignatureInvalid
from federation.identity import COORDINATOR, Identity, SignedRoster
from federation.secagg.messages import Cohort, Inbox, Keys, Refused, Survivors
from federation.wire import Signed, read_body
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.liars import altered
from tests.protocol.play import STEPS, Play, ask, make_offer, refusal

VICTIM = "m00"


def refused_offer(table: Consortium, /, **changes: object) -> str:
    """The code of the victim's refusal of an otherwise right offer; nothing else left."""
    offer = Play(table, make_offer(table, **changes)).prepare("keys")[VICTIM]
    code = refusal(ask(table, VICTIM, *offer))
    assert table.left(VICTIM) == ["refused"]
    return code


def keys_of(play: Play) -> tuple[Signed, ...]:
    return tuple(play.answers["keys"][name] for name in sorted(play.answers["keys"]))


def refused_cohort(play: Play, keys: tuple[Signed, ...]) -> str:
    """The code of the victim's refusal of a Cohort; no shares left."""
    cohort = play.say(Cohort(keys), play.aggregation.setup_ctx, VICTIM)
    code = refusal(ask(play.consortium, VICTIM, cohort))
    assert play.consortium.left(VICTIM) == ["keys", "refused"]
    return code


def refused_inbox(play: Play, **fields: object) -> str:
    """The code of the victim's refusal of an Inbox; no vector left, nothing was trained on."""
    inbox, broadcast = play.sent["masked"][VICTIM] if "masked" in play.sent else play.prepare("masked")[VICTIM]
    first, second = ask(play.consortium, VICTIM, altered(play.consortium.coordinator, inbox, **fields), broadcast)
    assert play.consortium.left(VICTIM) == ["keys", "shares", "refused", "refused"]
    assert play.consortium.learners[VICTIM].calls == 0
    assert refusal([second]) == "not-allowed-here"
    return refusal([first])


def inbox_of(play: Play) -> Inbox:
    """The victim's honest Inbox, prepared and not yet sent."""
    return read_body(Inbox, play.prepare("masked")[VICTIM][0].header.body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"plan": bytes(32)}, "plan-not-approved"),
        ({"roster": bytes(32)}, "roster-not-approved"),
        ({"model": bytes(32)}, "base-model-differs"),
        ({"suite": "rengo-secagg-0"}, "wrong-terms"),
        ({"job": "another"}, "wrong-terms"),
        ({"consortium": "another"}, "wrong-terms"),
        ({"round": 0}, "wrong-terms"),
        ({"round": 4}, "wrong-terms"),
        ({"attempt": 0}, "wrong-terms"),
    ],
)
def test_an_offer_that_the_site_did_not_approve_is_refused(folder: Path, change: dict[str, object], code: str) -> None:
    assert refused_offer(make_consortium(folder), **change) == code


def test_a_changed_roster_of_the_same_root_needs_a_new_approval(folder: Path) -> None:
    consortium = make_consortium(folder)
    newer = SignedRoster.sign(replace(consortium.roster, version=2), consortium.root).verify(consortium.root.public_key)
    assert refused_offer(consortium, roster=newer.digest()) == "roster-not-approved"


def test_a_roster_signed_by_another_root_does_not_verify(folder: Path) -> None:
    consortium = make_consortium(folder)
    forged = SignedRoster.sign(consortium.roster, Identity.create("root"))
    with pytest.raises(SignatureInvalid):
        forged.verify(consortium.root.public_key)


def test_a_second_offer_for_the_same_round_and_attempt_is_conflicting_and_kept_as_evidence(folder: Path) -> None:
    consortium = make_consortium(folder)
    Play(consortium).do("keys")
    other = Play(consortium, make_offer(consortium, parent=bytes(range(32)))).do("keys")
    assert set(other.refused.values()) == {"conflicting"}
    assert len(consortium.journals[VICTIM].evidence()) == 2


def test_a_refusal_says_that_both_are_kept_as_long_as_they_are(folder: Path) -> None:
    consortium = make_consortium(folder)
    Play(consortium).do("keys")
    said = []
    for number in range(MOST_EVIDENCE):
        offer = Play(consortium, make_offer(consortium, parent=bytes([number]) * 31 + b"x")).prepare("keys")[VICTIM]
        [answer] = ask(consortium, VICTIM, *offer)
        said.append("Both are kept" in read_body(Refused, answer.header.body).reason)
    kept = len(consortium.journals[VICTIM].evidence()) - 1  # beside the offer that was answered
    assert said == [True] * kept + [False] * (MOST_EVIDENCE - kept)
    assert 0 < kept < MOST_EVIDENCE


def test_a_set_up_that_names_another_parent_than_the_open_round_is_refused(folder: Path) -> None:
    consortium = make_consortium(folder)
    first = Play(consortium).through("masked")
    carried = first.following(first.opening, parent=bytes(32)).do("keys")
    assert set(carried.refused.values()) == {"wrong-terms"}


IMPOSTORS = {
    "a new key": lambda consortium: Identity.create("m01"),
    "the coordinator's key": lambda consortium: Identity("m01", consortium.coordinator._key),
    "another member's key": lambda consortium: Identity("m01", consortium.identities["m02"]._key),
}


@pytest.mark.parametrize("impostor", IMPOSTORS)
def test_a_key_substituted_in_the_cohort_is_refused(folder: Path, impostor: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).do("keys")
    mine, other, *rest = keys_of(play)
    forged = altered(IMPOSTORS[impostor](consortium), other, mask_key=bytes([9, *[0] * 31]))
    assert refused_cohort(play, (mine, forged, *rest)) == "signature-invalid"


def test_a_key_changed_under_its_old_signature_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).do("keys")
    mine, other, *rest = keys_of(play)
    changed = altered(Identity.create("m01"), other, mask_key=bytes([9, *[0] * 31]))
    assert refused_cohort(play, (mine, Signed(changed.header_bytes, other.signature), *rest)) == "signature-invalid"


def test_keys_of_an_older_attempt_are_refused(folder: Path) -> None:
    consortium = make_consortium(folder)
    old = keys_of(Play(consortium).do("keys"))
    play = Play(consortium, make_offer(consortium, attempt=2)).do("keys")
    mine, _, *rest = keys_of(play)
    cohort = play.say(Cohort((mine, old[1], *rest)), play.aggregation.setup_ctx, VICTIM)
    assert refusal(ask(consortium, VICTIM, cohort)) == "signature-invalid"


def test_a_member_that_the_roster_lacks_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).do("keys")
    stranger = altered(Identity.create("m99"), keys_of(play)[1], mask_key=bytes([9, *[0] * 31]))
    assert refused_cohort(play, (*keys_of(play), stranger)) == "unknown-member"


def test_a_member_of_the_roster_that_the_job_does_not_name_is_refused(folder: Path) -> None:
    whole = make_consortium(folder)
    consortium = replace(whole, plan=replace(whole.plan, members=whole.names[:4]))
    for name in consortium.names:
        consortium.start_member(name)
    play = Play(consortium).do("keys")
    outsider = altered(whole.identities["m04"], keys_of(play)[1], mask_key=bytes([9, *[0] * 31]))
    assert refused_cohort(play, (*keys_of(play), outsider)) == "unknown-member"


def test_a_cohort_without_me_or_with_other_keys_of_mine_is_refused(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).do("keys")
    mine, *rest = keys_of(play)
    assert refused_cohort(play, tuple(rest)) == "not-included"
    # Even a statement that my own key signed has to be the one that I sent.
    other = altered(consortium.identities[VICTIM], mine, mask_key=bytes([9, *[0] * 31]))
    cohort = play.say(Cohort((other, *rest)), play.aggregation.setup_ctx, VICTIM)
    assert refusal(ask(consortium, VICTIM, cohort)) == "not-included"


@pytest.mark.parametrize("order", [(0, 1, 1, 2, 3), (0, 1, 2, 3, 3, 4), (1, 0, 2, 3, 4)])
def test_a_cohort_with_a_member_twice_or_out_of_order_is_refused(folder: Path, order: tuple[int, ...]) -> None:
    play = Play(make_consortium(folder)).do("keys")
    keys = keys_of(play)
    assert refused_cohort(play, tuple(keys[index] for index in order)) == "duplicated"


@pytest.mark.parametrize("key", ["mask_key", "channel_key"])
def test_a_member_that_repeats_another_members_key_is_refused(folder: Path, key: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).do("keys")
    keys = keys_of(play)
    copied = read_body(Keys, keys[2].header.body).mask_key
    colluding = altered(consortium.identities["m01"], keys[1], **{key: copied})
    assert refused_cohort(play, (keys[0], colluding, *keys[2:])) == "duplicated"


PRIME = 2**255 - 19
BAD_POINTS = {
    "zero": bytes(32),
    "one": (1).to_bytes(32, "little"),
    "order eight": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order eight, the other": bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    "minus one": (PRIME - 1).to_bytes(32, "little"),
    "the prime, which is zero": PRIME.to_bytes(32, "little"),
    "the prime and one, which is one": (PRIME + 1).to_bytes(32, "little"),
    "nine and the prime, which is nine": (PRIME + 9).to_bytes(32, "little"),
    "nine with the unused bit set": (2**255 + 9).to_bytes(32, "little"),
}


@pytest.mark.parametrize("point", BAD_POINTS)
def test_low_order_and_non_canonical_points_are_refused(folder: Path, point: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).do("keys")
    keys = keys_of(play)
    for name in ("mask_key", "channel_key"):
        bad = altered(consortium.identities["m01"], keys[1], **{name: BAD_POINTS[point]})
        cohort = play.say(Cohort((keys[0], bad, *keys[2:])), play.aggregation.setup_ctx, VICTIM)
        assert refusal(ask(consortium, VICTIM, cohort)) == "bad-point"
    assert "shares" not in consortium.left(VICTIM)


def test_a_cohort_below_the_threshold_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).do("keys")
    assert refused_cohort(play, keys_of(play)[:3]) == "cohort-too-small"


def test_a_cohort_below_the_sites_own_minimum_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder, minimum_cohort=5)).do("keys")
    assert refused_cohort(play, keys_of(play)[:4]) == "cohort-too-small"


def test_a_low_minimum_of_the_site_does_not_lower_the_threshold(folder: Path) -> None:
    play = Play(make_consortium(folder, minimum_cohort=1)).do("keys")
    assert refused_cohort(play, keys_of(play)[:2]) == "cohort-too-small"


def test_two_cohorts_to_two_halves_make_shares_that_do_not_count_for_each_other(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).do("keys")
    keys, shares = keys_of(play), {}
    for name in consortium.names:
        part = keys[:4] if name in ("m00", "m01") else keys[1:] if name == "m04" else keys
        if name in ("m00", "m01", "m04"):
            [shares[name]] = ask(consortium, name, play.say(Cohort(part), play.aggregation.setup_ctx, name))
    assert len({statement.header.digest for statement in shares.values()}) == 2
    play.aggregation.cohorts()
    for name in ("m02", "m03"):
        [shares[name]] = ask(consortium, name, play.say(Cohort(keys[:4]), play.aggregation.setup_ctx, name))
    inbox = Inbox(tuple(shares[name].without_blob() for name in sorted(shares)), ())
    told = play.say(inbox, shares["m00"].header.digest, "m00")
    assert refusal(ask(consortium, "m00", told)) == "signature-invalid"
    assert consortium.left("m00") == ["keys", "shares", "refused"]


def test_an_inbox_without_my_shares_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).through("shares")
    inbox = inbox_of(play)
    assert refused_inbox(play, shares=inbox.shares[1:], sealed=inbox.sealed[1:]) == "not-included"


def test_an_inbox_below_the_threshold_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).through("shares")
    inbox = inbox_of(play)
    assert refused_inbox(play, shares=inbox.shares[:3], sealed=inbox.sealed[:3]) == "cohort-too-small"


def test_an_inbox_with_another_number_of_envelopes_is_refused(folder: Path) -> None:
    play = Play(make_consortium(folder)).through("shares")
    assert refused_inbox(play, sealed=inbox_of(play).sealed[:4]) == "survivors-inconsistent"


def test_an_inbox_with_a_dealer_that_announced_no_keys_is_refused(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).do("keys", lost=["m04"]).do("shares")
    inbox = inbox_of(play)
    late = altered(consortium.identities["m04"], play.answers["shares"]["m01"]).without_blob()
    code = refused_inbox(play, shares=(*inbox.shares, late), sealed=(*inbox.sealed, inbox.sealed[0]))
    assert code == "survivors-inconsistent"


def test_the_threshold_comes_from_the_job_and_not_from_the_cohort(folder: Path) -> None:
    """Of 30 members, t = 21. A cohort of 25 would have t = 17 on its own, and nine colluders could open one vector."""
    consortium = make_consortium(folder, 30)
    assert consortium.plan.threshold == 21
    play = Play(consortium).do("keys", lost=consortium.names[25:]).do("shares")
    few = inbox_of(play)
    inbox = play.sent["masked"][VICTIM][0]
    small = altered(consortium.coordinator, inbox, shares=few.shares[:20], sealed=few.sealed[:20])
    assert refusal(ask(consortium, VICTIM, small)) == "cohort-too-small"
    for name in consortium.names[:20]:
        play.take("masked", name, play.sent["masked"][name])
    everyone = {**play.sent["masked"]}
    play.take("masked", "m20", everyone["m20"])
    survivors = play.prepare("agreed")[VICTIM][0]
    body = read_body(Survivors, survivors.header.body)
    fewer = altered(consortium.coordinator, survivors, gone=("m20", *body.gone), masked=body.masked[:20])
    assert refusal(ask(consortium, VICTIM, fewer)) == "cohort-too-small"
    play.take("agreed", VICTIM, [survivors])
    assert "agreed" in consortium.left(VICTIM)


@pytest.mark.parametrize("step", STEPS)
def test_a_message_that_the_coordinator_did_not_sign_is_refused(folder: Path, step: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    before = consortium.left(VICTIM)
    for message in play.prepare(step)[VICTIM]:
        for signer in (Identity.create(COORDINATOR), Identity(COORDINATOR, consortium.identities["m01"]._key)):
            forged = Signed(message.header_bytes, signer.sign_bytes(message.to_sign()), message.blob)
            assert refusal(ask(consortium, VICTIM, forged)) in ("signature-invalid", "not-allowed-here")
        unsigned = Signed(message.header_bytes, bytes(64), message.blob)
        assert refusal(ask(consortium, VICTIM, unsigned)) in ("signature-invalid", "not-allowed-here")
    assert set(consortium.left(VICTIM)[len(before) :]) == {"refused"}
    # And the real one still gets its answer: a forger on the way costs nothing.
    assert [answer.header.kind for answer in ask(consortium, VICTIM, *play.sent[step][VICTIM])] == [step]
