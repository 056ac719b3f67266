"""A folder's files by name, and one file open. Nothing but regular files is ever opened."""

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from clients.ingest.content import LARGEST_FILE, Unusable, too_large

NOT_OPENED = Unusable("a folder that cannot be opened", "開けないフォルダーです")


def listed(folder: Path) -> list[tuple[str, Path]]:
    """(name, file) of everything below `folder` that is no folder, by name. Raises nothing.

    A name is the path below `folder`, in Unicode NFC. Links to folders are not followed, since they may be loops; they
    and subfolders that cannot be opened are listed as if they were files, to be set aside and not to vanish.
    """
    found = list[Path]()
    for parent, folders, names in os.walk(folder, onerror=lambda error: found.append(Path(error.filename))):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found.extend(Path(parent, name) for name in names + links)
    return sorted((_name(file.relative_to(folder)), file) for file in found)


@contextlib.contextmanager
def opened(file: Path) -> Iterator[int]:
    """The descriptor of a regular file (a link to one will do), to be read only.

    Raises Unusable for anything else, and afterwards if it was written to meanwhile.

    A FIFO would wait for ever, a device may act when it is opened: so what it is, is asked before and after opening.
    """
    try:
        _check(file.stat(), file.is_symlink())
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(descriptor)
            _check(before, False)
            yield descriptor
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})", f"読み取れません（{error.strerror}）") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Unusable("it changed while it was read", "読み取り中に変更されました")


def _check(status: os.stat_result, link: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise (
            Unusable("a link to a folder, not followed", "フォルダーへのリンクです（たどりません）")
            if link
            else NOT_OPENED
        )
    if not stat.S_ISREG(status.st_mode):
        raise Unusable(
            "not a regular file (a pipe, socket or device)", "通常のファイルではありません（パイプ、ソケットなど）"
        )
    if status.st_size > LARGEST_FILE:
        raise too_large()


def _name(path: Path) -> str:
    # Names unpacked from an old Windows archive are often CP932 bytes; a name that is no text could not be printed.
    raw = os.fsencode(path.as_posix())
    return unicodedata.normalize("NFC", next(_readings(raw)))


def _readings(raw: bytes) -> Iterator[str]:
    for encoding in ("utf-8", "cp932"):
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    yield raw.decode("utf-8", "replace")
