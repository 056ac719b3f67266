"""The stranger's cryptography (see stranger.py): sections 6 and 7 of docs/protocol.md."""

import hmac
import struct
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.protocol.stranger_bytes import H, cbor

P = 2**256 + 297


def D(name: str, statements: Any) -> bytes:
    return H(name, list(statements))


def hkdf(secret: bytes, salt: bytes, *purpose_and_ids: str) -> bytes:
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, b"rengo v1\0" + cbor(purpose_and_ids) + b"\x01", "sha256")


def safe(point: bytes) -> bool:
    orders = ("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",)
    orders += ("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",)
    u = int.from_bytes(point, "little")
    return u < 2**255 - 19 and u not in (0, 1, 2**255 - 20) and point.hex() not in orders


def exchange(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def public_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def associated(share_ctx: bytes, dealer: str, recipient: str) -> bytes:
    return cbor(["rengo v1", "envelope", share_ctx, dealer, recipient])


def mask(key: bytes, count: int, bits: int) -> list[int]:
    stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(count * bits // 8))
    return list(struct.unpack(f"<{count}{'H' if bits == 16 else 'I'}", stream))


# Trees


def split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def root_of(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return H("node", [root_of(leaves[:k]), root_of(leaves[k:])])


def path_of(leaves: list[bytes], at: int) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if at < k:
        return [*path_of(leaves[:k], at), root_of(leaves[k:])]
    return [*path_of(leaves[k:], at - k), root_of(leaves[:k])]


def climb(leaf: bytes, at: int, count: int, path: list[bytes]) -> bytes | None:
    if count == 1:
        return None if path else leaf
    if not path:
        return None
    k = split(count)
    inner = climb(leaf, at, k, path[:-1]) if at < k else climb(leaf, at - k, count - k, path[:-1])
    return inner and H("node", [inner, path[-1]] if at < k else [path[-1], inner])
