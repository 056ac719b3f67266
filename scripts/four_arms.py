"""The experiment behind docs/results/four-arms: is joining better than training alone, and what does privacy cost?

1. Tune. With a seed of its own, each arm (local, pooled, federated by scheme) tries the same learning rates, and more
   at an edge while the best one lies there. The lowest validation loss wins; no test text is looked at.
2. Run. The winners are frozen; five other seeds and both schemes, with masking, a 16-bit ring, 10 % drop-outs, and the
   plain control under the same drop-outs.
3. Compare. `rengo compare` over the ten runs; its table and plots are what the documentation shows.

Everything is kept in --work and taken from there when the script is started again: it can be stopped at any time. About
three hours on two idle cores.

    nice python scripts/four_arms.py --work outputs/four-arms --out docs/results/four-arms
"""

import argparse
import functools
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

SCHEMES = ("fedit", "alternating")
GRID = (5e-4, 1e-3, 2e-3, 4e-3)  # extended by factors of two at an edge
TUNING_SEED, SEEDS = 0, (1, 2, 3, 4, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("outputs/four-arms"), help="where runs are kept")
    parser.add_argument("--out", type=Path, default=Path("docs/results/four-arms"), help="where the results go")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="seeds that are run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("overrides", nargs="*", help="further settings of every run, to try the script: rounds=2")
    args = parser.parse_args()
    experiment = Experiment(args.work.absolute(), tuple(args.overrides))
    args.work.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        arms = (*SCHEMES, "local", "pooled")
        rates = dict(zip(arms, pool.map(experiment.tune, arms), strict=True))
        best = {arm: tuned.best for arm, tuned in rates.items()}
        # Scheme by scheme: the second finds the first's local and pooled arms in the cache.
        runs = [pool.submit(experiment.run, scheme, seed, best) for scheme in SCHEMES for seed in args.seeds]
        folders = [run.result() for run in runs]
    publish(args.out, folders, rates, experiment)


@dataclass(frozen=True)
class Tuned:
    """Learning rate -> lowest validation loss against the base model (nats a token), and the rate that won."""

    tried: Mapping[float, float]

    @property
    def best(self) -> float:
        return min((rate for rate in self.tried if not math.isnan(self.tried[rate])), key=lambda rate: self.tried[rate])


@dataclass(frozen=True)
class Experiment:
    """Runs of `rengo simulate experiment=four_arms` below one folder."""

    work: Path
    overrides: tuple[str, ...]

    def tune(self, arm: str) -> Tuned:
        """The learning rates of a scheme, or of local or pooled: the grid, extended while its best lies at an edge."""
        loss_at = functools.partial(self._federated if arm in SCHEMES else self._alone, arm)
        tried = {rate: loss_at(rate) for rate in GRID}
        while (best := Tuned(tried).best) in (min(tried), max(tried)) and len(tried) < 2 * len(GRID):
            further = best / 2 if best == min(tried) else best * 2
            tried[further] = loss_at(further)
        return Tuned(dict(sorted(tried.items())))

    def run(self, scheme: str, seed: int, rates: Mapping[str, float]) -> Path:
        """One run with all arms."""
        return self._simulate(
            f"{scheme}-{seed}",
            f"scheme={scheme}",
            f"seed={seed}",
            f"train.optimizer.learning_rate={rates[scheme]}",
            f"arms.local_learning_rate={rates['local']}",
            f"arms.pooled_learning_rate={rates['pooled']}",
        )

    def _federated(self, scheme: str, rate: float) -> float:
        name, arms = f"tune-{scheme}-{rate:g}", ("arms.local=false", "arms.pooled=false", "arms.plain=false")
        settings = (f"scheme={scheme}", f"seed={TUNING_SEED}", f"train.optimizer.learning_rate={rate}")
        summary = json.loads((self._simulate(name, *settings, *arms) / "summary.json").read_text())
        losses = summary["held_out_loss_by_round"]
        return float(min(losses.values()) - losses["0"])

    def _alone(self, arm: str, rate: float) -> float:
        """Local and pooled do not depend on a federated job, so none is run."""
        path = self.work / f"tune-{arm}-{rate:g}.json"
        if not path.exists():
            path.write_text(json.dumps(validation_loss(arm, rate, self._settings)))
        return float(json.loads(path.read_text()))

    @property
    def _settings(self) -> list[str]:
        return ["experiment=four_arms", f"arms.cache='{self.work}/arms'", *self.overrides]

    def _simulate(self, name: str, *settings: str) -> Path:
        """The finished run `name`: as it stands, resumed, or new."""
        output = self.work / name
        if not (output / "summary.json").exists():
            print(f"== {name}", flush=True)
            new = [*self._settings, *settings, f"hydra.run.dir='{output}'"]
            arguments = [f"resume={output}"] if (output / "config.yaml").exists() else new
            command = [sys.executable, "-m", "federation.main", "simulate", *arguments]
            with (self.work / f"{name}.log").open("a") as log:
                subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        return output


def validation_loss(arm: str, rate: float, settings: Sequence[str]) -> float:
    """The arm's lowest mean validation loss against the base model, by the arm's own rule of choice."""
    from aggregator.simulate import arms, comparison
    from aggregator.simulate.config import SimulateConfig
    from aggregator.simulate.table import set_table
    from federation import load_plan

    print(f"== {arm} alone, learning rate {rate:g}", flush=True)
    config = load_plan.compose([*settings, f"seed={TUNING_SEED}"], SimulateConfig, "simulate")
    choice = replace(config.arms, local_learning_rate=rate, pooled_learning_rate=rate)
    with tempfile.TemporaryDirectory() as folder:
        table = set_table(config, Path(folder))
        bench = arms.Bench(table.plan, table.learner, table.corpora, lambda *_: None)
        found = comparison.cached_arms(bench, choice, table.documents_digest, (arm,))
    chosen = [found[arm].validation[round][number] for number, round in enumerate(found[arm].chosen)]
    start = found["base"].validation[0]
    return math.fsum(after - before for after, before in zip(chosen, start, strict=True)) / len(chosen)


def publish(out: Path, runs: Sequence[Path], rates: Mapping[str, Tuned], experiment: Experiment) -> None:
    """The comparison, the learning rates that were tried, each run's summary, and the plots of the first seed."""
    out.mkdir(parents=True, exist_ok=True)
    compare = [sys.executable, "-m", "federation.main", "compare", *map(str, runs), "--out", str(out), "--lang", "en"]
    subprocess.run(compare, check=True)
    facts = {
        "learning_rates": {name: {"best": tuned.best, "tried": tuned.tried} for name, tuned in rates.items()},
        "tuning_seed": TUNING_SEED,
        "runs": {run.name: json.loads((run / "summary.json").read_text()) for run in runs},
        "settings": ["experiment=four_arms", *experiment.overrides],
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (out / "runs.json").write_text(text + "\n", encoding="utf-8")
    for run in runs[:: len(runs) // len(SCHEMES)]:
        for name in ("curves.png", "members.png"):
            shutil.copy(run / name, out / f"{run.name}-{name}")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
