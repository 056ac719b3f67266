"""The report on a site's data as a page: one file that fetches nothing, for the people who permit the data's use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jinja2

from clients.data_report import UNSURE, Report, kind_text
from clients.ingest.personal.kinds import KINDS
from federation.errors import Language
from federation.text import printable, printable_lines

_MOST_ROWS = 2_000  # of one table, for a browser's sake; --json has them all

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("What is read for training", "学習データの読み取り報告"),
    "stays": (
        "Made on this machine, from files that stay on it. The samples show private text.",
        "この端末で作成した報告です。元のファイルは社外に出ません。本文の例には社内情報が含まれます。",
    ),
    "files": ("files", "ファイル"),
    "used": ("used", "使用"),
    "set_aside": ("set aside", "除外"),
    "chars": ("characters", "文字"),
    "records": ("records", "レコード"),
    "tokens": ("tokens", "トークン"),
    "tokens_a_char": ("tokens a character", "トークン／文字"),
    "near_duplicates": ("near-duplicates", "ほぼ同じ文書"),
    "kind": ("kind", "種類"),
    "kinds": ("By kind and encoding", "種類・文字コード別"),
    "samples": ("Samples", "本文の例"),
    "reasons": ("Why files were set aside", "除外の理由"),
    "aside": ("Set aside", "除外したファイル"),
    "reason": ("reason", "理由"),
    "file": ("file", "ファイル"),
    "unsure": ("Encoding not certain", "文字コードの判定が不確かなファイル"),
    "encoding": ("encoding", "文字コード"),
    "confidence": ("confidence", "確信度"),
    "redactions": ("Personal and secret data", "個人情報・秘密情報"),
    "finds": ("finds", "か所"),
    "documents": ("documents", "文書"),
    "mode": ("mode", "処置"),
    "left_out": ("Not in the text", "本文に含めていないもの"),
    "by_folder": ("Not used, by folder", "使用していないもの（フォルダー別）"),
    "folder": ("folder", "フォルダー"),
    "count": ("count", "件数"),
    "what": ("what", "内容"),
    "all": ("Files used", "使用したファイル"),
    "first": ("The first {shown} of {all}; --json has them all.", "{all} 件のうち先頭 {shown} 件（--json に全件）。"),
}


@dataclass(frozen=True)
class _Table:
    """`numbers`: which columns hold some."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    note: str = ""


def page(report: Report, samples: Mapping[str, str], language: Language) -> str:
    """HTML. `samples`: name -> the beginning of its text.

    What files say and are called was written by anybody: everything is escaped, and the page permits no script.
    """
    word = {name: words[language == "ja"] for name, words in _WORDS.items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("clients", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    longest = max((kind.chars for kind in report.kinds(language).values()), default=0) or 1
    return environment.get_template("report.html.jinja").render(
        language=language,
        word=word,
        folders=[printable(str(folder)) for folder in report.folders],
        figures=[(word[name], _figure(value)) for name, value in report.totals().items() if name in word],
        kinds=[
            (name, _figure(kind.files), _figure(kind.chars), round(100 * kind.chars / longest))
            for name, kind in report.kinds(language).items()
        ],
        tables=[table for table in _tables(report, word, language) if table.rows],
        samples=[(printable(name), printable_lines(text)) for name, text in samples.items()],
    )


def _tables(report: Report, word: Mapping[str, str], language: Language) -> list[_Table]:
    used, aside = report.used, report.set_aside
    by_reason = [(reason, _figure(count)) for reason, count in report.reasons(language).most_common()]
    return [
        _Table(word["reasons"], (word["reason"], word["count"]), by_reason, (1,)),
        _Table(
            word["redactions"],
            (word["kind"], word["finds"], word["documents"], word["mode"]),
            [
                (KINDS[each.kind].text(language), _figure(each.finds), _figure(each.documents), each.done(language))
                for each in report.redactions
            ],
            (1, 2),
        ),
        _shortened(
            word,
            "aside",
            (word["file"], word["reason"]),
            [(file.path, file.told(language)) for file in aside],
        ),
        _shortened(
            word,
            "unsure",
            (word["file"], word["encoding"], word["confidence"]),
            [(file.path, file.encoding, f"{file.sure:.2f}") for file in used if file.sure < UNSURE],
        ),
        _shortened(
            word,
            "left_out",
            (word["file"], word["what"]),
            [(file.path, part.text(language)) for file in used for part in file.left_out],
        ),
        _shortened(
            word,
            "by_folder",
            (word["folder"], word["what"], word["count"]),
            [
                (folder, what, _figure(count))
                for folder, parts in report.left_out_by_folder(language).items()
                for what, count in parts.most_common()
            ],
            (2,),
        ),
        _shortened(
            word,
            "all",
            (word["file"], word["kind"], word["encoding"], word["records"], word["chars"]),
            [
                (file.path, kind_text(file.kind, language), file.encoding, _figure(file.records), _figure(file.chars))
                for file in used
            ],
            (3, 4),
        ),
    ]


def _shortened(
    word: Mapping[str, str],
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Sequence[int] = (),
) -> _Table:
    shown = [[printable(cell) for cell in row] for row in rows[:_MOST_ROWS]]
    cut = len(rows) > _MOST_ROWS
    note = word["first"].format(shown=_figure(len(shown)), all=_figure(len(rows))) if cut else ""
    return _Table(word[title], headings, shown, numbers, note)


def _figure(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
