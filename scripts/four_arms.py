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
import dataclasses
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

SCHEMES = ("fedit", "alternating")
GRID = (5e-4, 1e-3, 2e-3, 4e-3)  # extended by factors of two at an edge
TUNING_SEED, SEEDS = 0, (1, 2, 3, 4, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("outputs/four-arms"), help="where runs are kept")
    parser.add_argument("--out", type=Path, default=Path("docs/results/four-arms"), help="where the results go")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="seeds that are run")
    parser.add_argument("overrides", nargs="*", help="further settings of every run, to try the script: rounds=2")
    args = parser.parse_args()
    experiment = Experiment(args.work.absolute(), args.overrides)
    rates = experiment.tune()
    runs = [experiment.run(scheme, seed, rates) for seed in args.seeds for scheme in SCHEMES]
    publish(args.out, runs, rates, experiment)


@dataclasses.dataclass(frozen=True)
class Tuned:
    """Learning rate -> lowest validation loss against the base model (nats a token), and the rate that won."""

    tried: Mapping[float, float]

    @property
    def best(self) -> float:
        return min(self.tried, key=lambda rate: self.tried[rate])


class Experiment:
    """Runs of `rengo simulate experiment=four_arms` below one folder."""

    def __init__(self, work: Path, overrides: Sequence[str]) -> None:
        self.work, self.overrides = work, list(overrides)

    def tune(self) -> dict[str, Tuned]:
        """Each arm's learning rates."""
        tuned = {scheme: search(lambda rate, s=scheme: self._federated(s, rate)) for scheme in SCHEMES}
        tuned |= {arm: search(lambda rate, a=arm: self._alone(a, rate)) for arm in ("local", "pooled")}
        return tuned

    def run(self, scheme: str, seed: int, rates: Mapping[str, Tuned]) -> Path:
        """One run with all arms."""
        return self._simulate(
            f"{scheme}-{seed}",
            f"scheme={scheme}",
            f"seed={seed}",
            f"train.optimizer.learning_rate={rates[scheme].best}",
            f"arms.local_learning_rate={rates['local'].best}",
            f"arms.pooled_learning_rate={rates['pooled'].best}",
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
            path.write_text(json.dumps(validation_loss(arm, rate, self.work / "arms", self.overrides)))
        return float(json.loads(path.read_text()))

    def _simulate(self, name: str, *settings: str) -> Path:
        """The finished run `name`: as it stands, resumed, or new."""
        output = self.work / name
        if not (output / "summary.json").exists():
            print(f"== {name}", flush=True)
            new = ["experiment=four_arms", f"arms.cache='{self.work}/arms'", f"hydra.run.dir='{output}'"]
            goes_on = (output / "config.yaml").exists()
            arguments = [f"resume={output}"] if goes_on else [*new, *settings, *self.overrides]
            subprocess.run([sys.executable, "-m", "federation.main", "simulate", *arguments], check=True)
        return output


def search(loss_at: Callable[[float], float]) -> Tuned:
    """The grid, extended while its best rate lies at an edge."""
    tried = {rate: loss_at(rate) for rate in GRID}
    while (best := Tuned(tried).best) in (min(tried), max(tried)) and len(tried) < 2 * len(GRID):
        further = best / 2 if best == min(tried) else best * 2
        tried[further] = loss_at(further)
    return Tuned(dict(sorted(tried.items())))


def validation_loss(arm: str, rate: float, cache: Path, overrides: Sequence[str]) -> float:
    """The arm's lowest mean validation loss against the base model, by the arm's own rule of choice."""
    from aggregator.simulate import arms, comparison
    from aggregator.simulate.config import SimulateConfig
    from aggregator.simulate.table import set_table
    from federation import load_plan

    print(f"== {arm} alone, learning rate {rate:g}", flush=True)
    settings = ["experiment=four_arms", f"seed={TUNING_SEED}", f"arms.cache='{cache}'", *overrides]
    config = load_plan.compose(settings, SimulateConfig, "simulate")
    choice = dataclasses.replace(config.arms, local_learning_rate=rate, pooled_learning_rate=rate)
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
    for run in runs[: len(SCHEMES)]:
        for name in ("curves.png", "members.png"):
            shutil.copy(run / name, out / f"{run.name}-{name}")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
