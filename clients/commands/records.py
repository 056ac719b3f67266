"""journal, data: what left this site, and what is read at it."""

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from clients import data_folders, data_report, extracted, journal_export, manifest, purging
from clients.commands.report import report
from clients.commands.site import HOME, YES, opened_journal
from clients.home import Home, NoMemberHere
from clients.ingest.files import FolderUnreachable, listed
from clients.ingest.marks import MARKS
from clients.journal import Journal, Sent, read_unverified
from clients.journal_errors import JournalDamaged
from clients.manifest import Manifest, NoManifest
from federation.commands import NotConfirmed, Printer, Result, Verb, confirmed, option
from federation.errors import DataFolderInvalid, Language, UsageError
from federation.output import disk_errors
from federation.process_lock import running
from federation.text import printable


def journal(options: argparse.Namespace, printer: Printer) -> Result | None:
    """Check the record of everything that left, or write it out. Also after leaving."""
    path = Home(options.home.absolute()).file("journal.sqlite")
    if not path.exists() and not Home(path.parent).file("member.toml").exists():
        raise NoMemberHere(path=path.parent)
    rows, damage = _rows(path)
    if options.what == "verify":
        if damage:
            raise damage
        return _verified(options, path, rows, printer.language)
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
    """What is read at this site, where, how, and what of it is not used; and what is kept of it."""
    home = Home(options.home.absolute())
    match options.what:
        case "report":
            return report(options, printer)
        case "add":
            return _added(home, options, printer.language)
        case "forget":
            return _forgotten(home, options.folders, printer.language)
        case "purge":
            return _purged(home, options, printer.language)
        case "where":
            if home.file(extracted.BEGUN).exists():
                with opened_journal(home) as journal:
                    purging.finish(home, journal)
            try:
                return _where(home, _files(home, printer), printer.language)
            except (FolderUnreachable, DataFolderInvalid) as error:  # what is kept is to be seen all the same
                away = Result({"files": [], "error": error.code}, error.text(printer.language), error.exit_code)
                return _where(home, away, printer.language)
    with disk_errors(home.path), extracted.opened(home) as texts:
        reading = extracted.read(home, texts, extracted.telling(replace(printer, aside=True))).reading
        folder = home.settings().folders[0]
        return data_report.sample(folder, reading, options.file, options.lines, printer.language)


def _where(home: Home, files: Result, language: Language) -> Result:
    """The files that are read, and what is kept of them in the member's folder."""
    sizes = extracted.sizes(home)
    kept = {name: {"files": count, "bytes": size} for name, (count, size) in sizes.items()}
    manifests = [str(path) for path in manifest.kept(home)]
    facts = {"folders": list(map(str, home.settings().folders)), "kept_in": str(extracted.folder(home)), "kept": kept}
    head, nothing, records = {
        "en": (
            "kept of them, for this user alone, until `rengo member data purge`:",
            "nothing is kept of them",
            "manifests, which stay (one for each job):",
        ),
        "ja": (
            "抽出済みデータ（このユーザーのみ閲覧可、`rengo member data purge` で削除）:",
            "抽出済みデータはありません",
            "学習データ台帳（削除されません）:",
        ),
    }[language]
    lines = [head if sizes else nothing]
    lines += [f"  {extracted.folder(home)}/{name}  {size:,} bytes" for name, (_, size) in sizes.items()]
    lines += [records, *(f"  {path}" for path in manifests)] if manifests else []
    return Result({**files.facts, **facts, "manifests": manifests}, "\n".join([files.text, *lines]), files.exit_code)


def _files(home: Home, printer: Printer) -> Result:
    """The files that are read and how. Before the first reading, and after a purge, where they are alone: to look where
    things are stores nothing then."""
    if not extracted.folder(home).exists():
        return _unread(home, printer.language)
    with disk_errors(home.path), extracted.opened(home) as texts:
        reading = extracted.read(home, texts, extracted.telling(replace(printer, aside=True))).reading
        return data_report.where(home.settings().folders[0], reading, printer.language)


def _unread(home: Home, language: Language) -> Result:
    """The files alone."""
    folders = home.settings().folders
    files = [{"file": f"{folder}/{name}", "as": ""} for folder in folders for name, _ in listed(folder).files]
    head = {"en": "not read yet, or purged:", "ja": "未読（または抽出済みデータを削除済み）:"}[language]
    return Result({"files": files}, "\n".join([head, *(f"  {printable(file['file'])}" for file in files)]))


def _added(home: Home, options: argparse.Namespace, language: Language) -> Result:
    if not options.folders:
        raise UsageError(
            detail="Which folder is to be added?", detail_ja="追加するフォルダーを指定してください。", command=_ADD
        )
    with opened_journal(home) as journal:
        known = data_folders.add(home, journal, options.folders, options.mark)
    marks = home.settings().default_marks
    listing = [f"  {folder}" + (f"  ({marks[folder]})" if folder in marks else "") for folder in known]
    now = running(home.path) is not None
    words = {
        "en": "\n".join(["Documents are read from:", *listing])
        + ("\nThe running member takes it up at its next start." if now else "")
        + "\nA job that has begun here goes on with the documents of then.",
        "ja": "\n".join(["文書を読み取るフォルダー:", *listing])
        + ("\n動作中の参加拠点には次回の起動時から反映されます。" if now else "")
        + "\n既に始まったジョブは、開始時の文書のまま続行します。",
    }[language]
    default = {str(folder): mark for folder, mark in marks.items()}
    return Result({"folders": list(map(str, known)), "unmarked": default}, words)


def _forgotten(home: Home, folders: list[Path], language: Language) -> Result:
    """What was read in `folders` counts as deleted where it is not there any more."""
    known = home.settings().folders
    places = [folder.absolute() for folder in folders]
    if not places or not all(any(place.is_relative_to(folder) for folder in known) for place in places):
        listing = ", ".join(map(str, known))
        raise UsageError(
            detail=f"Which folder is to be forgotten? It has to be one of {listing}, or in it.",
            detail_ja=f"{listing} またはその中のフォルダーを指定してください。",
            command="rengo member data forget",
        )
    with disk_errors(home.path), extracted.opened(home) as texts:
        files = sum(texts.forget(place) for place in places)
    words = {
        "en": f"{files} files are forgotten. Those that are still there are read as new ones; the others are deleted.",
        "ja": f"{files} ファイルの記録を消しました。残っているファイルは新規として読み、ほかは削除とみなします。",
    }[language]
    return Result({"files": files}, words)


def _purged(home: Home, options: argparse.Namespace, language: Language) -> Result:
    with opened_journal(home) as journal:
        question: Mapping[Language, str] = {
            "en": f"Remove all extracted text, token caches and samples in {extracted.folder(home)}?",
            "ja": f"{extracted.folder(home)} の抽出済みテキスト・トークン・サンプルをすべて削除しますか？",
        }
        if not confirmed(question, language, options.yes):
            raise NotConfirmed
        receipt, path = purging.purge(home, journal, options.although_open)
    size = f"{receipt.bytes:,}"
    words = {
        "en": f"Removed {receipt.files} files, {size} bytes. The documents themselves were not touched.\n"
        f"Receipt: {path} (its SHA-256 is in the journal). {len(receipt.manifests)} manifest(s) stay.",
        "ja": f"{receipt.files} ファイル、{size} バイトを削除しました。元の文書は変更していません。\n"
        f"削除証明: {path}（SHA-256 は送信記録簿に記録）。学習データ台帳 {len(receipt.manifests)} 件は残ります。",
    }[language]
    return Result({"receipt": str(path), **asdict(receipt)}, words)


def _verified(options: argparse.Namespace, path: Path, rows: list[Sent], language: Language) -> Result:
    facts = journal_export.verified(rows, path, options.head)
    lines = []
    if options.manifest is not None:
        found = _manifest(options.manifest)
        facts |= journal_export.naming(rows, path, found.digest, options.manifest) | {"job": found.head.job}
        words = {
            "en": "{manifest_file}: the manifest of job {job}, unchanged; rows {first_row} to {last_row} name it",
            "ja": "{manifest_file}: ジョブ {job} の学習データ台帳、改変なし（行 {first_row}～{last_row} に記録）",
        }[language]
        lines.append(words.format(manifest_file=options.manifest, **facts))
    note = options.head is None and facts["rows"]
    words = {
        "en": f"{path}: {facts['rows']} rows, unchanged. The last link is\n  {facts['head']}"
        + ("\nNote it elsewhere: `verify --head` then shows whether rows were cut off at the end." if note else ""),
        "ja": f"{path}: {facts['rows']} 行、改変はありません。最後の連鎖値:\n  {facts['head']}"
        + ("\n別の場所に控えてください。`verify --head` で末尾の削除を検出できます。" if note else ""),
    }[language]
    return Result(facts, "\n".join([words, *lines]))


def _manifest(path: Path) -> Manifest:
    """A manifest's file. Raises NoManifest."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NoManifest(path=path, detail=error.strerror) from error
    return manifest.parsed(path, data)


_ADD = "rengo member data add"

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
            option(
                "--manifest",
                type=Path,
                en="verify: a manifest of what a job trained on",
                ja="verify: 学習データ台帳のファイル",
            ),
        ),
    ),
    "data": Verb(
        "data",
        data,
        {
            "en": "which documents are read here, what is set aside, and what is kept of them",
            "ja": "読み取る文書・除外したもの・抽出済みデータの管理",
        },
        "rengo member data sample --file 手順書/点検.pdf --lines 20",
        (
            HOME,
            option(
                "what",
                choices=("add", "report", "where", "sample", "forget", "purge"),
                en="add DIR (a folder to read), report (counts), where (files and what is kept), sample (text), forget "
                "DIR (what is gone from it was deleted), purge (remove what is kept)",
                ja="add DIR（フォルダー追加）・report（集計）・where（ファイルと保存場所）・sample（本文の例）・"
                "forget DIR（見当たらないファイルを削除とみなす）・purge（抽出済みデータの削除）",
            ),
            option(
                "folders",
                metavar="DIR",
                nargs="*",
                type=Path,
                en="add, forget: folders; report: other folders, for a trial",
                ja="add・forget: 対象のフォルダー、report: 試しに読むフォルダー",
            ),
            option(
                "--mark",
                choices=(*MARKS, data_folders.UNMARKED),
                en="add: what files there without a mark of confidentiality count as; also for a folder that is read "
                "already",
                ja="add: 機密区分の表示がないファイルの既定の区分（登録済みのフォルダーにも指定できます）",
            ),
            option("--html", type=Path, en="report: a page, as a new file", ja="report: 報告ページの出力ファイル"),
            option("--file", en="sample: one file's text", ja="sample: 表示するファイル"),
            option("--lines", type=int, default=5, en="sample: lines a file (default 5)", ja="sample: 行数（既定 5）"),
            option(
                "--although-open",
                action="store_true",
                en="purge: also while a job is open",
                ja="purge: ジョブの実行中でも削除する",
            ),
            YES,
        ),
    ),
}
