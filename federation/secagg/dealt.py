"""What one dealer sealed for its neighbourhood: checked whole as it came, then left on a shelf and read one by one. Of
each envelope only its end and a check value stay in memory.
"""

import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, pairwise

from federation.secagg.contexts import leaf
from federation.secagg.merkle import path_size, root_and_paths
from federation.secagg.messages import Sealed
from federation.secagg.primitives import envelope_size
from federation.secagg.shelf import Shelf, ShelfDamaged
from federation.wire import Buffer, Malformed, canonical_cbor, read_body, read_cbor


@dataclass(frozen=True)
class Dealt:
    """The data of a dealer's Shares, checked; `recipients` in order. `place`: where it begins on the shelf. Made by
    `read`."""

    dealer: str
    recipients: Sequence[str]
    place: int
    _shelf: Shelf = field(repr=False)
    _starts: "array[int]" = field(repr=False)
    _checks: "array[int]" = field(repr=False)

    @classmethod
    def read(
        cls, dealer: str, recipients: Sequence[str], root: bytes, data: Buffer, shelf: Shelf, place: int | None = None
    ) -> "Dealt":
        """Put `data` on the shelf unless it has its `place` there. Raises Malformed, and puts nothing, unless it is
        one Sealed for each recipient, of the one possible size, under `root`."""
        # Before it is decoded: CBOR of a vector's size would take many times its memory.
        sizes = [(envelope_size(dealer, m), path_size(at, len(recipients))) for at, m in enumerate(recipients)]
        lengths = [_encoded_size(*size) for size in sizes]
        head = len(canonical_cbor([0] * len(recipients))) - len(recipients)
        if len(data) != head + sum(lengths):
            raise Malformed(detail="the envelopes have another size than they should")
        plain = read_cbor(data)
        if not isinstance(plain, list) or len(plain) != len(recipients) or not all(isinstance(p, dict) for p in plain):
            raise Malformed(detail="the envelopes are not one for each member of the cohort")
        sealed = [read_body(Sealed, p) for p in plain]
        if any((len(s.envelope), len(s.path)) != size for s, size in zip(sealed, sizes, strict=True)):
            raise Malformed(detail="an envelope has another size than it should")
        tree = root_and_paths([leaf(s.seed_commitment, s.key_commitment) for s in sealed])
        if tree != (root, [s.path for s in sealed]):
            raise Malformed(detail="the commitments do not match their root")
        starts = array("I", accumulate(lengths, initial=head))
        checks = array("I", (zlib.crc32(data[start:stop]) for start, stop in pairwise(starts)))
        return cls(dealer, recipients, shelf.put(data) if place is None else place, shelf, starts, checks)

    def to(self, recipient: str) -> Sealed:
        """What it sealed for one of `recipients`. Raises ShelfDamaged: otherwise a member would be blamed for what the
        disk did. A CRC is enough, because nobody but this coordinator writes there."""
        at = self.recipients.index(recipient)
        data = self._shelf.read(self.place + self._starts[at], self.place + self._starts[at + 1])
        if zlib.crc32(data) != self._checks[at]:
            raise ShelfDamaged(dealer=self.dealer)
        return read_body(Sealed, read_cbor(data))


@lru_cache(maxsize=4096)
def _encoded_size(envelope: int, path: int) -> int:
    """Bytes of a Sealed by those of its envelope and path: the coordinator asks for each pair of neighbours."""
    return len(canonical_cbor(Sealed(bytes(32), bytes(32), bytes(envelope), bytes(path)).to_plain()))
