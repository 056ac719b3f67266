"""The tables of the store of texts, how one from before a column gets it, and a row of that of files."""

import sqlite3
from typing import Any, NamedTuple

from clients.ingest.sealing import seal_of_row

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    folder BLOB NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    sha256 BLOB NOT NULL, reading BLOB NOT NULL, together BLOB, ctime_ns INTEGER NOT NULL DEFAULT -1,
    seal BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (folder, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mounts (folder BLOB NOT NULL, path BLOB NOT NULL, PRIMARY KEY (folder, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    reading BLOB NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, said TEXT NOT NULL, text BLOB,
    seal BLOB NOT NULL DEFAULT x'', PRIMARY KEY (reading, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (sha256 BLOB PRIMARY KEY, characters INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps (
    text BLOB NOT NULL, step TEXT NOT NULL, key BLOB NOT NULL, said BLOB NOT NULL, became BLOB,
    PRIMARY KEY (text, step)) WITHOUT ROWID;
"""
_SEAL = "BLOB NOT NULL DEFAULT x''"
_LATER = (("files", "ctime_ns", "INTEGER NOT NULL DEFAULT -1"), ("files", "seal", _SEAL), ("parts", "seal", _SEAL))
"""Columns that a store from before does not have. Without those of `files`, every file is hashed once."""


def add_columns(db: sqlite3.Connection) -> None:
    """To a store from before there were these."""
    for table, name, kind in _LATER:
        if name not in {column[1] for column in db.execute(f"PRAGMA table_info({table})")}:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


class Noted(NamedTuple):
    """What is noted of a file. `stamp`: see `store.Stamp`. `is_whole`: it is as it was written; `is_unsealed`: it was
    written before there was anything to tell that by."""

    stamp: tuple[int, ...]
    digest: bytes
    reading: bytes
    is_whole: bool
    is_unsealed: bool


_NOTED = "folder, path, size, mtime_ns, inode, ctime_ns, sha256, reading, seal"


def noted(db: sqlite3.Connection, folder: bytes, path: bytes) -> Noted | None:
    """Of one file."""
    query = f"SELECT {_NOTED} FROM files WHERE folder = ? AND path = ?"  # noqa: S608  # of ours alone
    found = db.execute(query, (folder, path)).fetchone()
    if found is None:
        return None
    *facts, seal = found
    return Noted(tuple(facts[2:6]), facts[6], facts[7], seal == seal_of_row(facts), seal == b"")


def note(db: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    """A file's row but for its seal, in the order above."""
    marks = ", ".join("?" * (len(row) + 1))
    db.execute(f"INSERT OR REPLACE INTO files ({_NOTED}) VALUES ({marks})", (*row, seal_of_row(row)))  # noqa: S608
