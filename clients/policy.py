"""What this site permits. A refusal is a normal event: it is logged, the coordinator is told, and nothing leaves."""

import datetime
from dataclasses import dataclass
from importlib.metadata import version

from federation.plan import Plan
from federation.secagg.contexts import SUITE
from federation.secagg.messages import Offer
from federation.secagg.refusals import (
    BaseModelDiffers,
    OutsideHours,
    PlanNotApproved,
    RosterNotApproved,
    RoundsExhausted,
    ThreatNotPermitted,
    WrongTerms,
)


@dataclass(frozen=True)
class Hours:
    """A part of the day, local time, from `start` up to `end`; over midnight where `end` is the earlier."""

    start: datetime.time
    end: datetime.time

    def __contains__(self, time: datetime.time) -> bool:
        if self.start <= self.end:
            return self.start <= time < self.end
        return time >= self.start or time < self.end


@dataclass(frozen=True)
class Policy:
    """The site's own conditions, beside the protocol's.

    `approved_plan` and `approved_roster` are the digests that a person at this site approved; `base_model` is the
    digest of the model on this site's disk. `minimum_cohort` can only raise the protocol's threshold.
    `rounds_per_data_set` caps how often this data takes part, across all jobs: every sum leaks a little. `hours`: when
    a round may begin here; one that has begun is finished. `semi_malicious`: whether a plan may trust the coordinator
    while keys are collected.
    """

    approved_plan: bytes
    approved_roster: bytes
    base_model: bytes
    minimum_cohort: int
    rounds_per_data_set: int
    hours: Hours | None = None
    semi_malicious: bool = False

    def check(self, offer: Offer, plan: Plan) -> None:
        """Raises the refusal that applies to a round's offer."""
        if offer.suite != SUITE:
            raise WrongTerms(what="suite", actual=offer.suite, expected=f"{SUITE} (rengo {version('rengo')})")
        if offer.plan != self.approved_plan:
            raise PlanNotApproved(plan=offer.plan.hex()[:16])
        if plan.secagg.threat == "semi_malicious" and not self.semi_malicious:
            raise ThreatNotPermitted(threat=plan.secagg.threat)
        if offer.roster != self.approved_roster:
            raise RosterNotApproved(roster=offer.roster.hex()[:16])
        if offer.model != self.base_model:
            raise BaseModelDiffers(expected=offer.model.hex()[:16], actual=self.base_model.hex()[:16])
        for what, actual, expected in (
            ("job", offer.job, plan.job),
            ("consortium", offer.consortium, plan.consortium),
        ):
            if actual != expected:
                raise WrongTerms(what=what, actual=actual, expected=expected)
        if offer.attempt < 1:
            raise WrongTerms(what="attempt", actual=offer.attempt, expected="1 or more")
        # One more than the rounds that train: the last one only measures the final adapter.
        if not 1 <= offer.round <= plan.rounds + 1:
            raise WrongTerms(what="round", actual=offer.round, expected=f"1 to {plan.rounds + 1}")
        self._check_hours()

    def check_rounds(self, count: int) -> None:
        """Raises RoundsExhausted when the data set has taken part in as many rounds as are allowed."""
        if count >= self.rounds_per_data_set:
            raise RoundsExhausted(count=count, limit=self.rounds_per_data_set)

    def _check_hours(self) -> None:
        now = datetime.datetime.now().astimezone().time()
        if self.hours is not None and now not in self.hours:
            words = (f"{time:%H:%M}" for time in (self.hours.start, self.hours.end, now))
            raise OutsideHours(**dict(zip(("start", "end", "now"), words, strict=True)))
