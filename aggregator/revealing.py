"""Step 4, the one at which a job can be lost: a member that has revealed helps to open no second sum on its adapter.

A member that restarted has lost its shares and says so. When that puts t out of reach, the attempt is given up while at
most N - t have revealed: the others can still open a sum in the next. Silence is never taken for it, because a
Revealed may have been lost on the way.
"""

from collections.abc import Mapping, Sequence

from aggregator.carriers import Exchange
from aggregator.exchange import Exchanges, Requests, together
from federation.errors import JobStopped
from federation.plan import Plan
from federation.secagg.messages import Survivors, Unmask
from federation.secagg.on_demand import OnDemand
from federation.secagg.server import Aggregation
from federation.wire import Signed


def collect_revealed(
    plan: Plan,
    exchanges: Exchanges,
    awaiting: Sequence[Aggregation],
    unmasks: Mapping[str, Signed],
    cohorts: Mapping[str, Signed],
    votes: Requests,
) -> None:
    """Ask for Revealed, and again for what is missing, verbatim. `votes`: what asked for the votes, if these were kept
    before a restart. Raises TooFewMembers when the attempt is to be given up, JobStopped when too many have revealed
    for that."""
    aggregation, round = awaiting[0], awaiting[0].offer.round
    exchange, gone = Exchange(round, "revealed"), frozenset[str]()
    if not exchanges.replay(awaiting):
        if votes:
            _call_voters(exchanges, aggregation, votes)
        gone = exchanges.ask(exchange, together(unmasks, cohorts), awaiting).of(Unmask.kind, aggregation.ctx)
    for _ in range(plan.secagg.attempts):
        if aggregation.ready:
            return
        _require_reach(aggregation, gone)
        missing = OnDemand(sorted(set(unmasks) - aggregation.answered), unmasks.__getitem__)
        gone |= exchanges.ask(exchange, together(missing), [aggregation]).of(Unmask.kind, aggregation.ctx)
    if aggregation.ready:
        return
    _require_reach(aggregation, gone)
    count, needed = aggregation.fewest_shares, aggregation.parties.threshold
    raise JobStopped(
        job=plan.job,
        round=round,
        detail=f"{count} members revealed their shares, {needed} are needed, and a member that revealed does not "
        "take part in a second sum on the same adapter. Start again when more of them can be reached; if they have "
        "restarted meanwhile, only a new job can go on.",
        detail_ja=f"シェアを開示した拠点が {count}（必要数 {needed}）です。開示した拠点は同じ差分の二度目の合計には"
        "参加しません。他の拠点と通信できるようになってから再開してください。"
        "その拠点が再起動していた場合は、新しいジョブが必要です。",
    )


def _call_voters(exchanges: Exchanges, aggregation: Aggregation, votes: Requests) -> None:
    """After a restart, before anyone is asked to reveal: ask the voters whose shares are not on disk for their vote
    once more, verbatim. Who still has its session says the same again, which spends nothing. Raises TooFewMembers."""
    exchanges.accept_revealed(aggregation)
    voters = OnDemand([m for m in aggregation.u4 if m not in aggregation.answered], votes.__getitem__)
    if voters:
        refusals = exchanges.ask(Exchange(aggregation.offer.round, "agreed"), voters, [])
        _require_reach(aggregation, refusals.of(Survivors.kind, aggregation.ctx))


def _require_reach(aggregation: Aggregation, gone: frozenset[str]) -> None:
    """Raises TooFewMembers when the members that are not `gone` cannot open the sum and enough are left for another
    attempt: at most N - t have revealed."""
    if len(aggregation.answered) <= aggregation.parties.spare:
        aggregation.require_holders(set(aggregation.u4) - (gone - aggregation.answered))
