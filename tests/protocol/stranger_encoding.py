"""The stranger's bytes, cryptography and encoding (see stranger.py), section by section as the documents have them."""

import hashlib
import hmac
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SUITE = "rengo-secagg-1/x25519-hkdf-sha256-aes256ctr-aes256gcm-ed25519-shamir"
P = 2**256 + 297
ZEROS = bytes(32)
Tensor = tuple[tuple[int, ...], list[float]]


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


# 6 and 7. Contexts and cryptography


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


# Encoding


def f32(x: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def stream(purpose: str, x: Any) -> Iterator[float]:
    """Endless numbers in [0, 1)."""
    keystream = Cipher(algorithms.AES256(H(purpose, x)), modes.CTR(bytes(16))).encryptor()
    while True:
        (word,) = struct.unpack("<I", keystream.update(bytes(4)))
        yield (word >> 9) / 2**23


def adapter_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    return b"".join(struct.pack(f"<{len(tensors[n][1])}f", *tensors[n][1]) for n in sorted(tensors))


def adapter_digest(tensors: Mapping[str, Tensor]) -> bytes:
    manifest = cbor([[name, list(tensors[name][0])] for name in sorted(tensors)])
    return hashlib.sha256(b"rengo tensors v1\0" + manifest + adapter_bytes(tensors)).digest()


@dataclass(frozen=True)
class Ring:
    """Section 4: `shapes` and `ranges` by tensor, then the scalars."""

    bits: int
    n: int
    shapes: Mapping[str, tuple[int, ...]]
    ranges: Mapping[str, float]
    scalars: Sequence[str]

    @cached_property
    def levels(self) -> int:
        return int(2 ** (self.bits - 1) - 1) // self.n

    @cached_property
    def k(self) -> int:
        return int((2**self.bits - 1) // self.n).bit_length() - 1

    @property
    def dimension(self) -> int:
        return sum(map(math.prod, self.shapes.values())) + len(self.scalars) * -(-32 // self.k)

    @property
    def stated(self) -> list[str]:
        return [self.ranges[name].hex() for name in sorted(self.shapes)]

    def digest(self) -> bytes:
        tensors = [[n, list(self.shapes[n]), self.ranges[n].hex()] for n in sorted(self.shapes)]
        return H("ring", [self.bits, self.n, tensors, list(self.scalars), 32, 24])

    def encode(self, update: Mapping[str, list[float]], scalars: Mapping[str, float], numbers: Any) -> list[int]:
        words, top = [], float(self.levels)
        for name in sorted(self.shapes):
            real = f32 if self.bits == 16 else float
            scale = real(self.levels / self.ranges[name])
            for v in update[name]:
                s = real(real(v * scale) + next(numbers))
                words.append(int(min(max(math.floor(s), -top), top)) % 2**self.bits)
        for name in self.scalars:
            f = min(max(round(scalars[name] * 2**24), 0), 2**32 - 1)
            words += [f >> self.k * i & 2**self.k - 1 for i in range(-(-32 // self.k))]
        return words

    def mean(self, words: Sequence[int], count: int) -> dict[str, list[float]]:
        means, at = {}, 0
        for name in sorted(self.shapes):
            size, step = math.prod(self.shapes[name]), self.ranges[name] / self.levels / count
            signed = [w - 2**self.bits if w >= 2 ** (self.bits - 1) else w for w in words[at : at + size]]
            means[name], at = [w * step for w in signed], at + size
        return means


def first_adapter(plan: Mapping[str, Any], layers: Mapping[str, tuple[int, int]]) -> dict[str, Tensor]:
    r, tensors = plan["lora"]["r"], {}
    for name, (out, inn) in layers.items():
        numbers, b = stream("init", [plan["seed"], name]), 1 / math.sqrt(inn)
        tensors[f"{name}.lora_A"] = (r, inn), [f32((2 * next(numbers) - 1) * b) for _ in range(r * inn)]
        tensors[f"{name}.lora_B"] = (out, r), [0.0] * (out * r)
    return tensors


def scalars_of(plan: Mapping[str, Any], round: int) -> list[str]:
    trains = round <= plan["rounds"]
    measures = not trains or (round - 1) % plan["evaluation"]["every"] == 0
    names = ["held_out_loss", "base_held_out_loss"] if measures else []
    return [*names, *(["clipped_share"] if trains else []), "diverged"]


def ring_of(
    plan: Mapping[str, Any], adapter: Mapping[str, Tensor], round: int, mean: Mapping[str, list[float]]
) -> Ring:
    """Of `round`, when the last round's sum gave `mean`."""
    secagg, train = plan["secagg"], plan["train"]
    shapes = {n: shape for n, (shape, _) in adapter.items()} if round <= plan["rounds"] else {}
    if secagg["initial_range"] == "auto":
        steps = train["tokens_per_round"] // train["tokens_per_step"]
        first = 1.25 * float(train["optimizer"]["learning_rate"]) * steps
    else:
        first = float(secagg["initial_range"])
    headroom, smallest = float(secagg["range_headroom"]), float(secagg["smallest_range"])
    ranges = dict.fromkeys(shapes, first)
    for name in set(shapes) & set(mean):
        ranges[name] = max(smallest, min(first, headroom * max(map(abs, mean[name]))))
    return Ring(secagg["ring_bits"], len(plan["members"]), shapes, ranges, scalars_of(plan, round))


def vector(
    plan: Mapping[str, Any],
    id: str,
    round: int,
    ring: Ring,
    update: dict[str, list[float]],
    losses: tuple[float, float],
) -> list[int]:
    """Section 3: the update, then the figures of a member whose training did not diverge."""
    values = [(abs(v), ring.ranges[name]) for name in ring.shapes for v in update[name]]
    clipped = sum(v > g for v, g in values) / max(1, len(values))
    scalars = {"held_out_loss": losses[0], "base_held_out_loss": losses[1], "clipped_share": clipped, "diverged": 0.0}
    return ring.encode(update, scalars, stream("rounding", [plan["consortium"], plan["job"], plan["seed"], id, round]))
