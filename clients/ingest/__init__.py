"""A site's folder of files -> documents of text, in the formats and encodings of Japanese offices.

A first version; docs/ingest.md says what it reads and what it does not. Every file is taken for hostile: nothing is
fetched or run, no entity is expanded, and a file that cannot be used is set aside with a reason and stops nothing.
"""

import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clients.ingest.content import Content, Unusable
from clients.ingest.files import NOT_OPENED, listed, opened
from clients.ingest.kinds import IN_WORDS, KINDS, is_passed_over, not_read, passed_over, suffix_of
from clients.ingest.logs import settings as log_settings
from clients.ingest.logs.settings import Settings
from clients.ingest.parser import Parser, Part
from clients.ingest.selection import Document, Documents, Found, Reading, SetAside, selected
from clients.ingest.together import Known, Request, others
from federation.errors import DataFolderInvalid

__all__ = ["Document", "Documents", "Reading", "SetAside", "read_documents", "require_opened"]


def read_documents(folder: Path, parser: Parser | None = None, permitted: Collection[str] = ()) -> Reading:
    """Every file in `folder` and below, by the reader for its suffix, in a process of its own: `parser`, which several
    folders may share, or one for this folder. `permitted`: marks of confidentiality (see `marks`) that are no obstacle.

    Raises DataFolderInvalid when there is no such folder or nothing in it can be used; SettingsFileInvalid and
    LogSettingsInvalid for its logs.toml.
    """
    require_opened(folder)
    known: dict[bytes, list[Part]] = {}
    settings = log_settings.read(folder)
    files = {name: file for name, file in listed(folder) if name != log_settings.FILE_NAME}
    with contextlib.nullcontext(parser) if parser else Parser() as parser:
        found = {name: _read(folder, file, name, parser, known, settings) for name, file in files.items()}
        found |= _read_together(files, found, parser, permitted, settings)
    reading = selected([each for parts in found.values() for each in parts], permitted)
    if not reading.documents:
        aside = reading.set_aside
        reason, reason_ja = (_first(aside, which) for which in ("reason", "reason_ja"))
        raise DataFolderInvalid(
            path=folder,
            detail=f"no usable file ({IN_WORDS}) among its {len(aside)} file(s){reason}",
            detail_ja=f"使えるファイル（{IN_WORDS}）がありません（{len(aside)} 件中）{reason_ja}",
        )
    return reading


def require_opened(folder: Path) -> None:
    """Raises DataFolderInvalid when there is no such folder, or this user cannot open it."""
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError) as error:
        detail = ("there is no such folder", "フォルダーがありません")
        raise DataFolderInvalid(path=folder, detail=detail[0], detail_ja=detail[1]) from error
    except OSError as error:
        detail = (f"it cannot be opened ({error.strerror})", f"開けません（{error.strerror}）")
        raise DataFolderInvalid(path=folder, detail=detail[0], detail_ja=detail[1]) from error


def _read_together(
    files: Mapping[str, Path],
    found: Mapping[str, list[Found]],
    parser: Parser,
    permitted: Collection[str],
    settings: Settings,
) -> dict[str, list[Found]]:
    """By file, what is read of the logs that have to be read with others: see `together`. Rows that a forbidden log has
    are told by no other; no more of it is used."""
    used = {each.name for each in selected([part for parts in found.values() for part in parts], permitted).documents}
    known, forbidden = list[Known](), list[Known]()
    for file, parts in found.items():
        for each in parts:
            if isinstance(each.result, Content) and each.result.log is not None:
                log = Known(file, each.name[len(file) + 1 :], each.result.facts.kind, each.result.log)
                if each.name in used:
                    known.append(log)
                elif each.marks - set(permitted):
                    forbidden.append(log)
    return {
        file: _read_with(files, file, found[file], parser, Request(file, settings.raw, of_parts))
        for file, of_parts in others(known, forbidden, settings).items()
    }


def _read_with(
    files: Mapping[str, Path], name: str, before: list[Found], parser: Parser, request: Request
) -> list[Found]:
    """A file once more, with others: set aside if it or one of them changed or went meanwhile, for then it may tell
    what another one tells too."""
    try:
        with contextlib.ExitStack() as stack:
            descriptor = stack.enter_context(opened(files[name]))
            beside = {file: stack.enter_context(opened(files[file])) for file in request.files()}
            parts = parser.parts(descriptor, files[name].name, replace(request, descriptors=beside))
    except Unusable as refusal:
        return [Found(name, refusal)]
    digest = before[0].digest
    return [Found(f"{name}/{p.name}", p.result) if p.name else Found(name, p.result, digest) for p in parts]


def _read(
    folder: Path, file: Path, name: str, parser: Parser, known: dict[bytes, list[Part]], settings: Settings
) -> list[Found]:
    """What is in one file, by its name below `folder`: of an archive, each file within.

    `known`: by digest, what was read of a file; grows. Repeats are not read again.
    """
    digest = b""
    try:
        if file.is_symlink() and file.exists() and not file.resolve().is_relative_to(folder.resolve()):
            raise Unusable("a link out of the folder, not followed", "フォルダー外へのリンクです（たどりません）")
        if not file.is_symlink() and file.is_dir():
            raise NOT_OPENED
        if is_passed_over(file.name):
            raise passed_over()
        with opened(file) as descriptor:
            if suffix_of(file.name) not in KINDS:
                raise not_read(file.name)
            with open(descriptor, "rb", closefd=False) as stream:
                digest = hashlib.file_digest(stream, "sha256").digest()
            parts = known.get(digest) or parser.parts(descriptor, file.name, Request(name, settings.raw))
    except Unusable as refusal:
        return [Found(name, refusal)]
    known[digest] = parts
    return [Found(f"{name}/{p.name}", p.result) if p.name else Found(name, p.result, digest) for p in parts]


def _first(set_aside: Sequence[SetAside], reason: str) -> str:
    return f"; {set_aside[0].name}: {getattr(set_aside[0], reason)}" if set_aside else ""
