"""An identity's private key on this machine's disk: one file, mode 0600, made here and never copied."""

import os
from pathlib import Path

from federation.errors import RengoError
from federation.identity import KEY_SIZE, Identity


class KeyFileInvalid(RengoError):
    """{path} does not hold a private key. Have this identity revoked and make a new one; do not edit the file."""

    ja = "{path} は秘密鍵ファイルではありません。この鍵を失効させ、新しく作成してください（ファイルは編集しないこと）。"
    exit_code = 4


def load_or_create(path: Path, id: str) -> Identity:
    """The identity that `path` keeps; where there is none, a new one, on disk before it is used.

    Raises KeyFileInvalid.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        identity = Identity.create(id)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(identity.private_bytes())
            file.flush()
            os.fsync(file.fileno())
        return identity
    data = path.read_bytes()
    if len(data) != KEY_SIZE:
        raise KeyFileInvalid(path=path)
    return Identity.from_private_bytes(id, data)
