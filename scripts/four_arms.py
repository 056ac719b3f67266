"""The experiment behind docs/results/four-arms: is joining better than training alone, and what does privacy cost?

1. Tune. With a seed of its own, each arm (local, pooled, federated by variant) tries the same learning rates, and more
   at an edge while the best one lies there. The lowest validation loss wins; no figure on test text decides.
2. Run. The winners are frozen; five other seeds and every variant, with masking, a 16-bit ring, 10 % drop-outs, and
   for the first two variants the plain control under the same drop-outs.
3. Compare. `rengo compare` over the runs, and the claims, whose criteria stand in CLAIMS, each held or not.

Everything is kept in --work and taken from there when the script is started again: it can be stopped at any time. What
was begun with other settings, documents, base model or code is refused. `--rates` takes the rates that an earlier
result found instead of tuning again. All of it takes many hours on two cores.

    nice python scripts/four_arms.py --work outputs/four-arms --out docs/results/four-arms
"""

import argparse
import functools
import hashlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from aggregator.simulate import arms, comparison, machine
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.table import DEMO_BASE, set_table
from federation import base_model, load_plan
from federation.errors import JobStopped

ROOT = Path(__file__).resolve().parents[1]

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "fedit": ("scheme=fedit", "arms.plain=true"),
    "alternating": ("scheme=alternating", "arms.plain=true"),
    "rolora": ("scheme=rolora",),
    "ffa": ("scheme=ffa",),
    "fedsb": ("scheme=fedsb",),  # matched with fedit in rank
    # Matched in bytes. Local and pooled adapters of that rank would be others: its row is compared with fedit's.
    "fedsb-bytes": ("scheme=fedsb", "lora.r=75", "lora.alpha=150", "arms.local=false", "arms.pooled=false"),
    "fedavgm": ("scheme=fedit", "server_optim=fedavgm"),
}
"""Name -> what is federated, as settings over the preset `four_arms`."""
GRID = (1e-3, 2e-3, 4e-3, 8e-3)  # extended by factors of two at an edge
TUNING_SEED, SEEDS = 0, (1, 2, 3, 4, 5)
MOST_RATES = 12  # a search that is still at an edge then has failed
# Fixed before anything was run. (claim, the difference, what has to hold of its interval; bits a character)
CLAIMS: tuple[tuple[str, str, Callable[[float, float], bool]], ...] = (
    ("joining is better than training alone", "L_minus_F", lambda low, high: low > 0),
    ("joining and going on at the site is better than training alone", "L_minus_Fplus", lambda low, high: low > 0),
    ("keeping documents apart costs less than 0.02", "F_minus_P", lambda low, high: high < 0.02),
    (
        "secure and plain sums are the same within 0.005",
        "F_minus_plain",
        lambda low, high: -0.005 < low < high < 0.005,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("outputs/four-arms"), help="where runs are kept")
    parser.add_argument("--out", type=Path, default=Path("docs/results/four-arms"), help="where the results go")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="seeds that are run")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, help="what is federated")
    parser.add_argument("--rates", type=Path, help="runs.json of an earlier result, whose learning rates are taken")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("overrides", nargs="*", help="further settings of every run, to try the script: rounds=2")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    experiment = Experiment(args.work.absolute(), tuple(args.overrides))
    experiment.claim_folder()
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        rates = earlier_rates(args.rates) if args.rates else {}
        untuned = [name for name in ("local", "pooled", *args.variants) if name not in rates]
        rates |= dict(zip(untuned, pool.map(experiment.tune, untuned), strict=True))
        best = {arm: tuned.best for arm, tuned in rates.items()}
        # Variant by variant: the second finds the first's local and pooled arms in the cache.
        runs = [pool.submit(experiment.run, variant, seed, best) for variant in args.variants for seed in args.seeds]
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
        """The learning rates of a variant, or of local or pooled: the grid, extended while its best lies at an edge."""
        loss_at = functools.partial(self._federated if arm in VARIANTS else self._alone, arm)
        tried = {rate: loss_at(rate) for rate in GRID}
        while (best := Tuned(tried).best) in (min(tried), max(tried)):
            if len(tried) == MOST_RATES:
                raise SystemExit(f"{arm}: the best learning rate is still at an edge: {tried}")
            further = best / 2 if best == min(tried) else best * 2
            tried[further] = loss_at(further)
        return Tuned(dict(sorted(tried.items())))

    def claim_folder(self) -> None:
        """Note what the runs depend on, or refuse a folder that holds runs of something else."""
        config = load_plan.compose(self._settings, SimulateConfig, "simulate")
        with tempfile.TemporaryDirectory() as folder:
            documents = set_table(config, Path(folder)).documents_digest
        federation = [
            ROOT / "federation" / f"{name}.py" for name in ("plan", "privacy", "ring", "server_optim", "step")
        ]
        schemes = sorted((ROOT / "federation" / "schemes").glob("*.py"))
        settings = asdict(config)
        del settings["arms"]["cache"]  # where on this machine
        inputs = {
            "settings": settings,
            "base_model": base_model.digest(DEMO_BASE),
            "documents": documents,
            "code": _sha256([*comparison.CODE, *federation, *schemes]),
        }
        path, text = self.work / "inputs.json", json.dumps(inputs, indent=1)
        if path.exists() and path.read_text() != text:
            raise SystemExit(
                f"{self.work} holds runs with other settings, documents, base model or code. Choose another."
            )
        path.write_text(text)

    def run(self, variant: str, seed: int, rates: Mapping[str, float]) -> Path:
        """One run with all arms."""
        return self._simulate(
            f"{variant}-{seed}",
            *VARIANTS[variant],
            f"seed={seed}",
            f"train.optimizer.learning_rate={rates[variant]}",
            f"arms.local_learning_rate={rates['local']}",
            f"arms.pooled_learning_rate={rates['pooled']}",
        )

    def _federated(self, variant: str, rate: float) -> float:
        name, alone = (
            f"tune-{variant}-{rate:g}",
            ("arms.local=false", "arms.pooled=false", "arms.plain=false", "arms.personalised=false"),
        )
        settings = (*VARIANTS[variant], f"seed={TUNING_SEED}", f"train.optimizer.learning_rate={rate}")
        try:
            output = self._simulate(name, *settings, *alone)
        except subprocess.CalledProcessError as error:
            if error.returncode != JobStopped.exit_code:
                raise
            return math.inf  # training diverged at every member
        losses = json.loads((output / "summary.json").read_text())["held_out_loss_by_round"]
        start = losses.pop("0")
        return float(min(losses.values(), default=math.inf) - start)  # no losses: every adapter measured was unusable

    def _alone(self, arm: str, rate: float) -> float:
        """Local and pooled do not depend on a federated job, so none is run."""
        path = self.work / f"tune-{arm}-{rate:g}.json"
        if not path.exists():
            loss = validation_loss(arm, rate, self._settings)
            path.with_suffix(".part").write_text(json.dumps(loss))
            path.with_suffix(".part").replace(path)
        return float(json.loads(path.read_text()))

    @property
    def _settings(self) -> list[str]:
        return ["experiment=four_arms", f"arms.cache='{self.work}/arms'", *self.overrides]

    def _simulate(self, name: str, *settings: str) -> Path:
        """The finished run `name`: as it stands, resumed, or new."""
        output = self.work / name
        if not (output / "summary.json").exists():
            print(f"== {name}", flush=True)
            new = _last((*self._settings, *settings, *self.overrides, f"hydra.run.dir='{output}'"))
            arguments = [f"resume={output}"] if (output / "config.yaml").exists() else new
            command = [sys.executable, "-m", "federation.main", "simulate", *arguments]
            with (self.work / f"{name}.log").open("a") as log:
                subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        return output


def earlier_rates(path: Path) -> dict[str, Tuned]:
    """What an earlier result tried, by arm and variant."""
    found = json.loads(path.read_text(encoding="utf-8"))["learning_rates"]
    return {name: Tuned({float(rate): loss for rate, loss in each["tried"].items()}) for name, each in found.items()}


def _last(settings: Iterable[str]) -> list[str]:
    """Of several values for one setting the last."""
    return list({setting.partition("=")[0]: setting for setting in settings}.values())


def validation_loss(arm: str, rate: float, settings: Sequence[str]) -> float:
    """The arm's lowest mean validation loss against the base model, by the arm's own rule of choice."""
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
    rows = json.loads((out / "compare.json").read_text(encoding="utf-8"))["rows"]
    facts = {
        "claims": {row["name"]: list(judged(row)) for row in rows},
        "learning_rates": {name: {"best": tuned.best, "tried": tuned.tried} for name, tuned in rates.items()},
        "tuning_seed": TUNING_SEED,
        "runs": {run.name: json.loads((run / "summary.json").read_text()) for run in runs},
        "settings": ["experiment=four_arms", *experiment.overrides],
        "inputs": json.loads((experiment.work / "inputs.json").read_text()),
        "machine": machine.machine(),
        "versions": machine.versions(),
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (out / "runs.json").write_text(text + "\n", encoding="utf-8")
    for run in {run.name.rpartition("-")[0]: run for run in reversed(runs)}.values():  # of each variant the first
        for name in ("curves.png", "members.png"):
            shutil.copy(run / name, out / f"{run.name}-{name}")


def judged(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each claim over one variant's runs."""
    for claim, name, holds in CLAIMS:
        if found := row["differences"].get(name):  # without the arm there is no difference
            yield {"claim": claim, "difference": name, **found, "holds": holds(found["low"], found["high"])}


def _sha256(files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


if __name__ == "__main__":
    main()
