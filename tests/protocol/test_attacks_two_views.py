"""A coordinator that tells two halves of the members two things, each of which its half would accept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from federation import plan as p
from federation.identity import SignedRoster
from federation.secagg.client import Ready
from federation.secagg.contexts import Terms
from federation.secagg.messages import Cohort, Keys
from federation.secagg.primitives import derive
from federation.wire import Signed, read_body
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.play import Play, ask, make_offer, refusal
from tests.protocol.test_secrets import WORDS, all_ready, is_uniform, ready, stretched

HALF = ("m03", "m04")
"""Who is told the other thing: a minority, so that the others are t only together with it."""


def keys_of_two_set_ups(consortium: Consortium, other: dict[str, object]) -> tuple[Play, tuple[Signed, ...]]:
    """Each half announces Keys for its own offer: (the majority's play, all Keys)."""
    told = Play(consortium)
    differently = Play(consortium, make_offer(consortium, **other))
    told.do("keys", unreached=HALF)
    differently.do("keys", unreached=[name for name in consortium.names if name not in HALF])
    assert not told.refused
    assert not differently.refused
    keys = told.answers["keys"] | differently.answers["keys"]
    return told, tuple(keys[name] for name in consortium.names)


def refuse_each_other(consortium: Consortium, other: dict[str, object]) -> None:
    """Neither half can be shown the other's Keys, and the smaller one is no cohort."""
    play, keys = keys_of_two_set_ups(consortium, other)
    mixed = play.say(Cohort(keys), play.aggregation.setup_ctx, "m00")
    assert refusal(ask(consortium, "m00", mixed)) == "signature-invalid"
    alone = play.say(Cohort(keys[:3]), play.aggregation.setup_ctx, "m00")
    assert refusal(ask(consortium, "m00", alone)) == "cohort-too-small"
    assert all(consortium.left(name)[:1] == ["keys"] for name in consortium.names)
    assert not any("shares" in consortium.left(name) for name in consortium.names)


def test_two_rosters_to_two_halves_make_keys_that_do_not_count_for_each_other(folder: Path) -> None:
    """Both are of the same root, and each half approved its own."""
    consortium = make_consortium(folder)
    newer = SignedRoster.sign(replace(consortium.roster, version=2), consortium.root).verify(consortium.root.public_key)
    for name in HALF:
        consortium.start_member(name, approved_roster=newer.digest())
    refuse_each_other(consortium, {"roster": newer.digest()})


PLANS: dict[str, dict[str, object]] = {
    "another clip": {"privacy": p.Privacy(1.0)},
    "another range": {"secagg": p.SecAgg(32, "malicious", None, None, "auto", 3, 0.5, 8.0, 1e-6)},
    "another dimension": {"lora": p.Lora(r=1, alpha=4.0, targets=("layer",))},
    "another ring": {"secagg": p.SecAgg(16, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6)},
}


@pytest.mark.parametrize("what", PLANS)
def test_two_plans_to_two_halves_make_keys_that_do_not_count_for_each_other(folder: Path, what: str) -> None:
    consortium = make_consortium(folder)
    other = replace(consortium.plan, **PLANS[what])  # type: ignore[arg-type]
    for name in HALF:
        consortium.start_member(name, other, approved_plan=other.digest())
    refuse_each_other(consortium, {"plan": other.digest()})


TERMS = Terms(bytes(32), WORDS, 32, bytes(32), bytes(32))
OTHER_TERMS: dict[str, Terms] = {
    "adapter": replace(TERMS, adapter=bytes([1] * 32)),
    "dimension": replace(TERMS, dimension=WORDS + 1),
    "ring": replace(TERMS, ring_bits=16),
    "encoding and ranges": replace(TERMS, encoding=bytes([1] * 32)),
    "clip": replace(TERMS, privacy=bytes([1] * 32)),
    "last sum": replace(TERMS, last=bytes([1] * 32)),
}


def left_of(consortium: Consortium, terms: dict[str, Terms]) -> bytes:
    """What is left of five masked zero vectors in the sum when every self mask has been taken out by cheating."""
    total = np.zeros(WORDS, "<u4")
    for name in consortium.names:
        state: Ready = ready(consortium, name)
        vector = np.zeros(WORDS, "<u4")
        sent, _ = state.mask(vector, terms.get(name, TERMS))
        total += vector - stretched(derive(state._seed, sent.ctx, "self", name))
    return total.tobytes()


def test_the_control_masks_under_the_same_terms_cancel(folder: Path) -> None:
    assert left_of(all_ready(folder)[0], {}) == bytes(4 * WORDS)


@pytest.mark.parametrize("what", OTHER_TERMS)
def test_masks_under_two_terms_leave_a_uniform_sum(folder: Path, what: str) -> None:
    """Even if a member could be brought to another dimension, clip or adapter by what no signature covers."""
    assert is_uniform(left_of(all_ready(folder)[0], {"m04": OTHER_TERMS[what]}))


def test_keys_of_the_other_view_are_no_ones_keys_in_this(folder: Path) -> None:
    """The control for the first two: it is the context that is refused, not the key."""
    consortium = make_consortium(folder)
    play = Play(consortium).do("keys")
    keys = play.answers["keys"]["m04"]
    again = consortium.identities["m04"].sign(
        read_body(Keys, keys.header.body), play.aggregation.setup_ctx, "coordinator"
    )
    shown = tuple({**play.answers["keys"], "m04": again}[name] for name in consortium.names)
    [answer] = ask(consortium, "m00", play.say(Cohort(shown), play.aggregation.setup_ctx, "m00"))
    assert answer.header.kind == "shares"
