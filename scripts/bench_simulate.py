"""`rengo simulate`, with masking, against Flower's own simulation of the same job, without: wall time and memory.

Same members, documents, base, rounds and trained tokens; the same evaluation too, as rengo always does it (each round's
adapter on evaluation.tokens, and at the end the base and the final adapter on all test text; no other arms). Nobody is
lost on the way on either side. Flower trains once with our trainer on packed blocks and once with Hugging Face's on
padded rows. Times are of whole processes, from their start to their exit. Memory is the peak of the summed PSS of all
of them.

Both sides have two cores. Ours has two workers of one thread each, as it chooses by itself. Flower runs in both ways
that two threads allow, unless told otherwise: two actors with one thread each, one with two; the faster one counts.

    .venv/bin/pip install -c constraints.txt -e '.[bench]'
    .venv/bin/python scripts/bench_simulate.py
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_flower.job import Job
from benchmarks.machine import emit, machine, say
from benchmarks.processes import Measured, measure

from aggregator.simulate.table import DEMO_MEMBERS

SCRIPTS = Path(__file__).resolve().parent
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
VERSIONS = ("flwr", "ray", "torch", "transformers", "peft")


class Bench:
    """Both sides over one set of members, in one folder."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._args, self._folder = args, folder
        self._members = folder / "members"
        self._members.mkdir()
        for member in sorted(DEMO_MEMBERS.iterdir())[: args.members]:
            (self._members / member.name).symlink_to(member)
        path = os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent), os.environ.get("PYTHONPATH", "")])
        self._environment = OFFLINE | {"PYTHONPATH": path}
        self._overrides = [f"rounds={args.rounds}", "dropouts.each_round=0", "arms=none", *args.overrides]

    def warm_up(self) -> None:
        """Every module read and compiled once, so that no side pays for being first."""
        everything = "import aggregator.simulate.running, bench_flower.run, ray"
        self._measure("warm_up", [sys.executable, "-c", everything], {})

    def rengo(self) -> dict[str, Any]:
        """One run of ours."""
        output = self._folder / "rengo"
        workers = f"workers={self._args.threads}"
        settings = [*self._overrides, "model.threads=1", workers, f"data={self._members}"]
        command = [sys.executable, "-m", "federation.main", "simulate", *settings, f"hydra.run.dir={output}", "--json"]
        measured = self._measure("rengo", command, {})
        summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
        by_round = summary["held_out_loss_by_round"]
        losses = {"base": by_round["0"], "final": by_round[str(self._args.rounds)]}
        return vars(measured) | losses | {"trained_tokens": summary["trained_tokens"], "seconds": summary["seconds"]}

    def flower(self, padded: bool, actors: int) -> dict[str, Any]:
        """One run of Flower's with so many actors, which share the threads."""
        name = f"flower{'_hf' if padded else ''}_{actors}"
        output, threads = self._folder / f"{name}.json", self._args.threads // actors
        overrides = (*self._overrides, f"model.threads={threads}")
        job = Job(overrides, str(self._members), padded, actors, str(output))
        with tempfile.TemporaryDirectory(prefix="bench-ray-", ignore_cleanup_errors=True) as ray:
            command = [sys.executable, "-m", "bench_flower.run", ray]
            # OMP_NUM_THREADS: Ray sets it to an actor's CPUs otherwise, which is the same number.
            measured = self._measure(name, command, job.environment() | {"OMP_NUM_THREADS": str(threads)})
        told = json.loads(output.read_text(encoding="utf-8"))
        losses = {"base": told["loss_before_round"]["1"], "final": told["loss"]}
        return vars(measured) | losses | {"actors": actors, "threads_each": threads}

    def _measure(self, name: str, command: list[str], environment: dict[str, str]) -> Measured:
        log = (self._args.logs or self._folder) / f"{name}.log"
        measured = measure(command, self._environment | environment, log, self._args.interval)
        say(f"{name}: {measured.wall_s:.1f} s, {measured.peak_mb:,.0f} MB in {measured.processes} processes")
        return measured


def main() -> None:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what it measures ends with it
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        bench.warm_up()
        ours = bench.rengo()
        packed = [bench.flower(False, actors) for actors in args.actors]
        best = min(packed, key=lambda run: run["wall_s"])
        padded = bench.flower(True, best["actors"])
    emit(result(args, ours, packed, best, padded))


def result(
    args: argparse.Namespace,
    ours: dict[str, Any],
    packed: list[dict[str, Any]],
    best: dict[str, Any],
    padded: dict[str, Any],
) -> dict[str, Any]:
    """The line: headline figures first, then all that each run told."""
    line: dict[str, Any] = {"benchmark": "simulate", "members": args.members, "rounds": args.rounds}
    line |= {"overrides": args.overrides, "evaluation": "the same on both sides, see bench_simulate.py"}
    line |= {"wall_s": ours["wall_s"], "flower_wall_s": best["wall_s"], "flower_hf_wall_s": padded["wall_s"]}
    line |= {"peak_mb": ours["peak_mb"], "flower_peak_mb": best["peak_mb"], "flower_hf_peak_mb": padded["peak_mb"]}
    line["faster_than_flower"] = round(best["wall_s"] / ours["wall_s"], 3)
    line["faster_than_flower_hf"] = round(padded["wall_s"] / ours["wall_s"], 3)
    line["memory_of_flower"] = round(ours["peak_mb"] / best["peak_mb"], 3)
    runs = {"rengo": ours, **{f"flower_{run['actors']}_actors": run for run in packed}, "flower_hf": padded}
    return line | {"runs": runs, "machine": machine(args.threads, VERSIONS)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=30, help="the first of the demo's thirty")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2, help="our workers; Flower's actors share as many")
    parser.add_argument("--actors", type=int, nargs="+", default=[2, 1], help="how Flower is run; the fastest counts")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between two looks at memory")
    parser.add_argument("--logs", type=Path, help="a folder for what the processes say; default: a temporary one")
    parser.add_argument("overrides", nargs="*", help="for both sides, as for `rengo simulate`: lora.r=16 …")
    return parser.parse_args()


if __name__ == "__main__":
    main()
