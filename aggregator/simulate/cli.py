"""`rengo simulate`: a whole consortium on one machine, from a command line to a folder of results."""

import contextlib
import functools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Grid

from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.screen import Screen
from federation import load_plan
from federation.errors import Language, RengoError, UsageError
from federation.output import disk_errors, require_room

# What a run needs brings torch along: several seconds, which help, `--cfg` and a wrong argument must not cost. It is
# imported where a run begins.
if TYPE_CHECKING:
    from aggregator.rounds import Event
    from aggregator.simulate.progress import Teller
    from aggregator.simulate.table import Table

_WORDS: dict[str, dict[Language, str]] = {
    "member": {"en": "member", "ja": "参加拠点"},
    "base": {"en": "base", "ja": "基盤モデル"},
    "federated": {"en": "federated", "ja": "連合学習"},
    "change": {"en": "change", "ja": "変化"},
    "title": {
        "en": "Bits a character on each member's held-out documents",
        "ja": "各拠点の評価文書における 1 文字あたりのビット数",
    },
    "mean": {"en": "mean", "ja": "平均"},
    "secagg": {
        "en": "Secure sums: {rounds} rounds and a final measurement, threshold {threshold} of {members}; "
        "lost on the way, by step: {dropped}.",
        "ja": "秘匿集計: 学習 {rounds} 回と最終評価、しきい値 {members} 拠点中 {threshold}。"
        "途中の不参加（段階別）: {dropped}。",
    },
    "keys": {"en": "keys", "ja": "鍵"},
    "shares": {"en": "shares", "ja": "シェア配付"},
    "masked": {"en": "masked", "ja": "秘匿送信"},
    "agreed": {"en": "agreed", "ja": "合意"},
    "revealed": {"en": "revealed", "ja": "開示"},
    "job": {"en": "job {number} of {jobs}: {overrides}", "ja": "ジョブ {number}/{jobs}: {overrides}"},
    "plain": {
        "en": "Against a plain mean of the same updates: relative difference {l2:.1e}, at most {steps:.2f} steps of "
        "the {bits}-bit quantiser. Upload: {up:.2f} MB a member and round.",
        "ja": "同じ更新の単純平均との差: 相対 {l2:.1e}、{bits} ビット量子化で最大 {steps:.2f} 段。"
        "送信量: 1 拠点 1 回あたり {up:.2f} MB。",
    },
    "cost": {
        "en": "{total:.0f} s in all: training {train:.0f}, evaluation {eval:.0f}, secure aggregation {secagg:.0f}. "
        "Peak memory {rss} MB.",
        "ja": "全体 {total:.0f} 秒（学習 {train:.0f}、評価 {eval:.0f}、秘匿集計 {secagg:.0f}）。"
        "最大メモリー {rss} MB。",
    },
    "claim": {
        "en": "A small budget on stand-in documents: this checks machinery and claims nothing about your data.",
        "ja": "代用文書による小規模な動作確認です。御社のデータでの効果を示すものではありません。",
    },
    "interrupted": {
        "en": "interrupted; go on with: rengo simulate resume={path}",
        "ja": "中断しました。続けるには: rengo simulate resume={path}",
    },
    "where": {
        "en": "Results: {path} (summary.json, metrics.jsonl, plan.yaml, curves.png; adapter/ loads in stock PEFT)",
        "ja": "結果: {path}（summary.json、metrics.jsonl、plan.yaml、curves.png、PEFT でそのまま読める adapter/）",
    },
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
        output = Path(runs[0].removeprefix("resume=")).expanduser().absolute()
        with disk_errors(output):
            resume(output, language, as_json)
    else:
        how: dict[str, Any] = {"language": language, "as_json": as_json}
        task, announce = functools.partial(begin, **how), functools.partial(_announce, **how)
        load_plan.run(argv, SimulateConfig, "simulate", task, announce)
    return 0


def _announce(number: int, jobs: int, overrides: list[str], *, language: Language, as_json: bool) -> None:
    """Which job of a sweep comes next, and what is special about it."""
    if as_json:
        line = json.dumps({"event": "job", "number": number, "jobs": jobs, "overrides": overrides}, ensure_ascii=False)
    else:
        line = _WORDS["job"][language].format(number=number, jobs=jobs, overrides=" ".join(overrides))
    print(line, flush=True)


def begin(config: SimulateConfig, output: Path, *, language: Language, as_json: bool) -> None:
    """A new run in `output`."""
    with _told(output, language, as_json) as teller:
        from aggregator.simulate.table import set_table

        table = set_table(config, output)
        require_room(output, _least_bytes(table))
        (output / "config.yaml").write_text(load_plan.to_yaml(config), encoding="utf-8")
        simulate(table, output, teller, language, as_json)


def _least_bytes(table: "Table") -> int:
    """What a run writes to its folder, at least: its adapter three times, in the last two checkpoints and for PEFT."""
    return 3 * 4 * table.plan.lora.r * sum(sum(shape) for shape in table.learner.shapes.values())


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
        from aggregator.simulate.table import set_table

        simulate(set_table(config, output), output, teller, language, as_json)


@contextlib.contextmanager
def _told(output: Path, language: Language, as_json: bool) -> "Iterator[Teller]":
    """Progress that ends with the run, however it ends; who interrupts it is told how to go on."""
    from aggregator.simulate.progress import Teller

    teller = Teller(Screen(), language, as_json)
    try:
        teller.seating()
        yield teller
    except KeyboardInterrupt:
        teller.close()
        if (output / "config.yaml").exists():
            print(_WORDS["interrupted"][language].format(path=output), file=sys.stderr)
        raise
    finally:
        teller.close()


def simulate(table: "Table", output: Path, teller: "Teller", language: Language, as_json: bool) -> None:
    """Run the job that is seated, compare arms, write and show the results."""
    from aggregator.rounds import run
    from aggregator.simulate import arms
    from aggregator.simulate.report import Report

    report = Report(table, output)
    teller.begin(table.plan)
    teller.set_aside({name: corpus.set_aside for name, corpus in table.corpora.items() if corpus.set_aside})

    def observe(event: "Event") -> None:
        report.observe(event)
        teller.observe(event)

    final = run(table.job, table.carrier, table.store, observe)
    began = time.perf_counter()
    measured = arms.measure(table.plan, table.learner, table.corpora, final, teller.arms)
    summary = report.finish(final, measured, {"arms": time.perf_counter() - began, "set_up": table.seconds})
    teller.close()
    if as_json:
        print(json.dumps({"event": "done", "output": str(output), **summary}, ensure_ascii=False), flush=True)
    else:
        show(Screen(), summary, output, language)


def show(console: Console, summary: dict[str, Any], output: Path, language: Language) -> None:
    """The table and the sentences that a person reads at the end."""
    words = {key: texts[language] for key, texts in _WORDS.items()}
    grid = Grid(title=words["title"])
    grid.add_column(words["member"])
    for column in ("base", "federated", "change"):
        grid.add_column(words[column], justify="right")
    bits = summary["arms_bits_per_character"]
    rows = list(zip(summary["member_ids"], bits["base"], bits["federated"], strict=True))
    for member, base, federated in rows:
        grid.add_row(member, f"{base:.3f}", f"{federated:.3f}", f"{federated - base:+.3f}")
    base, federated = (sum(bits[arm]) / len(rows) for arm in ("base", "federated"))
    grid.add_section()
    grid.add_row(words["mean"], f"{base:.3f}", f"{federated:.3f}", f"{federated - base:+.3f}")
    console.print(grid)
    secagg, seconds, plain = summary["secagg"], summary["seconds"], summary["secure_vs_plain"]
    dropped = ", ".join(f"{words[step]} {count}" for step, count in secagg["dropped_by_step"].items())
    lines = [
        words["secagg"].format(
            rounds=summary["rounds"], threshold=secagg["threshold"], members=summary["members"], dropped=dropped
        ),
        words["plain"].format(
            l2=plain["relative_l2"],
            steps=plain["max_quantisation_steps"],
            bits=secagg["ring_bits"],
            up=summary["bytes_up_per_member_round"] / 1e6,
        ),
        words["cost"].format(rss=summary["peak_rss_mb"], **seconds),
        words["claim"],
        words["where"].format(path=output),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
