"""Runs as rows of a comparison.

Runs that differ by their seed alone are one row: the same plan (base model and members by their hashes), documents,
arms and drop-outs. A row's differences are those of the test texts' mean losses over the seeds, with intervals that say
what other texts would have given; beside them stand the smallest and the largest of a single seed. Rows with another
base model or other test texts form a part of their own: nothing is averaged or subtracted between parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from aggregator.simulate.differences import PAIRS, Interval, Nats, Verdict, difference, interval, judge
from aggregator.simulate.report import Line
from aggregator.simulate.runs import Run, RunUnreadable

ARMS = ("base", "local", "federated", "personalised", "pooled", "plain")


@dataclass(frozen=True)
class Row:
    """Runs that differ by their seed alone, each seed once, named after the settings in which rows differ."""

    name: str
    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """What is the same in all of them can be asked of it."""
        return self.runs[0]

    @property
    def seeds(self) -> list[int]:
        """In the order in which the runs were given."""
        return [run.seed for run in self.runs]

    @cached_property
    def verdict(self) -> Verdict:
        """Of the texts' mean losses over the seeds."""
        nats = {arm: self._nats(arm, self.seeds) for arm in self.first.arms["arms"]}
        return judge(self.first.arms["characters"], nats, self.first.summary["member_ids"])

    def _nats(self, arm: str, seeds: Sequence[int]) -> Nats:
        """By member, the mean over those seeds of each test text's nats."""
        tests = [run.arms["arms"][arm]["test"] for run in self.runs if run.seed in seeds]
        return [np.mean([test[member] for test in tests], axis=0).tolist() for member in range(len(tests[0]))]

    def bits(self, arm: str) -> float | None:
        """Mean bits a character over members and seeds."""
        found = [run.summary["arms_bits_per_character"].get(arm) for run in self.runs]
        return None if None in found else float(np.mean(found))

    def by_seed(self, name: str) -> list[float]:
        """A difference in each of the runs."""
        return [float(run.summary["differences"][name]["mean"]) for run in self.runs]

    def against(self, other: "Row") -> Interval | None:
        """The federated arm's loss less the other row's, text by text, over the seeds that both have; None without any.
        Below zero this row is better."""
        seeds = [seed for seed in self.seeds if seed in other.seeds]
        if not seeds:
            return None
        pairs = zip(self._nats("federated", seeds), other._nats("federated", seeds), strict=True)
        sizes = self.first.arms["characters"]
        return interval([difference(*nats, size) for nats, size in zip(pairs, sizes, strict=True)])

    def leaving_out(self, name: str) -> dict[str, Interval]:
        """A difference over all members but those of one domain, for each domain in turn; none with one domain."""
        one, other = (self._nats(arm, self.seeds) for arm in PAIRS[name])
        each = [difference(*nats) for nats in zip(one, other, self.first.arms["characters"], strict=True)]
        domains = self.first.domains
        if len(set(domains)) < 2:
            return {}
        return {
            left: interval([found for found, domain in zip(each, domains, strict=True) if domain != left])
            for left in sorted(set(domains))
        }

    def mean(self, *keys: str) -> float:
        """A figure of the runs' summaries, over the seeds."""
        found = list[float]()
        for run in self.runs:
            value: Any = run.summary
            for key in keys:
                value = value[key]
            found.append(value)
        return float(np.mean(found))

    @property
    def megabytes(self) -> float:
        """That a member sends in the whole job."""
        return float(np.mean([run.curve.megabytes[-1] for run in self.runs]))


@dataclass(frozen=True)
class Part:
    """Rows with the same base model and the same test texts: what can be compared."""

    rows: tuple[Row, ...]

    @property
    def base_model(self) -> str:
        """Its name and the beginning of its SHA-256."""
        model = self.rows[0].first.summary["model"]
        return f"{model['name']} ({model['sha256'][:12]})"

    @property
    def test_text(self) -> str:
        """How much it is, and the beginning of its SHA-256."""
        test = self.rows[0].first.summary["test"]
        return f"{test['characters']:,} ({test['sha256'][:12]})"


def parts_of(runs: Sequence[Run]) -> list[Part]:
    """All runs, as rows and parts. Raises RunUnreadable for runs of one row that have other arms."""
    yardsticks = dict.fromkeys(run.yardstick for run in runs)
    return [Part(tuple(_rows([run for run in runs if run.yardstick == yardstick]))) for yardstick in yardsticks]


def _rows(runs: Sequence[Run]) -> Iterator[Row]:
    """Of one part: what is the same in all of it names no row."""
    groups: list[list[Run]] = []
    for run in runs:
        same = next((group for group in groups if group[0].settings == run.settings), None)
        groups.append([run]) if same is None else same.append(run)
    keys = _naming([group[0].settings for group in groups])
    for group in groups:
        for run in group:
            if (
                run.arms["characters"] != group[0].arms["characters"]
                or run.arms["arms"].keys() != group[0].arms["arms"].keys()
            ):
                raise RunUnreadable(path=run.path, detail=f"other test texts or arms than {group[0].path}")
        settings = group[0].settings
        once = tuple({run.seed: run for run in group}.values())  # the same seed again is the same run
        yield Row(" ".join(f"{key}={settings[key]}" for key in keys) or str(settings["job"]), once)


def _naming(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """The settings that rows are named after: those that differ, the documents' hash only where nothing else does."""
    keys = varied(settings)
    without = [key for key in keys if key != "documents"]
    names = {repr([each.get(key) for key in without]) for each in settings}
    return without if len(names) == len(settings) else keys


def varied(settings: Sequence[Mapping[str, object]]) -> list[str]:
    """The settings that are not the same everywhere."""
    missing = object()
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if any(each.get(key, missing) != settings[0].get(key, missing) for each in settings)]


def plain(row: Row, first: Row) -> Line:
    """A row for compare.json; `first`: of its part."""
    verdict, against = row.verdict, row.against(first) if row is not first else None
    return {
        "name": row.name,
        "seeds": row.seeds,
        "bits_per_character": {arm: bits for arm in ARMS if (bits := row.bits(arm)) is not None},
        "differences": {name: vars(found) for name, found in verdict.differences.items()},
        "differences_by_seed": {name: row.by_seed(name) for name in verdict.differences},
        "differences_leaving_out": {
            name: {domain: vars(found) for domain, found in row.leaving_out(name).items()}
            for name in verdict.differences
        },
        "federated_minus_first_row": vars(against) if against else None,
        "closure": verdict.closure,
        "harmed": list(verdict.harmed),
        "undecided": list(verdict.undecided),
        "harmed_personalised": list(verdict.harmed_personalised),
        "undecided_personalised": list(verdict.undecided_personalised),
        "bytes_up_per_member": round(row.megabytes * 1e6),
        "trained_tokens": round(row.mean("trained_tokens")),
        "train_seconds": round(row.mean("seconds", "train"), 3),
        "runs": [_run(run) for run in row.runs],
    }


def _run(run: Run) -> Line:
    kept = ("seed", "adapter_sha256", "plan_sha256", "chosen_round", "seconds", "machine", "versions")
    return {"folder": str(run.path), **{key: run.summary[key] for key in kept}}
