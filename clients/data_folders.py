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
from federation.text import is_printable

_LINE = re.compile(r"^[ \t]*data[ \t]*=.*$", re.MULTILINE)


class FolderNotAdded(RengoError):
    """{path} was not added: {detail}. Nothing was changed."""

    ja = "{path} を追加できません: {detail_ja}。何も変更していません。"
    exit_code = 2


def add(home: Home, journal: Journal, folders: Sequence[Path]) -> tuple[Path, ...]:
    """Write `folders` into member.toml, beside those that are there; all of them. Raises DataFolderInvalid when one
    cannot be opened, and FolderNotAdded."""
    known = list(home.settings().folders)
    for folder in (folder.absolute() for folder in folders):
        require_opened(folder)
        _require_apart(folder, known, home)
        known.append(folder)
    path = home.file("member.toml")
    before = path.read_bytes()
    after = _with_data(path, before, [str(folder) for folder in known])
    write(path, after)
    added = ", ".join(map(str, known[-len(folders) :]))
    note = f"added {added}; by {getpass.getuser()}"
    journal.record(Departure("", ("data",), "", 0, hashlib.sha256(after).digest(), note=note))
    return tuple(known)


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


def _with_data(path: Path, before: bytes, folders: list[str]) -> bytes:
    """The file with another line `data`. Raises FolderNotAdded where a person wrote it over several lines."""
    listing = ", ".join(json.dumps(folder, ensure_ascii=False) for folder in folders)
    text = before.decode("utf-8-sig")
    found = _LINE.search(text)
    if found is not None:
        after = f"{text[: found.start()]}data     = [{listing}]{text[found.end() :]}".encode()
        if _parses_to(path, after, settings.parse_toml(path, before) | {"data": folders}):
            return after
    detail = "its line `data` is not one that this program can change; add the folder there by hand"
    raise FolderNotAdded(
        path=path, detail=detail, detail_ja="`data` の行を自動で変更できません（手で追加してください）"
    )


def _parses_to(path: Path, data: bytes, wanted: dict[str, object]) -> bool:
    try:
        return settings.parse_toml(path, data) == wanted
    except RengoError:
        return False
