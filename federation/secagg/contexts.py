"""The digests that bind a round together, each SHA-256 over a domain string and canonical CBOR.

setup_ctx  who, which round, which attempt, under which plan, roster and base model
share_ctx  setup_ctx and exactly which Keys everyone saw
ctx        share_ctx, exactly which Shares everyone saw, the adapter and how the vector is encoded

Signatures carry one of them, and HKDF is salted with it: two members that were told different things hold masks that
do not cancel, and signatures that do not count for each other.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from federation.secagg.messages import LastSum, Offer
from federation.wire import ZERO_DIGEST, Buffer, Signed, canonical_cbor

SUITE = "rengo-secagg-1/x25519-hkdf-sha256-aes256ctr-aes256gcm-ed25519-shamir"


def _digest(domain: str, value: Any) -> bytes:
    return hashlib.sha256(f"rengo {domain} v1\0".encode() + canonical_cbor(value)).digest()


def setup_context(offer: Offer) -> bytes:
    """setup_ctx."""
    return _digest("setup context", offer.to_plain())


def share_context(setup_ctx: bytes, keys: Sequence[Signed]) -> bytes:
    """share_ctx: `keys` are the signed Keys of U1, sorted by member."""
    return share_context_from(setup_ctx, statements_digest("U1", keys))


def share_context_from(setup_ctx: bytes, keys: bytes) -> bytes:
    """share_ctx from the digest of U1's Keys."""
    return _digest("share context", [setup_ctx, keys])


@dataclass(frozen=True)
class Terms:
    """What the vectors of a round are: on which adapter, how long, in which ring, encoded and bounded how; and `last`,
    the digest of the sum that gave the adapter, as it was told (zeros in the first round)."""

    adapter: bytes
    dimension: int
    ring_bits: int
    encoding: bytes
    privacy: bytes
    last: bytes = ZERO_DIGEST


def round_context(share_ctx: bytes, shares: Sequence[Signed], terms: Terms) -> bytes:
    """ctx: `shares` are the signed headers of U2's Shares, sorted by member."""
    return round_context_from(share_ctx, statements_digest("U2", shares), terms)


def round_context_from(share_ctx: bytes, shares: bytes, terms: Terms) -> bytes:
    """ctx from the digest of U2's Shares."""
    stated = [terms.adapter, terms.dimension, terms.ring_bits, terms.encoding, terms.privacy, terms.last]
    return _digest("round context", [share_ctx, shares, stated])


def last_sum_digest(last: LastSum | None, words: Buffer) -> bytes:
    """What everyone has to have been told of the last round: its figures and its sum in ring words."""
    if last is None:
        return ZERO_DIGEST
    return _digest("last sum", [last.to_plain(), hashlib.sha256(words).digest()])


def survivors_digest(ctx: bytes, masked: Sequence[Signed]) -> bytes:
    """What Agreed signs: exactly the Masked headers of U3, sorted by member, in this round."""
    return _digest("survivors", [ctx, statements_digest("U3", masked)])


def statements_digest(name: str, statements: Sequence[Signed]) -> bytes:
    """A digest of signed headers, signatures included, in the order given."""
    return _digest(name, [[s.header_bytes, s.signature] for s in statements])


def share_commitment(share_ctx: bytes, kind: str, dealer: str, recipient: str, share: bytes) -> bytes:
    """Commits a dealer to one share. Shares are uniform field elements, so the hash needs no salt."""
    return _digest("share commitment", [share_ctx, kind, dealer, recipient, share])


def leaf(seed_commitment: bytes, key_commitment: bytes) -> bytes:
    """Commits to both commitments for one recipient."""
    return _digest("leaf", [seed_commitment, key_commitment])


def node(left: bytes, right: bytes) -> bytes:
    """Commits to two leaves or nodes (see merkle.py)."""
    return _digest("node", [left, right])


def seed_commitment(share_ctx: bytes, dealer: str, seed: bytes) -> bytes:
    """Commits a dealer to its self-mask seed; the seed has 256 bits of entropy, so the hash needs no salt."""
    return _digest("seed commitment", [share_ctx, dealer, seed])
