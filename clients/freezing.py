"""What a job trains on at this site stays what it was when the job began here, whatever happens to the folders.

As long as this site has said nothing in the job, each start reads the folders anew. From its first message on, the
manifest that the journal names decides: its texts are taken from the site's store by their SHA-256, and what changed
in the folders since is only told.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clients import extracted, manifest, split_record
from clients.dataset import Parts, parts_of
from clients.home import Home
from clients.ingest import Document, Documents, File, FolderUnreachable, SetAside, Texts
from clients.ingest.files import listed, require_opened
from clients.ingest.pace import Progress, untold
from clients.ingest.store import TextMissing
from clients.journal import Departure, Journal
from clients.manifest import Entry, Manifest, NoManifest
from federation.errors import DataFolderInvalid, RengoError
from federation.plan import Plan
from federation.secagg.history import NOWHERE

_log = logging.getLogger(__name__)


class FrozenTextMissing(RengoError):
    """The text of {name}, on which job {job} trains by its manifest, is neither stored any more nor in the folder: it
    was purged, and the file was changed. Put the file back as it was, or end the job here: `rengo member close
    {job}`."""

    ja = (
        "ジョブ {job} の学習データ台帳にある {name} のテキストが、保存先にもフォルダーにもありません"
        "（削除後にファイルが変更されました）。"
        "ファイルを元に戻すか、このジョブを終了してください（`rengo member close {job}`）。"
    )
    exit_code = 8


@dataclass(frozen=True)
class Frozen:
    """The documents of a job by purpose, and SHA-256 of the manifest that names them."""

    digest: bytes
    parts: Parts


def frozen(home: Home, plan: Plan, journal: Journal, texts: Texts, tell: Callable[[Progress], None] = untold) -> Frozen:
    """What the approved job trains on here; frozen now if it has not begun, or began by another plan.

    Raises what `extracted.read`, `split_record.earlier` and `parts_of` raise, ManifestMissing, ManifestChanged or
    FrozenTextMissing.
    """
    named = journal.manifest(plan.job)
    if named and journal.history(plan.job).keyed != NOWHERE:
        found = manifest.of_job(home, plan.job, named)
        if found.head.plan == plan.digest().hex():
            return _as_before(home, plan, found, texts, tell)
    reading, decided = extracted.read(home, texts, tell).reading, split_record.earlier(home)
    parts = parts_of(reading, plan.evaluation, home.settings().folders[0], decided)
    split_record.note(home, parts)
    made = manifest.made(home, plan, parts, reading.settings)
    if earlier := _same(home, made):
        made = earlier
    else:
        texts.sync()  # whoever has the manifest has the texts
        manifest.store(home, made)
        note = f"job {plan.job}: {made.head.used} of {made.head.files} files are used"
        journal.record(Departure("", ("freeze",), "", 0, made.digest, note=note, manifest=made.digest))
    if journal.open_jobs() in ([], [plan.job]):  # else another one needs texts, too
        texts.prune(document.digest for part in (parts.train, parts.validation, parts.test) for document in part)
    _log.info("job %s trains on %d of %d files; manifest %s", plan.job, made.head.used, made.head.files, made.short)
    return Frozen(made.digest, parts)


def _as_before(home: Home, plan: Plan, found: Manifest, texts: Texts, tell: Callable[[Progress], None]) -> Frozen:
    """The job as it began: by the manifest that the journal names."""
    try:
        parts = _thawed(plan, found, texts)
    except FrozenTextMissing:
        extracted.read(home, texts, tell)  # purged, perhaps: what is still in the folders comes back
        parts = _thawed(plan, found, texts)
    _tell_of_changes(plan.job, found)
    return Frozen(found.digest, parts)


def _thawed(plan: Plan, found: Manifest, texts: Texts) -> Parts:
    """The documents that a manifest names, in the order of a split. Raises FrozenTextMissing."""
    documents = dict[str, list[Document]](train=[], validation=[], test=[])
    aside = list[SetAside]()
    for entry in found.entries:
        marks = frozenset(entry.marks)
        if not entry.use:
            aside.append(SetAside(entry.name, entry.reason, entry.reason_ja, marks, _file(entry)))
            continue
        try:
            body = texts.stored(bytes.fromhex(entry.text))
        except TextMissing as error:
            raise FrozenTextMissing(name=entry.name, job=plan.job) from error
        documents[entry.use].append(Document(entry.name, body, marks=marks, file=_file(entry)))
    train, validation, test = map(_in_order, documents.values())
    return Parts(train, validation, test, tuple(aside))


def _in_order(documents: list[Document]) -> Documents:
    return tuple(sorted(documents, key=lambda document: document.digest))


def _file(entry: Entry) -> File:
    """The owner stays what the manifest says: nobody asks again."""
    facts = entry.size, entry.mtime_ns, -1, bytes.fromhex(entry.sha256), entry.read_with, entry.by_default
    return File(entry.folder, "", entry.file, *facts)


def _same(home: Home, made: Manifest) -> Manifest | None:
    """An earlier manifest of this plan and decision that says the same of every file."""
    for path in manifest.kept(home):
        if path.name.startswith(f"{made.head.job}-"):
            try:
                earlier = manifest.parsed(path, path.read_bytes())
            except NoManifest:
                continue  # of another version, or damaged: a new one is written
            if earlier.about == made.about and path == manifest.place(home, made.head.job, earlier.digest):
                return earlier
    return None


def _tell_of_changes(job: str, found: Manifest) -> None:
    """Say in the log what happened to the folders since the job began. No file is opened."""
    before = {(entry.folder, entry.file): (entry.size, entry.mtime_ns) for entry in found.entries}
    changed = new = 0
    there = set[tuple[str, str]]()
    try:
        for folder in map(Path, found.head.folders):
            require_opened(folder, read_before=found.head.files)
            for name, path in listed(folder).files:
                there.add(key := (str(folder), name))
                new += key not in before
                changed += key in before and _stamp(path) != before[key]
    except (FolderUnreachable, DataFolderInvalid) as error:
        _log.warning("job %s goes on with the text that was frozen when it began: %s", job, error)
        return
    gone = len(before.keys() - there)
    if changed or new or gone:
        _log.warning(
            "since job %s began here, %d file(s) changed, %d came and %d went: it goes on with the text of then",
            *(job, changed, new, gone),
        )


def _stamp(path: Path) -> tuple[int, int]:
    """(size, time) of a file; of one that cannot be asked, what the manifest says of such."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
