"""One data folder: its files, what is known of them already, and the reading of the others."""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clients.ingest.content import Unusable, ambiguous
from clients.ingest.files import CHANGED, NOT_OPENED, examine, listed, name_of, opened, require_opened
from clients.ingest.logs import settings as log_settings
from clients.ingest.logs.settings import Settings
from clients.ingest.missing import deleted, require_mounted
from clients.ingest.parser import Parser
from clients.ingest.selection import File, Found
from clients.ingest.store import Stamp, StoredContent, StoredPart, Texts, reading_key
from clients.ingest.together import Known, Request, others

_UNKNOWN = Stamp(0, 0, 0, 0)
_LARGEST = 2**63 - 1


@dataclass
class FileRead:
    """A file on its way. `parts`: what was read of it, None until then; `digest`: SHA-256 of its bytes. `default`: see
    `Found`; `beside`: what else decides on the text of a log in it."""

    folder: Path
    label: str
    name: str
    path: Path
    stamp: Stamp = _UNKNOWN
    uid: int = -1
    digest: bytes = b""
    parts: list[StoredPart] | None = None
    default: str = ""
    beside: tuple[str, ...] = ()

    def looks(self, status: os.stat_result) -> None:
        """Take in what the file is now."""
        self.stamp, self.uid = stamp_of(status), status.st_uid

    def found(self) -> list[Found]:
        """What is in it: of an archive, each file within."""
        size, mtime_ns = self.stamp.size, self.stamp.mtime_ns
        file = File(str(self.folder), self.label, self.name, size, mtime_ns, self.uid, self.digest)
        found = list[Found]()
        for name, result in self.parts or ():
            is_log = isinstance(result, StoredContent) and result.log is not None
            facts = self.label, replace(file, read_with=self.beside) if is_log else file
            digest = b"" if name else self.digest
            found.append(Found(f"{self.name}/{name}" if name else self.name, result, *facts, digest, self.default))
        return found


@dataclass(frozen=True)
class Folder:
    """A data folder as it was listed. `label`, `default`: see `FileRead`; `settings`: its logs.toml; `mounts`: what in
    it is a file system of its own."""

    path: Path
    label: str
    default: str
    settings: Settings
    files: tuple[FileRead, ...]
    mounts: frozenset[Path]

    def read(self, file: FileRead, parser: Parser, texts: Texts) -> None:
        """Open a file and read it, unless another one of the same name and bytes was. Raises FolderUnreachable."""
        request = Request(file.name, self.settings.raw)
        try:
            with opened(file.path, self.path) as descriptor:
                with open(descriptor, "rb", closefd=False) as stream:
                    file.digest = hashlib.file_digest(stream, "sha256").digest()
                key = reading_key(file.path.name, file.digest, request.text())
                read = None if texts.parts(key) else parser.parts(descriptor, file.path.name, request)
                status = os.fstat(descriptor)
        except Unusable as refusal:
            if refusal.again:
                require_opened(self.path, texts.count(self.path))  # is it the file, or the server?
                require_mounted(file.path, self.mounts, texts, self.path)
            file.digest, file.parts = b"", [StoredPart("", refusal)]
            return
        file.parts = texts.parts(key) if read is None else texts.keep(key, read)
        file.looks(status)
        texts.note(self.path, file.path, file.stamp, file.digest, key)

    def remembered(self, texts: Texts) -> list[Found]:
        """What was read before of files that are there and cannot be read now: what they forbid, they still do."""
        read = {file.path for file in self.files if file.digest}
        found = list[Found]()
        for path in texts.known(self.path):
            if path not in read:
                digest, parts = texts.last(self.path, path)
                about = self.path, self.label, name_of(path, self.path), path
                # Of a file without a reading, its name and its bytes are known.
                parts = parts if parts is not None else [StoredPart("", NOT_OPENED)]
                found += FileRead(*about, digest=digest, parts=parts, default=self.default).found()
        return found

    def read_together(self, used: Collection[str], permitted: Collection[str], parser: Parser, texts: Texts) -> None:
        """Read logs that have to be read with others once more, with these: see `together`. `used`: the documents, by
        their names. Rows that a forbidden log has are told by no other; no more of it is used."""
        known, forbidden = list[Known](), list[Known]()
        for file in self.files:
            named = Counter(each.name for each in file.found())
            for each in file.found():
                if named[each.name] > 1:
                    continue  # in an archive: nobody could say which of them is meant
                if isinstance(each.result, StoredContent) and each.result.log is not None:
                    log = Known(file.name, each.name[len(file.name) + 1 :], each.result.facts.kind, each.result.log)
                    if each.full_name in used:
                        known.append(log)
                    elif each.marks - set(permitted):
                        forbidden.append(log)
        texts.forget_together(self.path)
        by_name = {file.name: file for file in self.files}
        for name, of_parts in others(known, forbidden, self.settings).items():
            request = Request(name, self.settings.raw, of_parts)
            by_name[name].parts = _with_others(request, by_name, parser, texts)
            by_name[name].beside += tuple(request.files())


def in_folder(path: Path, label: str, texts: Texts, default: str = "") -> Folder:
    """The folder's files, with what is known of those that have not changed. None but logs.toml is opened. `default`:
    the mark that files without one count as bearing.

    Raises DataFolderInvalid or FolderUnreachable; SettingsFileInvalid or LogSettingsInvalid for logs.toml.
    """
    before = texts.count(path)
    require_opened(path, before)
    settings = log_settings.read(path)
    listing = listed(path)
    beside = (log_settings.FILE_NAME,) if settings.sha256 else ()
    files = [
        FileRead(path, label, name, file, default=default, beside=beside)
        for name, file in listing.files
        if name != log_settings.FILE_NAME
    ]
    require_opened(path, before)  # still: a share that is lost meanwhile looks like files that are gone
    texts.note_listed(path, deleted(path, listing, texts), listing.mounts)
    named = Counter(file.name for file in files)
    for file in files:
        if named[file.name] > 1:  # what one of them may not say, another would seem to have said
            file.parts = [StoredPart("", ambiguous())]
            continue
        with contextlib.suppress(OSError):
            file.looks(file.path.stat())
        try:
            examine(path, file.path)
        except Unusable as refusal:
            file.parts = [StoredPart("", refusal)]
            continue
        file.digest = texts.digest_of(path, file.path, file.stamp) or b""
        if file.digest:
            key = reading_key(file.path.name, file.digest, Request(file.name, settings.raw).text())
            file.parts = texts.parts(key)
    return Folder(path, label, default, settings, tuple(files), listing.mounts)


def _with_others(
    request: Request, by_name: Mapping[str, FileRead], parser: Parser, texts: Texts
) -> list[StoredPart] | None:
    """What is read of a file together with others: set aside if it or one of them changed or went meanwhile, for then
    it may tell what another one tells too."""
    file, companions = by_name[request.path], [by_name[name] for name in request.files()]
    places = {companion.name: place for place, companion in enumerate(companions)}
    digests = [companion.digest.hex() for companion in companions]
    told = json.dumps([replace(request, descriptors=places).text(), digests])
    key = reading_key(file.path.name, file.digest, told)
    kept = texts.parts(key)
    if kept is None:
        try:
            with contextlib.ExitStack() as stack:
                descriptor, *beside = [_unchanged(stack, each) for each in (file, *companions)]
                descriptors = dict(zip(places, beside, strict=True))
                parts = parser.parts(descriptor, file.path.name, replace(request, descriptors=descriptors))
        except Unusable as refusal:
            return [StoredPart("", refusal)]
        kept = texts.keep(key, parts)
    texts.note_together(file.folder, file.path, key)
    return kept


def _unchanged(stack: contextlib.ExitStack, file: FileRead) -> int:
    """The open file. Raises Unusable."""
    descriptor = stack.enter_context(opened(file.path, file.folder))
    if stamp_of(os.fstat(descriptor)) != file.stamp:
        raise CHANGED
    return descriptor


def stamp_of(status: os.stat_result) -> Stamp:
    """By what a file is known again. In SQLite's 63 bits: file servers make up inodes, and anybody a time."""
    return Stamp(
        *(value & _LARGEST for value in (status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns))
    )


def unread(folders: Sequence[Folder]) -> list[tuple[Folder, FileRead]]:
    """The files that have to be opened."""
    return [(folder, file) for folder in folders for file in folder.files if file.parts is None]
