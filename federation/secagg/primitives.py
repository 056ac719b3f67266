"""The cryptography of a round, from the `cryptography` package: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), AES-256-GCM
(NIST SP 800-38D) and AES-256-CTR as the mask generator.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from federation.secagg.shamir import SHARE_SIZE
from federation.wire import Malformed, canonical_cbor, read_cbor

KEY_SIZE = 32
_TAG_SIZE = 16
_FIELD = 2**255 - 19
# u-coordinates of the points of small order on Curve25519 and its twist (RFC 7748 section 6.1; Langley's list).
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        _FIELD - 1,
    }
)
# One use a key, so a zero nonce / initial counter is right: the key is the nonce.
_ZERO_NONCE = bytes(12)
_AES_BLOCK = 16
# A chunk of the vector and one of a keystream fit a core's cache together.
_CHUNK = 128 * 1024
_ZEROS = bytes(_CHUNK)
# A cipher takes 1 kB, and a coordinator has a mask for each member and for each neighbour of who is gone.
_MASKS_AT_ONCE = 512

Words = NDArray[np.unsignedinteger[Any]]
Mask = tuple[bytes, Literal[1, -1]]
"""The key of a keystream, and whether it is added or subtracted."""


def is_safe_point(public_key: bytes) -> bool:
    """Whether 32 bytes are the canonical encoding of an X25519 public key of large order."""
    u = int.from_bytes(public_key, "little")
    return len(public_key) == KEY_SIZE and u < _FIELD and u not in _SMALL_ORDER


def agree(private: X25519PrivateKey, public: bytes) -> bytes:
    """The X25519 shared secret. `public` has passed `is_safe_point`."""
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def derive(secret: bytes, salt: bytes, purpose: str, *parties: str) -> bytes:
    """A 256-bit key: HKDF-SHA256 with `salt` a context digest and `info` naming purpose and parties."""
    info = b"rengo v1\0" + canonical_cbor([purpose, *parties])
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt, info=info).derive(secret)


def seal(key: bytes, share_ctx: bytes, dealer: str, recipient: str, seed_share: bytes, key_share: bytes) -> bytes:
    """A dealer's two shares for one recipient, under a key of this direction that is used once."""
    plaintext = canonical_cbor([dealer, recipient, seed_share, key_share])
    return AESGCM(key).encrypt(_ZERO_NONCE, plaintext, _associated(share_ctx, dealer, recipient))


def envelope_size(dealer: str, recipient: str) -> int:
    """The one size that `seal` gives: a receiver bounds what a dealer may send through others."""
    return _envelope_size(len(dealer.encode()), len(recipient.encode()))


@lru_cache(maxsize=1024)
def _envelope_size(dealer: int, recipient: int) -> int:
    """By the ids' bytes: every coordinator asks for as many as there are pairs of members."""
    return len(canonical_cbor(["-" * dealer, "-" * recipient, bytes(SHARE_SIZE), bytes(SHARE_SIZE)])) + _TAG_SIZE


def unseal(key: bytes, share_ctx: bytes, dealer: str, recipient: str, envelope: bytes) -> tuple[bytes, bytes] | None:
    """(seed share, key share), or None when the envelope is not what this dealer made for this recipient."""
    try:
        plaintext = AESGCM(key).decrypt(_ZERO_NONCE, envelope, _associated(share_ctx, dealer, recipient))
        opened = read_cbor(plaintext)
    except (InvalidTag, Malformed):
        return None
    if not isinstance(opened, list) or opened[:2] != [dealer, recipient] or len(opened) != 4:
        return None
    if not all(type(part) is bytes and len(part) == SHARE_SIZE for part in opened[2:]):
        return None
    return opened[2], opened[3]


def _associated(share_ctx: bytes, dealer: str, recipient: str) -> bytes:
    return canonical_cbor(["rengo v1", "envelope", share_ctx, dealer, recipient])


def add_masks(vector: Words, masks: Sequence[Mask], threads: int = 1) -> None:
    """vector += sign * keystream for every mask, in place, modulo the word size: AES-256-CTR from counter zero, each
    key used for this one stream. Words are little-endian.

    A piece of the vector takes all its masks while it is in the cache; no keystream is ever held whole. `threads` work
    on stretches of their own, each from the counter that belongs there, so their number does not show in the result.
    """
    in_chunk = _CHUNK // vector.dtype.itemsize
    stretch = in_chunk * -(-len(vector) // (in_chunk * threads))
    if threads == 1 or stretch >= len(vector):
        _add_stretch(vector, masks, 0)
        return
    starts = range(0, len(vector), stretch)
    with ThreadPoolExecutor(len(starts)) as pool:
        # list: so that what a thread raises is raised here.
        list(pool.map(lambda start: _add_stretch(vector[start : start + stretch], masks, start), starts))


def _add_stretch(words: Words, masks: Sequence[Mask], start: int) -> None:
    """Add the masks to the part of a vector that begins at word `start`, a multiple of the words in a chunk."""
    width = words.dtype.itemsize
    counter = (start * width // _AES_BLOCK).to_bytes(16)
    # OpenSSL asks for a block of slack behind the output.
    buffer = bytearray(_CHUNK + _AES_BLOCK - 1)
    keystream = np.frombuffer(buffer, dtype=words.dtype, count=_CHUNK // width)
    for first in range(0, len(masks), _MASKS_AT_ONCE):
        streams = [
            (Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor(), np.add if sign > 0 else np.subtract)
            for key, sign in masks[first : first + _MASKS_AT_ONCE]
        ]
        for at in range(0, len(words), len(keystream)):
            part = words[at : at + len(keystream)]
            zeros, mask = memoryview(_ZEROS)[: part.nbytes], keystream[: len(part)]
            for stream, operation in streams:
                stream.update_into(zeros, buffer)
                operation(part, mask, out=part)
