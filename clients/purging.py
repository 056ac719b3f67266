"""`rengo member data purge`: what this site keeps of its documents' text is removed, and a receipt says so.

Manifests and the journal stay: they say on which data jobs trained, and hold no text. Files are removed, not
overwritten: what a disk, a snapshot or a backup still holds of them is beyond this program.
"""

import getpass
import hashlib
import json
from dataclasses import asdict, dataclass
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
    """What was removed: (files, bytes) of each thing in `folder`. `manifests`: name -> SHA-256 of those that stay."""

    utc: str
    member: str
    by: str
    folder: str
    removed: dict[str, tuple[int, int]]
    files: int
    bytes: int
    open_jobs: tuple[str, ...]
    manifests: dict[str, str]


def purge(home: Home, journal: Journal, although_open: bool) -> tuple[Receipt, Path]:
    """Remove it all; the receipt, and its file, whose SHA-256 is in the journal. Raises MemberRunning or JobOpen."""
    with alone(home.path):
        open_jobs = tuple(journal.open_jobs())
        if open_jobs and not although_open:
            raise JobOpen(job=open_jobs[0])
        removed = extracted.sizes(home)
        extracted.remove(home)
        files, size = (sum(each[i] for each in removed.values()) for i in (0, 1))
        about = now(), home.settings().id, getpass.getuser(), str(extracted.folder(home))
        stays = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in manifest.kept(home)}
        receipt = Receipt(*about, removed, files, size, open_jobs, stays)
        data = json.dumps(asdict(receipt), ensure_ascii=False, indent=1).encode()
        path = home.file(FOLDER) / f"purge-{receipt.utc.replace(':', '')}.json"
        write(path, data)
        note = f"{files} files, {size} bytes of extracted text and what was made of it, by {receipt.by}"
        journal.record(Departure("", ("purge",), "", 0, hashlib.sha256(data).digest(), note=note))
    return receipt, path
