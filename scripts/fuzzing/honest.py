"""One honest round of the small job, stopped before each step: the machines that the fuzzer talks to, and what an
honest party would have said to them. The same in every run, so that a corpus keeps its meaning."""

import copy
from dataclasses import dataclass, field

import numpy as np
from small_job import MEMBERS, RING, SmallJob, same_randomness

from federation import step, tensors
from federation.secagg.client import AgreedSent, KeysSent, MaskedSent, Ready, Seat, SharesSent, announce
from federation.secagg.contexts import Terms
from federation.secagg.messages import RoundProof
from federation.secagg.server import Aggregation
from federation.wire import Signed

ME = MEMBERS[0]
ADAPTER = {"layer.lora_A": (1, 3), "layer.lora_B": (2, 1)}
"""The tensors of an adapter of the small plan, as the honest contribution knows them."""


@dataclass
class HonestRound:
    """`asked` and `said`: what the coordinator sent to ME, and ME's answer, by step. `before`: the coordinator's
    aggregation before each step's answers. The states are ME's."""

    job: SmallJob
    asked: dict[str, Signed] = field(default_factory=dict)
    said: dict[str, Signed] = field(default_factory=dict)
    before: dict[str, Aggregation] = field(default_factory=dict)
    keys_sent: KeysSent = field(init=False)
    shares_sent: SharesSent = field(init=False)
    ready: Ready = field(init=False)
    masked_sent: MaskedSent = field(init=False)
    agreed_sent: AgreedSent = field(init=False)
    terms: Terms = field(init=False)
    proof: RoundProof = field(init=False)


def honest_round() -> HonestRound:
    """m3 drops out after its Shares, so that both kinds of share are revealed."""
    job = SmallJob()
    with same_randomness():
        return _play(HonestRound(job))


def _play(round: HonestRound) -> HonestRound:
    job = round.job
    aggregation = Aggregation(job.coordinator, job.parties, job.offer())
    seats = {name: Seat(job.identities[name], job.parties, 1, job.offer()) for name in MEMBERS}

    round.asked["offer"] = aggregation.offers()[ME]
    opened = {name: announce(seat) for name, seat in seats.items()}
    round.keys_sent = opened[ME][0]
    _take(round, aggregation, "keys", {name: answer for name, (_, answer) in opened.items()})

    cohorts = aggregation.cohorts()
    round.asked["cohort"] = cohorts[ME]
    dealt = {name: opened[name][0].on_cohort(cohorts[name]) for name in MEMBERS}
    round.shares_sent = dealt[ME][0]
    _take(round, aggregation, "shares", {name: answer for name, (_, answer) in dealt.items()})

    round.terms = step.terms(job.plan, tensors.digest({}), RING)
    inboxes = aggregation.inboxes(round.terms)
    round.asked["inbox"] = inboxes[ME]
    ready = {name: dealt[name][0].on_inbox(inboxes[name]) for name in MEMBERS}
    round.ready = ready[ME]
    there = MEMBERS[:3]
    masked = {name: ready[name].mask(np.zeros(RING.dimension, RING.dtype), round.terms) for name in there}
    round.masked_sent = masked[ME][0]
    _take(round, aggregation, "masked", {name: answer for name, (_, answer) in masked.items()})

    survivors = aggregation.survivors()
    round.asked["survivors"] = survivors[ME]
    agreed = {name: masked[name][0].on_survivors(survivors[name]) for name in there}
    round.agreed_sent = agreed[ME][0]
    _take(round, aggregation, "agreed", {name: answer for name, (_, answer) in agreed.items()})

    unmasks = aggregation.unmasks()
    round.asked["unmask"] = unmasks[ME]
    round.proof = aggregation.proof()
    _take(round, aggregation, "revealed", {name: agreed[name][0].on_unmask(unmasks[name]) for name in there})
    return round


def _take(round: HonestRound, aggregation: Aggregation, step_name: str, answers: dict[str, Signed]) -> None:
    round.said[step_name] = answers[ME]
    round.before[step_name] = twin(aggregation)
    for answer in answers.values():
        aggregation.accept(answer)


def twin(aggregation: Aggregation) -> Aggregation:
    """The same state in another object: what is accepted by one is unknown to the other."""
    other = copy.copy(aggregation)
    for name, value in vars(aggregation).items():
        if isinstance(value, dict) or hasattr(value, "nbytes"):
            setattr(other, name, value.copy())
    return other
