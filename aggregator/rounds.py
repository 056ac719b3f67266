"""One job: `run` is the round loop, top to bottom. What a member does in a round is in clients/member.py; what the sum
hides is in federation/secagg. Deadlines are the plan's and kept by the carrier, durable state is the store's."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from aggregator.carriers import Carrier, Exchange
from aggregator.exchange import Answered, Asked, Declined, Exchanges, LeftOut, Rejected, together
from aggregator.revealing import collect_revealed
from aggregator.store import Checkpoint, Store
from federation import step, tensors
from federation.errors import JobStopped
from federation.identity import Identity, Roster
from federation.plan import Plan
from federation.ring import Ring
from federation.schemes import State
from federation.schemes.state import LayerShapes
from federation.secagg.contexts import SUITE, last_sum_digest
from federation.secagg.messages import Broadcast, LastSum, Offer, RoundProof
from federation.secagg.on_demand import OnDemand
from federation.secagg.parties import Parties
from federation.secagg.primitives import Words
from federation.secagg.proof import verifiable
from federation.secagg.server import Aggregation, FalseDealer, Step, TooFewMembers
from federation.tensors import Means, Tensors
from federation.wire import MAX_MESSAGES, ZERO_DIGEST, Limits, Signed, canonical_cbor, read_body, read_cbor


@dataclass(frozen=True)
class Job:
    """An approved plan, the roster it is for, the coordinator's key, and the base model's LoRA layer shapes."""

    plan: Plan
    roster: Roster
    signer: Identity
    shapes: LayerShapes

    @property
    def parties(self) -> Parties:
        """The N members of the job."""
        return Parties.of(self.roster, self.plan)


@dataclass(frozen=True)
class RoundDone:
    """A round is durable. `scalars` and `mean` are means over `aggregation.u3`, from the secure sum; `state` holds the
    adapter that now stands."""

    round: int
    aggregation: Aggregation
    scalars: Mapping[str, float]
    mean: Means
    ring: Ring
    state: State
    seconds: float


@dataclass(frozen=True)
class AttemptFailed:
    """Too few members were left, or a dealer lied: the round is tried again with fresh keys, after `pause` seconds;
    None when no attempt is left."""

    round: int
    attempt: int
    code: str
    reason: str
    pause: float | None = None


Event = Asked | Answered | Declined | Rejected | LeftOut | RoundDone | AttemptFailed
Observe = Callable[[Event], None]


@dataclass(frozen=True)
class Control:
    """What whoever runs a job decides while it runs. `await_turn` is called before each attempt: it returns when that
    may begin, or raises. `pauses`: seconds after a round's first failed attempt, its second and so on; the last one
    after all later ones. `left_out`: members that are asked neither for keys nor for a vector from now on."""

    await_turn: Callable[[], None] = lambda: None
    pauses: Sequence[float] = (0.0,)
    left_out: Callable[[], frozenset[str]] = frozenset


@dataclass(frozen=True)
class _Opening:
    """What stands when a round begins: the adapter, the sum that gave it, and how this round's vectors are encoded."""

    round: int
    state: State
    adapter: Tensors
    last: Checkpoint | None
    ring: Ring


@dataclass(frozen=True)
class _Opened:
    """A sum that was unmasked, the aggregation that did it, and the next round's set-up that it carried."""

    aggregation: Aggregation
    total: Words
    carried: Aggregation | None


def run(job: Job, carrier: Carrier, store: Store, observe: Observe, control: Control = Control()) -> State:
    """Run `job` from where `store` stands to its end; the state that holds the final adapter. Raises JobStopped.

    Rounds 1 to `plan.rounds` train; one more only measures the final adapter, through the same secure sum. A round that
    was interrupted runs again from its start, but what was finished of it is not asked again: its answers are kept.
    """
    plan = job.plan
    exchanges = Exchanges(carrier, store, job.parties, plan.deadlines, _limits(job), observe, control.left_out)
    store.keep_roster(job.roster)
    last = store.latest()
    state = _state_after(job, last)
    carried: Aggregation | None = None
    for round in range(last.round + 1 if last else 1, plan.rounds + 2):
        control.await_turn()
        started = time.monotonic()
        ring = step.ring_for(plan, state, round, _mean_of(job, last))
        opening = _Opening(round, state, step.broadcast(plan, state), last, ring)
        opened = _open_sum(job, exchanges, store, opening, carried, observe, control)
        carried, survivors = opened.carried, opened.aggregation.u3
        mean, decoded = ring.decode(opened.total, len(survivors))
        scalars = _figures(plan, decoded)
        if step.trains(plan, round):
            state = _moved(plan, state, step.next_state(plan, state, mean))
        last = _checkpoint(opening, opened, step.broadcast(plan, state))
        store.commit(last, carried=carried is not None)
        seconds = time.monotonic() - started
        observe(RoundDone(round, opened.aggregation, scalars, mean, ring, state, seconds))
        del mean  # in float64, twice as large as the adapter: not to be held while the next round runs
    return state


def unmeasured(job: Job, store: Store) -> State | None:
    """The state that holds the final adapter when all that is missing is its measurement."""
    last = store.latest()
    return _state_after(job, last) if last and last.round == job.plan.rounds else None


def finished(job: Job, store: Store) -> State | None:
    """The state that holds the final adapter when nothing is left to do."""
    last = store.latest()
    return _state_after(job, last) if last and last.round > job.plan.rounds else None


def _moved(plan: Plan, before: State, after: State) -> State:
    """`after`, or JobStopped when the adapter is the same as before: no member would open a second sum on it."""
    if step.adapter_digest(before) == step.adapter_digest(after):
        raise JobStopped(
            job=plan.job,
            round=after.round,
            detail="the mean change is zero. Has training diverged? Try a lower train.optimizer.learning_rate.",
            detail_ja="変化の平均が 0 です。学習が発散していませんか。train.optimizer.learning_rate を下げてください。",
        )
    return after


def _figures(plan: Plan, scalars: Mapping[str, float]) -> Mapping[str, float]:
    """The round's figures, losses over those whose training did not diverge. Without losses when that is nobody: all
    diverged, and then the adapter does not move; or one member said so in everybody's name, which stops nothing."""
    learning = 1.0 - scalars[step.DIVERGED]
    losses = (step.HELD_OUT_LOSS, step.BASE_LOSS)
    if learning < 0.5 / len(plan.members):
        return {name: figure for name, figure in scalars.items() if name not in losses}
    return {name: figure / learning if name in losses else figure for name, figure in scalars.items()}


def _open_sum(
    job: Job,
    exchanges: Exchanges,
    store: Store,
    opening: _Opening,
    carried: Aggregation | None,
    observe: Observe,
    control: Control,
) -> _Opened:
    """Try a round until its sum opens. Every attempt but one with a carried set-up starts cold, with fresh keys."""
    round = opening.round
    begun = carried.offer if carried else _begun(job, store, round)
    for left in reversed(range(job.plan.secagg.attempts)):
        offer = begun or _offer(job, round, store.next_attempt(), ZERO_DIGEST)
        try:
            if offer.roster != job.roster.digest():
                return _finish(job, exchanges, store, opening, offer)
            aggregation = carried or _set_up(job, exchanges, offer)
            return _attempt(job, exchanges, opening, aggregation)
        except TooFewMembers as error:
            failed = job.plan.secagg.attempts - 1 - left
            pause = control.pauses[min(failed, len(control.pauses) - 1)] if left else None
            observe(AttemptFailed(round, offer.attempt, error.code, str(error), pause))
            store.give_up()
            begun = carried = None
            if pause is not None:
                time.sleep(pause)
                control.await_turn()
        except FalseDealer as error:
            # Members have revealed on this adapter and will not do so again.
            words = {"detail": str(error), "detail_ja": error.text("ja")}
            raise JobStopped(job=job.plan.job, round=round, **words) from error
    raise _exhausted(job, round, len(exchanges.further))


def _exhausted(job: Job, round: int, further: int) -> JobStopped:
    """No attempt is left. `further`: how many members have left this round behind."""
    detail = f"{job.plan.secagg.attempts} attempts failed; the log says who was missing."
    detail_ja = f"{job.plan.secagg.attempts} 回試みましたが成立しませんでした。不参加の拠点は記録にあります。"
    if further > job.plan.spare:
        detail += f" {further} members have closed this round: this is an older state of the coordinator (a backup?). "
        detail += "They open no second sum of a round: go on from a newer state, or make a plan for a new job."
        detail_ja += f"{further} 拠点ではこの学習回は終了しています（事務局が古い状態に戻っています）。二度目の合計は"
        detail_ja += "開示されません。より新しい状態から再開するか、新しいジョブの計画を作成してください。"
    return JobStopped(job=job.plan.job, round=round, detail=detail, detail_ja=detail_ja)


def _begun(job: Job, store: Store, round: int) -> Offer | None:
    """The set-up to go on with after a restart. One for another roster is given up, since a change closes what was
    open; unless somebody has revealed: then that adapter is spent, and the round is finished as it was begun."""
    kept = store.kept(round, Step.KEYS)
    if kept is None:
        return None
    begun = job
    if kept.offer.roster != job.roster.digest() and any(store.revealed(round)):
        begun = replace(job, roster=store.roster(kept.offer.roster))
    if kept.offer == _offer(begun, round, kept.offer.attempt, kept.offer.parent):
        return kept.offer
    store.give_up()
    return None


def _finish(job: Job, exchanges: Exchanges, store: Store, opening: _Opening, offer: Offer) -> _Opened:
    """Finish a round under the roster that it was begun under. The set-up that it carried is let go."""
    begun = replace(job, roster=store.roster(offer.roster))
    exchanges = exchanges.under(begun.parties)
    opened = _attempt(begun, exchanges, opening, _set_up(begun, exchanges, offer))
    return replace(opened, carried=None)


def _set_up(job: Job, exchanges: Exchanges, offer: Offer) -> Aggregation:
    """Steps 0 and 1, unless they rode on the round before: who is there, and shares of their secrets for each other."""
    aggregation = Aggregation(job.signer, job.parties, offer, exchanges.open_shelf(offer.round))
    keys = Exchange(offer.round, "keys")
    exchanges.collect(keys, together(exchanges.admitted(keys, aggregation.offers())), [aggregation])
    exchanges.collect(Exchange(offer.round, "shares"), together(aggregation.cohorts()), [aggregation])
    return aggregation


def _attempt(job: Job, exchanges: Exchanges, opening: _Opening, aggregation: Aggregation) -> _Opened:
    """Steps 2 to 4. The next round's steps 0 and 1 ride on 3 and 4, so that a steady round costs three exchanges."""
    round = opening.round
    # 2. Everyone in the cohort trains on the adapter and sends the update masked; it is added on arrival.
    last, words = _last_sum(job, opening.last)
    told = last_sum_digest(last, words)
    inboxes = aggregation.inboxes(step.terms(job.plan, step.adapter_digest(opening.state), opening.ring, told))
    masked = Exchange(round, "masked")
    inboxes = exchanges.admitted(masked, inboxes)
    broadcasts = _broadcasts(job, aggregation, opening, inboxes)
    exchanges.collect(masked, together(inboxes, broadcasts), [aggregation])
    # 3. Who sent a vector signs who did; every member of the job announces keys for the next round.
    survivors, following = aggregation.survivors(), _following(job, exchanges, aggregation)
    agreed = Exchange(round, "agreed")
    offers = exchanges.admitted(agreed, following.offers()) if following else {}
    awaiting = [aggregation, following] if following else [aggregation]
    votes = together(survivors, offers)
    resumed = exchanges.collect(agreed, votes, awaiting)
    # 4. Who signed reveals what unmasks this sum and nothing else; the next round's cohort deals its shares.
    unmasks, (following, cohorts) = aggregation.unmasks(), _cohorts(following)
    awaiting = [aggregation, following] if following else [aggregation]
    collect_revealed(job.plan, exchanges, awaiting, unmasks, cohorts, votes if resumed else {})
    total = aggregation.total(os.cpu_count() or 1)
    return _Opened(aggregation, total, following if following and following.ready else None)


def _following(job: Job, exchanges: Exchanges, aggregation: Aggregation) -> Aggregation | None:
    """The next round's set-up, in the same attempt; none after the last round."""
    round = aggregation.offer.round + 1
    if round > job.plan.rounds + 1:
        return None
    offer = _offer(job, round, aggregation.offer.attempt, aggregation.ctx)
    return Aggregation(job.signer, job.parties, offer, exchanges.open_shelf(round))


def _cohorts(following: Aggregation | None) -> tuple[Aggregation | None, Mapping[str, Signed]]:
    """Go on with the next round's set-up, or let it go when too few announced keys: the next round starts cold."""
    try:
        return following, following.cohorts() if following else {}
    except TooFewMembers:
        return None, {}


def _offer(job: Job, round: int, attempt: int, parent: bytes) -> Offer:
    plan = job.plan
    model = bytes.fromhex(plan.model.sha256)
    return Offer(SUITE, plan.consortium, plan.job, round, attempt, parent, job.roster.digest(), plan.digest(), model)


def _broadcasts(job: Job, aggregation: Aggregation, opening: _Opening, members: Iterable[str]) -> Mapping[str, Signed]:
    """The adapter for `members` of the cohort, with the last sum, from which they can recompute it."""
    adapter = tensors.to_bytes(opening.adapter)
    last, words = _last_sum(job, opening.last)
    body, blob = Broadcast(step.adapter_digest(opening.state), len(adapter), last), adapter + words
    return OnDemand(members, lambda m: job.signer.sign(body, aggregation.share_ctx, m, blob))


def _last_sum(job: Job, last: Checkpoint | None) -> tuple[LastSum | None, bytes]:
    """What the members are told of the last round, and its sum in ring words; nothing in the first."""
    if last is None:
        return None, b""
    proof = verifiable(read_body(RoundProof, read_cbor(last.proof)), job.parties)
    return LastSum(last.count, last.ranges, last.scalars, proof), last.total.tobytes()


def _state_after(job: Job, last: Checkpoint | None) -> State:
    first = step.first_state(job.plan, job.shapes)
    if last is None:
        return first
    trained = min(last.round, job.plan.rounds)
    return step.restore(first, trained, last.adapter)


def _mean_of(job: Job, last: Checkpoint | None) -> Means | None:
    """The last public mean, as every member decodes it: from it follow this round's ranges."""
    if last is None:
        return None
    first = step.first_state(job.plan, job.shapes)
    shapes = step.scheme_of(job.plan).upload_shapes(State(last.round - 1, first.factors))
    ranges = {name: float.fromhex(text) for name, text in zip(sorted(shapes), last.ranges, strict=True)}
    ring = Ring(job.plan.secagg.ring_bits, len(job.plan.members), shapes, ranges, last.scalars)
    return ring.decode(last.total, last.count)[0]


def _checkpoint(opening: _Opening, opened: _Opened, adapter: Tensors) -> Checkpoint:
    ring, count = opening.ring, len(opened.aggregation.u3)
    proof = canonical_cbor(opened.aggregation.proof().to_plain())
    return Checkpoint(opening.round, adapter, opened.total, count, ring.stated_ranges, ring.scalars, proof)


def _limits(job: Job) -> Limits:
    """The largest answer that an honest member gives: its envelopes, or its vector."""
    count = job.plan.neighbourhood_size
    scheme, factors = step.scheme_of(job.plan), step.first_state(job.plan, job.shapes).factors
    # A scheme may upload other tensors in even rounds than in odd ones.
    values = max(tensors.size_of(scheme.upload_shapes(State(before, factors))) for before in (0, 1))
    return Limits(header=65536 + 128 * count, blob=65536 + 1024 * count + job.plan.secagg.ring_bits // 8 * values)


def largest_answer(job: Job) -> int:
    """Bytes of the largest frame that an honest member gives: its vector, and other messages beside it."""
    limits = _limits(job)
    return limits.blob + MAX_MESSAGES * (limits.header + 65536 + 1024 * job.plan.neighbourhood_size)
