"""Files that were read from a data folder and are not there any more: were they deleted, or is their share away?

A share that is not mounted leaves its mount point behind: an empty folder, or one that an administrator put something
into. What says that nothing was deleted is that the folder was a file system of its own; where a share cannot be told
by that (a bind mount, a copy that another program makes), that a great many files went at once.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from clients.ingest.files import FolderUnreachable, Listing, is_mount
from clients.ingest.store import Texts

MANY = 20
"""So many files at once are not taken for deleted if nothing else is in their folder, or they are most of all."""


def deleted(folder: Path, listing: Listing, texts: Texts) -> list[Path]:
    """The files of `folder` that were read before and are deleted. Raises FolderUnreachable when they seem not to be.

    What is below a folder that is listed like a file, for it cannot be opened, is not deleted.
    """
    there = {path for _, path in listing.files}
    known = texts.known(folder)
    absent = [path for path in known if path not in there]
    below = Counter(parent for path in absent for parent in path.parents)
    for mount in sorted(texts.mounts(folder)):
        if below[mount] and not (mount in listing.mounts and is_mount(mount)):
            raise _mount_away(mount, below[mount])
        if below[mount] and below[mount] == sum(path.is_relative_to(mount) for path in known):
            raise _another_mounted(mount, below[mount])
    gone = [path for path in absent if there.isdisjoint(path.parents)]
    below = Counter(parent for path in gone for parent in path.parents)
    for empty in sorted(listing.empty):
        if below[empty] >= MANY:
            raise FolderUnreachable(path=empty, detail="it is empty", detail_ja="空です", count=below[empty])
    if len(gone) >= MANY and 2 * len(gone) > len(known):
        detail, detail_ja = f"{len(gone)} of its files are gone", f"{len(gone)} ファイルが見当たりません"
        raise FolderUnreachable(path=folder, detail=detail, detail_ja=detail_ja, count=len(known))
    return gone


def require_mounted(file: Path, mounts: Collection[Path], texts: Texts, folder: Path) -> None:
    """Raises FolderUnreachable when the file system is away on which `file` was when its folder was listed."""
    for mount in file.parents:
        if mount in mounts and not is_mount(mount):
            raise _mount_away(mount, sum(path.is_relative_to(mount) for path in texts.known(folder)))


def _another_mounted(mount: Path, count: int) -> FolderUnreachable:
    detail = "what is mounted there has none of them"
    detail_ja = "マウントされている内容に、以前のファイルが一つもありません"
    return FolderUnreachable(path=mount, detail=detail, detail_ja=detail_ja, count=count)


def _mount_away(mount: Path, count: int) -> FolderUnreachable:
    detail = "it was a share or disk of its own, and is not mounted"
    detail_ja = "共有フォルダー（または別ディスク）がマウントされていません"
    return FolderUnreachable(path=mount, detail=detail, detail_ja=detail_ja, count=count)
