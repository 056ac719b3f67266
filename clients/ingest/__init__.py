"""A site's folder of files -> documents of text: TXT, HTML, PDF, DOCX and CSV, in the encodings of Japanese offices.

A first version; docs/ingest.md says what it reads and what it does not. Every file is taken for hostile: nothing is
fetched or run, no entity is expanded, and a file that cannot be used is set aside with a reason and stops nothing.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.ingest.content import Content, Facts, LeftOut, Unusable
from clients.ingest.files import NOT_OPENED, listed, opened
from clients.ingest.kinds import IN_WORDS, KINDS, is_passed_over, not_read, passed_over, suffix_of
from clients.ingest.parser import Parser, Part
from federation.errors import DataFolderInvalid, Language


@dataclass(frozen=True)
class Document:
    """One text. `name`: its path below the folder, with `/`, in Unicode NFC. `facts` say how it was read."""

    name: str
    text: str
    facts: Facts = field(default=Facts(), compare=False)
    left_out: tuple[LeftOut, ...] = field(default=(), compare=False)


Documents = tuple[Document, ...]


@dataclass(frozen=True)
class SetAside:
    """A file that was not used, and why."""

    name: str
    reason: str
    reason_ja: str

    def text(self, language: Language) -> str:
        """The reason, for a person."""
        return self.reason_ja if language == "ja" else self.reason


@dataclass(frozen=True)
class Reading:
    """What a folder held, both parts sorted by name."""

    documents: Documents
    set_aside: tuple[SetAside, ...]


def read_documents(folder: Path, parser: Parser | None = None) -> Reading:
    """Every file in `folder` and below, by the reader for its suffix, in a process of its own: `parser`, which several
    folders may share, or one for this folder.

    An exact repeat of an earlier file or text is set aside too: trained on and held out, it would make a loss a lie.

    Raises DataFolderInvalid when there is no such folder or nothing in it can be read.
    """
    require_opened(folder)
    documents, set_aside = list[Document](), list[SetAside]()
    seen: dict[bytes, str] = {}
    with contextlib.nullcontext(parser) if parser else Parser() as parser:
        for file_name, file in listed(folder):
            for name, result in _read(folder, file, file_name, parser, seen):
                try:
                    documents.append(_document(name, result, seen))
                except Unusable as refusal:
                    set_aside.append(SetAside(name, refusal.reason, refusal.reason_ja))
    if not documents:
        reason, reason_ja = (_first(set_aside, which) for which in ("reason", "reason_ja"))
        raise DataFolderInvalid(
            path=folder,
            detail=f"no usable file ({IN_WORDS}) among its {len(set_aside)} file(s){reason}",
            detail_ja=f"使えるファイル（{IN_WORDS}）がありません（{len(set_aside)} 件中）{reason_ja}",
        )
    documents.sort(key=lambda document: document.name)
    set_aside.sort(key=lambda file: file.name)
    return Reading(tuple(documents), tuple(set_aside))


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


def _read(folder: Path, file: Path, name: str, parser: Parser, seen: dict[bytes, str]) -> list[Part]:
    """What is in one file, by its name below `folder`: of an archive, each file within.

    `seen`: digest of a file or of a text -> the name that first had it; grows.
    """
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
                _require_new(hashlib.file_digest(stream, "sha256").digest(), name, seen)
            parts = parser.parts(descriptor, file.name)
    except Unusable as refusal:
        return [Part(name, refusal)]
    return [Part(f"{name}/{part.name}" if part.name else name, part.result) for part in parts]


def _document(name: str, result: Content | Unusable, seen: dict[bytes, str]) -> Document:
    """Raises Unusable."""
    if isinstance(result, Unusable):
        raise result
    _require_new(hashlib.sha256(result.text.encode()).digest(), name, seen)
    return Document(name, result.text, result.facts, result.left_out)


def _require_new(digest: bytes, name: str, seen: dict[bytes, str]) -> None:
    first = seen.setdefault(digest, name)
    if first != name:
        raise Unusable(f"the same text as {first}", f"{first} と同じ内容です")


def _first(set_aside: Sequence[SetAside], reason: str) -> str:
    return f"; {set_aside[0].name}: {getattr(set_aside[0], reason)}" if set_aside else ""
