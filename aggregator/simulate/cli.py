"""`rengo simulate`: a whole consortium on one machine, from a command line to a folder of results."""

import contextlib
import functools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from aggregator.rounds import Event, run
from aggregator.simulate import plots
from aggregator.simulate.arms import Bench
from aggregator.simulate.comparison import Comparison, compare
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.progress import Teller
from aggregator.simulate.report import Report
from aggregator.simulate.show import show
from aggregator.simulate.summary import summarise
from aggregator.simulate.table import set_table
from federation import load_plan
from federation.errors import Language, RengoError, UsageError

_INTERRUPTED: dict[Language, str] = {
    "en": "interrupted; go on with: rengo simulate resume={path}",
    "ja": "中断しました。続けるには: rengo simulate resume={path}",
}


class NoSuchRun(RengoError):
    """{path} is not a run of `rengo simulate`: there is no config.yaml in it."""

    ja = "{path} は `rengo simulate` の実行結果ではありません（config.yaml がありません）。"
    exit_code = 2


def main(argv: list[str], language: Language) -> int:
    """Run one job, with -m each job of a sweep, or go on with an interrupted one. Raises RengoError."""
    as_json = "--json" in argv
    if runs := [argument for argument in argv if argument.startswith("resume=")]:
        if len(runs) > 1 or set(argv) - {*runs, "--json"}:
            detail = "`resume=RUN` takes every setting from the run; nothing else may be given."
            raise UsageError(detail=detail, command="rengo simulate")
        resume(Path(runs[0].removeprefix("resume=")).expanduser().absolute(), language, as_json)
    else:
        load_plan.run(argv, SimulateConfig, "simulate", functools.partial(begin, language=language, as_json=as_json))
    return 0


def begin(config: SimulateConfig, output: Path, *, language: Language, as_json: bool) -> None:
    """A new run in `output`."""
    with _told(output, language, as_json) as teller:
        simulate(config, output, teller, language, as_json)


def resume(output: Path, language: Language, as_json: bool) -> None:
    """Go on with the run in `output` from its last whole round, to the adapter that it would have had uninterrupted.

    Its members died with the process that was interrupted, and their round secrets with them. They come back with
    empty journals: the old ones would rightly refuse a second sum on an adapter, and are set aside.
    """
    path = output / "config.yaml"
    if not path.is_file():
        raise NoSuchRun(path=output)
    config = load_plan.from_yaml(path.read_text(encoding="utf-8"), SimulateConfig)
    if (output / "members").exists():
        turn = 1 + len(list(output.glob("members-interrupted-*")))
        (output / "members").rename(output / f"members-interrupted-{turn}")
    with _told(output, language, as_json) as teller:
        simulate(config, output, teller, language, as_json)


@contextlib.contextmanager
def _told(output: Path, language: Language, as_json: bool) -> Iterator[Teller]:
    """Progress that ends with the run, however it ends; who interrupts it is told how to go on."""
    teller = Teller(Console(file=sys.stdout), language, as_json)
    try:
        teller.seating()
        yield teller
    except KeyboardInterrupt:
        teller.close()
        if (output / "config.yaml").exists():
            print(_INTERRUPTED[language].format(path=output), file=sys.stderr)
        raise
    finally:
        teller.close()


def simulate(config: SimulateConfig, output: Path, teller: Teller, language: Language, as_json: bool) -> None:
    """Seat everybody, run the job, compare arms, write and show the results."""
    table = set_table(config, output)
    if not (output / "config.yaml").exists():
        (output / "config.yaml").write_text(load_plan.to_yaml(config), encoding="utf-8")
    report = Report(table, output)
    teller.begin(table.plan)
    teller.set_aside({name: corpus.set_aside for name, corpus in table.corpora.items() if corpus.set_aside})

    def observe(event: Event) -> None:
        report.observe(event)
        teller.observe(event)

    run(table.job, table.carrier, table.store, observe)
    began = time.perf_counter()
    bench = Bench(table.plan, table.learner, table.corpora, teller.arms)
    comparison = compare(bench, report.outcome, config.arms, table.documents_digest)
    seconds = {"arms": time.perf_counter() - began, "set_up": table.seconds}
    summary = summarise(table, report.rounds, comparison, seconds) | {"adapter_sha256": report.adapter_sha256}
    write_results(output, summary, comparison)
    teller.close()
    if as_json:
        print(json.dumps({"event": "done", "output": str(output), **summary}, ensure_ascii=False), flush=True)
    else:
        show(Console(file=sys.stdout), summary, output, language)


def write_results(output: Path, summary: dict[str, Any], comparison: Comparison) -> None:
    """summary.json, arms.json (each document's loss, for `rengo compare`) and the plots."""
    arms = {"characters": comparison.characters, "arms": {name: vars(arm) for name, arm in comparison.arms.items()}}
    (output / "arms.json").write_text(json.dumps(arms) + "\n", encoding="utf-8")
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    (output / "summary.json").write_text(text + "\n", encoding="utf-8")
    secure = {int(after): loss for after, loss in summary["held_out_loss_by_round"].items()}
    plots.curves(output / "curves.png", comparison, secure)
    plots.members(output / "members.png", summary["member_ids"], summary["arms_bits_per_character"])
