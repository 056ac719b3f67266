"""How much of a round's wall time is neither training nor evaluation: protocol, masks, signatures, journals, store.

Thirty members and a coordinator at the simulation's table, as `rengo simulate` seats them, everything on disk. The
first round starts cold (its set-up takes two exchanges of its own) and is given apart; `other_share` is of the rounds
after it. Where several members train at once, their seconds are divided by how many can. What only a simulation does,
comparing each sum with the members' vectors in clear, is not part of a round.

    .venv/bin/python scripts/bench_round.py
    .venv/bin/python scripts/bench_round.py --profile 25       the functions that take the most time, to stderr
"""

import argparse
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import emit, machine, say

from aggregator.rounds import Event, RoundDone, run
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.table import Table, set_table
from aggregator.store import Checkpoint, Store
from federation import load_plan, step
from federation.secagg.server import Answers
from federation.wire import Signed


@dataclass(frozen=True)
class Round:
    """Where the seconds of one round went. `steps` and `commit`: until what the coordinator keeps was on disk."""

    seconds: float
    train: float
    evaluate: float
    steps: float
    commit: float
    survivors: int

    @property
    def other(self) -> float:
        """Neither training nor evaluation."""
        return self.seconds - self.train - self.evaluate


class Timed(Store):
    """The coordinator's store, which adds up the seconds that its writes take."""

    def __init__(self, folder: Path, plan_digest: bytes) -> None:
        super().__init__(folder, plan_digest)
        self.steps = self.commits = 0.0

    def keep(self, steps: Sequence[Answers]) -> None:
        started = time.perf_counter()
        super().keep(steps)
        self.steps += time.perf_counter() - started

    def keep_revealed(self, round: int, statement: Signed) -> None:
        started = time.perf_counter()
        super().keep_revealed(round, statement)
        self.steps += time.perf_counter() - started

    def commit(self, checkpoint: Checkpoint, *, carried: bool = False) -> None:
        started = time.perf_counter()
        super().commit(checkpoint, carried=carried)
        self.commits += time.perf_counter() - started

    def take(self) -> tuple[float, float]:
        """The seconds for (steps, commits) since the last call."""
        taken = self.steps, self.commits
        self.steps = self.commits = 0.0
        return taken


def main() -> None:
    args = arguments()
    # A profile is of one thread, so with one everybody has one.
    overrides = [f"rounds={args.rounds}", *args.overrides, *(["workers=1"] if args.profile else [])]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        table = set_table(load_plan.compose(overrides, SimulateConfig, "simulate"), Path(folder))
        store = Timed(Path(folder) / "coordinator", table.plan.digest())
        profiler = cProfile.Profile(time.perf_counter) if args.profile else None
        rounds = measure(table, store, profiler)
    if profiler:
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(args.profile)
    emit(result(table, rounds, profiled=profiler is not None))


def measure(table: Table, store: Timed, profiler: cProfile.Profile | None) -> list[Round]:
    """Run the whole job; a round each that trained."""
    rounds: list[Round] = []

    def observe(event: Event) -> None:
        if isinstance(event, RoundDone):
            taken = table.recording.take()
            if event.mean:
                trained = taken.train_seconds, taken.eval_seconds
                counted = Round(event.seconds, *trained, *store.take(), len(event.aggregation.u3))
                rounds.append(counted)
                say(f"round {event.round}: {event.seconds:.2f} s, other {counted.other:.2f} s")

    if profiler:
        profiler.runcall(run, table.job, table.carrier, store, observe)
    else:
        run(table.job, table.carrier, store, observe)
    return rounds


def result(table: Table, rounds: list[Round], profiled: bool) -> dict[str, Any]:
    """The line: medians over the steady rounds, and the cold one."""
    plan, cold, steady = table.plan, rounds[0], rounds[1:]
    ring = step.ring_for(plan, step.first_state(plan, table.learner.shapes), 1, None)
    line: dict[str, Any] = {"benchmark": "round", "members": len(plan.members), "dimension": ring.dimension}
    line |= {"tokens_per_round": plan.train.tokens_per_round, "ring_bits": plan.secagg.ring_bits}
    line |= {"scheme": plan.scheme.name, "rounds": len(steady), "workers": table.workers.count}
    for key, of in (("round_s", "seconds"), ("train_s", "train"), ("eval_s", "evaluate"), ("other_s", "other")):
        line[key] = round(statistics.median(getattr(each, of) for each in steady), 3)
    for key in ("steps", "commit"):
        line[f"{key}_durable_ms"] = round(1000 * statistics.median(getattr(each, key) for each in steady), 1)
    line["other_share"] = round(statistics.median(each.other / each.seconds for each in steady), 4)
    line["survivors"] = [each.survivors for each in rounds]
    line["cold"] = {"round_s": round(cold.seconds, 3), "other_s": round(cold.other, 3)}
    line["cold"]["other_share"] = round(cold.other / cold.seconds, 4)
    return line | {"profiled": profiled, "machine": machine(plan.model.threads)}


def at_least_two(text: str) -> int:
    """The first round is not counted."""
    if int(text) < 2:
        raise argparse.ArgumentTypeError("at least 2: the first round is the cold one")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=at_least_two, default=4, help="the first of them is the cold one")
    parser.add_argument("--folder", type=Path, help="where journals and store are written; default: the temporary one")
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="profile, and list N functions; slower")
    parser.add_argument("overrides", nargs="*", help="as for `rengo simulate`: dropouts.each_round=0 lora.r=16 …")
    return parser.parse_args()


if __name__ == "__main__":
    main()
