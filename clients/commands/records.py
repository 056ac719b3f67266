"""journal, data: what left this site, and what is read at it."""

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from clients import data_report, journal_export
from clients.commands.report import report
from clients.commands.site import HOME
from clients.home import Home, NoMemberHere
from clients.ingest.preparing import prepared_documents
from clients.journal import Journal, JournalDamaged, Sent, read_unverified
from federation.commands import Printer, Result, Verb, option
from federation.errors import Language, UsageError
from federation.output import disk_errors


def journal(options: argparse.Namespace, printer: Printer) -> Result | None:
    """Check the record of everything that left, or write it out. Also after leaving."""
    path = Home(options.home.absolute()).file("journal.sqlite")
    if not path.exists() and not Home(path.parent).file("member.toml").exists():
        raise NoMemberHere(path=path.parent)
    rows, damage = _rows(path)
    if options.what == "verify":
        if damage:
            raise damage
        return _verified(options, path, journal_export.verified(rows, path, options.head), printer.language)
    result = _exported(options, rows, printer)
    if damage:  # it is written nevertheless: it is evidence
        raise damage
    return result


def _rows(path: Path) -> tuple[list[Sent], JournalDamaged | None]:
    """Everything in the journal, and what is wrong with it."""
    with disk_errors(path.parent):
        try:
            with contextlib.closing(Journal.existing(path)) as opened:  # and verified
                return opened.sent(), None
        except JournalDamaged as error:
            return read_unverified(path), error


def _exported(options: argparse.Namespace, rows: list[Sent], printer: Printer) -> Result | None:
    """Write to --out in --format; without a file to standard output, as JSON with --json."""
    if options.out is None and printer.as_json:
        print(json.dumps({"rows": [{"utc": row.utc} | journal_export.facts(row) for row in rows]}, ensure_ascii=False))
        return None
    written = journal_export.FORMATS[options.format](rows, printer.language)
    if options.out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(written)
        return None
    if options.out.exists():
        raise UsageError(
            detail=f"{options.out} exists already.",
            detail_ja=f"{options.out} は既に存在します。",
            command="rengo member journal",
        )
    with disk_errors(options.out.absolute()), options.out.open("xb") as file:
        file.write(written)
    words = {"en": f"{options.out}: {len(rows)} rows", "ja": f"{options.out}: {len(rows)} 行"}[printer.language]
    return Result({"file": str(options.out), "rows": len(rows)}, words)


def data(options: argparse.Namespace, printer: Printer) -> Result:
    """What is read at this site, where, how, and what of it is not used."""
    if options.what == "report":
        return report(options, printer)
    home = Home(options.home)
    folder = Path(home.settings().data)
    reading = prepared_documents(folder, permitted=home.policy().marks, personal=home.personal()).reading
    if options.what == "where":
        return data_report.where(folder, reading, printer.language)
    return data_report.sample(folder, reading, options.file, options.lines, printer.language)


def _verified(options: argparse.Namespace, path: Path, facts: Mapping[str, object], language: Language) -> Result:
    note = options.head is None and facts["rows"]
    words = {
        "en": f"{path}: {facts['rows']} rows, unchanged. The last link is\n  {facts['head']}"
        + ("\nNote it elsewhere: `verify --head` then shows whether rows were cut off at the end." if note else ""),
        "ja": f"{path}: {facts['rows']} 行、改変はありません。最後の連鎖値:\n  {facts['head']}"
        + ("\n別の場所に控えてください。`verify --head` で末尾の削除を検出できます。" if note else ""),
    }[language]
    return Result(facts, words)


VERBS = {
    "journal": Verb(
        "journal",
        journal,
        {"en": "check or write out the record of what left", "ja": "送信記録簿の検証・書き出し"},
        "rengo member journal export --format csv --out journal.csv --lang ja",
        (
            HOME,
            option(
                "what", choices=("export", "verify"), en="export or verify", ja="export（書き出し）か verify（検証）"
            ),
            option("--format", choices=tuple(journal_export.FORMATS), default="csv", en="default: csv", ja="既定: csv"),
            option("--out", type=Path, en="a new file (default: standard output)", ja="出力ファイル（既定: 標準出力）"),
            option("--head", en="verify: a link that was noted earlier", ja="verify: 以前に控えた連鎖値"),
        ),
    ),
    "data": Verb(
        "data",
        data,
        {"en": "what is read here, where, and what is set aside", "ja": "読み取るデータ・場所・除外したもの"},
        "rengo member data sample --file 手順書/点検.pdf --lines 20",
        (
            HOME,
            option(
                "what",
                choices=("report", "where", "sample"),
                en="report (counts), where (files) or sample (text)",
                ja="report（集計）・where（ファイル一覧）・sample（本文の例）",
            ),
            option(
                "folders",
                nargs="*",
                type=Path,
                en="report: other folders, for a trial",
                ja="report: 試しに読むフォルダー",
            ),
            option("--html", type=Path, en="report: a page, as a new file", ja="report: 報告ページの出力ファイル"),
            option("--file", en="sample: one file's text", ja="sample: 表示するファイル"),
            option("--lines", type=int, default=5, en="sample: lines a file (default 5)", ja="sample: 行数（既定 5）"),
        ),
    ),
}
