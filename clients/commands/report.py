"""`rengo member data report`: what reading a site's folders finds, as text, JSON and a page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from clients import data_report, report_page
from clients.home import Home, write
from clients.ingest import Reading, read_documents
from clients.ingest.parser import Parser
from clients.splits import families
from federation.commands import Printer, Result
from federation.errors import UsageError
from federation.output import disk_errors

_LINES = 12  # of each sample on the page


def report(options: argparse.Namespace, printer: Printer) -> Result:
    """Of this member's folder; or of others, for a trial before there is a member."""
    home = Home(options.home)
    joined = home.file("member.toml").exists() or not options.folders
    folders = [folder.absolute() for folder in options.folders] or [Path(home.settings().data)]
    if options.html is not None:
        _require_new(options.html.absolute(), folders)
    with Parser() as parser:
        permitted = home.policy().marks if joined else frozenset[str]()
        readings = [read_documents(folder, parser, permitted) for folder in folders]
    measured = {"near_duplicates": _near_duplicates(readings)} | (_tokens(home, readings) if joined else {})
    found = data_report.report(folders, readings, measured)
    result = data_report.told(found, printer.language)
    if options.html is None:
        return result
    samples = {
        document.name: "\n".join(data_report.beginning(document, _LINES))
        for reading in readings
        for document in data_report.sampled(reading)
    }
    with disk_errors(options.html.absolute()):
        write(options.html, report_page.page(found, samples, printer.language).encode())
    return Result({**result.facts, "page": str(options.html)}, f"{result.text}\n{options.html}")


def _near_duplicates(readings: Sequence[Reading]) -> int:
    """Documents that are a version of another one in any of the folders."""
    documents = [document for reading in readings for document in reading.documents]
    return len(documents) - len(families(documents))


def _tokens(home: Home, readings: Sequence[Reading]) -> dict[str, float]:
    """By the tokenizer of this member's base model."""
    from clients.loading import model_folder  # torch takes seconds, and a trial does not need it
    from clients.trainer import LocalTokenizer

    tokenizer = LocalTokenizer(model_folder(home.settings()))
    texts = [document.text for reading in readings for document in reading.documents]
    tokens, chars = sum(len(tokenizer.encode(text)) for text in texts), sum(map(len, texts))
    return {"tokens": tokens, "tokens_a_char": tokens / chars}


def _require_new(page: Path, folders: Sequence[Path]) -> None:
    """No file is written over, and none into a folder of data. Raises UsageError."""
    inside = next((folder for folder in folders if page.resolve().is_relative_to(folder.resolve())), None)
    if inside is not None or page.exists():
        en, ja = (
            (f"{page} exists already.", f"{page} は既に存在します。")
            if inside is None
            else (f"{page} is in {inside}, where nothing is written.", f"{page} は読み取り専用の {inside} の中です。")
        )
        raise UsageError(detail=en, detail_ja=ja, command="rengo member data")
