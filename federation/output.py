"""The folder that a run writes to: one run, one folder, and a clear word when the disk does not take it."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from federation.errors import RengoError

# What the disk under a folder can answer, and that is nobody's bug.
_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("no space is left", "空き容量がありません"),
    errno.EDQUOT: ("the disk quota is used up", "ディスク割り当ての上限です"),
    errno.EFBIG: ("a file would become larger than is allowed", "ファイルサイズの上限を超えます"),
    errno.EROFS: ("it is read-only, or its file system is", "ファイルかファイルシステムが読み取り専用です"),
    errno.EACCES: ("writing is not permitted", "書き込みが許可されていません"),
    errno.EPERM: ("writing is not permitted", "書き込みが許可されていません"),
    errno.EIO: ("the disk reports an input/output error", "ディスクの入出力エラーです"),
    errno.EEXIST: ("a file of that name is in the way", "同名のファイルがあります"),
    errno.ENOTDIR: ("a part of its path is no folder", "パスの途中がフォルダーではありません"),
}

# SQLite's results that say the same. By name, as in `sqlite3.Error.sqlite_errorname`.
_SQLITE = {"FULL": errno.ENOSPC, "READONLY": errno.EROFS, "IOERR": errno.EIO, "CANTOPEN": errno.EACCES}

_PROBE_BYTES = 1 << 20


class OutputNotWritable(RengoError):
    """{path} cannot be written: {detail}. Mend that or choose another place; what was complete before is intact."""

    ja = (
        "{path} に書き込めません: {detail_ja}。修復するか、別の場所を指定してください"
        "（それまでに完了したものは無事です）。"
    )
    exit_code = 7


class OutputFolderTaken(RengoError):
    """The output folder {path} is not empty. Choose another one."""

    ja = "出力先 {path} は空ではありません。別のフォルダーを指定してください。"
    exit_code = 2


@contextlib.contextmanager
def claimed(wanted: Path, chosen: bool) -> Iterator[Path]:
    """A folder for one run alone, as an absolute path: `wanted`, or `wanted-2` and so on when another run has that.

    A folder that the user has `chosen` is never renamed: it has to be new or empty, else OutputFolderTaken. When the
    body fails and has left nothing behind, what was made here is removed. Raises OutputNotWritable.
    """
    wanted = wanted.absolute()
    made: list[Path] = []
    try:
        with disk_errors(wanted), _no_place(wanted):
            folder = _claim(wanted, chosen, made)
        with disk_errors(folder):
            yield folder
    except BaseException:
        for path in reversed(made):
            remove_if_empty(path)
        raise


def make_folder(folder: Path) -> None:
    """The folder and those above it, if they are not there. Raises OutputNotWritable."""
    with disk_errors(folder), _no_place(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _no_place(folder: Path) -> Iterator[None]:
    """Raise OutputNotWritable where the parent is there and takes no folder, as /proc."""
    try:
        yield
    except FileNotFoundError as error:
        detail, detail_ja = "no folder can be made there", "そこにはフォルダーを作成できません"
        raise OutputNotWritable(path=folder, detail=detail, detail_ja=detail_ja) from error


def require_room(folder: Path, needed: int) -> None:
    """Raise OutputNotWritable when the disk under `folder` has less than `needed` bytes: now and not hours later."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        sizes = f"{free / 1e6:.1f} MB", f"{needed / 1e6:.1f} MB"
        detail = "it has {} of free space, this run needs {} at least".format(*sizes)
        raise OutputNotWritable(path=folder, detail=detail, detail_ja="空き容量 {}、最低限の必要量 {}".format(*sizes))


def write_text_whole(path: Path, text: str) -> None:
    """A file that is whole or as it was before: what a kill leaves must not pass for what a run wrote."""
    temporary = path.with_name(f"{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def flush(path: Path) -> None:
    """A file's bytes, or which files are in a folder, are on disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_folder(folder: Path) -> None:
    """Raise OutputNotWritable unless the folder is there."""
    if not folder.is_dir():
        raise OutputNotWritable(path=folder, detail="there is no such folder", detail_ja="フォルダーがありません")


@contextlib.contextmanager
def all_or_nothing(folder: Path) -> Iterator[None]:
    """On any error the folder is as it was before, but for what was written to files that were there."""
    before = set(folder.iterdir()) if folder.is_dir() else None
    try:
        yield
    except BaseException:
        if before is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            for path in set(folder.iterdir()) - before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def remove_if_empty(folder: Path) -> None:
    """Take away a folder that nothing was written to."""
    with contextlib.suppress(OSError):  # not empty, or gone: both are as they should be
        folder.rmdir()


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise OutputNotWritable for what the disk under `folder` refuses inside; anything else passes as it is."""
    try:
        yield
    except Exception as error:
        for reason in (error, error.__cause__):  # a journal that does not open says so, with SQLite's words as cause
            number = _disk_error(reason, folder)
            if number is not None:
                detail, detail_ja = _REASONS[number]
                raise OutputNotWritable(path=folder, detail=detail, detail_ja=detail_ja) from error
        raise


def _claim(wanted: Path, chosen: bool, made: list[Path]) -> Path:
    """Make the folder, whoever else wants it at the same time; what was made is noted in `made`."""
    for parent in reversed(wanted.parents):
        if not parent.exists():
            parent.mkdir(exist_ok=True)
            made.append(parent)
    folder, number = wanted, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            if chosen and any(folder.iterdir()):
                raise OutputFolderTaken(path=folder) from None
            if chosen:
                return folder
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")
        else:
            made.append(folder)
            return folder


def _disk_error(error: BaseException | None, folder: Path) -> int | None:
    """The errno when `error` is the disk under `folder` refusing, else None."""
    # Only the run's own journals and store are opened there. (`sqlite3` is nothing that this package may import.)
    name = str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_").partition("_")[0]
    if name in _SQLITE:
        return _SQLITE[name]
    if not isinstance(error, OSError) or error.errno not in _REASONS:
        return None
    names = [Path(os.fsdecode(name)).absolute() for name in (error.filename, error.filename2) if _is_path(name)]
    if names:
        return error.errno if any(n.is_relative_to(folder) or folder.is_relative_to(n) for n in names) else None
    # Writing to an open file names no file. It was ours if our disk takes nothing more, and not a full standard output.
    return error.errno if _refuses(folder) else None


def _is_path(name: object) -> bool:
    return isinstance(name, (str, bytes, os.PathLike))


def _refuses(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError:
        return True
    return False
