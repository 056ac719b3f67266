"""compare.html: a comparison as one file that needs nothing else, no network and no script."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from aggregator.simulate.compare_probes import FIGURES, GENERAL, probed, what
from aggregator.simulate.compare_words import WORDS, shown_difference, shown_interval
from aggregator.simulate.differences import PAIRS
from aggregator.simulate.rows import ARMS, Part, Row, varied
from aggregator.simulate.runs import Run
from federation.errors import Language
from federation.text import printable

_MOST_DOMAINS = 6


@dataclass(frozen=True)
class _Table:
    """`words`: how many columns from the left hold text and not figures. `folded`: shown when it is asked for."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: int = 1
    folded: bool = False


def page(parts: Sequence[Part], pictures: Sequence[Path], unfinished: Sequence[Path], language: Language) -> str:
    """HTML. `pictures`: of each part, PNG. Settings and folders may be called anything: all of it is escaped."""
    word = {name: texts[language] for name, texts in WORDS.items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("aggregator.simulate", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    warnings = [word["apart"].format(parts=len(parts))] if len(parts) > 1 else []
    runs = [run for part in parts for row in part.rows for run in row.runs]
    if any(_made(run) != _made(runs[0]) for run in runs):
        warnings.append(word["machines"])
    if unfinished:
        warnings.append(word["unfinished"].format(runs=", ".join(printable(str(path)) for path in unfinished)))
    shown = [
        {
            "title": word["part"].format(model=part.base_model, text=part.test_text),
            "picture": base64.b64encode(picture.read_bytes()).decode(),
            "before": [_arms(part, word), _differences(part, word)],
            "after": [table for table in _further(part, word) if table.rows],
        }
        for part, picture in zip(parts, pictures, strict=True)
    ]
    template = environment.get_template("compare.html.jinja")
    return template.render(language=language, word=word, warnings=warnings, parts=shown)


def _made(run: Run) -> tuple[object, object]:
    return run.summary["machine"], run.summary["versions"]


def _arms(part: Part, word: dict[str, str]) -> _Table:
    arms = [arm for arm in ARMS if any(row.bits(arm) is not None for row in part.rows)]
    headings = [word[name] for name in ("run", "seed", *arms, "sent", "tokens", "trained")]
    rows = []
    for row in part.rows:
        bits = [_figure(row.bits(arm)) for arm in arms]
        cost = [f"{row.megabytes:.2f}", f"{row.mean('trained_tokens'):,.0f}", f"{row.mean('seconds', 'train'):,.0f}"]
        rows.append([_name(row), ", ".join(map(str, row.seeds)), *bits, *cost])
    return _Table(word["arms"], headings, rows, word["arms_note"])


def _differences(part: Part, word: dict[str, str]) -> _Table:
    names, first = [name for name in PAIRS if any(name in row.verdict.differences for row in part.rows)], part.rows[0]
    several = len(part.rows) > 1
    keys = ["run", *names, *(["against"] if several else []), "closure", "harmed"]
    rows = []
    for row in part.rows:
        verdict, against = row.verdict, row.against(first) if row is not first else None
        cells = [_name(row), *(_stacked(shown_difference(row, name)) + _by_size(row, name, word) for name in names)]
        if several:
            cells.append(_stacked(shown_interval(against)) if against else "")
        closure = _figure(verdict.closure) or word["not_estimable"]
        cells.append(closure if "L_minus_P" in verdict.differences else "")
        cells.append(f"{len(verdict.harmed)} / {len(verdict.undecided)}" if "L_minus_F" in verdict.differences else "")
        rows.append(cells)
    return _Table(word["differences"], [word[key] for key in keys], rows, word["differences_note"])


def _by_size(row: Row, name: str, word: dict[str, str]) -> str:
    """Far from the mean where large and small members fare differently."""
    found = row.verdict.differences.get(name)
    return f"\n{word['by_size']} {found.by_size:+.3f}" if found else ""


def _further(part: Part, word: dict[str, str]) -> list[_Table]:
    settings = [row.first.settings for row in part.rows]
    keys = varied(settings)
    differing = [[key, *(printable(str(each.get(key, ""))) for each in settings)] for key in keys]
    same = [[key, printable(str(value))] for key, value in settings[0].items() if key not in keys]
    who = [
        [_name(row), ", ".join(row.verdict.harmed), ", ".join(row.verdict.undecided)]
        for row in part.rows
        if row.verdict.harmed or row.verdict.undecided
    ]
    headings = [word["setting"], *map(_name, part.rows)]
    return [
        _leaving_out(part, word),
        _probes(part, word),
        _Table(word["settings"], headings, differing, words=len(headings)),
        _Table(word["same"], [word["setting"], word["value"]], same, words=2, folded=True),
        _Table(
            word["who"], [word[k] for k in ("run", "harmed_members", "undecided_members")], who, words=3, folded=True
        ),
        _runs(part, word),
    ]


def _leaving_out(part: Part, word: dict[str, str]) -> _Table:
    asked = ("L_minus_F", "L_minus_Fplus", "F_minus_P")
    names = [name for name in asked if all(name in row.verdict.differences for row in part.rows)]
    rows = []
    for row in part.rows if names else ():
        found = {name: row.leaving_out(name) for name in names}
        domains = sorted(found[names[0]], key=lambda domain: found[names[0]][domain].mean)
        for domain in domains if len(domains) <= _MOST_DOMAINS else (domains[0], domains[-1]):
            rows.append([_name(row), printable(domain), *(shown_interval(found[name][domain]) for name in names)])
    headings = [word[name] for name in ("run", "without", *names)]
    return _Table(word["leaving"], headings, rows, word["leaving_note"], words=2)


def _probes(part: Part, word: dict[str, str]) -> _Table:
    """A line for each row and arm; figures that nobody has are left out."""
    found = [(row, arm, figures) for row in part.rows for arm, figures in probed(row).items()]
    names = [name for name in (*FIGURES, GENERAL) if any(name in figures for _, _, figures in found)]
    rows = [
        [_name(row), word[arm], what(row), *(_probe(name, figures.get(name)) for name in names)]
        for row, arm, figures in found
    ]
    headings = [word[name] for name in ("run", "arm", "asked", *(f"probe_{name}" for name in names))]
    return _Table(word["probes"], headings, rows, word["probes_note"], words=3)


def _probe(name: str, value: float | None) -> str:
    if value is None or name in ("bits_per_character", GENERAL, "character_f1"):
        return _figure(value)
    return f"{value:.1%}"


def _runs(part: Part, word: dict[str, str]) -> _Table:
    keys = ("run", "folder", "machine", "versions", "adapter", "seed", "kept", "total")
    rows = []
    for row in part.rows:
        for run in row.runs:
            summary = run.summary
            machine = "{processor}, {cores} cores, {system}".format(**summary["machine"])
            versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
            made = [printable(each) for each in (str(run.path), machine, versions)]
            figures = [str(run.seed), str(summary["chosen_round"]), f"{summary['seconds']['total']:,.0f}"]
            rows.append([_name(row), *made, str(summary["adapter_sha256"])[:12], *figures])
    return _Table(word["runs"], [word[key] for key in keys], rows, words=5)


def _stacked(text: str) -> str:
    """The interval below its mean: seven columns of them have to fit on a page."""
    return text.replace(" (", "\n(")


def _name(row: Row) -> str:
    return printable(row.name)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
