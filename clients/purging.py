"""`rengo member data purge`: what this site keeps of its documents' text is removed, and a receipt says so.

Manifests and the journal stay: they say on which data jobs trained, and hold no text. Files are removed, not
overwritten: what a disk, a snapshot or a backup still holds of them is beyond this program.
"""

import getpass
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from clients import extracted, manifest
from clients.home import Home, now, write
from clients.journal import Departure, Journal
from clients.process import alone
from federation.errors import RengoError

FOLDER = "receipts"


class JobOpen(RengoError):
    """Job {job} is open on this site's data. Nothing was removed. Without its text the job goes on only if the folders
    still hold the same files. Wait for its end, end it here (`rengo member close {job}`), or say --although-open."""

    ja = (
        "ジョブ {job} がこの拠点のデータで実行中です。何も削除していません。"
        "テキストを削除すると、フォルダーに同じファイルが残っている場合しか続行できません。"
        "終了を待つか、`rengo member close {job}` で終了するか、--although-open を指定してください。"
    )
    exit_code = 9


@dataclass(frozen=True)
class Receipt:
    """What was removed: (files, bytes) of each thing in `folder`. `utc`: when it began; `finished`: when it ended, much
    later after an interruption. `manifests`: name -> SHA-256 of those that stay."""

    utc: str
    member: str
    by: str
    folder: str
    removed: dict[str, tuple[int, int]]
    files: int
    bytes: int
    open_jobs: tuple[str, ...]
    manifests: dict[str, str]
    finished: str = ""


def purge(home: Home, journal: Journal, although_open: bool) -> tuple[Receipt, Path]:
    """Remove it all; the receipt, and its file, whose SHA-256 is in the journal. One that was interrupted is finished.
    Raises MemberRunning, ExtractedInUse, ExtractedIsLink or JobOpen."""
    with alone(home.path), extracted.unused(home):
        begun = _begun(home)
        if begun is None:
            open_jobs = tuple(journal.open_jobs())
            if open_jobs and not although_open:
                raise JobOpen(job=open_jobs[0])
            begun = _new(home, open_jobs)
            write(home.file(extracted.BEGUN), _bytes(begun))  # first: what is removed leaves a receipt whatever happens
        return _finished(home, journal, begun)


def finish(home: Home, journal: Journal) -> None:
    """Finish a purge that was interrupted, if there is one. Raises what `purge` raises, but for JobOpen."""
    with alone(home.path), extracted.unused(home):
        if (begun := _begun(home)) is not None:
            _finished(home, journal, begun)


def _new(home: Home, open_jobs: tuple[str, ...]) -> Receipt:
    """Of what is there now."""
    removed = extracted.sizes(home)
    files, size = (sum(each[i] for each in removed.values()) for i in (0, 1))
    about = now(), home.settings().id, getpass.getuser(), str(extracted.folder(home))
    stays = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in manifest.kept(home)}
    return Receipt(*about, removed, files, size, open_jobs, stays)


def _begun(home: Home) -> Receipt | None:
    """That of a purge that was interrupted."""
    try:
        return Receipt(**json.loads(home.file(extracted.BEGUN).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # none, or damaged: a new one says what is still there
        return None


def _finished(home: Home, journal: Journal, begun: Receipt) -> tuple[Receipt, Path]:
    """Each step can be done again by whoever comes after a kill."""
    extracted.remove(home)
    path = home.file(FOLDER) / f"purge-{begun.utc.replace(':', '')}.json"
    if not path.exists():
        write(path, _bytes(replace(begun, finished=now())))
    data = path.read_bytes()
    digest = hashlib.sha256(data).digest()
    if not any(row.kinds == "purge" and row.sha256 == digest for row in journal.sent()):
        note = f"{begun.files} files, {begun.bytes} bytes of extracted text and what was made of it, by {begun.by}"
        journal.record(Departure("", ("purge",), "", 0, digest, note=note))
    home.file(extracted.BEGUN).unlink()
    return Receipt(**json.loads(data)), path


def _bytes(receipt: Receipt) -> bytes:
    return json.dumps(asdict(receipt), ensure_ascii=False, indent=1).encode()
