"""`rengo compare RUNS…`: finished runs of `rengo simulate` side by side, in one table and one plot.

Runs that differ by their seed alone are one row: the same plan (base model and members by their hashes), documents,
arms and drop-outs. A row's differences are those of the test texts' mean losses over the seeds, with intervals that say
what other texts would have given; below them stand the smallest and the largest of a single seed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as Grid

from aggregator.simulate import plots
from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.differences import Verdict, judge
from aggregator.simulate.report import METRICS, Line, read_lines
from aggregator.simulate.screen import Screen
from aggregator.simulate.summary import losses_by_round
from federation import load_plan
from federation.arguments import ArgumentParser
from federation.errors import Language, RengoError, UsageError
from federation.output import disk_errors
from federation.plan import Plan

_USAGE: dict[Language, str] = {
    "en": """Usage: rengo compare RUNS… [--out FOLDER] [--json] [--lang ja|en]

Finished runs of `rengo simulate` in one table and one plot (loss by round, and by bytes that a member sends).
RUNS: their folders, or folders of such folders (a sweep). Runs that differ by their seed alone become one row.

  --out FOLDER   where compare.json and compare.png go (default: outputs/compare)

Example: rengo compare outputs/sweep-*""",
    "ja": """使い方: rengo compare 実行結果… [--out フォルダー] [--json] [--lang ja|en]

`rengo simulate` の実行結果を一つの表と図（学習回ごと、送信量ごとの損失）にまとめます。
実行結果: そのフォルダー、またはそれらを含むフォルダー（スイープ）。seed だけが違う実行は 1 行になります。

  --out フォルダー   compare.json と compare.png の保存先（既定: outputs/compare）

例: rengo compare outputs/sweep-*""",
}
_ROOM = 170  # characters that the table takes
_COLUMNS: dict[str, dict[Language, str]] = {
    "run": {"en": "run", "ja": "実行"},
    "seeds": {"en": "seeds", "ja": "seed 数"},
    "sent": {"en": "MB up a member", "ja": "1 拠点の送信 MB"},
    "base": {"en": "base", "ja": "基盤"},
    "local": {"en": "local", "ja": "単独"},
    "federated": {"en": "federated", "ja": "連合"},
    "pooled": {"en": "pooled", "ja": "集約"},
    "L_minus_F": {"en": "L - F", "ja": "L−F"},
    "F_minus_P": {"en": "F - P", "ja": "F−P"},
    "F_minus_plain": {"en": "F - plain", "ja": "F−秘匿なし"},
    "harmed": {"en": "harmed / undecided", "ja": "悪化 / 判定不能"},
    "title": {
        "en": "Bits a character on test documents; differences with 95 % intervals over texts, and every seed's range",
        "ja": "テスト文書 1 文字あたりのビット数（差は文書についての 95 % 区間と seed ごとの範囲）",
    },
    "where": {"en": "Written: {path}", "ja": "保存先: {path}"},
}


class NothingToCompare(RengoError):
    """No finished run of `rengo simulate` in {path} (no summary.json). An unfinished one goes on with resume=."""

    ja = "{path} に完了した実行がありません（summary.json なし）。中断した実行は resume= で続けられます。"
    exit_code = 2


class RunUnreadable(RengoError):
    """{path} cannot be compared: {detail}. Run it again with this version."""

    ja = "{path} は比較できません: {detail}。この版で実行し直してください。"
    exit_code = 3


@dataclass(frozen=True)
class Run:
    """One finished run. `settings`: all that has to be the same in runs of one row, flat: not the seed."""

    path: Path
    settings: Mapping[str, Any]
    summary: Line
    rounds: list[Line]
    arms: Line


@dataclass(frozen=True)
class Row:
    """Runs that differ by their seed alone. `verdict`: of the documents' mean losses over the seeds."""

    name: str
    runs: tuple[Run, ...]
    verdict: Verdict

    def bits(self, arm: str) -> float | None:
        """Mean bits a character over members and seeds."""
        found = [run.summary["arms_bits_per_character"].get(arm) for run in self.runs]
        return None if None in found else float(np.mean(found))

    @property
    def sent(self) -> float:
        """Bytes that a member sends in the whole job."""
        return float(np.mean([bytes_sent(run)[-1] for run in self.runs]))

    def plain(self) -> Line:
        """For compare.json."""
        arms = ("base", "local", "federated", "pooled", "plain")
        single = [run.summary["differences"] for run in self.runs]
        return {
            "name": self.name,
            "seeds": [run.summary["seed"] for run in self.runs],
            "bits_per_character": {arm: bits for arm in arms if (bits := self.bits(arm)) is not None},
            "differences": {name: vars(found) for name, found in self.verdict.differences.items()},
            "differences_by_seed": {name: [d[name]["mean"] for d in single] for name in self.verdict.differences},
            "closure": self.verdict.closure,
            "harmed": list(self.verdict.harmed),
            "undecided": list(self.verdict.undecided),
            "bytes_up_per_member": round(self.sent),
            "adapters": [run.summary["adapter_sha256"] for run in self.runs],
        }


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
    runs = [read_run(path) for path in find_runs(given.runs)]
    rows = list(grouped(runs))
    result = {"rows": [row.plain() for row in rows]}
    with disk_errors(given.out.absolute()):
        given.out.mkdir(parents=True, exist_ok=True)
        _write(given.out, rows, result)
    if given.json:
        print(json.dumps({**result, "output": str(given.out)}, ensure_ascii=False))
    else:
        show(rows, given.out, language)
    return 0


def _write(out: Path, rows: Sequence[Row], result: Line) -> None:
    """compare.json and compare.png."""
    (out / "compare.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    plots.compared(out / "compare.png", {row.name: [_curve(run) for run in row.runs] for row in rows})


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Folders of finished runs in or below `paths`, each once, in order."""
    found = []
    for path in paths:
        below = sorted(file.parent for file in path.rglob("summary.json"))
        if not below:
            raise NothingToCompare(path=path)
        found += below
    return list(dict.fromkeys(path.resolve() for path in found))


def read_run(path: Path) -> Run:
    """The run in `path`. Raises RunUnreadable."""
    try:
        config = load_plan.from_yaml((path / "config.yaml").read_text(encoding="utf-8"), SimulateConfig)
        summary, arms = (
            json.loads((path / name).read_text(encoding="utf-8")) for name in ("summary.json", "arms.json")
        )
        plan = load_plan.from_yaml((path / "plan.yaml").read_text(encoding="utf-8"), Plan)
        start, *lines = read_lines(path / METRICS)
        if plan.digest().hex() != start["plan"]:
            raise RunUnreadable(path=path, detail="plan.yaml is not the plan that ran")
        settings = dict(_flat({**asdict(plan), "arms": asdict(config.arms), "dropouts": asdict(config.dropouts)}))
        settings = {key: value for key, value in settings.items() if key not in ("seed", "arms.cache")}
        members = settings["members"]
        settings["members"] = f"{len(members)}:{sha256(repr(members).encode()).hexdigest()[:6]}"
        settings["documents"] = start["documents"][:12]
        run = Run(path, settings, summary, [line for line in lines if line["event"] == "round"], arms)
        _ = (_curve(run), summary["seed"], summary["adapter_sha256"], _judge([run]))  # all that is asked for later
        return run
    except OSError as error:
        raise RunUnreadable(path=path, detail=f"{Path(str(error.filename)).name}: {error.strerror}") from error
    except RunUnreadable:
        raise
    except RengoError as error:
        raise RunUnreadable(path=path, detail=f"config.yaml or plan.yaml: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RunUnreadable(path=path, detail="a file of its results is damaged or of another version") from error


def grouped(runs: Sequence[Run]) -> Iterator[Row]:
    """One row for each configuration, named after the settings in which the rows differ."""
    groups: list[list[Run]] = []
    for run in runs:
        same = next((group for group in groups if group[0].settings == run.settings), None)
        groups.append([run]) if same is None else same.append(run)
    keys = [
        key for key in groups[0][0].settings if any(g[0].settings[key] != groups[0][0].settings[key] for g in groups)
    ]
    for group in groups:
        settings = group[0].settings
        group = list({run.summary["seed"]: run for run in group}.values())  # the same seed again is the same run
        name = " ".join(f"{key}={settings[key]}" for key in keys) or str(settings["job"])
        yield Row(name, tuple(group), _judge(group))


def _judge(runs: Sequence[Run]) -> Verdict:
    """Over the test texts' mean losses. Raises RunUnreadable for runs over other texts."""
    first = runs[0]
    for run in runs:
        if run.arms["characters"] != first.arms["characters"] or run.arms["arms"].keys() != first.arms["arms"].keys():
            raise RunUnreadable(path=run.path, detail=f"other test texts or arms than {first.path}")
    members = range(len(first.arms["characters"]))
    mean = {
        arm: [np.mean([run.arms["arms"][arm]["test"][m] for run in runs], axis=0).tolist() for m in members]
        for arm in first.arms["arms"]
    }
    return judge(first.arms["characters"], mean, first.summary["member_ids"])


def bytes_sent(run: Run) -> list[float]:
    """By a member, up to and with each round that trains: total by those in the sum."""
    training = [line for line in run.rounds if "secure_vs_plain" in line]
    return [float(sent) for sent in np.cumsum([line["bytes_up"] / line["survivors"] for line in training])]


def _curve(run: Run) -> plots.Curve:
    losses = losses_by_round(run.rounds)
    sent = [0.0, *bytes_sent(run)]
    rounds = sorted(losses)
    return plots.Curve(rounds, [losses[r] - losses[rounds[0]] for r in rounds], [sent[r] / 1e6 for r in rounds])


def show(rows: Sequence[Row], output: Path, language: Language) -> None:
    """A table where there is room for one, else a few lines a row: no figure is ever cut."""
    words = {key: texts[language] for key, texts in _COLUMNS.items()}
    console = Screen()
    columns = list(_COLUMNS)[1:-2]
    cells = {row.name: dict(zip(columns, _cells(row), strict=True)) for row in rows}
    if console.width >= _ROOM:
        grid = Grid(title=words["title"])
        grid.add_column(words["run"], overflow="fold")
        for column in columns:
            grid.add_column(words[column], justify="right", no_wrap=True)
        for name, row in cells.items():
            grid.add_row(name, *row.values())
        console.print(grid)
    else:
        lines = [words["title"]]
        for name, row in cells.items():
            lines += ["", name]
            lines += [f"  {words[column]}: {text.replace(chr(10), '; ')}" for column, text in row.items() if text]
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    line = words["where"].format(path=f"{output}/compare.json, compare.png")
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _cells(row: Row) -> list[str]:
    """What stands in the columns behind the name."""
    bits = [
        "" if (mean := row.bits(arm)) is None else f"{mean:.3f}" for arm in ("base", "local", "federated", "pooled")
    ]
    shown = [_shown(row, name) for name in ("L_minus_F", "F_minus_P", "F_minus_plain")]
    counts = (
        f"{len(row.verdict.harmed)} / {len(row.verdict.undecided)}" if "L_minus_F" in row.verdict.differences else ""
    )
    return [str(len(row.runs)), f"{row.sent / 1e6:.2f}", *bits, *shown, counts]


def _shown(row: Row, name: str) -> str:
    """A difference with its interval, and the range of single seeds where there are several."""
    found = row.verdict.differences.get(name)
    if found is None:
        return ""
    text = f"{found.mean:+.3f}"
    if found.low is not None:
        text += f" ({found.low:+.3f} … {found.high:+.3f})"
    each = [run.summary["differences"][name]["mean"] for run in row.runs]
    return f"{text}\n{min(each):+.3f} … {max(each):+.3f}" if len(each) > 1 else text


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
