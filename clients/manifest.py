"""学習データ台帳: on which data a job trains at this site, file by file, frozen when the job starts here.

A file of JSON lines, `manifests/JOB-DIGEST.jsonl`: what it is about, then a line for each file, used or not. Keys are
sorted and nothing stands between them: the same facts are the same bytes. Its SHA-256, as `sha256sum` gives it, is in
the journal's row of every round. It names files and people, and stays at the site.
"""

import hashlib
import json
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clients.dataset import Parts
from clients.home import Home, now, write
from clients.ingest import Document, SetAside
from federation.errors import RengoError
from federation.plan import Plan

FOLDER = "manifests"
FORM = 2
"""Of the file; raised when it is written otherwise."""


class ManifestMissing(RengoError):
    """The manifest of job {job}, {path}, is not there. What the job trains on at this site is not known without it, so
    the member does not go on in it. Put the file back, or end the job here: `rengo member close {job}`."""

    ja = (
        "ジョブ {job} の学習データ台帳 {path} がありません。学習データを確認できないため、このジョブを続行しません。"
        "ファイルを元に戻すか、このジョブを終了してください（`rengo member close {job}`）。"
    )
    exit_code = 10


class ManifestChanged(RengoError):
    """{path} is not the manifest that it was when it was written: its SHA-256 is {actual}, not {expected}."""

    ja = "学習データ台帳 {path} は作成後に改変されています（SHA-256 {actual}、本来は {expected}）。"
    exit_code = 10


class NoManifest(RengoError):
    """{path} is no manifest that this version of rengo reads: {detail}."""

    ja = "{path} は学習データ台帳として読めません: {detail}。"
    exit_code = 10


@dataclass(frozen=True)
class Entry:
    """One file, or one in an archive. `file`: its path below `folder`; `name`: the document's. `use`: train, validation
    or test; "" for a file that is not used, for a `reason`. `text`: SHA-256 of what was read of it. Digests are hex, ""
    where nothing was read. `owner`: the user as the operating system says; of a share, often whoever mounted it.
    `by_default`: it bears no mark, and `marks` is its folder's default. `read_with`: other files of the folder that its
    text depends on (a log's: logs.toml, exports that it overlaps with, events that are quoted beside it)."""

    folder: str
    file: str
    name: str
    size: int
    mtime_ns: int
    sha256: str
    owner: str
    marks: tuple[str, ...]
    by_default: bool
    read_with: tuple[str, ...]
    use: str
    text: str
    reason: str
    reason_ja: str


@dataclass(frozen=True)
class Head:
    """What a manifest is about. `approved`, `applicant`, `approver`: the decision about the plan, as in approvals.json.
    `unmarked`: as in member.toml; `settings`: SHA-256 (hex) of personal.toml and each logs.toml, by path. `entries`:
    SHA-256 (hex) of all other lines."""

    form: int
    rengo: str
    member: str
    job: str
    plan: str
    frozen: str
    approved: str
    applicant: str
    approver: str
    permitted_marks: tuple[str, ...]
    unmarked: tuple[str, ...]
    settings: Mapping[str, str]
    folders: tuple[str, ...]
    files: int
    used: int
    entries: str


@dataclass(frozen=True)
class Manifest:
    """A manifest as it is, or will be, on disk."""

    head: Head
    entries: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        """The file."""
        return _line(asdict(self.head)) + _lines(self.entries)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the file."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def short(self) -> str:
        """The beginning of `digest`, for people."""
        return self.digest.hex()[:16]

    @property
    def about(self) -> Head:
        """All that it says but for when."""
        return replace(self.head, frozen="")


def made(home: Home, plan: Plan, parts: Parts, settings_read: Mapping[str, str]) -> Manifest:
    """What `parts` hold, for `plan`, as of now. `settings_read`: as in `Reading`."""
    settings = home.settings()
    entries = tuple(sorted(_entries(parts), key=lambda entry: (entry.folder, entry.name)))
    decisions = [each for each in home.approvals() if each.plan == plan.digest().hex()]
    who = (decisions[-1].utc, decisions[-1].applicant, decisions[-1].approver) if decisions else ("", "", "")
    used = sum(bool(entry.use) for entry in entries)
    about = FORM, version("rengo"), settings.id, plan.job, plan.digest().hex(), now(), *who
    marks = tuple(sorted(home.policy().marks)), settings.unmarked
    read = *marks, dict(settings_read), tuple(map(str, settings.folders))
    return Manifest(Head(*about, *read, len(entries), used, hashlib.sha256(_lines(entries)).hexdigest()), entries)


def place(home: Home, job: str, digest: bytes) -> Path:
    """Where the manifest is kept."""
    return home.file(FOLDER) / f"{job}-{digest.hex()[:16]}.jsonl"


def store(home: Home, manifest: Manifest) -> Path:
    """Write it, for the owner alone; where."""
    path = place(home, manifest.head.job, manifest.digest)
    write(path, manifest.to_bytes())
    return path


def kept(home: Home) -> list[Path]:
    """Every manifest of this site."""
    return sorted(home.file(FOLDER).glob("*.jsonl"))


def of_job(home: Home, job: str, digest: bytes) -> Manifest:
    """The manifest that the journal names. Raises ManifestMissing, ManifestChanged or NoManifest."""
    path = place(home, job, digest)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ManifestMissing(path=path, job=job) from error
    actual = hashlib.sha256(data)
    if actual.digest() != digest:
        raise ManifestChanged(path=path, actual=actual.hexdigest()[:16], expected=digest.hex()[:16])
    return parsed(path, data)


def parsed(path: Path, data: bytes) -> Manifest:
    """A file's bytes. Raises NoManifest unless they are what `to_bytes` gives."""
    try:
        head, *rows = map(json.loads, data.decode().removesuffix("\n").split("\n"))
        found = Manifest(Head(**_tuples(head)), tuple(Entry(**_tuples(row)) for row in rows))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NoManifest(path=path, detail=str(error)[:200]) from error
    if found.to_bytes() != data or found.head.entries != hashlib.sha256(_lines(found.entries)).hexdigest():
        raise NoManifest(path=path, detail="its lines are not as they were written")
    return found


def _entries(parts: Parts) -> Iterator[Entry]:
    for use in ("train", "validation", "test"):
        documents: tuple[Document, ...] = getattr(parts, use)
        for document in documents:
            yield Entry(**_file(document), use=use, text=document.digest.hex(), reason="", reason_ja="")
    for aside in parts.set_aside:
        yield Entry(**_file(aside), use="", text="", reason=aside.reason, reason_ja=aside.reason_ja)


def _file(item: Document | SetAside) -> dict[str, Any]:
    """What is the same of a file that is used and of one that is not."""
    facts: dict[str, Any] = {"name": item.name, "marks": tuple(sorted(item.marks))}
    file = item.file
    nothing: dict[str, Any] = {"by_default": False, "read_with": ()}
    if file is None:  # a text that came from no folder
        return facts | {"folder": "", "file": "", "size": 0, "mtime_ns": 0, "sha256": "", "owner": ""} | nothing
    where = {"folder": file.folder, "file": file.name, "size": file.size, "mtime_ns": file.mtime_ns}
    decided = {"by_default": file.by_default, "read_with": file.read_with}
    return facts | where | decided | {"sha256": file.sha256.hex(), "owner": _owner(file.uid)}


def _owner(uid: int) -> str:
    """A user's name, or the number where nobody has it here."""
    if uid < 0:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _lines(entries: tuple[Entry, ...]) -> bytes:
    return b"".join(_line(asdict(entry)) for entry in entries)


def _line(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
