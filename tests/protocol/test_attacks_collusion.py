"""A coordinator and members that work together, with all their keys: as many as the promise allows."""

import secrets
from pathlib import Path

import numpy as np

from federation.identity import Identity
from federation.secagg import shamir
from federation.secagg.client import Ready
from federation.secagg.contexts import survivors_digest
from federation.secagg.messages import Agreed, Keys, Survivors, Unmask
from federation.secagg.primitives import agree, derive
from federation.wire import Signed, read_body
from tests.protocol.consortium import make_consortium
from tests.protocol.play import Play, ask, refusal
from tests.protocol.test_secrets import TERMS, WORDS, all_ready, interpolate, is_uniform, ready, stretched

VICTIM = "m00"


def test_a_cohort_of_25_with_nine_colluders_opens_no_two_survivor_sets(folder: Path) -> None:
    """Of 30 members, f = 9, and a cohort of 25. A threshold from the cohort, 17, would let the nine and eight of the 16
    honest members vote for one set, and the nine and the other eight for another: the difference is one vector."""
    consortium = make_consortium(folder, 30)
    names = consortium.names[:25]
    colluders, first, second = names[:9], names[9:17], names[17:]
    play = Play(consortium).do("keys", lost=consortium.names[25:]).do("shares").do("masked")
    play.prepare("agreed")
    ctx, headers = play.aggregation.ctx, {n: play.answers["masked"][n].without_blob() for n in names}
    target = first[0]
    sets = {
        first: ((), tuple(headers[n] for n in names)),
        second: ((target,), tuple(headers[n] for n in names if n != target)),
    }
    for honest, (gone, alive) in sets.items():
        votes: dict[str, Signed] = {}
        for name in honest:
            [votes[name]] = ask(consortium, name, play.say(Survivors(gone, alive), ctx, name))
        for name in colluders:
            votes[name] = consortium.identities[name].sign(Agreed(survivors_digest(ctx, alive)), ctx, "coordinator")
        assert len(votes) == 17
        shown = tuple(votes[name] for name in sorted(votes))
        for name in honest:
            code = refusal(ask(consortium, name, play.say(Unmask(shown), ctx, name)))
            assert code == "too-few-signatures"
    assert not any("revealed" in consortium.left(name) for name in (*first, *second))


def test_two_thresholds_of_votes_for_two_sets_would_take_more_than_f_colluders(folder: Path) -> None:
    """The arithmetic behind it, for every N: 2 t - N voters are in both, and f = N - t < 2 t - N."""
    for count in range(3, 1001):
        threshold = 2 * count // 3 + 1
        assert 2 * threshold - count > count - threshold
        assert 2 * (count - threshold) < threshold  # a crafted adapter finds no t members either (ADR 5)


def held_by(state: Ready, dealer: str) -> tuple[bytes, bytes]:
    return state._held[dealer]


def test_t_minus_1_colluders_pool_everything_and_the_remaining_secrets_fit_any_value(folder: Path) -> None:
    """Their shares of the victim's seed and mask key, as they came out of real envelopes."""
    consortium, _ = all_ready(folder)
    colluders = consortium.names[-(consortium.plan.threshold - 1) :]
    honest = consortium.job.parties.index("m01")
    for kind in (0, 1):
        pooled = {consortium.job.parties.index(m): held_by(ready(consortium, m), VICTIM)[kind] for m in colluders}
        for guess in (bytes(32), b"\xff" * 32, secrets.token_bytes(32)):
            points = {x: int.from_bytes(share) for x, share in pooled.items()} | {0: int.from_bytes(guess)}
            missing = interpolate(points, honest).to_bytes(shamir.SHARE_SIZE)
            shares = pooled | {honest: missing}
            assert shamir.combine(shares, shamir.lagrange_at_zero(tuple(shares))) == guess


def test_t_minus_1_colluders_take_out_what_they_can_and_the_vector_stays_uniform(folder: Path) -> None:
    """They know every pair mask between the victim and themselves, and the coordinator helps."""
    consortium, play = all_ready(folder)
    colluders = consortium.names[-(consortium.plan.threshold - 1) :]
    vector = np.zeros(WORDS, "<u4")
    sent, _ = ready(consortium, VICTIM).mask(vector, TERMS)
    victims = read_body(Keys, play.answers["keys"][VICTIM].header.body).mask_key
    for name in colluders:
        vector -= stretched(
            derive(agree(ready(consortium, name)._mask_private, victims), sent.ctx, "pair", VICTIM, name)
        )
    assert is_uniform(vector.tobytes())


def test_colluders_cannot_vote_in_an_honest_members_name(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("agreed")
    play.prepare("revealed")
    votes = play.answers["agreed"]
    digest = read_body(Agreed, votes["m01"].header.body).survivors
    colluder = Identity("m01", consortium.identities["m04"]._key)
    forged = votes | {"m01": colluder.sign(Agreed(digest), play.aggregation.ctx, "coordinator")}
    shown = tuple(forged[name] for name in consortium.names)
    code = refusal(ask(consortium, VICTIM, play.say(Unmask(shown), play.aggregation.ctx, VICTIM)))
    assert code == "signature-invalid"
