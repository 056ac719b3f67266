"""What a site permits: an offer that differs in one thing is refused, and the refusal names it."""

from dataclasses import replace

import pytest

from clients.policy import Policy
from federation.secagg.contexts import SUITE
from federation.secagg.messages import Offer
from federation.secagg.refusals import (
    BaseModelDiffers,
    PlanNotApproved,
    Refusal,
    RosterNotApproved,
    RoundsExhausted,
    WrongTerms,
)
from tests.protocol.consortium import make_plan

PLAN = make_plan(("a", "b", "c"))  # two rounds, and one that measures
POLICY = Policy(PLAN.digest(), b"r" * 32, b"m" * 32, minimum_cohort=3, rounds_per_data_set=5)
OFFER = Offer(SUITE, PLAN.consortium, PLAN.job, 1, 1, bytes(32), b"r" * 32, PLAN.digest(), b"m" * 32)


@pytest.mark.parametrize("changes", [{}, {"round": 3}, {"attempt": 99}, {"parent": b"p" * 32}], ids=str)
def test_an_offer_of_the_approved_job_is_permitted(changes: dict[str, object]) -> None:
    POLICY.check(replace(OFFER, **changes), PLAN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "refusal", "named"),
    [
        ({"plan": bytes(32)}, PlanNotApproved, "0000000000000000"),
        ({"roster": bytes(32)}, RosterNotApproved, "0000000000000000"),
        ({"model": bytes(32)}, BaseModelDiffers, b"m".hex()),
        ({"suite": "rengo-secagg-0"}, WrongTerms, "suite"),
        ({"job": "別のジョブ"}, WrongTerms, "別のジョブ"),
        ({"consortium": "別の組合"}, WrongTerms, "consortium"),
        ({"round": 0}, WrongTerms, "1 to 3"),
        ({"round": 4}, WrongTerms, "1 to 3"),
        ({"attempt": 0}, WrongTerms, "attempt"),
    ],
    ids=str,
)
def test_any_other_offer_is_refused(changes: dict[str, object], refusal: type[Refusal], named: str) -> None:
    with pytest.raises(refusal, match=named):
        POLICY.check(replace(OFFER, **changes), PLAN)  # type: ignore[arg-type]


def test_a_data_set_takes_part_only_so_often() -> None:
    POLICY.check_rounds(4)
    with pytest.raises(RoundsExhausted, match="taken part in 5 rounds"):
        POLICY.check_rounds(5)
