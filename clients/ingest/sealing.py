"""Hashes in the store of texts: of a step's result, and of rows on files. By them, damage is noticed."""

import hashlib
from collections.abc import Sequence


def sealed(said: bytes, became: bytes) -> bytes:
    """What a step said, behind the hash of it and of the digest of the text that the step made."""
    return hashlib.sha256(became + said).digest() + said


def unsealed(row: object, became: object) -> bytes | None:
    """What `sealed` put behind a hash; None where it is damaged: what can be made again is."""
    if not isinstance(row, bytes) or not isinstance(became, bytes):
        return None
    said = row[hashlib.sha256().digest_size :]
    return said if sealed(said, became) == row else None


def seal_of_row(row: Sequence[object]) -> bytes:
    """Of a row as it was written. Damage may have made anything of its numbers and bytes."""
    return hashlib.sha256(repr(tuple(row)).encode()).digest()
