"""What each text of this site was used for, kept for good: what was held out once is never trained on later.

A file `split.sqlite` in the member's home. It holds no text: SHA-256 and MinHash of each,
hashes of rows of logs, the places of files, and `train`, `validation` or `test`. It stays when texts are purged, for
what was trained on stays trained on. ADR 15.

It comes into being whole, under its name only once it has its first texts and is on disk. So a file without its tables
or without any text was never written here: it was truncated or replaced, and is no fresh start.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from clients.dataset import USES, Parts
from clients.home import Home
from clients.similarity import SKETCH, sketch
from clients.splits import NOTHING_EARLIER, Earlier
from federation.errors import RengoError
from federation.formats import require_readable
from federation.output import flush

FILE = "split.sqlite"
FORMAT = 100
"""See federation/formats.py."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS texts (sha256 BLOB PRIMARY KEY, use TEXT NOT NULL, made TEXT NOT NULL, sketch BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (sha256 BLOB PRIMARY KEY, rows BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS places (place BLOB NOT NULL, use TEXT NOT NULL, PRIMARY KEY (place, use)) WITHOUT ROWID;
"""
_PATIENCE = 60.0  # seconds for another process of this site to end its transaction
_ADVICE = "start the member with the version that wrote it", "書き込んだ版で実行してください"


class SplitRecordUnreadable(RengoError):
    """{path}, where this site keeps which documents it held out, cannot be read ({detail}). Nothing is trained on
    without it. Put it back from a backup."""

    ja = (
        "評価用に分けた文書の記録 {path} を読めません（{detail}）。この記録なしでは学習しません。"
        "バックアップから復元してください。"
    )
    exit_code = 10


def earlier(home: Home) -> Earlier:
    """What was decided here so far. Raises SplitRecordUnreadable or what `require_readable` does."""
    path = home.file(FILE)
    if not os.path.lexists(path):  # a link to a disk that is away is a record that cannot be read
        return NOTHING_EARLIER
    if not path.exists():
        raise _unreadable(path, FileNotFoundError())
    number = {use: part for part, use in enumerate(USES)}
    try:
        with _opened(path) as record:
            texts = record.execute("SELECT sha256, use, made, sketch FROM texts").fetchall()
            places = dict[str, set[int]]()
            for place, use in record.execute("SELECT place, use FROM places"):
                places.setdefault(os.fsdecode(place), set()).add(number[use])
            tells = _rows(record)
        used = {bytes(text): number[use] for text, use, _, _ in texts}
        sketches = {bytes(text): bytes(each) for text, _, made, each in texts if made == SKETCH}
    except (sqlite3.DatabaseError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    return Earlier(used, places, sketches, tells)


def note(home: Home, parts: Parts) -> None:
    """Keep for good what these documents are used for: on disk when this returns. Raises as `earlier` does."""
    path = home.file(FILE)
    if os.path.lexists(path):
        with _opened(path) as record:
            record.executescript(_SCHEMA)  # rows are not in one from before they were kept
            _add(record, parts)
        return
    made = path.with_name(f"{path.name}.part")
    made.unlink(missing_ok=True)  # of one that was killed
    os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with _connected(made) as record:
        record.executescript(f"{_SCHEMA} PRAGMA user_version={FORMAT}")
        _add(record, parts)
    flush(made)
    os.replace(made, path)
    flush(path.parent)


def _add(record: sqlite3.Connection, parts: Parts) -> None:
    record.execute("BEGIN IMMEDIATE")
    for use in USES:
        for document in getattr(parts, use):
            text = document.as_read.sha256, use, SKETCH, sketch(document)
            record.execute("INSERT OR IGNORE INTO texts VALUES (?, ?, ?, ?)", text)
            if document.rows:
                rows = document.as_read.sha256, bytes.fromhex(document.rows)
                record.execute("INSERT OR IGNORE INTO rows VALUES (?, ?)", rows)
            record.execute("INSERT OR IGNORE INTO places VALUES (?, ?)", (os.fsencode(document.place), use))
    record.execute("COMMIT")


def _rows(record: sqlite3.Connection) -> dict[bytes, str]:
    """Of logs, by their texts."""
    if record.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone() is None:
        return {}
    return {bytes(text): bytes(rows).hex() for text, rows in record.execute("SELECT sha256, rows FROM rows")}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A record that is there, and whole. Raises SplitRecordUnreadable or what `require_readable` does."""
    with _connected(path) as record:
        try:
            (found,) = record.execute("PRAGMA user_version").fetchone()
            if not found:
                raise sqlite3.DatabaseError("no version")
            require_readable(path, found, FORMAT, *_ADVICE)
            damage = record.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
            if damage or record.execute("SELECT 1 FROM texts").fetchone() is None:
                raise sqlite3.DatabaseError("no texts")
        except sqlite3.DatabaseError as error:
            raise _unreadable(path, error) from error
        yield record


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as record:
        record.execute("PRAGMA synchronous=FULL")
        yield record


def _unreadable(path: Path, error: Exception) -> SplitRecordUnreadable:
    """By SQLite's name of what is wrong: its sentences may quote what is in the file."""
    detail = getattr(error, "sqlite_errorname", "it is damaged, empty or another file")
    return SplitRecordUnreadable(path=path, detail=detail)
