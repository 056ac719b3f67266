"""A job's status for a person: labelled lines for `rengo coordinator status`, and lines for `watch` that change only
when something happens. Times are local, with their offset from UTC."""

import datetime
from collections.abc import Iterable, Mapping

from aggregator.status import CONNECTING, DONE, PAUSED, QUARANTINED, ROUND, SERVING, STOPPED, WAITING, Status
from federation.commands import Words
from federation.errors import Language, japanese
from federation.text import printable_lines
from federation.words import gains_text, round_name

STEPS: Mapping[str, Words] = {
    "keys": {"en": "keys", "ja": "鍵の交換"},
    "shares": {"en": "key shares", "ja": "鍵シェアの配付"},
    "masked": {"en": "training, masked updates", "ja": "学習・秘匿した更新の送信"},
    "agreed": {"en": "agreeing on who is in", "ja": "参加者の合意"},
    "revealed": {"en": "opening the sum", "ja": "合計の開示"},
}
_PHASES: Mapping[str, Words] = {
    SERVING: {"en": "serving members, no job runs", "ja": "参加拠点の受付中、実行中のジョブなし"},
    WAITING: {"en": "waiting for approvals of the plan", "ja": "計画の承認待ち"},
    CONNECTING: {"en": "waiting for members to connect", "ja": "参加拠点の接続待ち"},
    PAUSED: {"en": "paused; to go on: rengo coordinator resume", "ja": "一時停止中（再開: rengo coordinator resume）"},
    DONE: {"en": "done, the adapter is written", "ja": "完了（追加学習差分を保存済み）"},
    STOPPED: {"en": "stopped: {status.reason}", "ja": "停止: {status.reason_ja}"},
}
_LABELS: Mapping[str, Words] = {
    "job": {"en": "Job", "ja": "ジョブ"},
    "now": {"en": "Now", "ja": "現在"},
    "before": {"en": "Last", "ja": "最後の状態"},
    "pause": {"en": "Pause", "ja": "一時停止"},
    "since": {"en": "Since", "ja": "開始"},
    "until": {"en": "Until", "ja": "期限"},
    "approved": {"en": "Approved", "ja": "承認済み"},
    "disapproved": {"en": "Refused the plan", "ja": "計画を拒否"},
    "undecided": {"en": "Has not answered", "ja": "未回答"},
    "online": {"en": "Connected", "ja": "接続中"},
    "offline": {"en": "Not connected", "ja": "未接続"},
    "answered": {"en": "Answered", "ja": "応答済み"},
    "awaited": {"en": "Awaited", "ja": "応答待ち"},
    "refused": {"en": "Out", "ja": "今回不参加"},
    "survivors": {"en": "Last sum", "ja": "直近の合計"},
    "dropped": {"en": "Not in it", "ja": "合計に不参加"},
    "loss": {"en": "Validation loss", "ja": "評価損失"},
    "gains": {"en": "Against the base model", "ja": "基盤モデルとの比較"},
    "coordinator": {"en": "Coordinator", "ja": "事務局"},
}
_NOBODY = "-"


def text(status: Status, language: Language, pause_asked: bool = False) -> str:
    """Some lines that say how the job stands."""
    now = "now" if status.running or status.phase == DONE else "before"
    runs: Words = {"en": f"runs (process {status.pid})", "ja": f"動作中（プロセス {status.pid}）"}
    rests: Words = {"en": "does not run", "ja": "動作していません"}
    rounds: Words = {"en": f"{status.rounds} rounds", "ja": f"全 {status.rounds} 回"}
    rows = [
        *([_row("job", f"{status.job} · {rounds[language]}", language)] if status.job else []),
        _row(now, _phase(status, language), language),
        *_pause(status, pause_asked, language),
        _row("since", local(status.since), language),
        *_details(status, language),
        *_last_sum(status, language),
        _row("coordinator", (runs if status.running else rests)[language], language),
    ]
    return printable_lines("\n".join(rows))


def news(status: Status, language: Language, pause_asked: bool = False) -> list[str]:
    """What `watch` tells, a line for the last sum and one for what goes on; each changes only when it has news."""
    last = [" · ".join([status.job, *_last_sum(status, language)])] if status.summed else []
    going_on = [_phase(status, language), *_pause(status, pause_asked, language), *_details(status, language)]
    now = " · ".join([*filter(None, [status.job]), *going_on])
    return [printable_lines(line) for line in (*last, now)]


def local(seconds: float) -> str:
    """UTC seconds as this machine's local time with its offset: 2026-11-22 14:03:10+09:00."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _phase(status: Status, language: Language) -> str:
    if status.phase == ROUND:
        return f"{round_name(status.round, status.rounds, language)} · {STEPS[status.step][language]}"
    return _PHASES[status.phase][language].format(status=status)


def _pause(status: Status, asked: bool, language: Language) -> list[str]:
    """A pause that is still to come."""
    after: Words = {"en": "when this round has ended", "ja": "この学習回の終了後"}
    again: Words = {"en": "before the next attempt", "ja": "次の試行の前"}
    coming = after if status.phase == ROUND and status.running else again
    return [_row("pause", coming[language], language)] if asked and status.phase not in (PAUSED, DONE) else []


def _details(status: Status, language: Language) -> list[str]:
    """Who is in, who is awaited and who is out at present."""
    if status.phase == WAITING:
        approved = _count(status.approved, len(status.members), status.needed, language)
        return [_row("approved", approved, language), *_not_approved(status, language)]
    if status.phase == CONNECTING:
        online = _count(status.online, len(status.members), status.needed, language)
        offline = _those("offline", set(status.approved) - set(status.online), language)
        return [_row("online", online, language), *offline, *_not_approved(status, language)]
    if status.phase == PAUSED:
        return [_row("online", _count(status.online, len(status.members), status.needed, language), language)]
    if status.phase == ROUND:
        answered = set(status.answered) - set(status.refused)
        return [
            _row("until", local(status.deadline), language),
            _row("answered", _count(answered, len(status.asked), status.needed, language), language),
            *_those("awaited", set(status.asked) - set(status.answered) - set(status.refused), language),
            *_with_reasons("refused", status.refused, language),
        ]
    return []


def _not_approved(status: Status, language: Language) -> list[str]:
    undecided = set(status.members) - set(status.approved) - set(status.disapproved)
    return [*_with_reasons("disapproved", status.disapproved, language), *_those("undecided", undecided, language)]


def _last_sum(status: Status, language: Language) -> list[str]:
    if not status.summed:
        return []
    round = round_name(status.summed, status.rounds, language)
    counted = _count(status.survivors, len(status.members), status.needed, language)
    rows = [_row("survivors", f"{round}, {counted}", language)]
    rows += _with_reasons("dropped", status.dropped, language)
    loss = status.loss.get(str(status.summed))
    if loss is not None:
        rows.append(_row("loss", f"{loss:.3f} nats", language))
    if any(status.gains.values()):
        rows.append(_row("gains", gains_text(status.gains, language), language))
    return rows


def _count(members: Iterable[str], of: int, needed: int, language: Language) -> str:
    named = sorted(members)
    words: Words = {
        "en": f"{len(named)} of {of} ({needed} needed)",
        "ja": f"{of} 拠点中 {len(named)} 拠点（必要数 {needed}）",
    }
    return f"{words[language]}: {', '.join(named) or _NOBODY}"


def _those(label: str, members: Iterable[str], language: Language) -> list[str]:
    named = ", ".join(sorted(members))
    return [_row(label, named, language)] if named else []


def _with_reasons(label: str, reasons: Mapping[str, str], language: Language) -> list[str]:
    silent: Words = {"en": "no answer", "ja": "応答なし"}
    told = {member: _told(reason, language) or silent[language] for member, reason in reasons.items()}
    named = ", ".join(f"{member} ({reason})" for member, reason in sorted(told.items()))
    return [_row(label, named, language)] if named else []


def _told(reason: str, language: Language) -> str:
    """A refusal of a round as status.json has it, `code: message`, or a person's own words."""
    if reason == QUARANTINED:
        words: Words = {"en": "in quarantine", "ja": "隔離中"}
        return words[language]
    code, colon, message = reason.partition(": ")
    return f"{code}: {japanese(code, message)}" if colon and language == "ja" else reason


def _row(label: str, value: str, language: Language) -> str:
    return f"{_LABELS[label][language]}: {value}"
