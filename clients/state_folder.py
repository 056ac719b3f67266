"""Where a member's state may be: on a disk of this machine, for its owner alone, with room on it."""

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from federation.errors import RengoError

MOUNTS = Path("/proc/mounts")
_NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "glusterfs",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
}
_NETWORK_FUSE = {"ceph", "davfs", "gcsfuse", "glusterfs", "nfs", "rclone", "s3fs", "smbnetfs", "sshfs"}
LEAST_BYTES = 256 << 20
"""Room that a member needs for its journal, its log and what Flower keeps: a few MB a job in practice."""


class StateOnNetwork(RengoError):
    """{path} is on a network file system ({kind}, mounted on {mount}). The journal is SQLite in WAL mode, which loses
    data there. Choose a folder on a local disk: `--home FOLDER`."""

    ja = (
        "{path} はネットワークファイルシステム（{kind}、{mount} にマウント）上にあります。送信記録簿（SQLite WAL）は"
        "ネットワーク上では壊れます。ローカルディスクのフォルダーを `--home` で指定してください。"
    )
    exit_code = 7


class NotWritable(RengoError):
    """{path} cannot be written ({detail}). Run as the user whom it belongs to: `chown` it, or choose another --home."""

    ja = "{path} に書き込めません（{detail}）。所有者のユーザーで実行するか、別の --home を指定してください。"
    exit_code = 7


class DiskNearlyFull(RengoError):
    """Only {free} MiB are free where {path} is; {needed} MiB are needed. Nothing was started. Make room, or choose
    another --home."""

    ja = (
        "{path} のディスクの空きは {free} MiB です（必要 {needed} MiB）。何も開始していません。"
        "空きを作るか、別の --home を指定してください。"
    )
    exit_code = 7


class OpenToOthers(RengoError):
    """{path} can be read by other users of this machine (mode {mode}). Close it: `chmod -R go= {home}`."""

    ja = "{path} はこの機械の他のユーザーから読めます（モード {mode}）。`chmod -R go= {home}` で閉じてください。"
    exit_code = 4


def require_usable(home: Path) -> None:
    """Raises StateOnNetwork, NotWritable, DiskNearlyFull or OpenToOthers."""
    require_local(home)
    require_writable(home)
    require_room(home)
    require_private(home)


def require_local(path: Path, mounts: Path = MOUNTS) -> None:
    """Raises StateOnNetwork. `mounts`: a table as in Linux's /proc/mounts; without one nothing is known or refused."""
    kind, mount = file_system(path, mounts)
    if kind in _NETWORK or kind.removeprefix("fuse.") in _NETWORK_FUSE:
        raise StateOnNetwork(path=path, kind=kind, mount=mount)


def file_system(path: Path, mounts: Path = MOUNTS) -> tuple[str, Path]:
    """(type, mount point) of the file system that `path` is on, or will be."""
    real, found = path.resolve(), ("", Path("/"))
    # The last of several on the same mount point covers the others.
    for kind, mount in _mounted(mounts):
        if real.is_relative_to(mount) and len(mount.parts) >= len(found[1].parts):
            found = kind, mount
    return found


def require_writable(home: Path) -> None:
    """Raises NotWritable unless a file can be made in `home`, or `home` itself where it is not there yet."""
    try:
        with tempfile.TemporaryFile(dir=_existing(home)):
            pass
    except OSError as error:
        raise NotWritable(path=home, detail=error.strerror) from error


def require_room(home: Path) -> None:
    """Raises DiskNearlyFull."""
    free = free_bytes(home)
    if free < LEAST_BYTES:
        raise DiskNearlyFull(path=home, free=free >> 20, needed=LEAST_BYTES >> 20)


def free_bytes(home: Path) -> int:
    """Room for this user on the disk of `home`."""
    return shutil.disk_usage(_existing(home)).free


def require_private(home: Path) -> None:
    """Raises OpenToOthers when the folder of the keys, or a key, has bits for group or others."""
    for path in [home / "keys", *sorted((home / "keys").glob("*"))]:
        if path.exists() and (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
            raise OpenToOthers(path=path, mode=f"{mode:04o}", home=home)


def _existing(path: Path) -> Path:
    return next(p for p in [path.absolute(), *path.absolute().parents] if p.exists())


def _mounted(mounts: Path) -> Iterator[tuple[str, Path]]:
    if not mounts.exists():
        return
    for line in os.fsdecode(mounts.read_bytes()).splitlines():
        _, mount, kind, *_ = line.split(" ")
        # Spaces and other separators stand there in octal: \040.
        yield kind, Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), mount))
