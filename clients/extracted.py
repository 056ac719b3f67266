"""What a member keeps of its documents' text: one folder in its home, for its owner alone, that can be thrown away.

texts.sqlite    the text of each document (clients/ingest/store.py)
tokens/         what it is as tokens, for one tokenizer and length
report.html     what `data report` found, for a browser; personal-review.txt: the personal and secret data in it
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from clients import policy_file
from clients.home import Home
from clients.ingest import Pace, Texts, read_folders
from clients.ingest.pace import Progress, untold
from clients.ingest.preparing import Prepared, prepared
from federation.commands import Printer, Words
from federation.errors import RengoError
from federation.output import remove_if_empty
from federation.process_lock import locked, shared

FOLDER = "extracted"
BEGUN = "receipts/begun.json"
"""The receipt of a purge that has begun and not ended: as long as it is there, nothing new is kept."""
_LOCK = "extracted.lock"

_WORDS: dict[str, Words] = {
    "reading": {
        "en": "reading documents: {files:,} of {files_in_all:,} files, {mb:,.0f} of {mb_in_all:,.0f} MB; {left} left",
        "ja": "文書を読み取り中: {files:,}/{files_in_all:,} ファイル、{mb:,.0f}/{mb_in_all:,.0f} MB（残り {left}）",
    },
    "cleaning": {
        "en": "cleaning texts: {files:,} of {files_in_all:,} documents; {left} left",
        "ja": "文字を整理中: {files:,}/{files_in_all:,} 文書（残り {left}）",
    },
    "masking": {
        "en": "masking personal and secret data: {files:,} of {files_in_all:,} documents; {left} left",
        "ja": "個人情報・秘密情報を伏せ字化中: {files:,}/{files_in_all:,} 文書（残り {left}）",
    },
    "comparing": {
        "en": "looking for repeated texts: {files:,} of {files_in_all:,} documents; {left} left",
        "ja": "重複する文を検索中: {files:,}/{files_in_all:,} 文書（残り {left}）",
    },
    "tokens": {
        "en": "cutting texts into tokens: {files:,} of {files_in_all:,} documents; {left} left",
        "ja": "トークンに分割中: {files:,}/{files_in_all:,} 文書（残り {left}）",
    },
    "paused": {
        "en": "reading is paused until the hours of member.toml (read_hours); {files_in_all:,} files are to be read",
        "ja": "member.toml の read_hours の時間帯まで読み取りを休止します（対象 {files_in_all:,} ファイル）",
    },
}


class ExtractedInUse(RengoError):
    """Another `rengo member` command is at work in {path}, such as a report or a purge. Nothing was changed. Wait for
    its end, and try again."""

    ja = (
        "別の `rengo member` コマンド（報告や削除など）が {path} を使用中です。何も変更していません。"
        "終了してから、もう一度実行してください。"
    )
    exit_code = 9


class ExtractedIsLink(RengoError):
    """{path}, where this site keeps the text of its documents, is a link. What it leads to may be anybody's: nothing is
    kept there, and nothing removed. Remove the link and what is at its end; another disk can be mounted at {path}."""

    ja = (
        "抽出済みデータの保存先 {path} がリンクになっています。リンク先には保存も削除も行いません。"
        "リンクとリンク先の内容を削除してください。別のディスクを使う場合は {path} にマウントしてください。"
    )
    exit_code = 2


class PurgeUnfinished(RengoError):
    """A purge of {path} was interrupted. Nothing is read until it is finished: `rengo member data purge`."""

    ja = (
        "{path} の抽出済みデータの削除が途中で中断されています。"
        "`rengo member data purge` で削除を完了するまで、文書は読み取りません。"
    )
    exit_code = 9


def folder(home: Home) -> Path:
    """Where it is."""
    return home.file(FOLDER)


@contextlib.contextmanager
def in_use(home: Home) -> Iterator[None]:
    """Hold this while something is written there: nobody removes it meanwhile. Raises NoMemberHere, ExtractedInUse,
    ExtractedIsLink or PurgeUnfinished."""
    home.settings()
    _require_no_link(home)
    with contextlib.ExitStack() as held:
        _hold(held, shared(home.path, _LOCK), home)
        if home.file(BEGUN).exists():
            raise PurgeUnfinished(path=folder(home))
        yield


@contextlib.contextmanager
def unused(home: Home) -> Iterator[None]:
    """Hold this while it is removed: nobody writes there meanwhile. Raises ExtractedInUse or ExtractedIsLink."""
    _require_no_link(home)
    with contextlib.ExitStack() as held:
        _hold(held, locked(home.path, _LOCK), home)
        yield


@contextlib.contextmanager
def opened(home: Home) -> Iterator[Texts]:
    """The site's store of texts. Raises what `in_use` raises, and TextsUnreadable."""
    with in_use(home), Texts(folder(home) / "texts.sqlite") as texts:
        yield texts


def read(home: Home, texts: Texts, tell: Callable[[Progress], None] = untold) -> Prepared:
    """This site's documents as its folders are now, by its settings and policy. Raises as `read_folders` and `prepared`
    do."""
    settings = home.settings()
    hours = policy_file.hours(settings.read_hours)
    pace = Pace(settings.read_mb_per_s * 1e6, hours.__contains__ if hours else None, tell)
    permitted, unmarked = home.policy().marks, settings.default_marks
    reading = read_folders(settings.folders, texts, permitted=permitted, pace=pace, unmarked=unmarked)
    personal, digest = home.personal_with_digest()
    return prepared(replace(reading, settings={**reading.settings, **digest}), personal, tell)


def telling(printer: Printer) -> Callable[[Progress], None]:
    """Progress, of `read` and of what follows it, as lines of `printer`."""

    def tell(progress: Progress) -> None:
        event = "paused" if progress.paused else progress.step
        facts = {"files": progress.files, "files_in_all": progress.files_in_all}
        sizes = {"mb": progress.bytes / 1e6, "mb_in_all": progress.bytes_in_all / 1e6}
        seconds = round(progress.seconds_left)
        left = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        printer.line(event, _WORDS[event], **facts, **sizes, left=left)

    return tell


def sizes(home: Home) -> dict[str, tuple[int, int]]:
    """(files, bytes) of each thing in the folder, by its name. A link counts as itself, not as what it leads to."""
    found = {}
    for path in sorted(folder(home).iterdir()) if folder(home).is_dir() else ():
        below = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
        files = [file for file in below if file.is_symlink() or not file.is_dir()]
        found[path.name] = len(files), sum(file.lstat().st_size for file in files)
    return found


def remove(home: Home) -> None:
    """Remove the folder and all that is in it. The folder itself stays where a disk is mounted at it."""
    for path in folder(home).iterdir() if folder(home).is_dir() else ():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    remove_if_empty(folder(home))


def _hold(held: contextlib.ExitStack, lock: contextlib.AbstractContextManager[None], home: Home) -> None:
    try:
        held.enter_context(lock)
    except BlockingIOError as error:
        raise ExtractedInUse(path=folder(home)) from error


def _require_no_link(home: Home) -> None:
    for path in (folder(home), *folder(home).glob("texts.sqlite*"), folder(home) / "tokens"):
        if path.is_symlink():
            raise ExtractedIsLink(path=path)
