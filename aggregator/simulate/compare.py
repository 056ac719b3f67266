"""`rengo compare RUNS…`: finished runs of `rengo simulate` side by side, in one table, plots and a page."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table as Grid

from aggregator.simulate import compare_page, plots
from aggregator.simulate.compare_probes import probed
from aggregator.simulate.compare_words import WORDS, shown_difference, shown_interval
from aggregator.simulate.report import Line
from aggregator.simulate.rows import Part, Row, parts_of, plain
from aggregator.simulate.runs import find_runs, read_run
from aggregator.simulate.screen import Screen
from federation.arguments import ArgumentParser
from federation.errors import Language, UsageError
from federation.output import disk_errors, write_text_whole

_USAGE: dict[Language, str] = {
    "en": """Usage: rengo compare RUNS… [--out FOLDER] [--json] [--lang ja|en]

Finished runs of `rengo simulate` in one table, plots (loss by round, by bytes that a member sends, by tokens and by
seconds of training) and a page that needs no network. RUNS: their folders, or folders of such folders (a sweep). Runs
that differ by their seed alone become one row. Runs with another base model or other test texts are kept apart.

  --out FOLDER   where compare.html, compare.json and compare.png go (default: outputs/compare)

Example: rengo compare outputs/sweep-*""",
    "ja": """使い方: rengo compare 実行結果… [--out フォルダー] [--json] [--lang ja|en]

`rengo simulate` の実行結果を一つの表と図（学習回・送信量・学習トークン数・学習秒数ごとの損失）、および
ネットワーク不要の HTML にまとめます。実行結果: そのフォルダー、またはそれらを含むフォルダー（スイープ）。
seed だけが違う実行は 1 行になり、基盤モデルやテスト文書が違う実行は別々に扱います。

  --out フォルダー   compare.html、compare.json、compare.png の保存先（既定: outputs/compare）

例: rengo compare outputs/sweep-*""",
}
_ENDLESS = 10_000  # characters: how wide the table would be


def main(argv: list[str], language: Language) -> int:
    """Read, compare, write, show. Raises RengoError."""
    arguments = ArgumentParser("rengo compare", add_help=False, allow_abbrev=False)
    arguments.add_argument("runs", nargs="*", type=Path)
    arguments.add_argument("--out", type=Path, default=Path("outputs/compare"))
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("-h", "--help", action="store_true")
    given = arguments.parse_intermixed_args(argv)
    if given.help:
        print(_USAGE[language])
        return 0
    if not given.runs:
        detail, detail_ja = "No run is given.", "実行結果が指定されていません。"
        raise UsageError(detail=detail, detail_ja=detail_ja, command="rengo compare")
    compare(given.runs, given.out, language, given.json)
    return 0


def compare(paths: Sequence[Path], out: Path, language: Language, as_json: bool) -> None:
    """What is in or below `paths`, into `out` and onto the screen. Raises RengoError."""
    finished, unfinished = find_runs(paths)
    parts = parts_of([read_run(path) for path in finished])
    result: Line = {
        "rows": [
            {"part": n, **plain(row, part.rows[0]), "probes": probed(row)}
            for n, part in enumerate(parts, start=1)
            for row in part.rows
        ],
        "parts": [{"base_model": part.base_model, "test_text": part.test_text} for part in parts],
        "unfinished": [str(path) for path in unfinished],
    }
    with disk_errors(out.absolute()):
        out.mkdir(parents=True, exist_ok=True)
        write_text_whole(out / "compare.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        pictures = [_picture(out, part, number) for number, part in enumerate(parts, start=1)]
        write_text_whole(out / "compare.html", compare_page.page(parts, pictures, unfinished, language))
    if as_json:
        print(json.dumps({"event": "compared", **result, "output": str(out)}, ensure_ascii=False))
    else:
        _show(parts, unfinished, out, language)


def _picture(out: Path, part: Part, number: int) -> Path:
    """compare.png, of further parts compare-2.png and so on."""
    path = out / ("compare.png" if number == 1 else f"compare-{number}.png")
    plots.compared(path, {row.name: [run.curve for run in row.runs] for row in part.rows})
    return path


def _show(parts: Sequence[Part], unfinished: Sequence[Path], output: Path, language: Language) -> None:
    """A table where there is room for one, else a few lines a row: no figure is ever cut."""
    words, console = {key: texts[language] for key, texts in WORDS.items()}, Screen()
    if len(parts) > 1:
        console.print(words["apart"].format(parts=len(parts)), markup=False, highlight=False, soft_wrap=True)
    for number, part in enumerate(parts, start=1):
        title = (
            words["title"] if len(parts) == 1 else f"{number}: {part.base_model}, {part.test_text}. {words['title']}"
        )
        cells = {row.name: _cells(row, part.rows[0]) for row in part.rows}
        grid = _grid(title, cells, words)
        if console.measure(grid, options=console.options.update(width=_ENDLESS)).maximum <= console.width:
            console.print(grid)
            continue
        console.print(title, markup=False, highlight=False, soft_wrap=True)
        for name, row in cells.items():
            console.print(f"\n{name}", markup=False, highlight=False, soft_wrap=True)
            for column, text in row.items():
                if text:
                    line = f"  {words[column]}: {text.replace(chr(10), '; ')}"
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
    notes = [words["unfinished"].format(runs=", ".join(map(str, unfinished)))] if unfinished else []
    for line in (*notes, words["where"].format(path=f"{output}/compare.html, compare.json, compare.png")):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _grid(title: str, cells: dict[str, dict[str, str]], words: dict[str, str]) -> Grid:
    grid = Grid(title=title)
    grid.add_column(words["run"], overflow="fold")
    for column in next(iter(cells.values())):
        grid.add_column(words[column], justify="right", no_wrap=True)
    for name, row in cells.items():
        grid.add_row(name, *row.values())
    return grid


def _cells(row: Row, first: Row) -> dict[str, str]:
    """What stands in the columns behind the name."""
    bits = {arm: row.bits(arm) for arm in ("base", "local", "federated", "personalised", "pooled")}
    against = row.against(first) if row is not first else None
    decided = "L_minus_F" in row.verdict.differences
    return {
        "seeds": str(len(row.runs)),
        "sent": f"{row.megabytes:.2f}",
        "trained": f"{row.mean('seconds', 'train'):.0f}",
        **{arm: "" if mean is None else f"{mean:.3f}" for arm, mean in bits.items()},
        **{name: shown_difference(row, name) for name in ("L_minus_F", "L_minus_Fplus", "F_minus_P", "F_minus_plain")},
        "against": shown_interval(against) if against else "",
        "harmed": f"{len(row.verdict.harmed)} / {len(row.verdict.undecided)}" if decided else "",
    }
