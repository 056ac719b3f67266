"""Who is who: Ed25519 identities (RFC 8032), the roster that the consortium's root signs, and signed messages.

Private keys never appear in a repr, a log or an error, and are made where they are used.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from federation.errors import SignatureInvalid
from federation.text import is_printable
from federation.wire import Body, Buffer, Header, Malformed, Signed, canonical_cbor, read_body, read_cbor, write_header

COORDINATOR = "coordinator"
"""The coordinator's id in messages. No member may have it."""

LARGEST_ID = 128
"""Bytes of a member's id in UTF-8. Every share names it; a plan's limits on messages reckon with it."""

KEY_SIZE = 32
"""Bytes of an Ed25519 key, private or public."""

_ROSTER_DOMAIN = b"rengo roster v1\0"
B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Identity:
    """A party's id and its signing key. Make one with `Identity.create`; it is never copied to another machine."""

    id: str
    _key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def create(cls, id: str) -> "Identity":
        """A new identity with a key from the operating system's randomness."""
        return cls(id, Ed25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, id: str, data: bytes) -> "Identity":
        """The identity whose `private_bytes` are `data`."""
        return cls(id, Ed25519PrivateKey.from_private_bytes(data))

    def private_bytes(self) -> bytes:
        """The 32 raw bytes of the private key, for the one file that keeps it (clients/keys.py)."""
        return self._key.private_bytes_raw()

    @property
    def public_key(self) -> bytes:
        """The 32 raw bytes of the public key."""
        return self._key.public_key().public_bytes_raw()

    def sign_bytes(self, data: bytes) -> bytes:
        """An Ed25519 signature (64 bytes). Callers put a domain string first."""
        return self._key.sign(data)

    def sign(self, body: Body, digest: bytes, recipient: str, blob: Buffer = b"") -> Signed:
        """`body` as a signed message in the context `digest`, for `recipient`."""
        sha256 = hashlib.sha256(blob).digest() if len(blob) else None
        header = Header(body.kind, digest, self.id, recipient, body.to_plain(), len(blob), sha256)
        unsigned = Signed(write_header(header), b"", blob)
        return Signed(unsigned.header_bytes, self._key.sign(unsigned.to_sign()), blob)


def verify_bytes(public_key: bytes, signature: bytes, data: bytes, what: str) -> None:
    """Raises SignatureInvalid, naming `what`, unless `signature` over `data` verifies."""
    claim = _digest_of_claim(public_key, signature, data)
    if claim in _verified:
        return
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise SignatureInvalid(what=what) from error
    if len(_verified) >= _MOST_VERIFIED:
        _verified.clear()
    _verified.add(claim)


# Thirty members at one table read the same statements: these very bytes under this very key are verified once. Only
# success is remembered, and nothing of the bytes but a digest. A party by itself never sees one twice.
_verified: set[bytes] = set()
_MOST_VERIFIED = 4096


def _digest_of_claim(public_key: bytes, signature: bytes, data: bytes) -> bytes:
    lengths = len(public_key).to_bytes(8, "big") + len(signature).to_bytes(8, "big")
    return hashlib.sha256(lengths + public_key + signature + data).digest()


def is_member_id(id: str) -> bool:
    """Whether a member may be called so: NFC, without control characters, not too long, not the coordinator."""
    normal = is_printable(id) and unicodedata.normalize("NFC", id) == id
    return normal and 0 < len(id.encode()) <= LARGEST_ID and id != COORDINATOR


@dataclass(frozen=True)
class RosterEntry:
    """One member as the root vouches for it."""

    id: str
    name: str
    public_key: bytes


@dataclass(frozen=True)
class Roster:
    """The members and the coordinator's signing key, at one version. `members` are sorted by id."""

    consortium: str
    version: int
    coordinator_key: bytes
    members: tuple[RosterEntry, ...]

    def to_bytes(self) -> bytes:
        """Canonical CBOR: what the root signs."""
        return canonical_cbor(
            {
                "consortium": self.consortium,
                "version": self.version,
                "coordinator": self.coordinator_key,
                "members": [[m.id, m.name, m.public_key] for m in self.members],
            }
        )

    @classmethod
    def from_bytes(cls, data: Buffer) -> "Roster":
        """What `to_bytes` wrote, or Malformed. Nothing is verified yet: see SignedRoster."""
        raw = read_cbor(data)
        if not isinstance(raw, dict) or set(raw) != {"consortium", "version", "coordinator", "members"}:
            raise Malformed(detail="a roster has other fields than it should")
        consortium, version, coordinator, rows = (raw[n] for n in ("consortium", "version", "coordinator", "members"))
        if type(consortium) is not str or type(version) is not int or type(coordinator) is not bytes:
            raise Malformed(detail="a roster's fields have wrong types")
        if type(rows) is not list or not all(type(r) is list and [*map(type, r)] == [str, str, bytes] for r in rows):
            raise Malformed(detail="a roster's members are not id, name and key each")
        return cls(consortium, version, coordinator, tuple(RosterEntry(*row) for row in rows))

    def digest(self) -> bytes:
        """SHA-256: what a site approves and every context binds."""
        return hashlib.sha256(_ROSTER_DOMAIN + self.to_bytes()).digest()

    @cached_property
    def keys(self) -> Mapping[str, bytes]:
        """Public keys by member id."""
        return {m.id: m.public_key for m in self.members}

    @cached_property
    def indices(self) -> Mapping[str, int]:
        """Shamir abscissae: 1 + index in the roster sorted by id."""
        return {m.id: index for index, m in enumerate(self.members, start=1)}

    def check(self) -> None:
        """Raises Malformed unless ids are sorted, distinct and `is_member_id`, keys distinct, and names to be read."""
        ids = [m.id for m in self.members]
        keys = {m.public_key for m in self.members} | {self.coordinator_key}
        if ids != sorted(set(ids)) or not all(map(is_member_id, ids)):
            raise Malformed(
                detail=f"the roster's ids are not sorted, distinct, in NFC, within {LARGEST_ID} bytes and allowed"
            )
        if not all(map(is_printable, (self.consortium, *(m.name for m in self.members)))):
            raise Malformed(detail="a name in the roster contains control characters")
        if len(keys) != len(ids) + 1 or any(len(key) != 32 for key in keys):
            raise Malformed(detail="the roster's keys are not distinct")


@dataclass(frozen=True)
class SignedRoster:
    """A roster with the root's signature."""

    roster: Roster
    signature: bytes

    @classmethod
    def sign(cls, roster: Roster, root: Identity) -> "SignedRoster":
        """On the machine that keeps the root key."""
        roster.check()
        return cls(roster, root.sign_bytes(_ROSTER_DOMAIN + roster.to_bytes()))

    def verify(self, root_public_key: bytes) -> Roster:
        """The roster, or SignatureInvalid / Malformed."""
        verify_bytes(root_public_key, self.signature, _ROSTER_DOMAIN + self.roster.to_bytes(), "the roster")
        self.roster.check()
        return self.roster


def open_signed(message: Signed, body: type[B], *, public_key: bytes, digest: bytes, sender: str, recipient: str) -> B:
    """The verified body of `message`, or Malformed / SignatureInvalid.

    Kind, digest, sender and recipient are compared before the signature is checked; the blob's hash is the caller's.
    """
    header = message.header
    expected = (body.kind, digest, sender, recipient)
    if (header.kind, header.digest, header.sender, header.recipient) != expected:
        raise SignatureInvalid(
            what=f"{header.kind} of {header.sender} (expected {body.kind} of {sender} in this context)"
        )
    opened = read_body(body, header.body)
    verify_bytes(public_key, message.signature, message.to_sign(), f"{header.kind} of {sender}")
    return opened
