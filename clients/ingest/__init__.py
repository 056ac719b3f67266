"""A site's folder -> documents. UTF-8 `.txt` files for now."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.errors import DataFolderInvalid


@dataclass(frozen=True)
class Document:
    """One text. `name`: its path below the folder, with `/`, in Unicode NFC."""

    name: str
    text: str


Documents = tuple[Document, ...]


@dataclass(frozen=True)
class SetAside:
    """A file that was not used, and why."""

    name: str
    reason: str
    reason_ja: str


@dataclass(frozen=True)
class Reading:
    """What a folder held, both parts sorted by name."""

    documents: Documents
    set_aside: tuple[SetAside, ...]


def read_documents(folder: Path) -> Reading:
    """Every text file in `folder` and below.

    An exact repeat of an earlier text is set aside too: trained on and held out, it would make a loss a lie.

    Raises DataFolderInvalid when there is no such folder or nothing in it can be read.
    """
    if not folder.is_dir():
        raise DataFolderInvalid(path=folder, detail="there is no such folder", detail_ja="フォルダーがありません")
    documents, set_aside = list[Document](), list[SetAside]()
    seen: dict[str, str] = {}
    for name, file in _files(folder):
        text = _read(name, file)
        if isinstance(text, SetAside):
            set_aside.append(text)
        elif text in seen:
            set_aside.append(SetAside(name, f"the same text as {seen[text]}", f"{seen[text]} と同じ内容です"))
        else:
            seen[text] = name
            documents.append(Document(name, text))
    if not documents:
        raise DataFolderInvalid(
            path=folder,
            detail=f"no usable .txt file (UTF-8) among its {len(set_aside)} file(s){_first(set_aside, 'reason')}",
            detail_ja=f"使える .txt（UTF-8）がありません（{len(set_aside)} 件中）{_first(set_aside, 'reason_ja')}",
        )
    return Reading(tuple(documents), tuple(set_aside))


def _files(folder: Path) -> list[tuple[str, Path]]:
    """(NFC name, file) of all files below `folder`, by name. Links to folders are not followed: they may be loops.

    A subfolder that cannot be opened is listed as if it were a file, to be set aside like one and not to vanish.
    """
    found = list[Path]()
    for parent, _, names in os.walk(folder, onerror=lambda error: found.append(Path(error.filename))):
        found.extend(Path(parent, name) for name in names)
    return sorted((unicodedata.normalize("NFC", file.relative_to(folder).as_posix()), file) for file in found)


def _read(name: str, file: Path) -> str | SetAside:
    if file.is_dir():
        return SetAside(name, "a folder that cannot be opened", "開けないフォルダーです")
    if file.suffix.lower() != ".txt" or file.name.startswith("."):
        return SetAside(name, "not a .txt file", ".txt ファイルではありません")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return SetAside(name, f"not UTF-8 (byte {error.start})", f"UTF-8 ではありません（{error.start} バイト目）")
    except OSError as error:
        return SetAside(name, f"cannot be read ({error.strerror})", "読み取れません")
    if "\0" in text:
        return SetAside(name, "holds NUL characters", "NUL 文字を含みます")
    return text.replace("\r\n", "\n") if text.strip() else SetAside(name, "empty", "空です")


def _first(set_aside: Sequence[SetAside], reason: str) -> str:
    return f"; {set_aside[0].name}: {getattr(set_aside[0], reason)}" if set_aside else ""
