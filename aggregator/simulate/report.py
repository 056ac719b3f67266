"""What a run leaves behind while it goes on: plan.yaml, metrics.jsonl and the best adapter so far.

metrics.jsonl is the run's memory: a line for its start, one a round and one for each refusal. The summary is computed
from it, so that a run which was interrupted and resumed sums up as one that was not.
"""

import hashlib
import json
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aggregator.exchange import Answered, Declined, Rejected
from aggregator.export import write_peft
from aggregator.rounds import AttemptFailed, Event, RoundDone
from aggregator.simulate.comparison import Outcome
from aggregator.simulate.recording import compare
from federation import load_plan, peft_folder, step
from federation.errors import RengoError
from federation.output import write_text_whole

if TYPE_CHECKING:  # torch takes seconds, and `rengo compare` does without
    from aggregator.simulate.table import Table

Line = dict[str, Any]
METRICS = "metrics.jsonl"


class RunOfOtherInputs(RengoError):
    """The run in {path} cannot go on: its {what} changed since it began. Start a new run."""

    ja = "{path} の実行は続けられません: 開始後に {what} が変わりました。新しく実行してください。"
    exit_code = 3


class MetricsDamaged(RengoError):
    """{path} is damaged or gone, and only it knew what the finished rounds gave. Put it back, or start a new run."""

    ja = "{path} が壊れているか存在せず、完了した学習回の記録を読めません。元に戻すか、新しく実行してください。"
    exit_code = 10


class AdapterMissing(RengoError):
    """{path} holds no adapter any more, and the round that it came from is past. Start a new run."""

    ja = "{path} に追加学習差分がなく、その学習回はすでに終わっています。新しく実行してください。"
    exit_code = 10


class Report:
    """Listens to a run, and writes metrics and adapter as they come.

    The adapter that is kept is the one with the lowest validation loss, as the secure sums give it.
    """

    def __init__(self, table: "Table", output: Path) -> None:
        """A new run, or one that goes on: then `table.store` holds its rounds and metrics.jsonl its lines.

        Raises RunOfOtherInputs and MetricsDamaged.
        """
        self._table, self._output = table, output
        self._bytes_up = 0
        plan = table.plan
        start: Line = {"event": "start", "plan": plan.digest().hex(), "documents": table.documents_digest}
        self._lines = noted(output) or [start]
        for what, key in (("plan", "plan"), ("documents", "documents")):
            if self._lines[0].get(key) != start[key]:
                raise RunOfOtherInputs(path=output, what=what)
        # Before the first line, and again when the run goes on: whatever became of the file, it is this run's plan.
        head = f"# rengo plan {plan.digest().hex()}\n"
        write_text_whole(output / "plan.yaml", head + load_plan.to_yaml(plan))
        self._agree_with_store()
        last = table.store.latest()
        first = step.first_state(plan, table.learner.shapes)
        self._before = step.restore(first, last.round, last.adapter) if last else first

    def _agree_with_store(self) -> None:
        """On the last round, metrics.jsonl too: a kill may have come between a round's commit and its line."""
        last = self._table.store.latest()
        newest = max((line["round"] for line in self._lines if line["event"] == "round"), default=0)
        stands = min(newest, last.round if last else 0)
        self._table.store.forget_after(stands)
        self._lines = [line for line in self._lines if line.get("round", 0) <= stands]
        write_text_whole(self._output / METRICS, "".join(map(_text, self._lines)))

    def observe(self, event: Event) -> None:
        """Note an event of the round loop."""
        match event:
            case Answered():
                self._bytes_up += event.bytes
            case RoundDone():
                line = self._round(event)
                if is_best(line, self.rounds):
                    write_peft(self._output / "adapter", self._table.plan, self._before)
                self._write(line)
                self._before, self._bytes_up = event.state, 0
            case Declined() | Rejected():
                facts = {"round": event.exchange.round, "step": event.exchange.step, "member": event.member}
                what = type(event).__name__.lower()
                self._write({"event": what, **facts, "code": event.code, "reason": event.reason})
            case AttemptFailed():
                facts = {"round": event.round, "attempt": event.attempt, "code": event.code}
                self._write({"event": "attempt_failed", **facts, "reason": event.reason})

    def _round(self, done: RoundDone) -> Line:
        plan, aggregation = self._table.plan, done.aggregation
        line: Line = {"event": "round", "round": done.round, "attempt": aggregation.offer.attempt}
        line |= {"threshold": aggregation.parties.threshold, "survivors": len(aggregation.u3)}
        line |= {"in_sum": sorted(aggregation.u3)}
        line |= {"dropped": {s.value: list(names) for s, names in aggregation.dropped.items()}}
        # The adapter that opened the round is the one that was evaluated in it.
        line |= {"held_out_loss_before": done.scalars.get(step.HELD_OUT_LOSS)}
        line |= {"base_held_out_loss": done.scalars.get(step.BASE_LOSS)}
        line |= {"diverged_share": done.scalars[step.DIVERGED]}
        if gains := step.members_by_gain(done.scalars, len(aggregation.u3)):
            line |= {"members_by_gain": gains}
        recording = self._table.recording.take()
        line |= {"held_out_loss_by_member": recording.losses}
        if done.mean:
            # A member whose training diverged put zero into the sum.
            trained = {name: recording.trained.get(name, self._before.factors) for name in aggregation.u3}
            line |= {"clipped_share": done.scalars[step.CLIPPED_SHARE]}
            line |= {"secure_vs_plain": vars(compare(plan, self._before, done.ring, done.mean, trained))}
        line |= {"bytes_up": self._bytes_up, "seconds": round(done.seconds, 3)}
        line |= {"train_seconds": round(recording.train_seconds, 3), "eval_seconds": round(recording.eval_seconds, 3)}
        line |= {"trained_tokens": recording.trained_tokens}
        return line | {"adapter": step.adapter_digest(done.state).hex()}

    def _write(self, line: Line) -> None:
        self._lines.append(line)
        with (self._output / METRICS).open("a", encoding="utf-8") as file:
            file.write(_text(line))

    @property
    def rounds(self) -> list[Line]:
        """The lines of the rounds that are done."""
        return [line for line in self._lines if line["event"] == "round"]

    @property
    def outcome(self) -> Outcome:
        """What the finished job gave."""
        members, rounds = self._table.plan.members, self.rounds
        validation = {
            line["round"] - 1: tuple(line["held_out_loss_by_member"].get(member, nan) for member in members)
            for line in rounds
            if change(line) is not None
        }
        if not (self._output / "adapter" / "adapter_model.safetensors").exists():
            raise AdapterMissing(path=self._output / "adapter")
        survivors = {line["round"]: line["in_sum"] for line in rounds}
        return Outcome(peft_folder.read(self._output / "adapter"), chosen_round(rounds), validation, survivors)

    @property
    def adapter_sha256(self) -> str:
        """Of the weights that were kept."""
        return hashlib.sha256((self._output / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


def change(line: Line) -> float | None:
    """How much better or worse (nats a token, mean over the members in the sum) the adapter that opened this round is
    than the base model; None where it was not evaluated."""
    if line["held_out_loss_before"] is None:
        return None
    return float(line["held_out_loss_before"] - line["base_held_out_loss"])


def is_best(line: Line, earlier: list[Line]) -> bool:
    """Whether the adapter that opened this round has the lowest validation loss so far."""
    now = change(line)
    return now is not None and all(now <= other for other in map(change, earlier) if other is not None)


def chosen_round(rounds: list[Line]) -> int:
    """After how many training rounds the kept adapter stood."""
    best = [line["round"] - 1 for index, line in enumerate(rounds) if is_best(line, rounds[:index])]
    return int(best[-1])


def read_lines(path: Path) -> list[Line]:
    """The lines of a metrics.jsonl, without a last one that a kill tore."""
    lines: list[Line] = []
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []:
        if not text.endswith("\n"):
            break
        lines.append(json.loads(text))
    return lines


def noted(output: Path) -> list[Line]:
    """The lines of a run that goes on; none before its first round. Raises MetricsDamaged."""
    path = output / METRICS
    try:
        lines = read_lines(path)
    except (ValueError, IsADirectoryError) as error:
        raise MetricsDamaged(path=path) from error
    lost = not lines and any((output / "coordinator").glob("round-*"))
    if lost or not all(isinstance(line, dict) and "event" in line for line in lines):
        raise MetricsDamaged(path=path)
    return lines


def _text(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"
