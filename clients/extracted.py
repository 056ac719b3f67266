"""What a member keeps of its documents' text: one folder in its home, for its owner alone, that can be thrown away.

texts.sqlite    the text of each document (clients/ingest/store.py)
tokens/         what it is as tokens, for one tokenizer and length
report.html, samples/   what people asked to see
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from clients import policy_file
from clients.home import Home
from clients.ingest import Pace, Texts, read_folders
from clients.ingest.pace import Progress, untold
from clients.ingest.preparing import Prepared, prepared
from federation.commands import Printer, Words

FOLDER = "extracted"

_WORDS: dict[str, Words] = {
    "reading": {
        "en": "reading documents: {files:,} of {files_in_all:,} files, {mb:,.0f} of {mb_in_all:,.0f} MB; {left} left",
        "ja": "文書を読み取り中: {files:,}/{files_in_all:,} ファイル、{mb:,.0f}/{mb_in_all:,.0f} MB（残り {left}）",
    },
    "paused": {
        "en": "reading is paused until the hours of member.toml (read_hours); {files_in_all:,} files are to be read",
        "ja": "member.toml の read_hours の時間帯まで読み取りを休止します（対象 {files_in_all:,} ファイル）",
    },
}


def folder(home: Home) -> Path:
    """Where it is."""
    return home.file(FOLDER)


def opened(home: Home) -> Texts:
    """The site's store of texts. Raises NoMemberHere or TextsUnreadable."""
    home.settings()
    return Texts(folder(home) / "texts.sqlite")


def read(home: Home, texts: Texts, tell: Callable[[Progress], None] = untold) -> Prepared:
    """This site's documents as its folders are now, by its settings and policy. Raises as `read_folders` and `prepared`
    do."""
    settings = home.settings()
    hours = policy_file.hours(settings.read_hours)
    pace = Pace(settings.read_mb_per_s * 1e6, hours.__contains__ if hours else None, tell)
    reading = read_folders(settings.folders, texts, permitted=home.policy().marks, pace=pace)
    return prepared(reading, home.personal())


def telling(printer: Printer) -> Callable[[Progress], None]:
    """Progress, for `read`, as lines of `printer`."""

    def tell(progress: Progress) -> None:
        event = "paused" if progress.paused else "reading"
        facts = {"files": progress.files, "files_in_all": progress.files_in_all}
        sizes = {"mb": progress.bytes / 1e6, "mb_in_all": progress.bytes_in_all / 1e6}
        seconds = round(progress.seconds_left)
        left = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        printer.line(event, _WORDS[event], **facts, **sizes, left=left)

    return tell


def sizes(home: Home) -> dict[str, tuple[int, int]]:
    """(files, bytes) of each thing in the folder, by its name."""
    found = {}
    for path in sorted(folder(home).iterdir()) if folder(home).is_dir() else ():
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        found[path.name] = len(files), sum(file.stat().st_size for file in files)
    return found


def remove(home: Home) -> None:
    """Remove the folder and all that is in it."""
    if folder(home).exists():
        shutil.rmtree(folder(home))
