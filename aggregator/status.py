"""What a running coordinator is doing: `status.json`, for `rengo coordinator status`, and a line for each event.

How people read it is in status_text.py."""

import datetime
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from aggregator.exchange import Answered, Asked, Declined, LeftOut, Rejected
from aggregator.home import write_whole
from aggregator.rounds import AttemptFailed, Event, RoundDone
from federation import step
from federation.commands import Printer, Words
from federation.errors import RengoError, japanese
from federation.plan import Plan
from federation.registry import APPROVED
from federation.words import gains_text

_WORDS: dict[str, Words] = {
    "round": {
        "en": "round {round}/{rounds} done: {survivors} of {members} members in the sum, {seconds:.0f} s{loss}",
        "ja": "学習回 {round}/{rounds} 完了: {members} 拠点中 {survivors} 拠点の合計、{seconds:.0f} 秒{loss}",
    },
    "measured": {
        "en": "final adapter measured by {survivors} of {members} members, {seconds:.0f} s{loss}",
        "ja": "最終の追加学習差分を {members} 拠点中 {survivors} 拠点で評価、{seconds:.0f} 秒{loss}",
    },
    "gains": {"en": "against the base model: {text}", "ja": "基盤モデルとの比較: {text_ja}"},
    "refused": {"en": "{member} refused the plan: {reason}", "ja": "{member} が計画を拒否しました。理由: {reason}"},
    "declined": {"en": "{member} refused ({code}): {reason}", "ja": "{member} が拒否（{code}）: {reason_ja}"},
    "rejected": {
        "en": "{member}: answer not usable ({code}): {reason}",
        "ja": "{member}: 応答を使えません（{code}）: {reason_ja}",
    },
    "left out": {
        "en": "{members}: in quarantine, not asked for keys or vectors from now on",
        "ja": "{members}: 隔離中のため、以後は鍵も更新も求めません",
    },
    "failed": {
        "en": "attempt {attempt} of round {round} failed: {reason}",
        "ja": "学習回 {round} の試行 {attempt} は不成立: {reason_ja}",
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


SERVING, WAITING, CONNECTING, ROUND, PAUSED = "serving", "waiting", "waiting for members", "round", "paused"
DONE, STOPPED = "done", "stopped"
"""Phases: no job yet, for approvals, for members to connect, under way, paused, and the two ends of a job."""
QUARANTINED = "quarantined"
"""Why a member is not in a sum, where it was not asked."""


@dataclass
class Status:
    """A job at one moment. `round`: one more than `rounds` is the final measurement. `needed`: how many members a round
    takes.

    While waiting: `approved`, and `disapproved` (member -> its people's reason). In a round: `asked` in the step that
    is under way, `answered` in it, `refused` (member -> why its last answer does not count). Of the round `summed`,
    the last one that ended: `survivors` in the sum, `dropped` (member -> why, if it said so). `gains`: at the end,
    how many members lose or gain by the adapter (step.GAINS). `reason`: of a stop.
    """

    pid: int
    job: str
    phase: str
    round: int = 0
    rounds: int = 0
    needed: int = 0
    step: str = ""
    since: float = 0.0
    deadline: float = 0.0
    members: list[str] = field(default_factory=list)
    approved: list[str] = field(default_factory=list)
    disapproved: dict[str, str] = field(default_factory=dict)
    online: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    summed: int = 0
    survivors: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)
    gains: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    reason_ja: str = ""

    @property
    def running(self) -> bool:
        """Whether the process that wrote this is there."""
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True

    def facts(self) -> dict[str, Any]:
        """For a program: the file, whether its writer runs, and the times in UTC as well."""
        times = {"since_utc": self.since, "deadline_utc": self.deadline}
        return asdict(self) | {name: _utc(at) for name, at in times.items()} | {"running": self.running}


def note_serving(path: Path) -> None:
    """A coordinator has begun to serve members, without a job. What the file said of an earlier process is over."""
    _write(path, Status(os.getpid(), "", SERVING, since=time.time()))


def read(path: Path) -> Status | None:
    """What a coordinator wrote last; None when none has run. Of another version's, what this one knows: the next start
    writes it anew."""
    if not path.exists():
        return None
    known, found = {f.name for f in fields(Status)}, json.loads(path.read_text(encoding="utf-8"))
    return Status(**{name: value for name, value in found.items() if name in known})


def _write(path: Path, status: Status) -> None:
    write_whole(path, json.dumps(asdict(status), ensure_ascii=False).encode())


def _utc(seconds: float) -> str:
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return when.isoformat(timespec="seconds") if seconds else ""


class Watch:
    """Observes a job: keeps the status file up to date and prints what happens."""

    def __init__(self, path: Path, plan: Plan, printer: Printer) -> None:
        self._path, self._plan, self._printer = path, plan, printer
        members = list(plan.members)
        self._status = Status(os.getpid(), plan.job, WAITING, rounds=plan.rounds, members=members, since=time.time())
        self._status.needed = plan.quorum
        self._refusing: set[str] = set()  # in the step that is under way
        self._left_out: frozenset[str] = frozenset()
        self._reasons: dict[str, str] = {}  # for missing the round's sum
        self._declined: dict[str, set[str]] = {}  # in this attempt: a refusal's code, and whose it was
        self.write()

    def phase(self, phase: str, online: set[str] | None = None) -> None:
        """Something other than a round is going on."""
        if phase != self._status.phase:
            self._status.phase, self._status.since = phase, time.time()
        if online is not None:
            self._status.online = sorted(online)
        self.write()

    def consents(self, consents: Mapping[str, tuple[str, str]]) -> None:
        """Who decided about the plan until now: member -> (answer, reason)."""
        decided = {member: given for member, given in consents.items() if member in self._plan.members}
        approved = sorted(member for member, (answer, _) in decided.items() if answer == APPROVED)
        refused = {m: reason for m, (answer, reason) in sorted(decided.items()) if answer != APPROVED}
        for member, reason in refused.items():
            if self._status.disapproved.get(member) != reason:
                self._say("refused", member=member, reason=reason)
        self._status.approved, self._status.disapproved = approved, refused
        self.write()

    def stopped(self, error: RengoError) -> None:
        """The job ended before its end."""
        self._status.reason, self._status.reason_ja = error.text("en"), error.text("ja")
        self.phase(STOPPED)

    def observe(self, event: Event) -> None:
        """One event of the round loop."""
        status = self._status
        match event:
            case Asked(exchange, members):
                self._refusing = set()
                status.phase, status.round, status.step = ROUND, exchange.round, exchange.step
                status.since, status.deadline = time.time(), time.time() + exchange.seconds
                status.asked, status.answered = sorted(members), []
            case Answered(_, member):
                if member not in self._refusing:
                    status.refused.pop(member, None)
                status.answered = sorted({*status.answered, member})
            case Declined(_, member, code, reason) | Rejected(_, member, code, reason):
                self._refusing.add(member)
                self._reasons[member] = status.refused[member] = f"{code}: {reason}"
                name = "declined" if isinstance(event, Declined) else "rejected"
                self._say(name, member=member, code=code, reason=reason, reason_ja=japanese(code, reason))
                if isinstance(event, Declined):
                    self._declined.setdefault(code, set()).add(member)
            case LeftOut(_, members):
                if new := sorted(members - self._left_out):
                    self._say("left out", members=", ".join(new))
                self._left_out = members
            case AttemptFailed(round, attempt, code, reason, pause):
                self._say("failed", round=round, attempt=attempt, reason=reason, reason_ja=japanese(code, reason))
                self._advise()
                if pause:
                    self._say("again", pause=pause)
            case RoundDone():
                self._round_done(event)
        self.write()

    def _round_done(self, done: RoundDone) -> None:
        """What is told of the last sum from now on."""
        status, plan, survivors = self._status, self._plan, done.aggregation.u3
        self._declined.clear()
        loss = done.scalars.get(step.HELD_OUT_LOSS)
        status.summed, status.survivors = done.round, list(survivors)
        reasons = dict.fromkeys(self._left_out, QUARANTINED) | self._reasons
        status.dropped = {m: reasons.get(m, "") for m in plan.members if m not in survivors}
        self._reasons = dict(status.refused)
        if loss is not None:
            status.loss[str(done.round)] = loss
        status.gains = step.members_by_gain(done.scalars, len(survivors))
        facts: dict[str, Any] = {"round": done.round, "rounds": plan.rounds, "survivors": len(survivors)}
        facts |= {"members": len(plan.members), "seconds": done.seconds}
        facts |= {"loss": "" if loss is None else f" · {loss:.3f} nats"}
        self._say("round" if done.round <= plan.rounds else "measured", **facts)
        if any(status.gains.values()):
            self._say("gains", text=gains_text(status.gains, "en"), text_ja=gains_text(status.gains, "ja"))

    def _advise(self) -> None:
        """Whom to call, and what to do there, about what was refused in the attempt that failed."""
        for code in _ADVISED:
            if members := sorted(self._declined.get(code, ())):
                self._say(code, members=", ".join(members))
        self._declined.clear()

    def write(self) -> None:
        """Whole, or as it was before."""
        _write(self._path, self._status)

    def _say(self, event: str, **facts: Any) -> None:
        self._printer.line(event, _WORDS[event], **facts)
