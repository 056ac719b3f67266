"""What a run leaves behind: plan.yaml, config.yaml, metrics.jsonl, summary.json, adapter/ and curves.png.

metrics.jsonl is the run's memory: a line for its start, one a round and one for each refusal. The summary is computed
from it, so that a run which was interrupted and resumed sums up as one that was not.
"""

import hashlib
import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

from aggregator.exchange import Answered, Declined, Rejected
from aggregator.export import write_peft
from aggregator.rounds import AttemptFailed, Event, RoundDone
from aggregator.simulate.arms import Arms
from aggregator.simulate.recording import compare
from aggregator.simulate.table import Table
from federation import load_plan, step, tensors
from federation.errors import RengoError
from federation.schemes import State
from federation.secagg.server import Step

matplotlib.use("Agg")
from matplotlib import pyplot

Line = dict[str, Any]


class RunOfOtherInputs(RengoError):
    """The run in {path} cannot go on: its {what} changed since it began. Start a new run."""

    ja = "{path} の実行は続けられません: 開始後に {what} が変わりました。新しく実行してください。"
    exit_code = 3


class Report:
    """Listens to a run, writes metrics as they come, and sums up at the end."""

    def __init__(self, table: Table, output: Path) -> None:
        """A new run, or one that goes on: then `table.store` holds its rounds and metrics.jsonl its lines.

        Raises RunOfOtherInputs.
        """
        self._table, self._output = table, output
        self._bytes_up = 0
        plan = table.plan
        start: Line = {"event": "start", "plan": plan.digest().hex(), "documents": documents_digest(table)}
        self._lines = read_lines(output / "metrics.jsonl")
        if self._lines:
            self._go_on(start)
        else:
            self._write(start)
            head = f"# rengo plan {plan.digest().hex()}\n"
            (output / "plan.yaml").write_text(head + load_plan.to_yaml(plan), encoding="utf-8")
        last = table.store.latest()
        first = step.first_state(plan, table.learner.shapes)
        self._before = step.scheme_of(plan).restore(State(last.round, first.factors), last.adapter) if last else first

    def _go_on(self, start: Line) -> None:
        """Agree with the store on the last round: a kill may have come between its commit and its line."""
        for what, key in (("plan", "plan"), ("documents", "documents")):
            if self._lines[0].get(key) != start[key]:
                raise RunOfOtherInputs(path=self._output, what=what)
        last = self._table.store.latest()
        noted = max((line["round"] for line in self._lines if line["event"] == "round"), default=0)
        stands = min(noted, last.round if last else 0)
        self._table.store.forget_after(stands)
        self._lines = [line for line in self._lines if line.get("round", 0) <= stands]
        path = self._output / "metrics.jsonl"
        temporary = path.with_suffix(".part")
        temporary.write_text("".join(map(_text, self._lines)), encoding="utf-8")
        os.replace(temporary, path)

    def observe(self, event: Event) -> None:
        """Note an event of the round loop."""
        match event:
            case Answered():
                self._bytes_up += event.bytes
            case RoundDone():
                self._write(self._round(event))
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
        line |= {"dropped": {s.value: list(names) for s, names in aggregation.dropped.items()}}
        # The adapter that opened the round is the one that was evaluated in it.
        line |= {"held_out_loss_before": done.scalars.get(step.HELD_OUT_LOSS)}
        line |= {"diverged_share": done.scalars[step.DIVERGED]}
        recording = self._table.recording.take()
        if done.mean:
            # A member whose training diverged put zero into the sum.
            unchanged = step.scheme_of(plan).export(self._before)
            trained = {name: recording.trained.get(name, unchanged) for name in aggregation.u3}
            line |= {"clipped_share": done.scalars[step.CLIPPED_SHARE]}
            line |= {"secure_vs_plain": vars(compare(plan, self._before, done.ring, done.mean, trained))}
        line |= {"bytes_up": self._bytes_up, "seconds": round(done.seconds, 3)}
        line |= {"train_seconds": round(recording.train_seconds, 3), "eval_seconds": round(recording.eval_seconds, 3)}
        line |= {"trained_tokens": recording.trained_tokens}
        return line | {"adapter": tensors.digest(step.scheme_of(plan).broadcast(done.state)).hex()}

    def _write(self, line: Line) -> None:
        self._lines.append(line)
        with (self._output / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(_text(line))

    def finish(self, final: State, arms: Arms, other_seconds: Mapping[str, float]) -> dict[str, Any]:
        """Write the adapter, the plot and summary.json; the summary as it was written.

        `other_seconds`: what this process spent outside rounds, `arms` of it on comparing arms and `set_up` before.
        """
        rounds = [line for line in self._lines if line["event"] == "round"]
        plan, output = self._table.plan, self._output
        sha256 = write_peft(output / "adapter", plan, final)
        summary = summarise(self._table, rounds, arms, other_seconds) | {"adapter_sha256": sha256}
        plot(output / "curves.png", losses_by_round(rounds), arms)
        text = json.dumps(summary, indent=2, ensure_ascii=False)
        (output / "summary.json").write_text(text + "\n", encoding="utf-8")
        return summary


def summarise(table: Table, rounds: list[Line], arms: Arms, other_seconds: Mapping[str, float]) -> dict[str, Any]:
    """The figures of a finished run, from its lines."""
    plan = table.plan

    def total(key: str) -> Any:
        return sum(line[key] for line in rounds)

    differences = [line["secure_vs_plain"] for line in rounds if "secure_vs_plain" in line]
    characters = sum(c.held_out_characters for c in table.corpora.values())
    shapes = step.scheme_of(plan).upload_shapes(step.first_state(plan, table.learner.shapes))
    training = [line for line in rounds if "secure_vs_plain" in line]
    # By contribution: who was lost sent less or nothing, and the measuring round hardly anything.
    bytes_up, contributions = (sum(line[key] for line in training) for key in ("bytes_up", "survivors"))
    learning = total("train_seconds") + total("eval_seconds")
    return {
        "members": len(plan.members),
        "member_ids": list(plan.members),
        "rounds": plan.rounds,
        "scheme": plan.scheme.name,
        "plan_sha256": plan.digest().hex(),
        "model": {"name": plan.model.name, "sha256": plan.model.sha256},
        "secagg": {
            "ring_bits": plan.secagg.ring_bits,
            "threshold": plan.threshold,
            "threshold_by_round": [line["threshold"] for line in rounds],
            "dropped_by_step": {s.value: sum(len(line["dropped"][s.value]) for line in rounds) for s in Step},
        },
        "arms": {arm: list(values) for arm, values in arms.nats.items()},
        "arms_unit": "nats a token, whole held-out text of each member, in the order of member_ids",
        "arms_bits_per_character": {arm: list(values) for arm, values in arms.bits_per_character.items()},
        "held_out_loss_by_round": {str(r): loss for r, loss in losses_by_round(rounds).items()},
        "tokens_per_character": sum(c.held_out.predicted for c in table.corpora.values()) / characters,
        "documents": {m: {"used": c.documents, "set_aside": len(c.set_aside)} for m, c in table.corpora.items()},
        "bytes_up_per_member_round": round(bytes_up / contributions),
        "values_per_upload": tensors.size_of(shapes),
        "secure_vs_plain": {key: max(d[key] for d in differences) for key in differences[0]},
        "largest_clipped_share": max(line["clipped_share"] for line in training),
        "seconds": {
            "train": round(total("train_seconds"), 3),
            "secagg": round(total("seconds") - learning, 3),
            "eval": round(total("eval_seconds") + other_seconds["arms"], 3),
            "total": round(total("seconds") + sum(other_seconds.values()), 3),
        },
        "trained_tokens": total("trained_tokens"),
        "peak_rss_mb": peak_rss_mb(),
    }


def losses_by_round(rounds: list[Line]) -> dict[int, float]:
    """After how many training rounds -> held-out loss (nats a token), as the secure sums gave it."""
    key = "held_out_loss_before"
    return {line["round"] - 1: line[key] for line in rounds if line[key] is not None}


def documents_digest(table: Table) -> str:
    """SHA-256 over every member's token blocks: what a run learns from."""
    whole = hashlib.sha256()
    for member in table.plan.members:
        for blocks in (table.corpora[member].train, table.corpora[member].held_out):
            whole.update(f"{member} {blocks.ids.shape}\n".encode() + blocks.ids.tobytes() + blocks.labels.tobytes())
    return whole.hexdigest()


def read_lines(path: Path) -> list[Line]:
    """The lines of a metrics.jsonl, without a last one that a kill tore."""
    lines: list[Line] = []
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []:
        if not text.endswith("\n"):
            break
        lines.append(json.loads(text))
    return lines


def _text(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False) + "\n"


def peak_rss_mb() -> int:
    """The largest resident memory of this process so far, in MiB (Linux counts in KiB, macOS in bytes)."""
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


def plot(path: Path, losses: Mapping[int, float], arms: Arms) -> None:
    """Held-out loss by round (mean over members, as the secure sum gives it), and each member before and after."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    rounds = sorted(losses)
    left.plot(rounds, [losses[r] for r in rounds], "o-", color="#0b6e99", label="federated, from the secure sum")
    left.axhline(losses[rounds[0]], color="#888888", linestyle="--", label="base model")
    left.set(xlabel="training rounds", ylabel="held-out loss (nats a token)", title="Mean over each round's survivors")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.legend(frameon=False)
    base, federated = arms.bits_per_character["base"], arms.bits_per_character["federated"]
    right.scatter(base, federated, s=22, color="#0b6e99")
    low, high = min(*base, *federated) - 0.1, max(*base, *federated) + 0.1
    right.plot([low, high], [low, high], color="#888888", linestyle="--", label="no change")
    right.set(xlabel="base model", ylabel="federated", title="Each member's held-out text (bits a character)")
    right.set(xlim=(low, high), ylim=(low, high))
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
