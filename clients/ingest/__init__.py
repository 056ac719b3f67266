"""A site's folder of files -> documents of text: TXT, HTML, PDF, DOCX and CSV, in the encodings of Japanese offices.

A first version; docs/ingest.md says what it reads and what it does not. Every file is taken for hostile: nothing is
fetched or run, no entity is expanded, and a file that cannot be used is set aside with a reason and stops nothing.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.ingest import logs, markup, office, pdf
from clients.ingest.content import Content, Facts, Unusable, full_width_kana
from clients.ingest.encoding import decode
from clients.ingest.files import contents, listed
from federation.errors import DataFolderInvalid, Language


@dataclass(frozen=True)
class Document:
    """One text. `name`: its path below the folder, with `/`, in Unicode NFC. `facts` say how it was read."""

    name: str
    text: str
    facts: Facts = field(default=Facts(), compare=False)


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


def read_documents(folder: Path) -> Reading:
    """Every file in `folder` and below, by the reader for its suffix.

    An exact repeat of an earlier file or text is set aside too: trained on and held out, it would make a loss a lie.

    Raises DataFolderInvalid when there is no such folder or nothing in it can be read.
    """
    require_opened(folder)
    documents, set_aside = list[Document](), list[SetAside]()
    seen: dict[str, str] = {}
    for name, file in listed(folder):
        try:
            if file.is_symlink() and file.exists() and not file.resolve().is_relative_to(folder.resolve()):
                raise Unusable("a link out of the folder, not followed", "フォルダー外へのリンクです（たどりません）")
            content = _read(file, name, seen)
        except Unusable as refusal:
            set_aside.append(SetAside(name, refusal.reason, refusal.reason_ja))
        else:
            documents.append(Document(name, content.text, content.facts))
    if not documents:
        reason, reason_ja = (_first(set_aside, which) for which in ("reason", "reason_ja"))
        raise DataFolderInvalid(
            path=folder,
            detail=f"no usable file ({_KINDS}) among its {len(set_aside)} file(s){reason}",
            detail_ja=f"使えるファイル（{_KINDS}）がありません（{len(set_aside)} 件中）{reason_ja}",
        )
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


def _read(file: Path, name: str, seen: dict[str, str]) -> Content:
    """One file. `seen`: digest of a file or of a text -> the name that first had it; grows. Raises Unusable."""
    suffix = file.suffix.lower()
    if not file.is_symlink() and file.is_dir():
        contents(file)  # says why
    if file.name.startswith((".", "~$")):
        raise Unusable("a hidden or temporary file", "隠しファイルまたは一時ファイルです")
    data = contents(file)
    if suffix not in _READERS:
        raise Unusable(f"not a kind of file that is read ({_KINDS})", f"対応する形式（{_KINDS}）ではありません")
    _check_new(data, name, seen)
    if not data.strip():
        raise Unusable("empty", "空です")
    try:
        content = _READERS[suffix](data, file.name)
    except Unusable:
        raise
    except Exception as error:
        # The parsers raise whatever a damaged file leads them into, and no list of it would be complete. Only the
        # reading of this one file is within this boundary, and its reason keeps the parser's words.
        words = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise Unusable(
            f"damaged, or not a {suffix} file ({words})", f"壊れているか {suffix} ではありません（{words}）"
        ) from error
    text = full_width_kana(content.text.replace("\r\n", "\n"))
    if "\0" in text:
        raise Unusable("holds NUL characters", "NUL 文字を含みます")
    if not text.strip():
        raise Unusable("empty", "空です")
    _check_new(text.encode("utf-8", "surrogatepass"), name, seen)
    return Content(text, content.facts)


def _check_new(data: bytes, name: str, seen: dict[str, str]) -> None:
    digest = hashlib.sha256(data).hexdigest()
    first = seen.setdefault(digest, name)
    if first != name:
        raise Unusable(f"the same text as {first}", f"{first} と同じ内容です")


def _text(data: bytes, _: str) -> Content:
    decoded = decode(data)
    return Content(decoded.text, Facts("text", decoded.encoding, decoded.sure))


_READERS: dict[str, Callable[[bytes, str], Content]] = {
    ".txt": _text,
    ".htm": lambda data, _: markup.read(data),
    ".html": lambda data, _: markup.read(data),
    ".pdf": lambda data, _: pdf.read(data),
    ".docx": lambda data, _: office.read(data),
    ".csv": logs.read,
}
_KINDS = ", ".join(sorted(_READERS))


def _first(set_aside: Sequence[SetAside], reason: str) -> str:
    return f"; {set_aside[0].name}: {getattr(set_aside[0], reason)}" if set_aside else ""
