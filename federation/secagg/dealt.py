"""What one dealer sealed for its neighbourhood, kept as the bytes that came: read into objects, the envelopes of all
pairs of neighbours would be most of a coordinator's memory.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from federation.secagg.contexts import leaf
from federation.secagg.merkle import path_size, root_and_paths
from federation.secagg.messages import Sealed
from federation.secagg.primitives import envelope_size
from federation.wire import Buffer, Malformed, canonical_cbor, read_body, read_cbor


@dataclass(frozen=True)
class Dealt:
    """The data of a dealer's Shares, checked; `recipients` in order. Made by `read`."""

    recipients: Sequence[str]
    _data: Buffer = field(repr=False)
    _starts: "array[int]" = field(repr=False)

    @classmethod
    def read(cls, dealer: str, recipients: Sequence[str], root: bytes, data: Buffer) -> "Dealt":
        """Raises Malformed unless `data` is one Sealed for each recipient, of the one possible size, under `root`."""
        # Before it is decoded: CBOR of a vector's size would take many times its memory.
        sizes = [(envelope_size(dealer, m), path_size(at, len(recipients))) for at, m in enumerate(recipients)]
        blanks = [Sealed(bytes(32), bytes(32), bytes(size), bytes(path)).to_plain() for size, path in sizes]
        if len(data) != len(canonical_cbor(blanks)):
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
        lengths = [len(canonical_cbor(blank)) for blank in blanks]
        return cls(recipients, data, array("I", accumulate(lengths, initial=len(data) - sum(lengths))))

    def to(self, recipient: str) -> Sealed:
        """What it sealed for one of `recipients`."""
        at = self.recipients.index(recipient)
        return read_body(Sealed, read_cbor(self._data[self._starts[at] : self._starts[at + 1]]))
