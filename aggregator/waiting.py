"""What a job waits for: approvals of its plan, members that connect, an end of its pause. Nothing of it is lost then:
members keep what the last round carried for as long as they run."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from aggregator.home import Home
from aggregator.registry import Registry
from aggregator.status import CONNECTING, PAUSED, Watch
from federation.commands import Printer, Words
from federation.errors import RengoError
from federation.identity import Roster
from federation.plan import Plan
from federation.registry import APPROVED, REFUSED

_POLL = 2.0
_WORDS: dict[str, Words] = {
    "consents": {
        "en": "plan {plan}: {approved} of {members} members approved, {needed} needed; missing: {missing}",
        "ja": "計画 {plan}: {members} 拠点中 {approved} 拠点が承認（必要数 {needed}）。未承認: {missing}",
    },
    "online": {
        "en": "{online} of {approved} approving members are connected, {needed} needed; missing: {missing}{beside}",
        "ja": "承認済み {approved} 拠点中 {online} 拠点が接続（必要数 {needed}）。未接続: {missing}{beside_ja}",
    },
    "paused": {
        "en": "job {job} is paused; to go on: rengo coordinator resume",
        "ja": "ジョブ {job} は一時停止中です。再開するには: rengo coordinator resume",
    },
    "resumed": {"en": "job {job} goes on", "ja": "ジョブ {job} を再開します"},
}

Online = Callable[[], set[str]]
"""Who is connected now."""


class RosterChanged(RengoError):
    """Roster {version} was published; the job stopped between two attempts. Start it again with the same plan: it goes
    on when enough members have approved the new roster."""

    ja = (
        "参加者名簿 版 {version} が公開されたため、試行の区切りで停止しました。"
        "同じ計画で開始し直してください。必要数の拠点が新しい名簿を承認すると続きから再開します。"
    )
    exit_code = 9


@dataclass(frozen=True)
class Waiting:
    """One job, and where its waiting is told."""

    home: Home
    registry: Registry
    plan: Plan
    roster: Roster
    watch: Watch
    printer: Printer

    def for_consents(self) -> None:
        """Until enough members have approved the plan."""
        said = -1
        while True:
            approved, refused = self._decisions()
            if len(approved) != said:
                missing = ", ".join(sorted(set(self.plan.members) - approved - refused)) or "-"
                facts = {"plan": self.plan.digest().hex()[:16], "members": len(self.plan.members)}
                self._say("consents", **facts, approved=len(approved), needed=self.plan.quorum, missing=missing)
                said = len(approved)
            if len(approved) >= self.plan.quorum:
                return
            time.sleep(_POLL)

    def for_members(self, online: Online) -> None:
        """Until everyone who approved is connected; once enough for a round are, no longer than the settings' `wait`
        for the others. Raises RosterChanged."""
        wait, began, said = self.home.settings().wait, time.monotonic(), None
        while True:
            self._require_same_roster()
            approved, _ = self._decisions()
            approved -= self._quarantined
            connected = self._connected(online) & approved
            self.watch.phase(CONNECTING, connected)
            if (len(connected), len(approved)) != said:
                missing = ", ".join(sorted(approved - connected)) or "-"
                facts = {"online": len(connected), "approved": len(approved), "missing": missing}
                self._say("online", **facts, needed=self.plan.quorum, **self._beside())
                said = (len(connected), len(approved))
            waited = time.monotonic() - began > wait
            if len(connected) >= self.plan.quorum and (approved <= connected or waited):
                return
            time.sleep(_POLL)

    def for_resume(self, online: Online) -> None:
        """Until the job is not paused. Members stay connected meanwhile."""
        if not self._paused:
            return
        self.watch.phase(PAUSED)
        self._say("paused", job=self.plan.job)
        while self._paused:
            self.watch.phase(PAUSED, self._connected(online))
            time.sleep(_POLL)
        self._say("resumed", job=self.plan.job)

    def for_turn(self, online: Online) -> None:
        """Before each attempt, until it may begin: a job that is paused waits, and so does one with too few members
        for a round, which says whom it misses. Raises RosterChanged: nobody is in a round under a roster that the root
        has replaced."""
        while True:
            self.for_resume(online)
            self._require_same_roster()
            if len(self._connected(online)) >= self.plan.quorum:
                return
            self.for_members(online)

    @property
    def _paused(self) -> bool:
        return self.home.pause_mark(self.plan.job).exists()

    def _connected(self, online: Online) -> set[str]:
        return (online() & set(self.plan.members)) - self._quarantined

    @property
    def _quarantined(self) -> frozenset[str]:
        return self.registry.quarantined().intersection(self.plan.members)

    def _beside(self) -> dict[str, str]:
        """Who is not awaited, for a line about those who are."""
        named = ", ".join(sorted(self._quarantined))
        return {
            "beside": f"; in quarantine: {named}" if named else "",
            "beside_ja": f"。隔離中: {named}" if named else "",
        }

    def _decisions(self) -> tuple[set[str], set[str]]:
        """Who of the plan's members has approved it, and who refused it, which is told with the reason."""
        consents = self.registry.consents(self.plan.digest(), self.roster.digest())
        self.watch.consents(consents)
        approved = {member for member, (answer, _) in consents.items() if answer == APPROVED}
        return approved & set(self.plan.members), {m for m, (answer, _) in consents.items() if answer == REFUSED}

    def _require_same_roster(self) -> None:
        newest = self.registry.roster().roster
        if newest.digest() != self.roster.digest():
            raise RosterChanged(version=newest.version)

    def _say(self, event: str, **facts: object) -> None:
        self.printer.line(event, _WORDS[event], **facts)
