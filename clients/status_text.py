"""`rengo member status` for a person: what the service does, and how far this site is in the job by its own journal."""

import datetime
from collections.abc import Mapping
from typing import Any

from clients.journal import Journal
from federation.commands import Words
from federation.errors import Language
from federation.secagg.history import NOWHERE
from federation.step import GAIN_NOTHING
from federation.text import printable_lines
from federation.words import round_name

_PHASES: Mapping[str, Words] = {
    "loading": {"en": "loading the base model and the documents", "ja": "基盤モデルと文書を読み込み中"},
    "waiting": {"en": "ready, waiting for the coordinator", "ja": "準備完了、事務局からの要求待ち"},
    "answering": {"en": "answering the coordinator", "ja": "事務局の要求に応答中"},
    "stopped": {"en": "stopped", "ja": "停止"},
}
_STEPS: Mapping[str, Words] = {
    "none": {"en": "has not begun", "ja": "未開始"},
    "keys": {"en": "{round}: keys sent, training has not begun", "ja": "{round}: 鍵を送信済み、学習は未開始"},
    "training": {"en": "{round}: training", "ja": "{round}: 学習中"},
    "sent": {"en": "{round}: update sent, the sum is not opened yet", "ja": "{round}: 更新を送信済み、合計は未開示"},
    "done": {"en": "{round}: done here", "ja": "{round}: この拠点では完了"},
}


_GAINS: Mapping[str, Words] = {
    "gain": {
        "en": "after {after} rounds {loss:.3f} nats a token, base model {base_loss:.3f}: better",
        "ja": "学習回 {after} の後 {loss:.3f} nats、基盤モデル {base_loss:.3f}: 改善",
    },
    "even": {
        "en": "after {after} rounds {loss:.3f} nats a token, base model {base_loss:.3f}: no difference worth naming",
        "ja": "学習回 {after} の後 {loss:.3f} nats、基盤モデル {base_loss:.3f}: ほぼ同じ",
    },
    "lose": {
        "en": "after {after} rounds {loss:.3f} nats a token, base model {base_loss:.3f}: WORSE",
        "ja": "学習回 {after} の後 {loss:.3f} nats、基盤モデル {base_loss:.3f}: 悪化",
    },
}


def part(journal: Journal, job: str) -> tuple[int, str]:
    """(round, step): how far this site has gone in `job`, by what it has said. Steps: none, keys, training, sent, done;
    0 before the first."""
    history, begun = journal.history(job), journal.last_contribution(job)
    if history.keyed == NOWHERE:
        return 0, "none"
    if begun > history.masked and begun[0] == history.keyed[0]:
        return begun[1], "training"
    if history.keyed[0] > history.masked[0]:  # a new attempt
        return history.keyed[1], "keys"
    masked = history.masked[1]
    return masked, "sent" if masked > history.revealed_round else "done"


def text(facts: Mapping[str, Any], language: Language) -> str:
    """Some lines: `facts` are those of `rengo member status --json`."""
    labels: tuple[str, ...] = {
        "en": ("Member", "Now", "Since", "Job", "Held-out documents", "Requests", "Last trouble"),
        "ja": ("参加拠点", "現在", "開始", "ジョブ", "評価用文書", "要求", "最後の異常"),
    }[language]
    runs: Words = {"en": f"runs (process {facts.get('pid')})", "ja": f"動作中（プロセス {facts.get('pid')}）"}
    rests: Words = {"en": "does not run", "ja": "動作していません"}
    requests: Words = {
        "en": f"{facts.get('requests', 0)} since the start",
        "ja": f"起動後 {facts.get('requests', 0)} 件",
    }
    running = facts["running"]
    values = (
        f"{facts['id']}, {(runs if running else rests)[language]}",
        _PHASES[facts["phase"]][language] if running else "",
        _local(facts["since"]) if running and "since" in facts else "",
        _job(facts, language),
        _held_out(facts.get("held_out"), language),
        requests[language] if running and "requests" in facts else "",
        facts.get("detail", ""),
    )
    return printable_lines("\n".join(f"{label}: {value}" for label, value in zip(labels, values, strict=True) if value))


def _job(facts: Mapping[str, Any], language: Language) -> str:
    if "step" not in facts:
        return str(facts.get("job", ""))
    name = round_name(facts["round"], facts["rounds"], language)
    return f"{facts['job']} · {_STEPS[facts['step']][language].format(round=name)}"


def _held_out(found: Mapping[str, Any] | None, language: Language) -> str:
    """What the last adapter that was measured gains this site."""
    if found is None:
        return ""
    part = "even" if abs(found["gain"]) < GAIN_NOTHING else "gain" if found["gain"] > 0 else "lose"
    return _GAINS[part][language].format(**found)


def _local(seconds: float) -> str:
    """UTC seconds as this machine's local time with its offset: 2026-11-22 14:03:10+09:00."""
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")
