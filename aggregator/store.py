"""The coordinator's durable state: attempts and rounds in SQLite, adapters and sums as safetensors beside it.

A round is committed by one transaction, after its file has reached the disk: after a crash the newest committed round
is whole, and a file without its row is not looked at.
"""

import hashlib
import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from federation.errors import RengoError
from federation.tensors import Tensors

_SUM = "last_sum"


class StoreOfAnotherPlan(RengoError):
    """{path} holds the rounds of another plan ({stored}). Choose another output folder."""

    ja = "{path} には別の計画 ({stored}) の学習回が保存されています。別の出力先を指定してください。"
    exit_code = 3


class StoreDamaged(RengoError):
    """{path} does not hold the adapter that round {round} committed. Restore it from a backup."""

    ja = "{path} の内容は学習回 {round} で確定した追加学習差分と異なります。バックアップから復元してください。"
    exit_code = 10


@dataclass(frozen=True)
class Checkpoint:
    """After `round` rounds: the adapter that opens the next, the sum that gave it, how that sum was encoded, and the
    proof that the round took place (a RoundProof in canonical CBOR)."""

    round: int
    adapter: Tensors
    total: NDArray[np.unsignedinteger[Any]]
    count: int
    ranges: tuple[str, ...]
    scalars: tuple[str, ...]
    proof: bytes


class Store:
    """One job's state in one folder. One writer."""

    def __init__(self, folder: Path, plan_digest: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        path = folder / "coordinator.sqlite"
        # Only when it is not there: closing any descriptor of a database drops this process's locks on it (POSIX).
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS job (plan TEXT NOT NULL, attempt INTEGER NOT NULL)")
        self._db.execute("CREATE TABLE IF NOT EXISTS rounds (round INTEGER PRIMARY KEY, record TEXT NOT NULL)")
        row = self._db.execute("SELECT plan FROM job").fetchone()
        if row is None:
            self._db.execute("INSERT INTO job VALUES (?, 0)", (plan_digest.hex(),))
        elif row[0] != plan_digest.hex():
            raise StoreOfAnotherPlan(path=folder, stored=row[0][:16])

    def close(self) -> None:
        """Close the files; everything committed is on disk already."""
        self._db.close()

    def next_attempt(self) -> int:
        """A number that no attempt of this job had before, durable before it is used."""
        row = self._db.execute("UPDATE job SET attempt = attempt + 1 RETURNING attempt").fetchone()
        return int(row[0])

    def commit(self, checkpoint: Checkpoint) -> None:
        """Make a round durable. Atomic: afterwards `latest` gives this round, or still the one before."""
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
        self._db.execute("INSERT INTO rounds VALUES (?, ?)", (checkpoint.round, json.dumps(record)))
        # One file back is enough to look at what changed; older sums need not stay around.
        (self._folder / f"round-{checkpoint.round - 2:05d}.safetensors").unlink(missing_ok=True)

    def forget_after(self, round: int) -> None:
        """Go back to `round`, at most one before the newest. For simulations: in a real job members would refuse."""
        self._db.execute("DELETE FROM rounds WHERE round > ?", (round,))

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

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._folder / f"{name}.part"
        handle = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
