"""Progress that is visible all the time: a bar on a terminal, plain lines in a pipe, JSON lines with --json."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from aggregator.exchange import Answered, Declined, Rejected
from aggregator.rounds import AttemptFailed, Event, RoundDone
from aggregator.status_text import STEPS
from clients.ingest import SetAside
from federation import step
from federation.commands import Words
from federation.errors import Language, japanese
from federation.plan import Plan

QUIET_SECONDS = 10.0
"""In a pipe: at most this long without a line while members are answering."""

_WORDS: dict[str, Words] = {
    "seating": {
        "en": "loading the base model and the members' documents",
        "ja": "基盤モデルと各拠点の文書を読み込み中",
    },
    "step": {"en": "round {round}/{rounds} · {step}", "ja": "学習回 {round}/{rounds} · {step}"},
    **STEPS,
    "round": {
        "en": "round {round}/{rounds} done: {survivors} of {members} members in the sum, {seconds:.0f} s{loss}",
        "ja": "学習回 {round}/{rounds} 完了: {members} 拠点中 {survivors} 拠点の合計、{seconds:.0f} 秒{loss}",
    },
    "measured": {
        "en": "final adapter measured by {survivors} of {members} members, {seconds:.0f} s{loss}",
        "ja": "最終の追加学習差分を {members} 拠点中 {survivors} 拠点で評価、{seconds:.0f} 秒{loss}",
    },
    "loss": {"en": "; held-out loss before it {loss:.3f}", "ja": "、開始時の評価損失 {loss:.3f}"},
    "final_loss": {"en": "; held-out loss {loss:.3f}", "ja": "、評価損失 {loss:.3f}"},
    "base": {"en": "measuring the base model on all test documents", "ja": "全テスト文書で基盤モデルを評価中"},
    "federated": {"en": "measuring the federated adapter", "ja": "連合学習の差分を評価中"},
    "local": {"en": "training each member alone, to compare", "ja": "比較のため各拠点で単独学習中"},
    "personalised": {
        "en": "training the federated adapter on at each member, to compare",
        "ja": "比較のため各拠点で連合学習の差分を追加学習中",
    },
    "pooled": {"en": "training on everybody's documents, to compare", "ja": "比較のため全文書で学習中"},
    "probes": {"en": "asking questions", "ja": "質問への回答を評価中"},
    "plain": {"en": "running the job without secure aggregation, to compare", "ja": "比較のため秘匿集計なしで学習中"},
    "diverged": {
        "en": "round {round}: training diverged at {members} member(s), which put zero into the sum; "
        "lower train.optimizer.learning_rate",
        "ja": "学習回 {round}: {members} 拠点で学習が発散（合計には 0 を加算）。"
        "train.optimizer.learning_rate を下げてください",
    },
    "set_aside": {
        "en": "{member}: {count} file(s) not used; {first}: {reason}",
        "ja": "{member}: {count} 件のファイルを使いません。{first}: {reason}",
    },
    "declined": {"en": "{member} refused ({code}): {reason}", "ja": "{member} が拒否（{code}）: {reason}"},
    "rejected": {
        "en": "{member}: answer not usable ({code}): {reason}",
        "ja": "{member}: 応答を使えません（{code}）: {reason}",
    },
    "failed": {
        "en": "attempt {attempt} of round {round} failed: {reason}",
        "ja": "学習回 {round} の試行 {attempt} は不成立: {reason}",
    },
}


class Lines(Protocol):
    """Where progress goes."""

    def stage(self, name: str, text: str, done: int, of: int) -> None: ...
    def say(self, event: str, text: str, facts: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class Bar:
    """A terminal: one live bar, lines above it."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._task = self._progress.add_task("", total=1)
        self._progress.start()

    def stage(self, name: str, text: str, done: int, of: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, description=text, completed=done, total=of)

    def say(self, event: str, text: str, facts: dict[str, Any]) -> None:
        """A line that stays."""
        self._progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


class Plain:
    """A pipe or a log file: a line for each thing worth saying, and never silent for long."""

    def __init__(self, console: Console) -> None:
        self._console, self._last, self._stage = console, 0.0, ""

    def stage(self, name: str, text: str, done: int, of: int) -> None:
        """A line at a stage's beginning and every QUIET_SECONDS within it."""
        now = time.monotonic()
        if name not in ("keys", "shares", "agreed", "revealed") and (
            self._stage != text or now - self._last >= QUIET_SECONDS
        ):
            self._line(f"{text} {done}/{of}")
        self._stage = text

    def say(self, event: str, text: str, facts: dict[str, Any]) -> None:
        """A line."""
        self._line(text)

    def close(self) -> None:
        """Nothing to take away."""

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


class JsonLines:
    """One JSON object a line, for programs."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, 0.0

    def stage(self, name: str, text: str, done: int, of: int) -> None:
        """At most one line a second."""
        if time.monotonic() - self._last >= 1.0:
            self._write({"event": "progress", "step": name, "done": done, "of": of})

    def say(self, event: str, text: str, facts: dict[str, Any]) -> None:
        """The facts, without prose."""
        self._write({"event": event, **facts})

    def close(self) -> None:
        """Nothing to take away."""

    def _write(self, facts: dict[str, Any]) -> None:
        self._last = time.monotonic()
        self._console.file.write(json.dumps(facts, ensure_ascii=False) + "\n")
        self._console.file.flush()


class Teller:
    """Tells a run's events to a person or a program."""

    def __init__(self, console: Console, language: Language, as_json: bool) -> None:
        self._language = language
        self._lines: Lines = JsonLines(console) if as_json else Bar(console) if console.is_terminal else Plain(console)
        self._rounds = self._members = 0
        self._stage: tuple[int, str] = (0, "")
        self._answered = 0

    def close(self) -> None:
        """End the display; also after an error."""
        self._lines.close()

    def seating(self) -> None:
        """Model and documents are being read."""
        self._say("seating", {})

    def begin(self, plan: Plan) -> None:
        """The rounds begin. Called before the first event."""
        self._rounds, self._members = plan.rounds, len(plan.members)

    def set_aside(self, files: Mapping[str, Sequence[SetAside]]) -> None:
        """Files that nobody will learn from, by member: said before training."""
        for member, aside in files.items():
            reason = aside[0].reason_ja if self._language == "ja" else aside[0].reason
            self._say("set_aside", {"member": member, "count": len(aside), "first": aside[0].name, "reason": reason})

    def arms(self, arm: str, done: int, of: int) -> None:
        """The comparison of arms goes on."""
        self._lines.stage(arm, self._text(arm, {}), done, of)

    def observe(self, event: Event) -> None:
        """One event of the round loop."""
        match event:
            case Answered():
                self._advance(event.exchange.round, event.exchange.step)
            case RoundDone():
                self._round(event)
            case Declined():
                self._why("declined", event, {"member": event.member, "code": event.code})
            case Rejected():
                self._why("rejected", event, {"member": event.member, "code": event.code})
            case AttemptFailed():
                self._why("failed", event, {"round": event.round, "attempt": event.attempt})

    def _advance(self, round: int, step_name: str) -> None:
        if self._stage != (round, step_name):
            self._stage, self._answered = (round, step_name), 0
        self._answered += 1
        shown = min(round, self._rounds)
        text = self._text("step", {"round": shown, "rounds": self._rounds, "step": self._text(step_name, {})})
        self._lines.stage(step_name, text, self._answered, self._members)

    def _round(self, done: RoundDone) -> None:
        facts: dict[str, Any] = {"round": done.round, "rounds": self._rounds, "seconds": round(done.seconds, 1)}
        facts |= {"survivors": len(done.aggregation.u3), "members": self._members}
        loss, trained = done.scalars.get(step.HELD_OUT_LOSS), done.round <= self._rounds
        words = "" if loss is None else self._text("loss" if trained else "final_loss", {"loss": loss})
        if done.scalars[step.DIVERGED] > 0:
            self._say(
                "diverged", {"round": done.round, "members": round(done.scalars[step.DIVERGED] * facts["survivors"])}
            )
        text = self._text("round" if trained else "measured", {**facts, "loss": words})
        self._lines.say("round", text, {**facts, "held_out_loss_before": loss})

    def _why(self, name: str, event: Declined | Rejected | AttemptFailed, facts: dict[str, Any]) -> None:
        """Something went wrong. For programs, reasons are in English."""
        reason = japanese(event.code, event.reason) if self._language == "ja" else event.reason
        self._lines.say(name, self._text(name, facts | {"reason": reason}), facts | {"reason": event.reason})

    def _say(self, event: str, facts: dict[str, Any]) -> None:
        self._lines.say(event, self._text(event, facts), facts)

    def _text(self, key: str, facts: dict[str, Any]) -> str:
        return _WORDS[key][self._language].format(**facts)
