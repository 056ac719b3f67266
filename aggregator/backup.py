"""A coordinator's folder saved while it runs, and put back: settings, certificates, registry, and each job's state.

Databases are copied by SQLite's online backup. A job's arrays are files beside its database, and the running job writes
new ones and removes old ones: a copy counts when everything in it is what its database recorded, or is made again.
What stands in a backup is for the coordinator alone, like its folder; `contents.json` has the SHA-256 of every file.
"""

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aggregator.home import Home, require_free, write_private
from aggregator.store import DATABASE, StepDamaged, Store, StoreDamaged
from federation.errors import RengoError
from federation.formats import WrittenByOlder
from federation.output import flush
from federation.text import printable

PRIVATE_KEYS = ("coordinator.key", "authority.key", "tls.key")
_PUBLIC = ("authority.pem", "server.pem", "root.pub")
_CONTENTS = "contents.json"
_TRIES = 5
_ATTEMPTS_AHEAD = 100
"""A restored job goes on with attempts that no member has seen, of which it may have had some since the backup. Members
follow over 1,000 (federation/secagg/history.py)."""


class JobNotSaved(RengoError):
    """Job {job} could not be saved whole: {detail} Nothing was written."""

    ja = "ジョブ {job} を完全な形で保存できませんでした: {detail_ja} 何も書き込んでいません。"
    exit_code = 10


class NoBackup(RengoError):
    """{path} is no backup of a coordinator: it has no contents.json that can be read."""

    ja = "{path} は事務局のバックアップではありません（contents.json を読めません）。"
    exit_code = 2


class BackupOfAnotherVersion(RengoError):
    """{path} was made by rengo {wrote}, and this is {here}, which does not read it. Nothing was restored. Install rengo
    {wrote}, restore, and upgrade then."""

    ja = (
        "{path} は rengo {wrote} のバックアップで、この版 {here} では読めません。何も復元していません。"
        "rengo {wrote} で復元してから更新してください。"
    )
    exit_code = 3


class BackupDamaged(RengoError):
    """{path} is not what was saved: {file} is missing, changed or too many. Nothing was restored; take another
    backup."""

    ja = (
        "{path} は保存時の内容と異なります: {file} が欠けているか、変更されているか、余分です。"
        "何も復元していません。別のバックアップを使ってください。"
    )
    exit_code = 10


class HomeInUse(RengoError):
    """{path} is not empty. Nothing was changed; a backup is restored into a new folder: --home NEW."""

    ja = "{path} は空ではありません。何も変更していません。新しいフォルダーを --home で指定してください。"
    exit_code = 2


@dataclass(frozen=True)
class Contents:
    """What is in a backup. `jobs`: name -> the last round that is in it. `keys`: whether private keys are. `files`:
    path in it -> SHA-256."""

    consortium: str
    made: str
    rengo: str
    keys: bool
    jobs: dict[str, int]
    files: dict[str, str]


def save(home: Home, target: Path, *, with_keys: bool) -> Contents:
    """Save `home` as a new folder, whole or not at all. Raises FileInTheWay, NoCoordinatorHere, JobNotSaved."""
    consortium = home.settings().consortium
    require_free(target)
    with _new_folder(target) as folder:
        _copy(home.path / "coordinator.toml", folder / "coordinator.toml")
        for name in (*_PUBLIC, *(PRIVATE_KEYS if with_keys else ())):
            _copy(home.key(name), folder / "keys" / name)
        jobs = {path.name: _save_job(path, folder / "jobs" / path.name) for path in home.jobs()}
        # After the jobs: what they need of it is there already.
        _copy_database(home.registry, folder / home.registry.name)
        made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        contents = Contents(consortium, made, version("rengo"), with_keys, jobs, _digests(folder))
        data = json.dumps(asdict(contents), ensure_ascii=False, indent=1)
        write_private(folder / _CONTENTS, data.encode())
    return contents


def restore(folder: Path, home: Home) -> Contents:
    """Make `home` from a backup, whole or not at all. Raises HomeInUse, NoBackup, BackupDamaged, or what is wrong with
    a job's state. Invitations that nobody had used are withdrawn: a token that was used since would be good again."""
    if home.path.exists() and (not home.path.is_dir() or any(home.path.iterdir())):
        raise HomeInUse(path=home.path)
    contents = _contents(folder)
    with _new_folder(home.path) as new:
        for name in contents.files:
            _copy(folder / name, new / name)
        _require_same(folder, contents.files, _digests(new))
        restored = Home(new)
        for path in restored.jobs():
            with contextlib.suppress(WrittenByOlder), _opened(path) as store:
                store.check()
                store.skip_attempts(_ATTEMPTS_AHEAD)
        with contextlib.closing(sqlite3.connect(restored.registry, isolation_level=None)) as registry:
            registry.execute("DELETE FROM invitations WHERE used IS NULL")
    return contents


def _contents(folder: Path) -> Contents:
    found: dict[str, Any] = {}
    try:
        found = json.loads((folder / _CONTENTS).read_text(encoding="utf-8"))
        contents = Contents(**found)
    except (OSError, ValueError, TypeError) as error:
        here, wrote = version("rengo"), found.get("rengo") if isinstance(found, dict) else None
        if isinstance(wrote, str) and wrote != here:
            raise BackupOfAnotherVersion(path=folder, wrote=printable(wrote[:40]), here=here) from error
        raise NoBackup(path=folder) from error
    # By what lies there, not by what is written there: nothing outside of the folder is ever read.
    files = _digests(folder)
    files.pop(_CONTENTS)
    _require_same(folder, contents.files, files)
    return contents


def _require_same(folder: Path, expected: dict[str, str], found: dict[str, str]) -> None:
    if different := sorted(name for name, _ in expected.items() ^ found.items()):
        raise BackupDamaged(path=folder, file=different[0])


def _save_job(job: Path, target: Path) -> int:
    """A copy of a job's folder in which all that its database names is there; the last round in it, 0 where an older
    version wrote it."""
    failure: RengoError | None = None
    for _ in range(_TRIES):
        shutil.rmtree(target, ignore_errors=True)
        _copy_database(job / DATABASE, target / DATABASE)
        for path in _plain_files(job):
            with contextlib.suppress(FileNotFoundError):  # removed since: then the check says whether it is needed
                _copy(path, target / path.relative_to(job))
        try:
            with _opened(target) as store:
                return store.check()
        except WrittenByOlder:
            return 0  # nothing of this version goes on with it, or changes it: it is kept as it stands
        except (StoreDamaged, StepDamaged) as error:
            failure = error
    assert failure is not None  # noqa: S101  # it was tried
    raise JobNotSaved(job=job.name, detail=failure.text("en"), detail_ja=failure.text("ja"))


def _plain_files(job: Path) -> Sequence[Path]:
    """All but the database, and what is being written."""
    files = (path for path in job.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if not path.name.startswith(DATABASE) and path.suffix != ".part"]


@contextlib.contextmanager
def _opened(job: Path) -> Iterator[Store]:
    """The store in a copied folder, whatever its plan."""
    with contextlib.closing(sqlite3.connect(job / DATABASE)) as database:
        (plan,) = database.execute("SELECT plan FROM job").fetchone()
    with contextlib.closing(Store(job, bytes.fromhex(plan))) as store:
        yield store


def _copy_database(path: Path, target: Path) -> None:
    _make(target.parent)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    # One that is missing is not made; and not read-only, which would leave files of its own beside it.
    source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    with contextlib.closing(source), contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        # One file: what is beside it would be no part of the backup.
        copy.execute("PRAGMA journal_mode=DELETE")


def _copy(path: Path, target: Path) -> None:
    data = path.read_bytes()
    _make(target.parent)
    write_private(target, data)


def _make(folder: Path) -> None:
    """A folder and those above it, for this user alone where they are not there yet, whatever the umask."""
    if not folder.exists():
        _make(folder.parent)
        folder.mkdir(mode=0o700)


def _digests(folder: Path) -> dict[str, str]:
    """Every file in a folder: its path in it -> SHA-256. Links are no files of it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder (0700) that becomes `target` when the body has filled it, and is removed when that fails."""
    _make(target.parent)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield folder
        for each in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            flush(each)
        os.rename(folder, target)
        flush(target.parent)
    except BaseException:
        shutil.rmtree(folder)
        raise
