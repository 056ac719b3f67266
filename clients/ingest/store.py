"""What was read of a site's files, in one SQLite file: each text once, by its SHA-256, and which file says it.

A text is found again by what it depends on: the file's bytes, its name, and the readers (`reading_key`). A file whose
size, times and inode are as they were is not opened at all. Every reading is one transaction: a process that is killed
loses the file that it was reading and no other. Without a path all of it is in memory, and gone with the object.
"""

import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from clients.ingest import answers, tables
from clients.ingest.content import Content, Facts, LeftOut, LogSpan, Unusable
from clients.ingest.parser import Part
from clients.ingest.pipe import BadAnswer, Frame
from clients.ingest.sealing import seal_of_row, sealed, unsealed
from federation.errors import RengoError
from federation.formats import require_readable
from federation.wire import canonical_cbor

FORMAT = 100
"""See federation/formats.py."""

_SETTLED_NS = 3 * 10**9
"""A file that was written to so shortly before it was read may be written to again without a new time: file servers
count in steps of up to two seconds. It is read again next time."""
_PATIENCE = 60.0  # seconds for another process of this site to end its transaction
_READERS = ("numpy", "pypdfium2", "pdfminer.six", "selectolax")


class TextsUnreadable(RengoError):
    """{path}, where this site keeps the text of its documents, cannot be read ({detail}). Remove it, and the documents
    are read anew: `rengo member data purge`."""

    ja = (
        "抽出済みテキストの保存先 {path} を読めません（{detail}）。"
        "`rengo member data purge` で削除すると、文書を読み直します。"
    )
    exit_code = 7


class TextMissing(RengoError):
    """A document's text is missing in {path}, or is not what it was (SHA-256 {sha256}). Nothing is trained on it.
    Remove the store, and the documents are read anew: `rengo member data purge`."""

    ja = (
        "{path} にある文書のテキスト（SHA-256 {sha256}）が失われたか改変されています。学習には使いません。"
        "`rengo member data purge` で削除すると、文書を読み直します。"
    )
    exit_code = 10


class ReadingDamaged(RengoError):
    """What was read of {path} before is damaged in {store}, or of another version, and the file cannot be read now:
    which copies of it are forbidden is not known. Make it readable again; if it may be forgotten:
    `rengo member data forget {path}`."""

    ja = (
        "{path} から以前読み取った内容が {store} の中で破損しているか別の版のもので、ファイルも現在読めないため、"
        "同じ内容の文書を使ってよいか判断できません。ファイルを読めるようにしてください。"
        "無視してよい場合は `rengo member data forget {path}` を実行してください。"
    )
    exit_code = 10


class Stamp(NamedTuple):
    """By what a file is taken for unchanged. `ctime_ns`: when the file system last changed anything about it, which a
    program that writes to it cannot give back, as it can `mtime_ns`."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int


@dataclass(frozen=True)
class Stored:
    """A text by reference. `digest`: SHA-256 of its UTF-8."""

    digest: bytes
    characters: int
    texts: "Texts" = field(repr=False, compare=False)

    def read(self) -> str:
        """The text. Raises TextMissing."""
        return self.texts.text(self.digest)

    def derived(self, step: str, make: Callable[[str], bytes], settings: str = "") -> bytes:
        """What `make` gives for the text, computed once for these `settings`, which are all that it depends on beside
        the text, our code and its libraries."""
        return self.texts.derived(self.digest, step, make, settings)

    def changed(
        self, step: str, make: Callable[[str], tuple[str, bytes]], settings: str = ""
    ) -> tuple["Stored", bytes]:
        """The text that `make` makes of this one, kept beside it, and what `make` says of it; computed once, as
        `derived` is."""
        return self.texts.changed(self, step, make, settings)


@dataclass(frozen=True)
class StoredContent:
    """As `Content`, its text by reference."""

    text: Stored
    facts: Facts
    left_out: tuple[LeftOut, ...]
    marks: frozenset[str]
    log: LogSpan | None


class StoredPart(NamedTuple):
    """As `Part`, its text by reference."""

    name: str
    result: StoredContent | Unusable


@cache
def _readers() -> bytes:
    """What decides, beside a file, what is read of it: our own code, Python and the libraries. By the code itself, so
    that nobody has to remember to raise a number."""
    package = Path(__file__).parent
    sources = sorted(path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    code = [[str(path.relative_to(package)), hashlib.sha256(path.read_bytes()).digest()] for path in sources]
    return canonical_cbor([code, sys.version, [version(name) for name in _READERS]])


def reading_key(name: str, digest: bytes, beside: str = "") -> bytes:
    """By what a file's reading is found again: all that its text depends on. `name`: the file's own, which a sensor
    log cites; `digest`: SHA-256 of its bytes; `beside`: what else its parser was told, such as of other logs."""
    return hashlib.sha256(canonical_cbor([_readers(), os.fsencode(name), digest, beside])).digest()


def _step_key(settings: str) -> bytes:
    """All that a step's result depends on beside the text."""
    return hashlib.sha256(canonical_cbor([_readers(), settings])).digest()


class Texts:
    """The open store; a context manager. Several processes of a site may have it open. Not thread-safe."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        if path is not None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite's other files copy the mode
        self._db = sqlite3.connect(path or ":memory:", timeout=_PATIENCE, isolation_level=None)
        # Damage is told by a text's SHA-256; `sqlite3` would quote the text in an error.
        self._db.text_factory = partial(str, encoding="utf-8", errors="replace")
        try:
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            advice = "`rengo member data purge`", "`rengo member data purge` を実行してください"
            require_readable(path or Path(), found or FORMAT, FORMAT, *advice)
            # NORMAL: a process that is killed loses nothing, a power cut perhaps the last readings, never the whole.
            # Deleted text is overwritten in the file.
            pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;"
            self._db.executescript(f"{pragmas} {tables.SCHEMA} PRAGMA user_version={FORMAT}")
            tables.add_columns(self._db)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise TextsUnreadable(path=path, detail=_kind(error)) from error
        except RengoError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error) and _kind(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise TextsUnreadable(path=self.path, detail=_kind(error)) from error

    def digest_of(self, folder: Path, path: Path, stamp: Stamp) -> bytes | None:
        """SHA-256 of a file, as long as its stamp is what it was when it was read."""
        noted = tables.noted(self._db, *_rows(folder, [path])[0])
        return noted.digest if noted and noted.is_whole and noted.stamp == stamp else None

    def note(self, folder: Path, path: Path, stamp: Stamp, digest: bytes, reading: bytes) -> None:
        """Remember which bytes a file had when its stamp was `stamp`, and the key of what was read of them."""
        if time.time_ns() - max(stamp.mtime_ns, stamp.ctime_ns) < _SETTLED_NS:
            stamp = stamp._replace(mtime_ns=-1)
        tables.note(self._db, (os.fsencode(folder), os.fsencode(path), *stamp, digest, reading))

    def forget_together(self, folder: Path) -> None:
        """Nothing of `folder` is read together with others, until it is noted."""
        self._db.execute("UPDATE files SET together = NULL WHERE folder = ?", (os.fsencode(folder),))

    def note_together(self, folder: Path, path: Path, reading: bytes) -> None:
        """Remember the key of what was read of a file together with others."""
        row = reading, os.fsencode(folder), os.fsencode(path)
        self._db.execute("UPDATE files SET together = ? WHERE folder = ? AND path = ?", row)

    def count(self, folder: Path) -> int:
        """How many files of `folder` were read, as far as they were there when it was last listed."""
        row = self._db.execute("SELECT count(*) FROM files WHERE folder = ?", (os.fsencode(folder),)).fetchone()
        return int(row[0])

    def known(self, folder: Path) -> list[Path]:
        """The files that `count` counts."""
        return self._paths("SELECT path FROM files WHERE folder = ?", folder)

    def last(self, folder: Path, path: Path) -> tuple[bytes, list[StoredPart] | None]:
        """SHA-256 of a file that `count` counts when it was last read, and what was read of it; None if that was not
        kept. Raises ReadingDamaged."""
        noted = tables.noted(self._db, *_rows(folder, [path])[0])
        if noted is None:
            return b"", None
        parts = self.parts(noted.reading)
        kept = self._db.execute("SELECT 1 FROM parts WHERE reading = ?", (noted.reading,)).fetchone()
        if not (noted.is_whole or noted.is_unsealed) or (kept and parts is None):
            raise ReadingDamaged(path=path, store=self.path)
        return noted.digest, parts

    def mounts(self, folder: Path) -> set[Path]:
        """What of `folder`, itself included, was a file system of its own when it was last listed."""
        return set(self._paths("SELECT path FROM mounts WHERE folder = ?", folder))

    def note_listed(self, folder: Path, gone: Iterable[Path], mounts: Iterable[Path]) -> None:
        """Forget the files of `folder` that are `gone`, and remember which of it are file systems of their own."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM files WHERE folder = ? AND path = ?", _rows(folder, gone))
            self._db.execute("DELETE FROM mounts WHERE folder = ?", (os.fsencode(folder),))
            self._db.executemany("INSERT INTO mounts VALUES (?, ?)", _rows(folder, mounts))

    def forget(self, place: Path) -> int:
        """Forget all that was read of `place` and below it; how many files that are. What is still there is new."""
        found = 0
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for table in ("mounts", "files"):
                keys = self._db.execute(f"SELECT folder, path FROM {table}").fetchall()  # noqa: S608  # of two
                rows = [key for key in keys if Path(os.fsdecode(key[1])).is_relative_to(place)]
                self._db.executemany(f"DELETE FROM {table} WHERE folder = ? AND path = ?", rows)  # noqa: S608
                found = len(rows)
        return found

    def parts(self, reading: bytes) -> list[StoredPart] | None:
        """What was read under this key; None if nothing was yet."""
        rows = self._db.execute(
            "SELECT characters, seal, reading, number, name, said, parts.text "
            "FROM parts LEFT JOIN texts ON sha256 = parts.text WHERE reading = ? ORDER BY number",
            (reading,),
        ).fetchall()
        if not rows or any(seal not in (b"", seal_of_row(row)) for _, seal, *row in rows):
            return None
        try:
            return [
                StoredPart(name, self._result(said, digest, characters))
                for characters, _, _, _, name, said, digest in rows
            ]
        except (ValueError, KeyError, TypeError, RecursionError, BadAnswer):
            return None  # damaged, or written by others: what can be read again is

    def keep(self, reading: bytes, parts: Sequence[Part]) -> list[StoredPart]:
        """Store what was read of one file."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            kept = [self._kept(part) for part in parts]
            if not any(isinstance(part.result, Unusable) and part.result.again for part in parts):
                rows = [(reading, number, part.name, *_said(part.result)) for number, part in enumerate(kept)]
                self._db.execute("DELETE FROM parts WHERE reading = ?", (reading,))  # damaged ones
                self._db.executemany(
                    "INSERT INTO parts (reading, number, name, said, text, seal) VALUES (?, ?, ?, ?, ?, ?)",
                    ((*row, seal_of_row(row)) for row in rows),
                )
        return kept

    def add(self, text: str) -> Stored:
        """A text by itself."""
        digest = hashlib.sha256(text.encode()).digest()
        self._db.execute("INSERT OR IGNORE INTO texts VALUES (?, ?, ?)", (digest, len(text), text))
        return Stored(digest, len(text), self)

    def stored(self, digest: bytes) -> Stored:
        """A text that is here. Raises TextMissing."""
        row = self._db.execute("SELECT characters FROM texts WHERE sha256 = ?", (digest,)).fetchone()
        if row is None or not isinstance(row[0], int):
            raise TextMissing(path=self.path, sha256=digest.hex()[:16])
        return Stored(digest, row[0], self)

    def text(self, digest: bytes) -> str:
        """The text of this SHA-256. Raises TextMissing."""
        row = self._db.execute("SELECT text FROM texts WHERE sha256 = ?", (digest,)).fetchone()
        text = row[0] if row else None
        if not isinstance(text, str) or hashlib.sha256(text.encode()).digest() != digest:
            raise TextMissing(path=self.path, sha256=digest.hex()[:16])
        return text

    def derived(self, digest: bytes, step: str, make: Callable[[str], bytes], settings: str) -> bytes:
        """See `Stored.derived`."""
        row = self._db.execute(
            "SELECT said FROM steps WHERE text = ? AND step = ? AND key = ?", (digest, step, _step_key(settings))
        ).fetchone()
        said = unsealed(row[0], b"") if row else None
        if said is None:
            said = make(self.text(digest))
            self._note_step(digest, step, settings, said, None)
        return said

    def changed(
        self, before: Stored, step: str, make: Callable[[str], tuple[str, bytes]], settings: str
    ) -> tuple[Stored, bytes]:
        """See `Stored.changed`."""
        row = self._db.execute(
            "SELECT became, characters, said FROM steps JOIN texts ON sha256 = became "
            "WHERE steps.text = ? AND step = ? AND key = ?",
            (before.digest, step, _step_key(settings)),
        ).fetchone()
        said = unsealed(row[2], row[0]) if row and isinstance(row[1], int) else None
        if said is not None:
            return Stored(row[0], row[1], self), said
        text, said = make(before.read())
        after = self.add(text)
        self._note_step(before.digest, step, settings, said, after.digest)
        return after, said

    def prune(self, needed: Iterable[bytes]) -> None:
        """Remove every text that no file says any more, but for those `needed` and what any of them became."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("CREATE TEMP TABLE IF NOT EXISTS needed (sha256 BLOB PRIMARY KEY)")
            self._db.execute("DELETE FROM needed")
            self._db.executemany("INSERT OR IGNORE INTO needed VALUES (?)", ((digest,) for digest in needed))
            used = "SELECT reading FROM files UNION SELECT together FROM files WHERE together IS NOT NULL"
            self._db.execute(f"DELETE FROM parts WHERE reading NOT IN ({used})")  # noqa: S608  # no word of another's
            self._db.execute("INSERT OR IGNORE INTO needed SELECT text FROM parts WHERE text IS NOT NULL")
            self._db.execute(
                "INSERT OR IGNORE INTO needed WITH RECURSIVE becoming(sha256) AS (SELECT sha256 FROM needed UNION "
                "SELECT became FROM steps JOIN becoming ON text = sha256 WHERE became IS NOT NULL) "
                "SELECT sha256 FROM becoming"
            )
            self._db.execute("DELETE FROM texts WHERE sha256 NOT IN (SELECT sha256 FROM needed)")
            self._db.execute("DELETE FROM steps WHERE text NOT IN (SELECT sha256 FROM needed)")

    def sync(self) -> None:
        """Everything is on the disk when this returns, also for a power cut."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _note_step(self, digest: bytes, step: str, settings: str, said: bytes, became: bytes | None) -> None:
        """Of each step there is one result for a text: what was made by other settings or older code is replaced."""
        row = digest, step, _step_key(settings), sealed(said, became or b""), became
        self._db.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", row)

    def _paths(self, query: str, folder: Path) -> list[Path]:
        return [Path(os.fsdecode(path)) for (path,) in self._db.execute(query, (os.fsencode(folder),))]

    def _kept(self, part: Part) -> StoredPart:
        match part.result:
            case Unusable() as refusal:
                return StoredPart(part.name, refusal)
            case Content(text, facts, left_out, _, marks, log):
                return StoredPart(part.name, StoredContent(self.add(text), facts, left_out, marks, log))

    def _result(self, said: str, digest: bytes | None, characters: int) -> StoredContent | Unusable:
        given = answers.result(Frame(json.loads(said)))  # checked as a parser's answer is
        if digest is None and isinstance(given, Unusable):
            return given
        if digest is None or isinstance(given, Unusable) or not isinstance(characters, int):
            raise ValueError("what was read and whether there is a text do not agree")
        return StoredContent(Stored(digest, characters, self), given.facts, given.left_out, given.marks, given.log)


def _kind(error: sqlite3.Error) -> str:
    """SQLite's name of what is wrong: its sentences may quote what is stored."""
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _rows(folder: Path, paths: Iterable[Path]) -> list[tuple[bytes, bytes]]:
    return [(os.fsencode(folder), os.fsencode(path)) for path in paths]


def _said(result: StoredContent | Unusable) -> tuple[str, bytes | None]:
    """A part but for its text, for the table, and the text's digest."""
    left_out = list(map(astuple, result.left_out))
    match result:
        case Unusable():
            said: dict[str, object] = {"reason": result.reason, "reason_ja": result.reason_ja, "left_out": left_out}
            digest = None
        case StoredContent():
            log = None if result.log is None else astuple(result.log)
            said = {"facts": asdict(result.facts), "left_out": left_out, "marks": sorted(result.marks), "log": log}
            digest = result.text.digest
    return json.dumps(said, ensure_ascii=False), digest
