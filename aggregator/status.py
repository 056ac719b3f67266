"""What a running coordinator is doing: `status.json`, for `rengo coordinator status`, and a line for each event."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aggregator.carriers import Exchange
from aggregator.exchange import Answered, Declined, Rejected
from aggregator.home import write_whole
from aggregator.rounds import AttemptFailed, Event, RoundDone
from federation import step
from federation.commands import Printer, Words
from federation.plan import Plan

_WORDS: dict[str, Words] = {
    "round": {
        "en": "round {round}/{rounds} done: {survivors} of {members} members in the sum, {seconds:.0f} s{loss}",
        "ja": "学習回 {round}/{rounds} 完了: {members} 拠点中 {survivors} 拠点の合計、{seconds:.0f} 秒{loss}",
    },
    "measured": {
        "en": "final adapter measured by {survivors} of {members} members, {seconds:.0f} s{loss}",
        "ja": "最終の追加学習差分を {members} 拠点中 {survivors} 拠点で評価、{seconds:.0f} 秒{loss}",
    },
    "refused": {"en": "{member} refused the plan: {reason}", "ja": "{member} が計画を拒否しました。理由: {reason}"},
    "step": {"en": "round {round} · {step}", "ja": "学習回 {round} · {step}"},
    "declined": {"en": "{member} refused ({code}): {reason}", "ja": "{member} が拒否（{code}）: {reason}"},
    "rejected": {
        "en": "{member}: answer not usable ({code}): {reason}",
        "ja": "{member}: 応答を使えません（{code}）: {reason}",
    },
    "failed": {
        "en": "attempt {attempt} of round {round} failed: {reason}",
        "ja": "学習回 {round} の試行 {attempt} は不成立: {reason}",
    },
    "again": {"en": "the next attempt is in {pause:g} s", "ja": "{pause:g} 秒後に再試行します"},
    # By the code of a refusal: what mends it lies with people at those sites.
    "plan-not-approved": {
        "en": "{members}: another plan runs there. This one is taken up by itself when the job of that one has ended "
        "there; otherwise, at each: rengo member stop; rengo member start",
        "ja": "{members}: 各拠点では別の計画が動作中です。そのジョブが終われば自動で切り替わります。"
        "切り替わらない場合は各拠点で: rengo member stop; rengo member start",
    },
    "data-set-busy": {
        "en": "{members}: another job has not ended there; the log of each names it. If it stopped for good, at each: "
        "rengo member close JOB",
        "ja": "{members}: 各拠点で別のジョブが終わっていません（ジョブ名は各拠点の記録にあります）。"
        "再開されないジョブなら各拠点で: rengo member close ジョブ名",
    },
}
_ADVISED = ("plan-not-approved", "data-set-busy")


@dataclass
class Status:
    """A job at one moment. `approved`: who approved the plan; `refused_plan`: member -> the reason of the person there.
    `answered`: who answered in the step that is under way; `refused`: member -> why, last."""

    pid: int
    job: str
    phase: str
    round: int = 0
    rounds: int = 0
    step: str = ""
    since: float = 0.0
    deadline: float = 0.0
    members: list[str] = field(default_factory=list)
    approved: list[str] = field(default_factory=list)
    refused_plan: dict[str, str] = field(default_factory=dict)
    online: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    survivors: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)


class Watch:
    """Observes a job: keeps the status file up to date and prints what happens."""

    def __init__(self, path: Path, plan: Plan, deadline: float, printer: Printer) -> None:
        self._path, self._plan, self._printer, self._seconds = path, plan, printer, deadline
        members = list(plan.members)
        self._status = Status(os.getpid(), plan.job, "waiting", rounds=plan.rounds, members=members)
        self._exchange: Exchange | None = None
        self._declined: dict[str, set[str]] = {}  # in this attempt: a refusal's code, and whose it was
        self.write()

    def phase(self, phase: str, online: set[str] | None = None) -> None:
        """Something other than a round is going on."""
        self._status.phase, self._status.since = phase, time.time()
        if online is not None:
            self._status.online = sorted(online)
        self.write()

    def decided(self, approved: set[str], refused: Mapping[str, str]) -> None:
        """What people at the sites have said of the plan until now. `refused`: member -> reason."""
        status = self._status
        for member in sorted(refused):
            if status.refused_plan.get(member) != refused[member]:
                self._say("refused", member=member, reason=refused[member])
        if (status.approved, status.refused_plan) != (sorted(approved), refused):
            status.approved, status.refused_plan = sorted(approved), dict(refused)
            self.write()

    def observe(self, event: Event) -> None:
        """One event of the round loop."""
        status, plan = self._status, self._plan
        match event:
            case Answered(exchange, member):
                self._moved(exchange)
                status.answered = sorted({*status.answered, member})
            case Declined(exchange, member, code, reason) | Rejected(exchange, member, code, reason):
                self._moved(exchange)
                status.refused[member] = f"{code}: {reason}"
                name = "declined" if isinstance(event, Declined) else "rejected"
                self._say(name, member=member, code=code, reason=reason)
                if isinstance(event, Declined):
                    self._declined.setdefault(code, set()).add(member)
            case AttemptFailed(round, attempt, _, reason, pause):
                self._say("failed", round=round, attempt=attempt, reason=reason)
                self._advise()
                if pause:
                    self._say("again", pause=pause)
            case RoundDone(round, aggregation, scalars):
                self._declined.clear()
                loss = scalars.get(step.HELD_OUT_LOSS)
                status.survivors = list(aggregation.u3)
                if loss is not None:
                    status.loss[str(round)] = loss
                facts: dict[str, Any] = {"round": round, "rounds": plan.rounds, "survivors": len(aggregation.u3)}
                facts |= {"members": len(plan.members), "seconds": event.seconds}
                facts |= {"loss": "" if loss is None else f" · {loss:.3f} nats"}
                self._say("round" if round <= plan.rounds else "measured", **facts)
        self.write()

    def _advise(self) -> None:
        """Whom to call, and what to do there, about what was refused in the attempt that failed."""
        for code in _ADVISED:
            if members := sorted(self._declined.get(code, ())):
                self._say(code, members=", ".join(members))
        self._declined.clear()

    def write(self) -> None:
        """Whole, or as it was before."""
        write_whole(self._path, json.dumps(asdict(self._status), ensure_ascii=False).encode())

    def _moved(self, exchange: Exchange) -> None:
        if exchange == self._exchange:
            return
        self._exchange, status = exchange, self._status
        status.phase, status.round, status.step = "round", exchange.round, exchange.step
        status.since, status.deadline, status.answered = time.time(), time.time() + self._seconds, []

    def _say(self, event: str, **facts: Any) -> None:
        self._printer.line(event, _WORDS[event], **facts)
