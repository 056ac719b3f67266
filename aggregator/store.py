"""The coordinator's durable state: rounds and the steps of the open one in SQLite, arrays as safetensors beside it.

A round is committed by one transaction, after its file has reached the disk: after a crash the newest committed round
is whole, and a file without its row is not looked at. The same goes for a step of the open round, the masked sum and
the envelopes, which arrive on a shelf (shelf.py) and are never held: the record of Shares says where each lies in it.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from aggregator.shelf import ShelfFile, Shelves
from federation.errors import RengoError
from federation.formats import require_readable
from federation.identity import Roster
from federation.output import flush
from federation.secagg.messages import Offer
from federation.secagg.primitives import Words
from federation.secagg.server import Answers, Step
from federation.tensors import Tensors
from federation.wire import Signed, canonical_cbor, read_body, read_cbor

DATABASE = "coordinator.sqlite"
FORMAT = 100
"""Of a job's state, files beside the database included; see federation/formats.py. What was written before formats had
numbers is not read: neither are its plans."""
_SUM = "last_sum"
_MASKED_SUM = "masked_sum"
_MASKED_SUM_FILE = "masked-sum.safetensors"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (plan TEXT NOT NULL, attempt INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS rounds (round INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps (round INTEGER NOT NULL, step TEXT NOT NULL, record BLOB NOT NULL,
    sha256 BLOB NOT NULL, PRIMARY KEY (round, step));
CREATE TABLE IF NOT EXISTS statements (round INTEGER NOT NULL, step TEXT NOT NULL, number INTEGER NOT NULL,
    record BLOB NOT NULL, PRIMARY KEY (round, step, number));
CREATE TABLE IF NOT EXISTS revealed (round INTEGER NOT NULL, record BLOB NOT NULL, sha256 BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rosters (digest BLOB PRIMARY KEY, roster BLOB NOT NULL);
"""


class StoreOfAnotherPlan(RengoError):
    """{path} holds the rounds of another plan ({stored}). Choose another output folder."""

    ja = "{path} には別の計画 ({stored}) の学習回が保存されています。別の出力先を指定してください。"
    exit_code = 3


class StoreDamaged(RengoError):
    """{path} does not hold the adapter that round {round} committed. Restore it from a backup."""

    ja = "{path} の内容は学習回 {round} で確定した追加学習差分と異なります。バックアップから復元してください。"
    exit_code = 10


class StepDamaged(RengoError):
    """{path} does not hold what was recorded of {step} in round {round}. Restore it from a backup: whatever an older
    state could ask twice, members refuse."""

    ja = (
        "{path} の内容は学習回 {round} の {step} で記録したものと異なります。バックアップから復元してください"
        "（古い状態から二度目の要求をしても、参加拠点が拒否します）。"
    )
    exit_code = 10


class StoreUnreadable(RengoError):
    """The coordinator's state {path} cannot be read ({detail}). Restore its folder from a backup."""

    ja = "事務局の状態 {path} を読めません（{detail}）。フォルダーをバックアップから復元してください。"
    exit_code = 10


@dataclass(frozen=True)
class Checkpoint:
    """After `round` rounds: the adapter that opens the next, the sum that gave it, how that sum was encoded, and the
    proof that the round took place (a RoundProof in canonical CBOR)."""

    round: int
    adapter: Tensors
    total: Words
    count: int
    ranges: tuple[str, ...]
    scalars: tuple[str, ...]
    proof: bytes


class Store:
    """One job's state in one folder. One writer."""

    def __init__(self, folder: Path, plan_digest: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._shelves = folder, Shelves(folder)
        path = folder / DATABASE
        # Only when it is not there: closing any descriptor of a database drops this process's locks on it (POSIX).
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = _connect(path)
        row = self._db.execute("SELECT plan FROM job").fetchone()
        if row is None and any(folder.glob("round-*.safetensors")):
            raise StoreUnreadable(path=path, detail="it is empty, but files of rounds are beside it")
        if row is None:
            self._db.execute("INSERT INTO job VALUES (?, 0)", (plan_digest.hex(),))
        elif row[0] != plan_digest.hex():
            raise StoreOfAnotherPlan(path=folder, stored=row[0][:16])

    def close(self) -> None:
        """Close the files; everything committed is on disk already."""
        self._db.close()
        self._shelves.close()

    def next_attempt(self) -> int:
        """A number that no attempt of this job had before, durable before it is used."""
        row = self._db.execute("UPDATE job SET attempt = attempt + 1 RETURNING attempt").fetchone()
        return int(row[0])

    def skip_attempts(self, count: int) -> None:
        """Go on after so many attempts, which this state does not know of."""
        self._db.execute("UPDATE job SET attempt = attempt + ?", (count,))

    def check(self) -> int:
        """All that the job goes on from is whole; the newest round. Raises StoreDamaged, StepDamaged or
        StoreUnreadable."""
        last = self.latest()
        for round, step in self._db.execute("SELECT round, step FROM steps").fetchall():
            self.kept(round, Step(step))
        for (round,) in self._db.execute("SELECT DISTINCT round FROM revealed").fetchall():
            list(self.revealed(round))
        for (digest,) in self._db.execute("SELECT digest FROM rosters").fetchall():
            self.roster(digest)
        return last.round if last else 0

    def open_shelf(self, round: int) -> ShelfFile:
        """For the envelopes of a round's set-up; `keep` makes them durable with its Shares. What another set-up of this
        round has put there, and was not kept, is gone."""
        if round not in self._rounds_with_shares():
            self._shelves.remove(round)
        return self._shelves.of(round)

    def keep(self, steps: Sequence[Answers]) -> None:
        """Make durable what an exchange brought, all of it or nothing. A step that is there already is replaced. The
        places of envelopes are those on this store's `open_shelf`."""
        sums = [self._keep_beside(answers) for answers in steps]
        with self._transaction():
            for answers, sum_sha256 in zip(steps, sums, strict=True):
                self._insert(answers, sum_sha256)

    def kept(self, round: int, step: Step) -> Answers | None:
        """What is durable of a step of the open attempt, checked, envelopes where they lie; None if the step was not
        finished."""
        row = self._db.execute("SELECT record, sha256 FROM steps WHERE round = ? AND step = ?", (round, step.value))
        found = row.fetchone()
        if found is None:
            return None
        record, sha256 = found
        digest = hashlib.sha256(record)
        for statement in self._statements(round, step):
            digest.update(statement)
        if digest.digest() != sha256:
            raise StepDamaged(path=self._folder / DATABASE, step=step.value, round=round)
        plain = read_cbor(record)
        parts = [read_cbor(statement) for statement in self._statements(round, step)]
        statements = tuple(Signed(header, signature) for header, signature, _ in parts)
        places = tuple(place for _, _, place in parts if place is not None)
        if places and not self._shelves.holds(round, statements, places):
            raise StepDamaged(path=self._shelves.path(round), step=step.value, round=round)
        total = None
        if plain["sum"] is not None:
            path = self._folder / _MASKED_SUM_FILE
            data = path.read_bytes() if path.exists() else b""
            if hashlib.sha256(data).digest() != plain["sum"]:
                raise StepDamaged(path=path, step=step.value, round=round)
            total = load(data)[_MASKED_SUM]
        return Answers(read_body(Offer, plain["offer"]), step, statements, total, places)

    def keep_revealed(self, round: int, statement: Signed) -> None:
        """Make one member's Revealed durable as it arrives, before its exchange has ended."""
        record = canonical_cbor([statement.header_bytes, statement.signature])
        self._db.execute("INSERT INTO revealed VALUES (?, ?, ?)", (round, record, hashlib.sha256(record).digest()))

    def revealed(self, round: int) -> Iterator[Signed]:
        """What has arrived of the open attempt's last step, each checked when it is its turn."""
        for record, sha256 in self._db.execute("SELECT record, sha256 FROM revealed WHERE round = ?", (round,)):
            if hashlib.sha256(record).digest() != sha256:
                raise StepDamaged(path=self._folder / DATABASE, step=Step.REVEALED.value, round=round)
            yield Signed(*read_cbor(record))

    def keep_roster(self, roster: Roster) -> None:
        """Make a roster durable before a round begins under it."""
        self._db.execute("INSERT OR IGNORE INTO rosters VALUES (?, ?)", (roster.digest(), roster.to_bytes()))

    def roster(self, digest: bytes) -> Roster:
        """The kept roster of this digest."""
        row = self._db.execute("SELECT roster FROM rosters WHERE digest = ?", (digest,)).fetchone()
        roster = Roster.from_bytes(row[0]) if row else None
        if roster is None or roster.digest() != digest:
            raise StoreUnreadable(path=self._folder / DATABASE, detail=f"roster {digest.hex()[:16]} is not in it")
        return roster

    def give_up(self) -> None:
        """Forget the steps of the open attempt, and the next round's that it carried: it is not gone on with."""
        with self._transaction():
            self._forget_attempt()
        self.remove_leftovers()

    def commit(self, checkpoint: Checkpoint, *, carried: bool = False) -> None:
        """Make a round durable. Its steps are forgotten; the next round's set-up stays if the round `carried` it.

        Atomic: afterwards `latest` gives this round, or still the one before and `kept` its steps.
        """
        name = f"round-{checkpoint.round:05d}.safetensors"
        arrays = {**{n: np.ascontiguousarray(a) for n, a in checkpoint.adapter.items()}, _SUM: checkpoint.total}
        data = save(arrays)
        self._write(name, data)
        record = {
            "count": checkpoint.count,
            "ranges": checkpoint.ranges,
            "scalars": checkpoint.scalars,
            "proof": checkpoint.proof.hex(),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        with self._transaction():
            self._db.execute("INSERT INTO rounds VALUES (?, ?)", (checkpoint.round, json.dumps(record)))
            for table in ("steps", "statements"):
                self._db.execute(f"DELETE FROM {table} WHERE round <= ? OR NOT ?", (checkpoint.round, carried))  # noqa: S608
            self._db.execute("DELETE FROM revealed")
        # One file back is enough to look at what changed; older sums need not stay around.
        (self._folder / f"round-{checkpoint.round - 2:05d}.safetensors").unlink(missing_ok=True)
        (self._folder / _MASKED_SUM_FILE).unlink(missing_ok=True)
        self.remove_leftovers()

    def forget_after(self, round: int) -> None:
        """Go back to `round`, at most one before the newest, and to no open attempt. For simulations: in a real job
        members would refuse."""
        with self._transaction():
            self._db.execute("DELETE FROM rounds WHERE round > ?", (round,))
            self._forget_attempt()
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove shelves whose step is forgotten or, after a crash, was never finished. For whoever runs the job: an
        exchange that is open has its envelopes there."""
        self._shelves.remove_but(self._rounds_with_shares())

    def latest(self) -> Checkpoint | None:
        """The newest committed round, checked against its record; None before the first."""
        row = self._db.execute("SELECT round, record FROM rounds ORDER BY round DESC LIMIT 1").fetchone()
        if row is None:
            return None
        round, record = int(row[0]), json.loads(row[1])
        path = self._folder / f"round-{round:05d}.safetensors"
        data = path.read_bytes() if path.exists() else b""
        # Before it is parsed, and the sum along with the adapter.
        if hashlib.sha256(data).hexdigest() != record["sha256"]:
            raise StoreDamaged(path=path, round=round)
        arrays = load(data)
        total = arrays.pop(_SUM)
        ranges, scalars = tuple(record["ranges"]), tuple(record["scalars"])
        return Checkpoint(round, arrays, total, record["count"], ranges, scalars, bytes.fromhex(record["proof"]))

    def _forget_attempt(self) -> None:
        for table in ("steps", "statements", "revealed"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608

    def _statements(self, round: int, step: Step) -> Iterator[bytes]:
        rows = "SELECT record FROM statements WHERE round = ? AND step = ? ORDER BY number"
        return (record for (record,) in self._db.execute(rows, (round, step.value)))

    def _rounds_with_shares(self) -> set[int]:
        return {round for (round,) in self._db.execute("SELECT round FROM steps WHERE step = ?", (Step.SHARES.value,))}

    def _keep_beside(self, answers: Answers) -> bytes | None:
        """What of a step is no row is on disk when this returns; the SHA-256 of its sum, if it has one."""
        if answers.places:
            self._shelves.of(answers.offer.round).sync()
            flush(self._folder)
        if answers.total is None:
            return None
        data = save({_MASKED_SUM: answers.total})
        self._write(_MASKED_SUM_FILE, data)
        return hashlib.sha256(data).digest()

    def _insert(self, answers: Answers, sum_sha256: bytes | None) -> None:
        """One statement after the other, under one hash: together they may be larger than all else that is held."""
        round, step = answers.offer.round, answers.step.value
        record = canonical_cbor({"offer": answers.offer.to_plain(), "sum": sum_sha256})
        digest = hashlib.sha256(record)
        self._db.execute("DELETE FROM statements WHERE round = ? AND step = ?", (round, step))
        for number, (statement, place) in enumerate(zip_longest(answers.statements, answers.places)):
            row = canonical_cbor([statement.header_bytes, statement.signature, place])
            digest.update(row)
            self._db.execute("INSERT INTO statements VALUES (?, ?, ?, ?)", (round, step, number, row))
        self._db.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?)", (round, step, record, digest.digest()))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:  # commits, or rolls back
            yield

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._folder / f"{name}.part"
        handle = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._folder / name)
        flush(self._folder)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        fresh = db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
        (found,) = db.execute("PRAGMA user_version").fetchone()
        advice = "make a plan for a new job (`rengo coordinator plan job=NAME`)"
        advice_ja = "新しいジョブの計画を作成してください（`rengo coordinator plan job=名前`）"
        require_readable(path, FORMAT if fresh else found, FORMAT, advice, advice_ja)
        if fresh:
            db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
        (sound,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if not error.sqlite_errorname.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise  # what a disk refuses is told by whoever chose the folder
        raise StoreUnreadable(path=path, detail=str(error)) from error
    if sound != "ok":
        raise StoreUnreadable(path=path, detail=sound)
    return db
