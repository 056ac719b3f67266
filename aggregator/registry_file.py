"""The registry's SQLite file: its tables, and which version of rengo reads it."""

import os
import sqlite3
from pathlib import Path

from aggregator.store import StoreUnreadable
from federation.formats import require_readable

FORMAT = 100
"""See federation/formats.py. A file from before formats had numbers has the same tables, and gets it."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invitations (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, secret BLOB NOT NULL, expires TEXT NOT NULL, used TEXT);
CREATE TABLE IF NOT EXISTS members (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, identity_key BLOB NOT NULL UNIQUE, node_key TEXT NOT NULL UNIQUE,
    joined TEXT NOT NULL, revoked TEXT, seen TEXT, offset INTEGER, rengo TEXT);
CREATE TABLE IF NOT EXISTS rosters (version INTEGER PRIMARY KEY, roster BLOB NOT NULL, signature BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS plans (number INTEGER PRIMARY KEY, plan BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS finished (plan BLOB PRIMARY KEY);
CREATE TABLE IF NOT EXISTS consents (
    member TEXT NOT NULL, plan BLOB NOT NULL, roster BLOB NOT NULL, answer TEXT NOT NULL, reason TEXT NOT NULL,
    utc TEXT NOT NULL, header BLOB NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (member, plan, roster));
CREATE TABLE IF NOT EXISTS quarantined (member TEXT PRIMARY KEY, since TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS models (sha256 TEXT PRIMARY KEY, shapes TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS log (utc TEXT NOT NULL, peer TEXT NOT NULL, event TEXT NOT NULL);
"""
_ADVICE = "set up a new consortium", "新しいコンソーシアムを設定してください"


def opened(path: Path) -> sqlite3.Connection:
    """The registry in `path`, made if it is not there (0600). Raises StoreUnreadable, WrittenByNewer or
    WrittenByOlder."""
    # Only when it is not there: closing any descriptor of a database drops this process's locks on it (POSIX).
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        (found,) = db.execute("PRAGMA user_version").fetchone()
        require_readable(path, found or FORMAT, FORMAT, *_ADVICE)
        db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_SCHEMA}")
        if found != FORMAT:
            db.execute(f"PRAGMA user_version={FORMAT}")
    except sqlite3.DatabaseError as error:
        raise StoreUnreadable(path=path, detail=error) from error
    return db
