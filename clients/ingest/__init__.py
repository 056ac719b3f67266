"""A site's folders of files -> documents of text, in the formats and encodings of Japanese offices.

docs/ingest.md says what is read and what is not. Every file is taken for hostile: nothing is fetched or run, no entity
is expanded, and a file that cannot be used is set aside with a reason and stops nothing. Texts lie in a store (`Texts`)
and not in memory; a file that was read before is not read again.
"""

import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clients.ingest.content import Unusable
from clients.ingest.files import FolderUnreachable, examine, listed, opened, require_opened
from clients.ingest.kinds import IN_WORDS
from clients.ingest.logs import settings as log_settings
from clients.ingest.logs.settings import Settings
from clients.ingest.pace import Pace
from clients.ingest.parser import Parser
from clients.ingest.selection import Document, Documents, File, Found, Reading, SetAside, selected
from clients.ingest.store import Stamp, StoredContent, StoredPart, Texts, reading_key
from clients.ingest.together import Known, Others, Request, others
from federation.errors import DataFolderInvalid

__all__ = [
    "Document",
    "Documents",
    "File",
    "FolderUnreachable",
    "Pace",
    "Reading",
    "SetAside",
    "Texts",
    "read_documents",
    "read_folders",
    "require_opened",
]


def read_documents(folder: Path, parser: Parser | None = None, permitted: Collection[str] = ()) -> Reading:
    """As `read_folders` of one folder, with the texts in memory and nothing on disk."""
    with Texts() as texts:
        reading = read_folders([folder], texts, parser, permitted)
        return replace(reading, documents=tuple(replace(each, body=each.text) for each in reading.documents))


def read_folders(
    folders: Sequence[Path],
    texts: Texts,
    parser: Parser | None = None,
    permitted: Collection[str] = (),
    pace: Pace | None = None,
) -> Reading:
    """Every file in `folders` and below, by the reader for its suffix, in a process of its own: `parser`, which several
    calls may share, or one for this call. What `texts` has already is not read again. `permitted`: marks of
    confidentiality (see `marks`) that are no obstacle.

    Raises DataFolderInvalid when there is no such folder or nothing in any of them can be used; FolderUnreachable;
    SettingsFileInvalid and LogSettingsInvalid for a folder's logs.toml.
    """
    labelled = zip(folders, _labels(folders), strict=True)
    files = [file for folder, label in labelled for file in _in(folder, label, texts)]
    unread = [file for file in files if file.parts is None]
    pace = pace or Pace()
    pace.begin(len(unread), sum(file.stamp.size for file in unread))
    with contextlib.nullcontext(parser) if parser else Parser() as parser:
        for file in unread:
            pace.wait()
            _read(file, parser, texts)
            pace.read(file.stamp.size)
        _read_together(files, texts, parser, permitted, pace)
    reading = selected([found for file in files for found in file.found()], permitted)
    if not reading.documents:
        raise _nothing_usable(folders[0], reading.set_aside)
    return reading


_UNKNOWN = Stamp(0, 0, 0)


@dataclass(eq=False)
class _File:
    """A file on its way. `parts`: what was read of it, None until then; `digest`: SHA-256 of its bytes;
    `settings`: what its folder's logs.toml says."""

    folder: Path
    label: str
    name: str
    path: Path
    settings: Settings
    stamp: Stamp = _UNKNOWN
    uid: int = -1
    digest: bytes = b""
    parts: list[StoredPart] | None = None

    def looks(self, status: os.stat_result) -> None:
        """Take in what the file is now."""
        self.stamp, self.uid = Stamp(status.st_size, status.st_mtime_ns, status.st_ino), status.st_uid

    @property
    def full_name(self) -> str:
        return self.label + self.name

    def request(self) -> Request:
        """How it is read by itself."""
        return Request(self.name, self.settings.raw)

    def key(self) -> bytes:
        """Of its reading by itself."""
        return reading_key(self.path.name, self.digest, self.request().text())

    def found(self) -> list[Found]:
        """What is in it: of an archive, each file within."""
        size, mtime_ns, _ = self.stamp
        facts = self.label, File(str(self.folder), self.label, self.name, size, mtime_ns, self.uid, self.digest)
        return [
            Found(f"{self.name}/{name}", result, *facts) if name else Found(self.name, result, *facts, self.digest)
            for name, result in self.parts or ()
        ]


def _in(folder: Path, label: str, texts: Texts) -> list[_File]:
    """The folder's files, with what is known of those that have not changed. None is opened.

    Raises DataFolderInvalid, FolderUnreachable, SettingsFileInvalid or LogSettingsInvalid.
    """
    before = texts.count(folder)
    require_opened(folder, before)
    settings = log_settings.read(folder)
    names = ((name, path) for name, path in listed(folder) if name != log_settings.FILE_NAME)
    files = [_File(folder, label, name, path, settings) for name, path in names]
    require_opened(folder, before)  # still: a share that is lost meanwhile looks like files that are gone
    texts.forget_others(folder, (file.path for file in files))
    for file in files:
        with contextlib.suppress(OSError):
            file.looks(file.path.stat())
        try:
            examine(folder, file.path)
        except Unusable as refusal:
            file.parts = [StoredPart("", refusal)]
            continue
        file.digest = texts.digest_of(folder, file.path, file.stamp) or b""
        if file.digest:
            file.parts = texts.parts(file.key())
    return files


def _read(file: _File, parser: Parser, texts: Texts) -> None:
    """Open a file and read it, unless another one of the same name and bytes was. Raises FolderUnreachable."""
    try:
        with opened(file.path) as descriptor:
            with open(descriptor, "rb", closefd=False) as stream:
                file.digest = hashlib.file_digest(stream, "sha256").digest()
            key = file.key()
            read = None if texts.parts(key) else parser.parts(descriptor, file.path.name, file.request())
            status = os.fstat(descriptor)
    except Unusable as refusal:
        if refusal.again:
            require_opened(file.folder, texts.count(file.folder))  # is it the file, or the server?
        file.digest, file.parts = b"", [StoredPart("", refusal)]
        return
    file.parts = texts.parts(key) if read is None else texts.keep(key, read)
    file.looks(status)
    texts.note(file.folder, file.path, file.stamp, file.digest, key)


def _read_together(
    files: Sequence[_File], texts: Texts, parser: Parser, permitted: Collection[str], pace: Pace
) -> None:
    """Logs that belong together (see `together`) are read once more, with each other. Rows that a forbidden log has are
    told by no other; no more of it is used."""
    used = {each.name for each in selected([found for file in files for found in file.found()], permitted).documents}
    known, forbidden = list[Known](), list[Known]()
    for file in files:
        for each in file.found():
            if isinstance(each.result, StoredContent) and each.result.log is not None:
                part = each.name[len(file.name) + 1 :]
                log = Known(file.full_name, part, each.result.facts.kind, each.result.log, file.label)
                if each.full_name in used:
                    known.append(log)
                elif each.marks - set(permitted):
                    forbidden.append(log)
    by_name = {file.full_name: file for file in files}
    after = max((file.settings.after for file in files), default=0)
    again = {by_name[name]: of_parts for name, of_parts in others(known, forbidden, after).items()}
    read = {file: _read_with(file, by_name, of_parts, texts, parser, pace) for file, of_parts in again.items()}
    for file, parts in read.items():
        file.parts = parts


def _read_with(
    file: _File,
    by_name: Mapping[str, _File],
    of_parts: Mapping[str, Others],
    texts: Texts,
    parser: Parser,
    pace: Pace,
) -> list[StoredPart]:
    """A file with others: set aside if it or one of them changed or went meanwhile, for then it may tell what another
    one tells too."""
    request = replace(file.request(), others=of_parts)
    beside = [by_name[name] for name in request.files()]
    places = replace(request, descriptors={each.full_name: -1 for each in beside})
    key = reading_key(file.path.name, file.digest, places.text(), [each.digest for each in beside])
    parts = texts.parts(key)
    if parts is None:
        pace.wait()
        try:
            with contextlib.ExitStack() as stack:
                own = _unchanged(file, stack)
                descriptors = {each.full_name: _unchanged(each, stack) for each in beside}
                read = parser.parts(own, file.path.name, replace(request, descriptors=descriptors))
        except Unusable as refusal:
            return [StoredPart("", refusal)]
        parts = texts.keep(key, read)
    texts.note_together(file.folder, file.path, key)
    return parts


def _unchanged(file: _File, stack: contextlib.ExitStack) -> int:
    """The descriptor of a file that is as it was when it was read by itself. Raises Unusable."""
    descriptor = stack.enter_context(opened(file.path))
    status = os.fstat(descriptor)
    if Stamp(status.st_size, status.st_mtime_ns, status.st_ino) != file.stamp:
        raise Unusable("it changed while it was read", "読み取り中に変更されました", again=True)
    return descriptor


def _labels(folders: Sequence[Path]) -> list[str]:
    """What comes before the names of each folder's documents: nothing where there is one folder."""
    if len(folders) == 1:
        return [""]
    names = [folder.name for folder in folders]
    return [f"{name}-{names[:i].count(name) + 1}/" if name in names[:i] else f"{name}/" for i, name in enumerate(names)]


def _nothing_usable(folder: Path, set_aside: Sequence[SetAside]) -> DataFolderInvalid:
    first = [(f"; {aside.name}: {aside.reason}", f"{aside.name}: {aside.reason_ja}") for aside in set_aside[:1]]
    reason, reason_ja = first[0] if first else ("", "")
    return DataFolderInvalid(
        path=folder,
        detail=f"no usable file ({IN_WORDS}) among its {len(set_aside)} file(s){reason}",
        detail_ja=f"使えるファイル（{IN_WORDS}）がありません（{len(set_aside)} 件中）{reason_ja}",
    )
