"""A site's folders of files -> documents of text, in the formats and encodings of Japanese offices.

docs/ingest.md says what is read and what is not. Every file is taken for hostile: nothing is fetched or run, no entity
is expanded, and a file that cannot be used is set aside with a reason and stops nothing. Texts lie in a store (`Texts`)
and not in memory; a file that was read before is not read again.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clients.ingest.files import FolderUnreachable, require_opened
from clients.ingest.folder import Folder, in_folder, unread
from clients.ingest.kinds import IN_WORDS
from clients.ingest.logs.settings import FILE_NAME
from clients.ingest.pace import Pace, Progress, untold
from clients.ingest.parser import Parser
from clients.ingest.selection import Document, Documents, File, Found, Reading, SetAside, selected
from clients.ingest.store import Texts
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


def read_documents(
    folder: Path,
    parser: Parser | None = None,
    permitted: Collection[str] = (),
    unmarked: str = "",
    tell: Callable[[Progress], None] = untold,
) -> Reading:
    """As `read_folders` of one folder, with the texts in memory and nothing on disk."""
    with Texts() as texts:
        reading = read_folders([folder], texts, parser, permitted, Pace(tell=tell), {folder: unmarked})
        return replace(reading, documents=tuple(replace(each, body=each.text) for each in reading.documents))


def read_folders(
    folders: Sequence[Path],
    texts: Texts,
    parser: Parser | None = None,
    permitted: Collection[str] = (),
    pace: Pace | None = None,
    unmarked: Mapping[Path, str] | None = None,
) -> Reading:
    """Every file in `folders` and below, by the reader for its suffix, in a process of its own: `parser`, which several
    calls may share, or one for this call. What `texts` has already is not read again. `permitted`: marks of
    confidentiality (see `marks`) that are no obstacle; `unmarked`: the one that files without any count as bearing, by
    folder.

    Raises DataFolderInvalid when there is no such folder or nothing in any of them can be used; FolderUnreachable; and
    SettingsFileInvalid or LogSettingsInvalid for a folder's logs.toml.
    """
    labelled = zip(folders, _labels(folders), strict=True)
    listed = [in_folder(folder, label, texts, (unmarked or {}).get(folder, "")) for folder, label in labelled]
    waiting = unread(listed)
    pace = pace or Pace()
    pace.begin(len(waiting), sum(file.stamp.size for _, file in waiting))
    with contextlib.nullcontext(parser) if parser else Parser() as parser:
        for folder, file in waiting:
            pace.wait()
            folder.read(file, parser, texts)
            pace.read(file.stamp.size)
        remembered = [found for folder in listed for found in folder.remembered(texts)]
        used = {document.name for document in selected(_found(listed), permitted, remembered).documents}
        for folder in listed:
            folder.read_together(used, permitted, parser, texts)
    reading = selected(_found(listed), permitted, remembered, together=True)
    if not reading.documents:
        raise _nothing_usable(folders[0], reading.set_aside)
    settings = {f"{each.path}/{FILE_NAME}": each.settings.sha256 for each in listed if each.settings.sha256}
    return replace(reading, settings=settings)


def _found(folders: Sequence[Folder]) -> list[Found]:
    return [found for folder in folders for file in folder.files for found in file.found()]


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
