"""`rengo member data report`: what reading a site's folders finds, as text, JSON and a page."""

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clients import data_report, extracted, report_page
from clients.home import Home, write
from clients.ingest import Reading
from clients.ingest.changes import of_all
from clients.ingest.parser import Parser
from clients.ingest.personal import review
from clients.ingest.personal.settings import DEFAULT_SETTINGS
from clients.ingest.preparing import Prepared, prepared_documents
from clients.splits import families
from clients.token_cache import LIBRARIES
from federation import base_model
from federation.commands import Printer, Result
from federation.errors import Language, UsageError
from federation.output import OutputNotWritable, disk_errors

_PAGE = "report.html"  # among what is kept of documents
_LINES = 12  # of each sample on the page


def report(options: argparse.Namespace, printer: Printer) -> Result:
    """Of this member's folders; or of others, for a trial before there is a member."""
    home = Home(options.home.absolute())
    joined = home.file("member.toml").exists() or not options.folders
    folders = [folder.absolute() for folder in options.folders] or list(home.settings().folders)
    aside = replace(printer, aside=True)
    if options.html is not None:
        _require_new(options.html.absolute(), folders)
    with contextlib.ExitStack() as opened:
        if joined:
            opened.enter_context(disk_errors(home.path))
            opened.enter_context(extracted.in_use(home))  # until the page is written
        if options.folders:
            site = (home.policy().marks, home.personal()) if joined else (frozenset[str](), DEFAULT_SETTINGS)
            parser, tell = opened.enter_context(Parser()), extracted.telling(aside)
            defaults = home.settings().default_marks if joined else {}
            marks = [_default_mark(each, defaults) for each in folders]
            prepared = [
                prepared_documents(each, parser, *site, mark, tell) for each, mark in zip(folders, marks, strict=True)
            ]
        else:
            texts = opened.enter_context(extracted.opened(home))
            prepared = [extracted.read(home, texts, extracted.telling(aside))]
        readings = [each.reading for each in prepared]
        measured = {"near_duplicates": _near_duplicates(readings)} | (_tokens(home, readings) if joined else {})
        found = data_report.report(folders, readings, measured)
        result = data_report.told(found, printer.language)
        if joined:
            result = _with_review(result, home, prepared, printer.language)
        page = options.html or (None if options.folders else extracted.folder(home) / _PAGE)
        if page is None:
            return result
        samples = {
            document.name: "\n".join(data_report.beginning(document, _LINES))
            for reading in readings
            for document in data_report.sampled(reading)
        }
        _write_page(page, report_page.page(found, samples, printer.language))
    return Result({**result.facts, "page": str(page)}, f"{result.text}\n{page}")


def _default_mark(folder: Path, defaults: Mapping[Path, str]) -> str:
    """What files without a mark count as in a folder that is, or lies in, one of the member's."""
    return next((mark for known, mark in defaults.items() if folder.resolve().is_relative_to(known.resolve())), "")


def _with_review(result: Result, home: Home, prepared: Sequence[Prepared], language: Language) -> Result:
    """The report, with the name of the review file, which alone says what was found of personal and secret data."""
    path = extracted.folder(home) / review.NAME
    sightings = [sighting for each in prepared for sighting in each.sightings]
    with disk_errors(home.path):
        write(path, review.text(of_all(each.reading.redactions for each in prepared), sightings, language).encode())
    words = {
        "en": f"each of them, for you to check: {path} (holds the data itself)",
        "ja": f"確認用の一覧: {path}（個人情報そのものを含みます）",
    }[language]
    return Result({**result.facts, "review": str(path)}, f"{result.text}\n{words}")


def _near_duplicates(readings: Sequence[Reading]) -> int:
    """Documents that are a version of another one in any of the folders."""
    documents = [document for reading in readings for document in reading.documents]
    return len(documents) - len(families(documents))


def _tokens(home: Home, readings: Sequence[Reading]) -> dict[str, float]:
    """By the tokenizer of this member's base model."""
    from clients.loading import model_folder  # torch takes seconds, and a trial does not need it
    from clients.trainer import LocalTokenizer

    folder = model_folder(home.settings())
    tokenizer = LocalTokenizer(folder)
    of = repr((base_model.tokenizer_digest(folder), LIBRARIES))
    documents = [document for reading in readings for document in reading.documents]
    # One text at a time in memory, and none whose tokens were counted before.
    tokens = sum(int(d.derived("tokens", lambda text: b"%d" % len(tokenizer.encode(text)), of)) for d in documents)
    chars = sum(document.characters for document in documents)
    return {"tokens": tokens, "tokens_a_char": tokens / chars}


def _write_page(page: Path, html: str) -> None:
    """Raises OutputNotWritable."""
    with disk_errors(page.absolute()):
        try:
            write(page, html.encode())
        except FileNotFoundError as error:  # its folder is there and takes no file, as /proc
            detail, detail_ja = "no file can be made there", "そこにはファイルを作成できません"
            raise OutputNotWritable(path=page, detail=detail, detail_ja=detail_ja) from error


def _require_new(page: Path, folders: Sequence[Path]) -> None:
    """No file is written over, and none into a folder of data. Raises UsageError."""
    if not page.parent.is_dir():
        raise UsageError(
            detail=f"There is no folder {page.parent} for the page.",
            detail_ja=f"出力先フォルダー {page.parent} がありません。",
            command="rengo member data",
        )
    inside = next((folder for folder in folders if page.resolve().is_relative_to(folder.resolve())), None)
    if inside is not None or page.exists():
        en, ja = (
            (f"{page} exists already.", f"{page} は既に存在します。")
            if inside is None
            else (f"{page} is in {inside}, where nothing is written.", f"{page} は読み取り専用の {inside} の中です。")
        )
        raise UsageError(detail=en, detail_ja=ja, command="rengo member data")
