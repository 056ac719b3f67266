"""Documents as tokens on disk: made once for the same texts, tokenizer and length, and then mapped into memory.

A folder for each, named by the SHA-256 of all that, with `ids`, `positions` and `labels` of its blocks and the `sizes`
of its documents: int32, little-endian. It is written under another name and renamed when it is whole.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import IO

import numpy as np

from clients.dataset import Blocks, Ids, Tokenizer, laid, token_ids
from clients.ingest import Documents
from clients.ingest.pace import Progress, followed, untold
from federation.wire import canonical_cbor

_ARRAYS = ("ids", "positions", "labels")
LIBRARIES = tuple(map(version, ("tokenizers", "transformers")))
"""What decides, beside a tokenizer's files, which tokens a text has."""


@dataclass
class TokenCache:
    """In `folder`; `tokenizer`: the digest of the one that all calls are made with. `tell` hears how far cutting is.
    `used`: what this one has named."""

    folder: Path
    tokenizer: str
    tell: Callable[[Progress], None] = untold
    used: set[str] = field(default_factory=set)

    def packed(self, documents: Documents, tokenizer: Tokenizer, length: int) -> tuple[Blocks, Ids]:
        """As `dataset.packed`, from disk. The arrays are mapped; what is written to them is in memory alone."""
        name = self._name(documents, tokenizer, length)
        self.used.add(name)
        folder = self.folder / name
        with self._alone():
            if not folder.exists():
                self._write(folder, documents, tokenizer, length)
            ids, positions, labels = (_mapped(folder / array).reshape(-1, length) for array in _ARRAYS)
            return Blocks(ids, positions, labels), _mapped(folder / "sizes")

    def keep_only_used(self) -> None:
        """Remove everything that was not asked for. What another process has mapped stays mapped there."""
        with self._alone():
            for path in self.folder.iterdir():
                if path.is_dir() and path.name not in self.used:
                    shutil.rmtree(path)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process of this site writes or removes here meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(self.folder / "lock"):
            yield

    def _name(self, documents: Documents, tokenizer: Tokenizer, length: int) -> str:
        texts = hashlib.sha256(b"".join(document.digest for document in documents)).digest()
        how = [self.tokenizer, *LIBRARIES, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id]
        return hashlib.sha256(canonical_cbor(["rengo tokens v1", texts, how, length])).hexdigest()[:32]

    def _write(self, folder: Path, documents: Documents, tokenizer: Tokenizer, length: int) -> None:
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
        part.mkdir(parents=True, mode=0o700)
        with contextlib.ExitStack() as stack:
            arrays = [stack.enter_context(_new(part / name)) for name in _ARRAYS]
            sizes = stack.enter_context(_new(part / "sizes"))

            def tokens() -> Iterator[Ids]:
                for document in followed(documents, "tokens", lambda each: each.as_read.characters, self.tell):
                    ids = token_ids(document, tokenizer)
                    sizes.write(np.int32(len(ids)).astype("<i4").tobytes())
                    yield ids

            for blocks in laid(tokens(), length, tokenizer.pad_id):
                for file, array in zip(arrays, blocks, strict=True):
                    file.write(array.astype("<i4", copy=False).tobytes())
            for file in (*arrays, sizes):
                file.flush()
                os.fsync(file.fileno())
        part.rename(folder)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, after whoever has it."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _new(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


def _mapped(path: Path) -> Ids:
    if not path.stat().st_size:
        return np.zeros(0, dtype=np.int32)  # nothing cannot be mapped
    return np.asarray(np.memmap(path, dtype="<i4", mode="c"))
