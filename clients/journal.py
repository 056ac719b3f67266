"""The member's durable record: everything that left the site, what was revealed, and what that rules out from now on.

One SQLite file, mode 0600, one writer. `commit` returns only when the rows are on disk, and the member sends nothing
before it returned. Rows of `sent` are hash-chained, so that a later change shows.
"""

import datetime
import hashlib
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.errors import RengoError
from federation.secagg.history import History, Position
from federation.secagg.messages import Refused
from federation.secagg.refusals import DataSetBusy, JobClosed
from federation.wire import ZERO_DIGEST, canonical_cbor

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent (
    number INTEGER PRIMARY KEY, utc TEXT NOT NULL, job TEXT NOT NULL, kinds TEXT NOT NULL, destination TEXT NOT NULL,
    bytes INTEGER NOT NULL, sha256 BLOB NOT NULL, chain BLOB NOT NULL);
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


class JournalDamaged(RengoError):
    """The journal {path} was changed after it was written: row {number} does not fit the chain. Nothing is sent."""

    ja = "送信記録簿 {path} は書き込み後に改変されています（行 {number}）。何も送信しません。"
    exit_code = 10


class JournalUnreadable(RengoError):
    """The journal {path} cannot be read ({detail}). Nothing is sent without it. Have this member's keys revoked and
    join anew. Never restore a journal from a backup: an older one allows what this member must not say again."""

    ja = (
        "送信記録簿 {path} を読めません（{detail}）。記録簿なしでは何も送信しません。"
        "鍵を失効させて参加し直してください。"
        "バックアップからは絶対に復元しないでください（過去の状態に戻ると、二度してはならない応答をしてしまいます）。"
    )
    exit_code = 7


class JournalInUse(RengoError):
    """Another process wrote to the journal {path} while this one had it open. Nothing was sent. Run one member process
    per data set and start this one again."""

    ja = (
        "送信記録簿 {path} に別のプロセスが書き込みました。何も送信していません。"
        "データごとに参加拠点のプロセスを一つだけにして、再起動してください。"
    )
    exit_code = 7


class NoOpenJob(RengoError):
    """Job {job} is not open in the journal {path}. Open: {open}."""

    ja = "ジョブ {job} は送信記録簿 {path} で実行中ではありません。実行中: {open}。"
    exit_code = 2


@dataclass(frozen=True)
class Departure:
    """One frame that is about to leave: which statements it holds, how large it is, and for whom. `sha256` is of the
    statements' headers and signatures; a header names its data by their SHA-256, so that a vector is hashed once."""

    job: str
    kinds: tuple[str, ...]
    destination: str
    size: int
    sha256: bytes


class Journal:
    """The open journal of one data set. Not thread-safe: requests are handled one at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Created with its final mode: SQLite would use the umask, and its -wal and -shm files copy this mode.
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        os.fchmod(handle, 0o600)
        os.close(handle)
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._chain = self._verify()
            self._written = self.spent()
        except sqlite3.DatabaseError as error:
            raise JournalUnreadable(path=path, detail=str(error)) from error

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

    def require_not_closed(self, job: str) -> None:
        """Raises JobClosed once `close_job` has ended the job."""
        if self._db.execute("SELECT 1 FROM closed WHERE job = ?", (job,)).fetchone() is not None:
            raise JobClosed(job=job)

    def contributions(self) -> int:
        """How often this data set was in a masked vector, across all jobs and attempts."""
        return int(self._db.execute("SELECT count(*) FROM contributions").fetchone()[0])

    def count_contribution(self, job: str, position: Position) -> None:
        """Make durable, before it is masked, that this data set is in the vector of (attempt, round)."""
        with _Transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO contributions VALUES (?, ?, ?)", (job, *position))

    def commit(self, history: History, departure: Departure, *, open: bool = True) -> None:
        """Make durable what a frame says and allows no more, in one transaction, before the frame leaves.

        Raises JournalInUse when another process wrote here: this one's memory of what was said is not the whole then;
        JobClosed when the job was closed and the frame is more than refusals.
        """
        utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        row = (
            utc,
            departure.job,
            " ".join(departure.kinds),
            departure.destination,
            departure.size,
            departure.sha256,
        )
        chain = _link(self._chain, row)
        (keyed_attempt, keyed_round), (masked_attempt, masked_round) = history.keyed, history.masked
        with _Transaction(self._db):
            self._require_only_writer()
            if set(departure.kinds) != {Refused.kind}:
                self.require_not_closed(departure.job)
            self._db.execute(
                "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)",
                (departure.job, keyed_attempt, keyed_round, masked_attempt, masked_round, history.revealed_round, open),
            )
            fresh = [(digest,) for digest in history.spent if digest not in self._written]
            self._db.executemany("INSERT OR IGNORE INTO spent VALUES (?)", fresh)
            self._db.execute(
                "INSERT INTO sent (utc, job, kinds, destination, bytes, sha256, chain) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, chain),
            )
        self._chain, self._written = chain, self._written | history.spent

    def keep_evidence(self, reason: str, statements: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep signed statements of the coordinator that contradict each other: (header, signature) pairs."""
        utc = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with _Transaction(self._db):
            rows = [(utc, reason, header, signature) for header, signature in statements]
            self._db.executemany("INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?)", rows)

    def sent(self) -> list[tuple[str, str, str, str, int, bytes]]:
        """Everything that left: (UTC, job, statements, destination, bytes, SHA-256 as in Departure), oldest first."""
        return list(self._db.execute("SELECT utc, job, kinds, destination, bytes, sha256 FROM sent ORDER BY number"))

    def evidence(self) -> list[tuple[str, bytes, bytes]]:
        """What was kept against the coordinator: (reason, header, signature)."""
        return list(self._db.execute("SELECT reason, header, signature FROM evidence"))

    def _require_only_writer(self) -> None:
        row = self._db.execute("SELECT chain FROM sent ORDER BY number DESC LIMIT 1").fetchone()
        if (row[0] if row else ZERO_DIGEST) != self._chain:
            raise JournalInUse(path=self.path)

    def _verify(self) -> bytes:
        chain = ZERO_DIGEST
        rows = "SELECT utc, job, kinds, destination, bytes, sha256, chain, number FROM sent ORDER BY number"
        for *row, stored, number in self._db.execute(rows):
            chain = _link(chain, tuple(row))
            if chain != stored:
                raise JournalDamaged(path=self.path, number=number)
        return chain


def _link(chain: bytes, row: tuple[object, ...]) -> bytes:
    return hashlib.sha256(chain + canonical_cbor(list(row))).digest()


class _Transaction:
    """All or nothing; with synchronous=FULL the commit has reached the disk when it returns."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
