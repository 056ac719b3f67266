"""What must look like noise, and what must never be shown."""

import logging
import math
import secrets
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federation.errors import DataFolderInvalid
from federation.secagg import shamir
from federation.secagg.client import AgreedSent, KeysSent, MaskedSent, Ready, SharesSent
from federation.secagg.contexts import Terms
from federation.secagg.messages import Keys, Refused
from federation.secagg.primitives import Words, add_masks, agree, derive
from federation.wire import read_body
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.play import STEPS, Play, ask, make_offer
from tests.protocol.stranger_cryptography import mask

WORDS = 1 << 16
TERMS = Terms(bytes(32), WORDS, 32, bytes(32), bytes(32))


def session(consortium: Consortium, name: str) -> object:
    """The state object of a member's newest session."""
    sessions = consortium.members[name]._sessions
    return sessions[max(sessions)].state


def ready(consortium: Consortium, name: str) -> Ready:
    state = session(consortium, name)
    assert isinstance(state, Ready)
    return state


def is_uniform(data: bytes) -> bool:
    """Chi-square over the values of bytes, 255 degrees of freedom, at six standard deviations."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    statistic = float(np.square(counts - expected).sum() / expected)
    return abs(statistic - 255) < 6 * math.sqrt(2 * 255)


def stretched(key: bytes) -> Words:
    """The mask of a key, made apart from the code under test."""
    return np.array(mask(key, WORDS, 32), "<u4")


def all_ready(folder: Path) -> tuple[Consortium, Play]:
    """A consortium in which everyone holds its Inbox and nobody has masked a vector yet."""
    consortium = make_consortium(folder)
    play = Play(consortium).through("shares")
    for name, (inbox, _) in play.prepare("masked").items():
        ask(consortium, name, inbox)
    return consortium, play


def masked_zeros(state: Ready) -> Words:
    vector = np.zeros(WORDS, "<u4")
    state.mask(vector, TERMS)
    return vector


def pair_masks(play: Play, name: str, private: X25519PrivateKey, ctx: bytes) -> Words:
    """The sum of a member's pair masks, as whoever holds its mask key computes it."""
    total = np.zeros(WORDS, "<u4")
    for peer, statement in play.answers["keys"].items():
        if peer != name:
            low, high = sorted((name, peer))
            secret = agree(private, read_body(Keys, statement.header.body).mask_key)
            add_masks(total, [(derive(secret, ctx, "pair", low, high), 1 if name == low else -1)])
    return total


def test_the_control_plain_vectors_are_not_uniform() -> None:
    assert not is_uniform(np.zeros(WORDS, "<u4").tobytes())
    assert not is_uniform(np.random.default_rng(0).integers(-500, 500, WORDS).astype("<u4").tobytes())
    assert is_uniform(secrets.token_bytes(4 * WORDS))


def test_a_masked_vector_is_uniform(folder: Path) -> None:
    consortium, _ = all_ready(folder)
    assert is_uniform(masked_zeros(ready(consortium, "m00")).tobytes())


def test_a_dropped_members_vector_stays_uniform_when_its_mask_key_is_known(folder: Path) -> None:
    """A coordinator that kept the vector takes every pair mask out, with the key that members reveal."""
    consortium, play = all_ready(folder)
    state = ready(consortium, "m04")
    vector = np.zeros(WORDS, "<u4")
    sent, _ = state.mask(vector, TERMS)
    vector -= pair_masks(play, "m04", state._mask_private, sent.ctx)
    assert is_uniform(vector.tobytes())
    # Only the self mask is left: with the seed as well, nothing remains.
    add_masks(vector, [(derive(state._seed, sent.ctx, "self", "m04"), -1)])
    assert not vector.any()


def test_a_survivors_vector_stays_uniform_when_its_seed_is_known(folder: Path) -> None:
    consortium, _ = all_ready(folder)
    state = ready(consortium, "m00")
    vector = np.zeros(WORDS, "<u4")
    sent, _ = state.mask(vector, TERMS)
    add_masks(vector, [(derive(state._seed, sent.ctx, "self", "m00"), -1)])
    assert is_uniform(vector.tobytes())


def test_the_sum_without_one_member_stays_uniform(folder: Path) -> None:
    consortium, _ = all_ready(folder)
    total = np.zeros(WORDS, "<u4")
    for name in consortium.names[:4]:
        state, vector = ready(consortium, name), np.zeros(WORDS, "<u4")
        sent, _ = state.mask(vector, TERMS)
        add_masks(vector, [(derive(state._seed, sent.ctx, "self", name), -1)])
        total += vector
    assert is_uniform(total.tobytes())


def test_vectors_of_one_member_in_two_contexts_differ_by_noise(folder: Path) -> None:
    """One set-up, two adapters: an honest member masks once, but even twice would not be the same mask."""
    consortium, _ = all_ready(folder)
    state, other = ready(consortium, "m00"), Terms(bytes([1] * 32), WORDS, 32, bytes(32), bytes(32))
    first, second = np.zeros(WORDS, "<u4"), np.zeros(WORDS, "<u4")
    state.mask(first, TERMS)
    state.mask(second, other)
    assert is_uniform((first - second).tobytes())


def test_the_shares_of_t_minus_1_colluders_fit_every_secret() -> None:
    """For any other secret there is exactly one polynomial through it and the colluders' shares."""
    threshold, indices = 5, tuple(range(1, 8))
    secret = secrets.token_bytes(32)
    shares = shamir.share(secret, threshold, indices)
    colluders, honest = indices[: threshold - 1], indices[threshold - 1]
    for other in (bytes(32), b"\xff" * 32, secrets.token_bytes(32)):
        known = {x: int.from_bytes(shares[x]) for x in colluders} | {0: int.from_bytes(other)}
        value = interpolate(known, honest)
        fitting = {x: shares[x] for x in colluders} | {honest: value.to_bytes(shamir.SHARE_SIZE)}
        assert shamir.combine(fitting, shamir.lagrange_at_zero(tuple(fitting))) == other
    whole = {x: shares[x] for x in indices[:threshold]}
    assert shamir.combine(whole, shamir.lagrange_at_zero(tuple(whole))) == secret


def interpolate(points: dict[int, int], at: int) -> int:
    """Lagrange, written apart from the code under test."""
    total = 0
    for x, y in points.items():
        term = y
        for other in points:
            if other != x:
                term = term * (at - other) * pow(x - other, -1, shamir.PRIME) % shamir.PRIME
        total = (total + term) % shamir.PRIME
    return total


def secrets_of(state: object) -> list[bytes]:
    """Every secret that a state holds, in the forms that could be printed."""
    found: list[bytes] = []
    for name in ("_mask_private", "_channel_private"):
        if isinstance(key := getattr(state, name, None), X25519PrivateKey):
            found.append(key.private_bytes_raw())
    found += [state._seed] if isinstance(getattr(state, "_seed", None), bytes) else []
    found += [share for pair in getattr(state, "_held", {}).values() for share in pair]
    return found


@pytest.mark.parametrize(
    ("step", "kind"),
    [("keys", KeysSent), ("shares", SharesSent), ("inbox", Ready), ("masked", MaskedSent), ("agreed", AgreedSent)],
)
def test_no_state_shows_its_secrets(folder: Path, step: str, kind: type) -> None:
    consortium = all_ready(folder)[0] if step == "inbox" else make_consortium(folder)
    if step != "inbox":
        Play(consortium).through(step)
    state = session(consortium, "m00")
    assert isinstance(state, kind)
    assert secrets_of(state)
    member = consortium.members["m00"]
    shown = f"{state!r} {state} {member!r} {list(member._sessions.values())!r} {consortium.identities['m00']!r}"
    for secret in secrets_of(state):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
        assert repr(secret)[2:-1] not in shown
        assert str(int.from_bytes(secret)) not in shown


def test_no_secret_is_in_a_states_memory_longer_than_it_is_needed(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("masked")
    state = session(consortium, "m00")
    assert not hasattr(state, "_seed")
    assert not hasattr(state, "_mask_private")
    play.through("revealed")
    assert session(consortium, "m00") is None


def test_logs_of_a_whole_round_with_refusals_show_no_secret(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    consortium = make_consortium(folder)
    play, seen = Play(consortium), []
    for step in STEPS:
        play.do(step)
        seen += [secret for name in consortium.names for secret in secrets_of(session(consortium, name))]
        for message in play.sent[step]["m00"]:
            ask(consortium, "m01", message)
    assert len(seen) > 100
    assert "m01 refused a" in caplog.text
    for secret in seen:
        assert secret.hex() not in caplog.text
        assert repr(secret)[2:-1] not in caplog.text


def test_a_refusal_that_is_not_about_the_protocol_tells_the_coordinator_its_code_and_no_more(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    consortium = make_consortium(folder)

    def broken(*_: object) -> None:
        raise DataFolderInvalid(path="/site/secret/manuals", detail="a disk died", detail_ja="故障")

    consortium.learners["m00"].evaluate = broken  # type: ignore[method-assign, assignment]  # for this test
    play = Play(consortium).through("shares")
    [answer] = ask(consortium, "m00", *play.prepare("masked")["m00"])
    refused = read_body(Refused, answer.header.body)
    assert refused.code == "data-folder-invalid"
    assert "/site/secret" not in refused.reason
    assert str(folder) not in refused.reason
    assert "/site/secret/manuals" in caplog.text


def test_a_training_that_breaks_sends_nothing_and_gives_the_round_up(folder: Path) -> None:
    consortium = make_consortium(folder)

    def broken(*_: object) -> None:
        raise RuntimeError("out of memory")

    consortium.learners["m00"].train = broken  # type: ignore[method-assign, assignment]  # for this test
    play = Play(consortium).through("shares")
    with pytest.raises(RuntimeError, match="out of memory"):
        ask(consortium, "m00", *play.prepare("masked")["m00"])
    assert consortium.left("m00") == ["keys", "shares"]
    assert not consortium.members["m00"]._sessions


def test_a_seed_has_all_of_its_256_bits_from_chance(folder: Path) -> None:
    """Flower's is folded to 32 bits. Over twenty seeds every byte takes more than ten values."""
    consortium = make_consortium(folder)
    seeds = []
    for attempt in range(1, 5):
        Play(consortium, make_offer(consortium, attempt=attempt)).through("shares")
        for name in consortium.names:
            state = session(consortium, name)
            assert isinstance(state, SharesSent)
            seeds.append(state._seed)
    assert len(set(seeds)) == 20
    assert all(len({seed[at] for seed in seeds}) > 10 for at in range(32))


def test_one_member_fewer_than_the_threshold_does_not_hold_a_secret_together(folder: Path) -> None:
    """What t - 1 members hold together of a seed is another secret than the seed: its polynomial has degree t - 1."""
    consortium, _ = all_ready(folder)
    threshold, parties = consortium.plan.threshold, consortium.job.parties
    holders = consortium.names[: threshold - 1]
    indices = tuple(parties.index(name) for name in holders)
    for dealer in consortium.names:
        for kind, secret in (("seed", ready(consortium, dealer)._seed), ("key", _private(consortium, dealer))):
            at = ("seed", "key").index(kind)
            held = {parties.index(name): ready(consortium, name)._held[dealer][at] for name in holders}
            weights = shamir.lagrange_at_zero(indices)
            value = sum(int.from_bytes(s) * w for s, w in zip(held.values(), weights, strict=True)) % shamir.PRIME
            assert value != int.from_bytes(secret)


def _private(consortium: Consortium, name: str) -> bytes:
    return ready(consortium, name)._mask_private.private_bytes_raw()
