"""A folder's files by name, and one file open. Nothing but regular files is ever opened, and nothing is written.

Folders are on file servers, too. A file that cannot be read now is set aside and tried again the next time. A server
that cannot be reached is not an empty folder: FolderUnreachable.
"""

import contextlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clients.ingest.content import LARGEST_FILE, Unusable, too_large
from clients.ingest.kinds import KINDS, is_passed_over, not_read, passed_over, suffix_of
from federation.errors import DataFolderInvalid, RengoError

CHANGED = Unusable("it changed while it was read", "読み取り中に変更されました", again=True)
OUTSIDE = Unusable("a link out of the folder, not followed", "フォルダー外へのリンクです（たどりません）")
NOT_OPENED = Unusable("a folder that cannot be opened", "開けないフォルダーです", again=True)


class FolderUnreachable(RengoError):
    """The data folder {path} cannot be reached: {detail}. {count} file(s) were read from it before; nothing counts as
    deleted, and what was read is kept. Is the share mounted? If these files were deleted or moved, say so with
    `rengo member data forget {path}`; if a data folder is to be given up, take it out of member.toml."""

    ja = (
        "データフォルダー {path} に到達できません: {detail_ja}。以前 {count} ファイルを読み取っています。"
        "削除とはみなさず、抽出済みの内容は保持します。共有フォルダーの接続を確認してください。"
        "実際に削除・移動した場合は `rengo member data forget {path}` を実行し、"
        "データフォルダー自体を使わない場合は member.toml から外してください。"
    )
    exit_code = 8


def require_opened(folder: Path, read_before: int = 0) -> None:
    """Raises DataFolderInvalid when there is no such folder, or this user cannot open it; FolderUnreachable for the
    same, and for an empty one, where files were read before: the place where a share was mounted is an empty folder.
    """
    try:
        with os.scandir(folder) as entries:
            empty = next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _not_there(folder, read_before, "there is no such folder", "フォルダーがありません") from error
    except OSError as error:
        words = f"it cannot be opened ({error.strerror})", f"開けません（{error.strerror}）"
        raise _not_there(folder, read_before, *words) from error
    if empty and read_before:
        raise _not_there(folder, read_before, "it is empty", "空です")


def _not_there(folder: Path, read_before: int, detail: str, detail_ja: str) -> RengoError:
    if read_before:
        return FolderUnreachable(path=folder, detail=detail, detail_ja=detail_ja, count=read_before)
    return DataFolderInvalid(path=folder, detail=detail, detail_ja=detail_ja)


@dataclass(frozen=True)
class Listing:
    """What is below a folder, itself included. `files`: (name, file), by name. `empty`: folders in which there is
    nothing. `mounts`: folders that are file systems of their own."""

    files: tuple[tuple[str, Path], ...]
    empty: frozenset[Path]
    mounts: frozenset[Path]


def listed(folder: Path) -> Listing:
    """Everything below `folder`. Raises nothing.

    A name is the path below `folder`, in Unicode NFC. Links to folders are not followed, since they may be loops; they
    and subfolders that cannot be opened are listed as if they were files, to be set aside and not to vanish.
    """
    found, empty, mounts = list[Path](), set[Path](), set[Path]()
    waiting = [(folder, _device(folder.parent))]  # os.walk calls itself for each level, and gives up at a thousand
    while waiting:
        parent, above = waiting.pop()
        try:
            with os.scandir(parent) as entries:
                inside = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            found.append(parent)
            continue
        if (device := _device(parent)) != above:  # once it was opened: an automounter waits for that
            mounts.add(parent)
        if not inside:
            empty.add(parent)
        found += (path for path, is_folder in inside if not is_folder)
        waiting += ((path, device) for path, is_folder in inside if is_folder)
    files = sorted((name_of(file, folder), file) for file in found)
    return Listing(tuple(files), frozenset(empty), frozenset(mounts))


def is_mount(folder: Path) -> bool:
    """Whether it is a file system of its own now. By the device: its number may be another one after each boot."""
    return _device(folder) != _device(folder.parent)


def _device(folder: Path) -> int | None:
    """None where nobody says."""
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def examine(folder: Path, file: Path) -> None:
    """Raises Unusable unless a file, by what can be seen without opening it, is one to be read."""
    try:
        if file.is_symlink() and file.exists() and not file.resolve().is_relative_to(folder.resolve()):
            raise OUTSIDE
        if not file.is_symlink() and file.is_dir():
            raise NOT_OPENED
        if is_passed_over(file.name):
            raise passed_over()
        _check(file.stat(), file.is_symlink())
    except OSError as error:
        raise _not_read_now(error) from error
    if suffix_of(file.name) not in KINDS:
        raise not_read(file.name)


@contextlib.contextmanager
def opened(file: Path, folder: Path) -> Iterator[int]:
    """The descriptor of a regular file in `folder` (a link to one there will do), to be read only.

    Raises Unusable for anything else, and afterwards if it was written to meanwhile. Where it is, is asked of what was
    opened: whoever may write to the folder can make a link of a file that was looked at.

    A FIFO would wait for ever, a device may act when it is opened: so what it is, is asked before and after opening.
    """
    try:
        _check(file.stat(), file.is_symlink())
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(descriptor)
            _check(before, False)
            if not Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_relative_to(folder.resolve()):
                raise OUTSIDE
            yield descriptor
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _not_read_now(error) from error
    if _written(before) != _written(after):
        raise CHANGED


def _written(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _not_read_now(error: OSError) -> Unusable:
    return Unusable(f"cannot be read ({error.strerror})", f"読み取れません（{error.strerror}）", again=True)


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


def name_of(file: Path, folder: Path) -> str:
    """The path of `file` below `folder`, in Unicode NFC."""
    # Names unpacked from an old Windows archive are often CP932 bytes; a name that is no text could not be printed.
    raw = os.fsencode(file.relative_to(folder).as_posix())
    return unicodedata.normalize("NFC", next(_readings(raw)))


def _readings(raw: bytes) -> Iterator[str]:
    for encoding in ("utf-8", "cp932"):
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    yield raw.decode("utf-8", "replace")
