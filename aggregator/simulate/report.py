"""What a run leaves behind: plan.yaml, metrics.jsonl, summary.json, adapter/ and curves.png."""

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

from aggregator.exchange import Answered, Declined, Rejected
from aggregator.export import write_peft
from aggregator.rounds import AttemptFailed, Event, RoundDone
from aggregator.simulate.arms import Arms
from aggregator.simulate.recording import Difference, compare
from aggregator.simulate.table import Table
from federation import load_plan, step, tensors
from federation.schemes import State
from federation.secagg.server import Step

matplotlib.use("Agg")
from matplotlib import pyplot


@dataclass
class Report:
    """Listens to a run, writes metrics as they come, and sums up at the end."""

    table: Table
    output: Path
    started: float = field(default_factory=time.perf_counter)
    losses: dict[int, float] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    thresholds: list[int] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    bytes_up: Counter[int] = field(default_factory=Counter)
    rounds_seconds: float = 0.0

    def __post_init__(self) -> None:
        plan = self.table.plan
        head = f"# rengo plan {plan.digest().hex()}\n"
        (self.output / "plan.yaml").write_text(head + load_plan.to_yaml(plan), encoding="utf-8")
        self._before = step.first_state(plan, self.table.learner.shapes)

    def observe(self, event: Event) -> None:
        """Note an event of the round loop."""
        match event:
            case Answered():
                self.bytes_up[event.exchange.round] += event.bytes
            case RoundDone():
                self._note_round(event)
            case Declined() | Rejected():
                what = type(event).__name__.lower()
                facts = {"round": event.exchange.round, "step": event.exchange.step, "member": event.member}
                self._line({"event": what, **facts, "code": event.code, "reason": event.reason})
            case AttemptFailed():
                facts = {"round": event.round, "attempt": event.attempt, "code": event.code}
                self._line({"event": "attempt_failed", **facts, "reason": event.reason})

    def _note_round(self, done: RoundDone) -> None:
        plan, survivors = self.table.plan, done.aggregation.u3
        self.rounds_seconds += done.seconds
        self.thresholds.append(done.aggregation.parties.threshold)
        dropped = {s.value: list(names) for s, names in done.aggregation.dropped.items()}
        self.dropped.update({name: len(names) for name, names in dropped.items()})
        line: dict[str, Any] = {"event": "round", "round": done.round, "attempt": done.aggregation.offer.attempt}
        line |= {"trained": step.trains(plan, done.round), "survivors": len(survivors), "dropped": dropped}
        if step.HELD_OUT_LOSS in done.scalars:
            # The adapter that opened the round is the one that was evaluated in it.
            self.losses[done.round - 1] = done.scalars[step.HELD_OUT_LOSS]
            line["held_out_loss_before"] = done.scalars[step.HELD_OUT_LOSS]
        if done.mean:
            trained = {name: self.table.recording.trained[name] for name in survivors}
            difference = compare(plan, self._before, done.ring, done.mean, trained)
            self.differences.append(difference)
            line["clipped_share"] = done.scalars[step.CLIPPED_SHARE]
            line["secure_vs_plain"] = vars(difference)
        self._before = done.state
        line |= {"bytes_up": self.bytes_up[done.round], "seconds": round(done.seconds, 3)}
        line["adapter"] = tensors.digest(step.scheme_of(plan).broadcast(done.state)).hex()
        self._line(line)

    def _line(self, facts: Mapping[str, Any]) -> None:
        with (self.output / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts, ensure_ascii=False) + "\n")

    def finish(self, final: State, arms: Arms, arms_seconds: float) -> dict[str, Any]:
        """Write the adapter, the plot and summary.json; the summary as it was written."""
        table, plan = self.table, self.table.plan
        recording = table.recording
        sha256 = write_peft(self.output / "adapter", plan, final)
        learning = recording.train_seconds + recording.eval_seconds
        characters = sum(c.held_out_characters for c in table.corpora.values())
        summary = {
            "members": len(plan.members),
            "member_ids": list(plan.members),
            "rounds": plan.rounds,
            "scheme": plan.scheme.name,
            "plan_sha256": plan.digest().hex(),
            "model": {"name": plan.model.name, "sha256": plan.model.sha256},
            "secagg": {
                "ring_bits": plan.secagg.ring_bits,
                "threshold": plan.threshold,
                "threshold_by_round": self.thresholds,
                "dropped_by_step": {s.value: self.dropped[s.value] for s in Step},
            },
            "arms": {arm: list(values) for arm, values in arms.nats.items()},
            "arms_unit": "nats a token, whole held-out text of each member, in the order of member_ids",
            "arms_bits_per_character": {arm: list(values) for arm, values in arms.bits_per_character.items()},
            "held_out_loss_by_round": {str(r): self.losses[r] for r in sorted(self.losses)},
            "tokens_per_character": sum(c.held_out.predicted for c in table.corpora.values()) / characters,
            "bytes_up_per_member_round": round(sum(self.bytes_up.values()) / len(plan.members) / plan.rounds),
            "values_per_upload": tensors.size_of(step.scheme_of(plan).upload_shapes(final)),
            "secure_vs_plain": {
                "relative_l2": max(d.relative_l2 for d in self.differences),
                "max_quantisation_steps": max(d.max_quantisation_steps for d in self.differences),
            },
            "seconds": {
                "train": round(recording.train_seconds, 3),
                "secagg": round(self.rounds_seconds - learning, 3),
                "eval": round(recording.eval_seconds + arms_seconds, 3),
                "total": round(time.perf_counter() - self.started, 3),
            },
            "trained_tokens": recording.trained_tokens,
            "peak_rss_mb": peak_rss_mb(),
            "adapter_sha256": sha256,
        }
        plot(self.output / "curves.png", self.losses, arms)
        text = json.dumps(summary, indent=2, ensure_ascii=False)
        (self.output / "summary.json").write_text(text + "\n", encoding="utf-8")
        return summary


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
    left.set(xlabel="training rounds", ylabel="held-out loss (nats a token)", title="Mean over members")
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
