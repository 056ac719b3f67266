"""`rengo member data add`: another folder of documents in member.toml, and nothing else of that file changed."""

import getpass
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from clients.home import Home, write
from clients.ingest import require_opened
from clients.journal import Departure, Journal
from federation import settings
from federation.errors import RengoError
from federation.process_lock import alone
from federation.text import is_printable

UNMARKED = "none"
"""In place of a mark: files without one are used."""
_LOCK = "member.toml.lock"


class FolderNotAdded(RengoError):
    """{path} was not added: {detail}. Nothing was changed."""

    ja = "{path} を追加できません: {detail_ja}。何も変更していません。"
    exit_code = 2


def add(home: Home, journal: Journal, folders: Sequence[Path], mark: str | None = None) -> tuple[Path, ...]:
    """Write `folders` into member.toml, beside those that are there; all of them. `mark`: what files in them that bear
    none count as bearing, or UNMARKED; with it, a folder may be there already. Raises DataFolderInvalid when one cannot
    be opened, and FolderNotAdded."""
    with alone(home.path, _LOCK):
        return _add(home, journal, folders, mark)


def _add(home: Home, journal: Journal, folders: Sequence[Path], mark: str | None) -> tuple[Path, ...]:
    settings = home.settings()
    known, marks = list(settings.folders), settings.default_marks
    added = [folder.absolute() for folder in folders]
    for folder in added:
        require_opened(folder)
        if mark is None or folder not in known:
            _require_apart(folder, known, home)
            known.append(folder)
        if mark is not None:
            _require_markable(folder)
            marks |= {folder: mark}
    path = home.file("member.toml")
    before = path.read_bytes()
    after = _with_list(path, before, "data", [str(folder) for folder in known])
    unmarked = [f"{folder} = {each}" for folder, each in marks.items() if each != UNMARKED]
    if mark is not None:
        after = _with_list(path, after, "unmarked", unmarked)
    write(path, after)
    note = f"added {', '.join(map(str, added))}; by {getpass.getuser()}"
    if mark is not None:
        note += f"; files without a mark count as {mark}"
    journal.record(Departure("", ("data",), "", 0, hashlib.sha256(after).digest(), note=note))
    return tuple(known)


def _require_markable(folder: Path) -> None:
    """A line of `unmarked` is cut at its last = and its blanks."""
    if str(folder) != str(folder).strip():
        words = "a folder whose name ends in a blank cannot have a mark of its own", "名前の末尾に空白があります"
        raise FolderNotAdded(path=ascii(str(folder)), detail=words[0], detail_ja=words[1])


def _require_apart(folder: Path, known: Sequence[Path], home: Home) -> None:
    """No file is read twice, nor any of the member's own."""
    real = folder.resolve()
    if not is_printable(str(folder)):
        detail, detail_ja = "its path cannot be written into member.toml", "パスを member.toml に記述できません"
        raise FolderNotAdded(path=ascii(str(folder)), detail=detail, detail_ja=detail_ja)
    if _overlap(real, home.path.resolve()):
        words = "the member's own folder is in it, or it in that", "参加拠点のフォルダーと重なります"
        raise FolderNotAdded(path=folder, detail=words[0], detail_ja=words[1])
    for other in known:
        if _overlap(real, other.resolve()):
            words = f"{other} is read already", f"{other} は登録済みです（同一または上下のフォルダー）"
            raise FolderNotAdded(path=folder, detail=words[0], detail_ja=words[1])


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _with_list(path: Path, before: bytes, key: str, entries: list[str]) -> bytes:
    """The file with another line `key`; a new one goes to the top. Raises FolderNotAdded where a person wrote it over
    several lines."""
    listing = ", ".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    line, text, was = f"{key:8} = [{listing}]", before.decode("utf-8-sig"), settings.parse_toml(path, before)
    found = re.search(rf"^[ \t]*{key}[ \t]*=.*$", text, re.MULTILINE)
    after = f"{line}\n{text}" if found is None else f"{text[: found.start()]}{line}{text[found.end() :]}"
    if (found is not None) == (key in was) and _parses_to(path, after.encode(), was | {key: entries}):
        return after.encode()
    detail = f"its line `{key}` is not one that this program can change; write it by hand: {line}"
    detail_ja = f"`{key}` の行を自動で変更できません（手で記入してください: {line}）"
    raise FolderNotAdded(path=path, detail=detail, detail_ja=detail_ja)


def _parses_to(path: Path, data: bytes, wanted: dict[str, object]) -> bool:
    try:
        return settings.parse_toml(path, data) == wanted
    except RengoError:
        return False
