"""The member's durable record: everything that left the site, what was revealed, and what that rules out from now on.

One SQLite file, mode 0600. `commit` returns only when the rows are on disk, and the member sends nothing before it
returned. Rows of `sent` are hash-chained, so that a later change shows; each row of a round states the positions of its
job and the adapters that are spent, so that a change to those tables shows too. Rounds have one writer; calls of the
registry and people's decisions (`record`) come from any process.
"""

import contextlib
import datetime
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clients.journal_errors import JournalDamaged, JournalInUse, JournalMissing, JournalUnreadable, NoOpenJob
from federation.formats import require_readable
from federation.secagg.history import NOWHERE, History, Position
from federation.secagg.messages import Refused
from federation.secagg.refusals import DataSetBusy, JobClosed
from federation.wire import ZERO_DIGEST, canonical_cbor

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent (
    number INTEGER PRIMARY KEY, utc TEXT NOT NULL, job TEXT NOT NULL, kinds TEXT NOT NULL, destination TEXT NOT NULL,
    bytes INTEGER NOT NULL, sha256 BLOB NOT NULL, received INTEGER NOT NULL, app TEXT NOT NULL, note TEXT NOT NULL,
    rounds TEXT NOT NULL, position TEXT NOT NULL, spent BLOB NOT NULL, chain BLOB NOT NULL,
    manifest BLOB NOT NULL DEFAULT x'');
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT PRIMARY KEY, keyed_attempt INTEGER NOT NULL, keyed_round INTEGER NOT NULL, masked_attempt INTEGER NOT NULL,
    masked_round INTEGER NOT NULL, revealed_round INTEGER NOT NULL, open INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS closed (job TEXT PRIMARY KEY, utc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS spent (adapter BLOB PRIMARY KEY);
CREATE TABLE IF NOT EXISTS contributions (job TEXT NOT NULL, attempt INTEGER NOT NULL, round INTEGER NOT NULL,
    PRIMARY KEY (job, attempt, round));
CREATE TABLE IF NOT EXISTS evidence (utc TEXT NOT NULL, reason TEXT NOT NULL, header BLOB NOT NULL,
    signature BLOB NOT NULL, UNIQUE (header, signature));
"""

FORMAT = 100
"""See federation/formats.py. A journal from before formats had numbers has the same tables, and gets it. One from
before rows named a manifest gets the column; the links of its rows, which cover none, stay as they are."""

MOST_EVIDENCE, MOST_EVIDENCE_BYTES = 100, 8 << 20
"""How much is kept against a coordinator, which writes it: statements, and bytes. The first ones convict it."""

_CLOSE = "close"
_ADVICE = (
    "have the keys revoked and join anew in another folder; never put back a journal that was used since",
    "鍵を失効させて別のフォルダーで参加し直してください（使用後の記録簿を古いコピーに戻さないこと）",
)
_COLUMNS = "utc, job, kinds, destination, bytes, sha256, received, app, note, rounds, position, spent, manifest"


@dataclass(frozen=True)
class Departure:
    """One frame that is about to leave: which statements it holds, how large it is, and for whom (host:port). `sha256`
    is of the statements' headers and signatures; a header names its data by their SHA-256, so that a vector is hashed
    once.

    `received`: size of the request that it answers. `app`: SHA-256 (hex) of the Flower app that carries it. `note`:
    what a person should know of it. `rounds`: the round of each statement, `-` where it is of none that is open. What
    is not of a round has no job, and `sha256` is of the whole message; what only came, or stays, has size 0.
    `manifest`: SHA-256 of what says on which data the job trains at this site (manifest.py); b"" without one.
    """

    job: str
    kinds: tuple[str, ...]
    destination: str
    size: int
    sha256: bytes
    received: int = 0
    app: str = ""
    note: str = ""
    rounds: str = ""
    manifest: bytes = b""


Record = Callable[[Departure], None]
"""Where whoever talks to the coordinator outside of rounds says so first: `Journal.record`."""


class Sent(NamedTuple):
    """One row of the journal; see Departure. `utc`: ISO 8601."""

    utc: str
    job: str
    kinds: str
    destination: str
    size: int
    sha256: bytes
    received: int
    app: str
    note: str
    rounds: str
    number: int
    chain: bytes
    manifest: bytes = b""


class Journal:
    """The open journal of one data set. Not thread-safe: requests are handled one at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Created with its final mode: SQLite would use the umask, and its -wal and -shm files copy this mode. Only when
        # it is not there: closing any descriptor of a database drops this process's locks on it (POSIX).
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        os.chmod(path, 0o600)
        self.path = path
        self._last, self._written = 0, frozenset[bytes]()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            require_readable(path, found or FORMAT, FORMAT, *_ADVICE)
            self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_SCHEMA}")
            self._add_manifest()
            self._read()
            if found != FORMAT:
                self._db.execute(f"PRAGMA user_version={FORMAT}")
        except sqlite3.DatabaseError as error:
            raise JournalUnreadable(path=path, detail=str(error)) from error

    @classmethod
    def existing(cls, path: Path) -> "Journal":
        """The journal that joining began. An empty one in its place would know of nothing that was said. Raises
        JournalMissing."""
        if not path.exists():
            raise JournalMissing(path=path)
        return cls(path)

    def close(self) -> None:
        """Close the file; everything committed is on disk already."""
        self._db.close()

    def history(self, job: str) -> History:
        """What this member has said in `job`, and the adapters that are spent in any job."""
        spent = self.spent()
        row = self._db.execute(
            "SELECT keyed_attempt, keyed_round, masked_attempt, masked_round, revealed_round FROM jobs WHERE job = ?",
            (job,),
        ).fetchone()
        if row is None:
            return History(spent=spent)
        return History((row[0], row[1]), (row[2], row[3]), row[4], spent)

    def spent(self) -> frozenset[bytes]:
        """The adapters that this member helped to open a sum on, in any job."""
        return frozenset(row[0] for row in self._db.execute("SELECT adapter FROM spent"))

    def require_free(self, job: str) -> None:
        """Raises DataSetBusy when another job is open on this data set."""
        others = [other for other in self.open_jobs() if other != job]
        if others:
            raise DataSetBusy(open_job=others[0], job=job)

    def open_jobs(self) -> list[str]:
        """The jobs that keep others from this data set."""
        rows = self._db.execute("SELECT job FROM jobs WHERE open AND job NOT IN (SELECT job FROM closed) ORDER BY job")
        return [row[0] for row in rows]

    def close_job(self, job: str) -> None:
        """End an open job for good, by a person's decision at this site: the data set is free for another job, and
        nothing is answered in this one again, by whichever process has the journal open. Raises NoOpenJob.

        What the job has spent and counted stays. Were it to speak again, a coordinator could open a sum in it and,
        without one member, one over the same data in the next job.
        """
        utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with _Transaction(self._db):
            open_jobs = self.open_jobs()
            if job not in open_jobs:
                raise NoOpenJob(job=job, path=self.path, open=", ".join(open_jobs) or "-")
            self._db.execute("INSERT INTO closed VALUES (?, ?)", (job, utc))
            self._append(Departure("", (_CLOSE,), "", 0, hashlib.sha256(job.encode()).digest(), note=job), "", b"")

    def require_not_closed(self, job: str) -> None:
        """Raises JobClosed once `close_job` has ended the job."""
        if self._db.execute("SELECT 1 FROM closed WHERE job = ?", (job,)).fetchone() is not None:
            raise JobClosed(job=job)

    def manifest(self, job: str) -> bytes:
        """The manifest that the last row of `job` names, b"" without one."""
        query = "SELECT manifest FROM sent WHERE job = ? AND manifest <> x'' ORDER BY number DESC LIMIT 1"
        row = self._db.execute(query, (job,)).fetchone()
        return bytes(row[0]) if row else b""

    def contributions(self) -> int:
        """How often this data set was in a masked vector, across all jobs and attempts."""
        return int(self._db.execute("SELECT count(*) FROM contributions").fetchone()[0])

    def last_contribution(self, job: str) -> Position:
        """The last (attempt, round) of `job` that `count_contribution` was told of; NOWHERE before the first."""
        query = "SELECT attempt, round FROM contributions WHERE job = ? ORDER BY attempt DESC, round DESC LIMIT 1"
        row = self._db.execute(query, (job,)).fetchone()
        return (row[0], row[1]) if row else NOWHERE

    def count_contribution(self, job: str, position: Position) -> None:
        """Make durable, before it is masked, that this data set is in the vector of (attempt, round)."""
        with _Transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO contributions VALUES (?, ?, ?)", (job, *position))

    def commit(self, history: History, departure: Departure, *, open: bool = True) -> None:
        """Make durable what a frame says and allows no more, in one transaction, before the frame leaves.

        Raises JournalInUse when another process wrote here: this one's memory of what was said is not the whole then;
        JobClosed when the job was closed and the frame is more than refusals.
        """
        spent = self._written | history.spent
        (keyed_attempt, keyed_round), (masked_attempt, masked_round) = history.keyed, history.masked
        positions = (keyed_attempt, keyed_round, masked_attempt, masked_round, history.revealed_round, int(open))
        with _Transaction(self._db):
            self._require_only_writer()
            if set(departure.kinds) != {Refused.kind}:
                self.require_not_closed(departure.job)
            self._db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", (departure.job, *positions))
            fresh = [(digest,) for digest in history.spent if digest not in self._written]
            self._db.executemany("INSERT OR IGNORE INTO spent VALUES (?)", fresh)
            number = self._append(departure, _stated(positions), _spent_digest(spent))
        self._last, self._written = number, spent

    def record(self, departure: Departure) -> None:
        """Make durable what crosses the site's border outside of rounds, before it does, or what a person decided."""
        with _Transaction(self._db):
            self._append(departure, "", b"")

    def _append(self, departure: Departure, position: str, spent: bytes) -> int:
        """One more row, linked to the last one, whoever wrote that; its number."""
        row = (
            datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            departure.job,
            " ".join(departure.kinds),
            departure.destination,
            departure.size,
            departure.sha256,
            departure.received,
            departure.app,
            departure.note,
            departure.rounds,
            position,
            spent,
            departure.manifest,
        )
        last = self._db.execute("SELECT chain FROM sent ORDER BY number DESC LIMIT 1").fetchone()
        added = self._db.execute(
            f"INSERT INTO sent ({_COLUMNS}, chain) VALUES ({', '.join('?' * 14)})",  # noqa: S608
            (*row, _link(last[0] if last else ZERO_DIGEST, row)),
        )
        return int(added.lastrowid or 0)

    def keep_evidence(self, reason: str, statements: Sequence[tuple[bytes, bytes]]) -> bool:
        """Keep signed statements of the coordinator that contradict each other: (header, signature) pairs. The first
        ones always; later ones not beyond MOST_EVIDENCE and MOST_EVIDENCE_BYTES. Whether all of them are kept now."""
        utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        more = sum(len(header) + len(signature) for header, signature in statements)
        kept = "SELECT 1 FROM evidence WHERE header = ? AND signature = ?"
        if all(self._db.execute(kept, statement).fetchone() for statement in statements):
            return True
        with _Transaction(self._db):
            measure = "SELECT count(*), coalesce(sum(length(header) + length(signature)), 0) FROM evidence"
            count, size = self._db.execute(measure).fetchone()
            if count and (count + len(statements) > MOST_EVIDENCE or size + more > MOST_EVIDENCE_BYTES):
                return False
            rows = [(utc, reason, header, signature) for header, signature in statements]
            self._db.executemany("INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?)", rows)
        return True

    def sent(self) -> list[Sent]:
        """Everything that crossed the site's border, oldest first."""
        return _sent(self._db)

    def evidence(self) -> list[tuple[str, bytes, bytes]]:
        """What was kept against the coordinator: (reason, header, signature)."""
        return list(self._db.execute("SELECT reason, header, signature FROM evidence"))

    def _add_manifest(self) -> None:
        """To a journal from before rows named one."""
        if not _names_manifests(self._db):
            self._db.execute("ALTER TABLE sent ADD COLUMN manifest BLOB NOT NULL DEFAULT x''")

    def _require_only_writer(self) -> None:
        if self._last_of_rounds() != self._last:
            raise JournalInUse(path=self.path)

    def _last_of_rounds(self) -> int:
        """The number of the last row that belongs to a round, 0 without one."""
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM sent WHERE job <> ''").fetchone()[0])

    def _read(self) -> None:
        """Take in where this journal stands, as of one moment: another process may write. Raises JournalDamaged."""
        self._db.execute("BEGIN")
        try:
            self._last, self._written = self._last_of_rounds(), self.spent()
            self._verify()
        finally:
            self._db.execute("COMMIT")

    def _verify(self) -> None:
        """Raises JournalDamaged, naming the first row that does not fit."""
        chain = ZERO_DIGEST
        stated: dict[tuple[str, str], tuple[object, int]] = {("spent", ""): (_spent_digest(()), 0)}
        for *row, stored, number in self._db.execute(f"SELECT {_COLUMNS}, chain, number FROM sent ORDER BY number"):  # noqa: S608
            chain = _link(chain, row)
            if chain != stored:
                raise JournalDamaged(path=self.path, number=number)
            _, job, kinds, *_, note, _, position, spent, _ = row
            if position:
                stated["jobs", job], stated["spent", ""] = (position, number), (spent, number)
            elif kinds == _CLOSE:
                stated["closed", note] = True, number
        # What rules out a second answer is in these tables: they have to be as the last rows of the chain state them.
        actual: dict[tuple[str, str], object] = {("spent", ""): _spent_digest(self._written)}
        actual |= {("jobs", job): _stated(positions) for job, *positions in self._db.execute("SELECT * FROM jobs")}
        actual |= {("closed", job): True for (job,) in self._db.execute("SELECT job FROM closed")}
        for key in sorted(actual.keys() | stated.keys()):
            expected, number = stated.get(key, (None, 0))
            if actual.get(key) != expected:
                raise JournalDamaged(path=self.path, number=number)


def read_unverified(path: Path) -> list[Sent]:
    """The rows of a journal that is damaged, as they stand: for evidence, never to answer from. Raises
    JournalUnreadable."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            return _sent(database)
    except sqlite3.DatabaseError as error:
        raise JournalUnreadable(path=path, detail=str(error)) from error


def _sent(database: sqlite3.Connection) -> list[Sent]:
    columns = "utc, job, kinds, destination, bytes, sha256, received, app, note, rounds, number, chain"
    manifest = "manifest" if _names_manifests(database) else "x''"
    rows = database.execute(f"SELECT {columns}, {manifest} FROM sent ORDER BY number")  # noqa: S608
    return [Sent(*row) for row in rows]


def _names_manifests(database: sqlite3.Connection) -> bool:
    """Whether the table has the column."""
    return any(column[1] == "manifest" for column in database.execute("PRAGMA table_info(sent)"))


def _stated(positions: Iterable[object]) -> str:
    """A job's row of positions, as a row of the chain states it."""
    return " ".join(map(str, positions))


def _spent_digest(spent: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join(sorted(spent))).digest()


def _link(chain: bytes, row: Sequence[object]) -> bytes:
    """`row`: as _COLUMNS. Without a manifest the link is what it was before there were any."""
    *others, manifest = row
    return hashlib.sha256(chain + canonical_cbor(list(row) if manifest != b"" else others)).digest()


class _Transaction:
    """All or nothing; with synchronous=FULL the commit has reached the disk when it returns."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
