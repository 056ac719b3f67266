"""One run of a simulation, top to bottom: seat everybody, run the job, compare arms, write and show the results."""

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any

from aggregator.rounds import Event
from aggregator.rounds import run as run_job
from aggregator.simulate import plots, probes
from aggregator.simulate.arms import Arm, Bench
from aggregator.simulate.comparison import Comparison, compare
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.progress import Teller
from aggregator.simulate.report import Report, noted
from aggregator.simulate.screen import Screen
from aggregator.simulate.show import show
from aggregator.simulate.summary import summarise
from aggregator.simulate.table import SEATED, Table, set_table
from federation.errors import Language
from federation.output import make_folder, require_room, write_text_whole

_INTERRUPTED: dict[Language, str] = {
    "en": "interrupted; go on with: rengo simulate resume={path}",
    "ja": "中断しました。続けるには: rengo simulate resume={path}",
}


def run(config: SimulateConfig, output: Path, language: Language, as_json: bool) -> None:
    """A run in `output`, new or seated again by `go_on`."""
    with _told(output, language, as_json) as teller:
        if config.arms.cache is not None:  # now, and not after hours of training
            make_folder(Path(config.arms.cache).absolute())
        table = set_table(config, output)
        asked = probes.read(config.probes, table.learner)
        require_room(output, _least_bytes(table))
        report = Report(table, output)
        teller.begin(table.plan)
        teller.set_aside({name: corpus.set_aside for name, corpus in table.corpora.items() if corpus.set_aside})

        def observe(event: Event) -> None:
            report.observe(event)
            teller.observe(event)

        with table.workers:
            run_job(table.job, table.carrier, table.store, observe)
            began = time.perf_counter()
            kept = probes.Adapters()
            keep = kept.keep if config.probes.every_arm and (asked.questions or asked.paragraphs) else None
            bench = Bench(table.plan, table.learner, table.corpora, teller.arms, table.workers.in_order, keep)
            outcome = report.outcome
            comparison = compare(bench, outcome, config.arms, table.documents_digest)
            seconds = {"arms": time.perf_counter() - began, "set_up": table.seconds}
            began = time.perf_counter()
            adapters = {"base": [bench.first], "federated": [outcome.factors], **kept.by_arm(table.plan.members)}
            probed = probes.measure(bench, asked, adapters)
            seconds["probes"] = time.perf_counter() - began
        summary = summarise(table, report.rounds, comparison, seconds) | {"adapter_sha256": report.adapter_sha256}
        summary |= {"probes": probes.summarise(asked, probed)}
        write_text_whole(output / "probes.json", json.dumps(probes.listing(asked, probed), ensure_ascii=False) + "\n")
        write_results(output, summary, comparison)
        teller.close()
        if as_json:
            print(json.dumps({"event": "done", "output": str(output), **summary}, ensure_ascii=False), flush=True)
        else:
            show(Screen(), summary, output, language)


def go_on(config: SimulateConfig, output: Path, language: Language, as_json: bool) -> None:
    """Go on with the run in `output` from its last whole round, to the adapter that it would have had uninterrupted.

    Its members died with the process that was interrupted, and their round secrets with them: nobody could answer the
    next step of the round that was open, so the report has the store forget it. They come back with empty journals: the
    old ones would rightly refuse a second sum on an adapter, and are set aside. Where every round is done nobody is
    asked anything any more, and they stay. Where no round had begun, all are seated anew: what is there may be torn.

    Raises MetricsDamaged.
    """
    lines = noted(output)
    done = {line["round"] for line in lines if line["event"] == "round"}
    if not lines:
        for folder in SEATED:
            if (output / folder).exists():
                shutil.rmtree(output / folder)
    elif (output / "members").exists() and config.rounds + 1 not in done:  # the last one only measures
        turn = 1 + len(list(output.glob("members-interrupted-*")))
        (output / "members").rename(output / f"members-interrupted-{turn}")
    run(config, output, language, as_json)


def write_results(output: Path, summary: dict[str, Any], comparison: Comparison) -> None:
    """summary.json, arms.json (each test text's loss, for `rengo compare`) and the plots."""
    arms = {"characters": comparison.characters, "arms": {name: _plain(arm) for name, arm in comparison.arms.items()}}
    write_text_whole(output / "arms.json", json.dumps(arms, allow_nan=False) + "\n")
    secure = {int(after): loss for after, loss in summary["held_out_loss_by_round"].items()}
    plots.curves(output / "curves.png", comparison, secure)
    plots.members(output / "members.png", summary["member_ids"], summary["arms_bits_per_character"])
    if summary["probes"]:
        plots.probes(output / "probes.png", summary["probes"])
    # Last: a run with a summary is whole.
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    write_text_whole(output / "summary.json", text + "\n")


def _plain(arm: Arm) -> dict[str, Any]:
    """For JSON, which knows no NaN."""
    validation = {r: [None if isnan(loss) else loss for loss in losses] for r, losses in arm.validation.items()}
    return {**vars(arm), "validation": validation}


def _least_bytes(table: Table) -> int:
    """What a run writes to its folder, at least: its adapter three times, in the last two checkpoints and for PEFT."""
    return 3 * 4 * table.plan.lora.r * sum(sum(shape) for shape in table.learner.shapes.values())


@contextlib.contextmanager
def _told(output: Path, language: Language, as_json: bool) -> Iterator[Teller]:
    """Progress that ends with the run, however it ends; who interrupts it is told how to go on."""
    teller = Teller(Screen(), language, as_json)
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
