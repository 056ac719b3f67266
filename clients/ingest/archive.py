"""ZIP -> the files in it, those of archives within included. Nothing is unpacked to a disk; a name is a name only."""

import contextlib
import io
import lzma
import re
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from clients.ingest.content import LARGEST_FILE, Unusable, ambiguous, too_large
from clients.ingest.kinds import KINDS, is_passed_over, not_read, passed_over, suffix_of

MOST_FILES = 5_000
LARGEST_UNFOLDED = 512 * 2**20  # bytes, of all files together
DEEPEST = 3  # archives within each other
_UTF_8, _ENCRYPTED = 0x800, 0x1  # general purpose flags
# What zipfile raises for a damaged file, and RuntimeError for what it cannot unpack.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError)


@dataclass
class _Budget:
    """What may still be read of one outermost archive."""

    files: int = MOST_FILES
    size: int = LARGEST_UNFOLDED


def files(data: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """(name, what gives the bytes or raises Unusable) of each file, in the archive's order."""
    yield from _files(data, "", 1, _Budget())


def _files(data: bytes, above: str, depth: int, budget: _Budget) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """`above`: the names of the archives around, each with its `/`."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE as error:
        kind = type(error).__name__  # and no more: messages quote what is in the file
        refusal = Unusable(f"damaged, or not a ZIP file ({kind})", f"壊れているか ZIP ではありません（{kind}）")
        yield above.rstrip("/"), partial(_refused, refusal)
        return
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if not entries:
        yield above.rstrip("/"), partial(_refused, Unusable("empty", "空です"))
    often = Counter(map(_name, entries))
    for entry in entries:
        if budget.files == 0:
            reason = f"more than {MOST_FILES} files in it: the rest was not read"
            refusal = Unusable(reason, f"{MOST_FILES} 件を超える残りのファイルは読み取っていません")
            yield above.rstrip("/"), partial(_refused, refusal)
            return
        budget.files -= 1
        name = above + _name(entry)
        if often[_name(entry)] > 1:
            yield name, partial(_refused, ambiguous())
            continue
        if suffix_of(name) != ".zip":
            yield name, partial(_contents, archive, entry, name, budget)
            continue
        try:
            if depth == DEEPEST:
                raise Unusable(f"archives nested more than {DEEPEST} deep", f"ZIP の入れ子が {DEEPEST} を超えています")
            inner = _contents(archive, entry, name, budget)
        except Unusable as refusal:
            yield name, partial(_refused, refusal)
        else:
            yield from _files(inner, f"{name}/", depth + 1, budget)


def _contents(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, budget: _Budget) -> bytes:
    """Raises Unusable."""
    if is_passed_over(name.rpartition("/")[2]):
        raise passed_over()
    if suffix_of(name) not in KINDS:
        raise not_read(name)
    if entry.flag_bits & _ENCRYPTED:
        raise Unusable("encrypted: it opens only with a password", "暗号化されています（パスワードが必要）")
    try:
        with archive.open(entry) as stream:
            data = stream.read(min(LARGEST_FILE, budget.size) + 1)
    except _DAMAGE as error:
        kind = type(error).__name__
        raise Unusable(f"damaged within its ZIP ({kind})", f"ZIP 内で壊れています（{kind}）") from error
    budget.size -= len(data)
    if budget.size < 0:
        mebibytes = LARGEST_UNFOLDED // 2**20
        raise Unusable(f"its ZIP unfolds to more than {mebibytes} MiB", f"ZIP の展開が {mebibytes} MiB を超えます")
    if len(data) > LARGEST_FILE:
        raise too_large()
    return data


def _refused(refusal: Unusable) -> bytes:
    raise refusal


def _name(entry: zipfile.ZipInfo) -> str:
    """In NFC, with `/`, and without what would lead out of a folder. Windows writes CP932 and no mark that it did."""
    name = entry.orig_filename
    if not entry.flag_bits & _UTF_8:
        raw = name.encode("cp437")  # zipfile's guess, undone
        for encoding in ("utf-8", "cp932"):
            with contextlib.suppress(UnicodeDecodeError):
                name = raw.decode(encoding)
                break
    parts = re.split(r"[/\\]", unicodedata.normalize("NFC", name.partition("\0")[0]))
    return "/".join(part for part in parts if part not in ("", ".", "..")) or "?"
