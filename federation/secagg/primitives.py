"""The cryptography of a round, from the `cryptography` package: X25519 (RFC 7748), HKDF-SHA256 (RFC 5869), AES-256-GCM
(NIST SP 800-38D) and AES-256-CTR as the mask generator.
"""

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
_ZERO_COUNTER = bytes(16)
_CHUNK = 256 * 1024
_ZEROS = bytes(_CHUNK)

Words = NDArray[np.unsignedinteger[Any]]


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
    return len(canonical_cbor([dealer, recipient, bytes(SHARE_SIZE), bytes(SHARE_SIZE)])) + _TAG_SIZE


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


def add_mask(vector: Words, key: bytes, sign: Literal[1, -1]) -> None:
    """vector += sign * keystream, in place, modulo the word size: AES-256-CTR, `key` used for this one stream.

    The keystream is made in chunks that stay in the cache and is never held whole. Words are little-endian.
    """
    stream = Cipher(algorithms.AES256(key), modes.CTR(_ZERO_COUNTER)).encryptor()
    # OpenSSL asks for a block of slack behind the output.
    buffer = bytearray(_CHUNK + 15)
    width = vector.dtype.itemsize
    words = np.frombuffer(buffer, dtype=vector.dtype, count=_CHUNK // width)
    operation = np.add if sign > 0 else np.subtract
    for start in range(0, len(vector), len(words)):
        part = vector[start : start + len(words)]
        stream.update_into(memoryview(_ZEROS)[: len(part) * width], buffer)
        operation(part, words[: len(part)], out=part)
