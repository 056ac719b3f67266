"""The stranger's bytes (see stranger.py): sections 2 and 3 of docs/protocol.md, and the messages of section 8."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SUITE = "rengo-secagg-1/x25519-hkdf-sha256-aes256ctr-aes256gcm-ed25519-shamir"
ZEROS = bytes(32)
Words = dict[str, Any]


class Refuse(Exception):
    """With the code of section 12."""


def require(holds: object, code: str) -> None:
    if not holds:
        raise Refuse(code)


# 2. Deterministic CBOR


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    size = next(s for s in (1, 2, 4, 8) if number < 256**s)
    return bytes([major << 5 | 23 + size.bit_length()]) + number.to_bytes(size)


def cbor(x: Any) -> bytes:
    if x is None or isinstance(x, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[x]
    if isinstance(x, int):
        return _head(0, x) if x >= 0 else _head(1, -1 - x)
    if isinstance(x, bytes):
        return _head(2, len(x)) + x
    if isinstance(x, str):
        return _head(3, len(x.encode())) + x.encode()
    if isinstance(x, dict):
        pairs = sorted(((cbor(k), cbor(v)) for k, v in x.items()), key=lambda pair: (len(pair[0]), pair[0]))
        return _head(5, len(x)) + b"".join(k + v for k, v in pairs)
    return _head(4, len(x)) + b"".join(cbor(item) for item in x)


def read_cbor(data: bytes) -> Any:
    try:
        value, end = _item(data, 0, 0)
        good = end == len(data) and cbor(value) == data
    except (IndexError, UnicodeDecodeError, TypeError, StopIteration):
        good = False
    if not good:
        raise Refuse("malformed")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    major, size, at = data[at] >> 5, data[at] & 31, at + 1
    if major == 7 and size in (20, 21, 22):
        return {20: False, 21: True, 22: None}[size], at
    if size > 27 or major > 5 or depth > 6:
        raise Refuse("malformed")
    number = size
    if size > 23:
        width = 1 << size - 24
        number, at = int.from_bytes(data[at : at + width]), at + width
    if major < 2:
        if number >= 2**63:
            raise Refuse("malformed")
        return (number if major == 0 else -1 - number), at
    if number > len(data):
        raise Refuse("malformed")
    if major < 4:
        part = data[at : at + number]
        return (part if major == 2 else part.decode()), at + number
    if number and depth == 6:
        raise Refuse("malformed")
    items = []
    for _ in range(number * (major - 3)):
        item, at = _item(data, at, depth + 1)
        items.append(item)
    if major == 4:
        return items, at
    if not all(type(key) in (str, int) for key in items[::2]):
        raise Refuse("malformed")
    return dict(zip(items[::2], items[1::2], strict=True)), at


def H(name: str, x: Any) -> bytes:
    return hashlib.sha256(f"rengo {name} v1\0".encode() + cbor(x)).digest()


# 3. Frames and statements

STATEMENT = "statement"
OFFER = dict.fromkeys(("suite", "consortium", "job"), str) | {"round": int, "attempt": int}
OFFER |= dict.fromkeys(("parent", "roster", "plan", "model"), 32)
PROOF = {"offer": OFFER, "dimension": int, "ring_bits": int, "agreed": [STATEMENT]}
PROOF |= dict.fromkeys(("keys", "shares", "adapter", "encoding", "privacy", "last"), 32)
SEALED = {"seed_commitment": 32, "key_commitment": 32, "envelope": 0, "path": 0}
FIELDS: dict[str, Any] = {
    "offer": OFFER,
    "keys": {"mask_key": 32, "channel_key": 32},
    "claim": {"statements": 32, "absent": [str]},
    "cohort": {"keys": [STATEMENT]},
    "shares": {"seed_commitment": 32, "root": 32},
    "inbox": {"shares": [STATEMENT], "sealed": [SEALED]},
    "broadcast": {
        "adapter": 32,
        "adapter_size": int,
        "last": (None, {"count": int, "ranges": [str], "scalars": [str], "proof": PROOF}),
    },
    "masked": {"unopened": [str]},
    "survivors": {"gone": [str], "masked": [STATEMENT]},
    "agreed": {"survivors": 32},
    "unmask": {"agreed": [STATEMENT]},
}


def fits(x: Any, kind: Any) -> bool:
    if isinstance(kind, dict):
        return isinstance(x, dict) and set(x) == set(kind) and all(fits(x[name], kind[name]) for name in kind)
    if isinstance(kind, list):
        return isinstance(x, list) and all(fits(item, kind[0]) for item in x)
    if isinstance(kind, tuple):
        return x is None or fits(x, kind[1])
    if kind == STATEMENT:
        return isinstance(x, list) and [type(part) for part in x] == [bytes, bytes] and len(x[1]) == 64
    if kind is int:
        return type(x) is int and x >= 0
    if kind is str:
        return isinstance(x, str) and len(x) <= 1024
    return isinstance(x, bytes) and kind in (0, len(x))


@dataclass(frozen=True)
class Message:
    header: bytes
    signature: bytes
    data: bytes = b""

    @property
    def h(self) -> dict[str, Any]:
        h = read_cbor(self.header)
        fields = {"v": int, "kind": str, "digest": 32, "from": str, "to": str}
        if not isinstance(h, dict) or set(h) != {*fields, "body", "blob"} or h["v"] != 1:
            raise Refuse("malformed")
        size, digest = h["blob"] if isinstance(h["blob"], list) and len(h["blob"]) == 2 else (1, ZEROS)
        blob = h["blob"] is None or (type(h["blob"]) is list and fits(size, int) and size and fits(digest, 32))
        if not blob or not all(fits(h[name], kind) for name, kind in fields.items()) or not isinstance(h["body"], dict):
            raise Refuse("malformed")
        return h

    @property
    def statement(self) -> list[bytes]:
        return [self.header, self.signature]


def read_frame(frame: bytes) -> list[Message]:
    messages, at = [], 6
    try:
        if frame[:5] != b"RNGO\x01" or frame[5] > 4:
            raise Refuse("malformed")
        for _ in range(frame[5]):
            [size], at = struct.unpack_from("<I", frame, at), at + 4
            header, signature, at = frame[at : at + size], frame[at + size : at + size + 64], at + size + 64
            [size], at = struct.unpack_from("<Q", frame, at), at + 8
            messages.append(Message(header, signature, frame[at : at + size]))
            at += size
            blob = messages[-1].h["blob"]
            if (blob or [0])[0] != size:
                raise Refuse("malformed")
    except (struct.error, IndexError) as error:
        raise Refuse("malformed") from error
    if at != len(frame):
        raise Refuse("malformed")
    return messages


def write_frame(messages: Sequence[Message]) -> bytes:
    parts = [b"RNGO\x01", bytes([len(messages)])]
    for m in messages:
        parts += [struct.pack("<I", len(m.header)), m.header, m.signature, struct.pack("<Q", len(m.data)), m.data]
    return b"".join(parts)


def verifies(key: bytes, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True
