"""Inputs that stay well-formed while their structure changes; most random bytes end at a decoder's first check.

An input that begins with a few bytes of its own and goes on with CBOR or JSON is taken apart, one place in its tree is
changed, and it is put together again.
"""

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from federation.errors import RengoError
from federation.wire import canonical_cbor, read_cbor

Codec = tuple[Callable[[bytes], tuple[bytes, Any, bytes]], Callable[[bytes, Any, bytes], bytes]]
"""(take apart into what is before the tree, the tree, what is behind it; put together)"""

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 255, 2**31, 2**63 - 1, -(2**63), "", "m0", "m3", "x" * 1024, "\u0000", "inf", "nan",
    "-0x1p-1", "1e999", b"", bytes(32), bytes(33), b"\xff" * 32, b"\xff" * 33, bytes(64), [], {}, [[]], [{}], {"": 0},
)  # fmt: skip
PLAIN: Codec = (lambda data: (b"", read_cbor(data), b""), lambda _, tree, __: canonical_cbor(tree))
KIND: Codec = (lambda data: (data[:1], read_cbor(data[1:]), b""), lambda kind, tree, _: kind + canonical_cbor(tree))


def _split(data: bytes) -> tuple[bytes, Any, bytes]:
    size = struct.unpack("<H", data[1:3])[0]
    return data[:1], read_cbor(data[3 : 3 + size]), data[3 + size :]


def _join(which: bytes, tree: Any, blob: bytes) -> bytes:
    encoded = canonical_cbor(tree)
    return which + struct.pack("<H", len(encoded)) + encoded + blob


SIGNED: Codec = (_split, _join)
JSON: Codec = (
    lambda data: (data[:1], json.loads(data[1:]), b""),
    lambda which, tree, _: which + json.dumps(tree, default=str).encode(),
)
CODECS: dict[str, Codec] = {
    "cbor": PLAIN, "body": KIND, "member": KIND, "request": SIGNED, "answer": SIGNED, "broadcast": SIGNED,
    "envelope": PLAIN, "claim": PLAIN, "model_folder": JSON,
}  # fmt: skip


def changed(target: str, data: bytes, random: Random) -> bytes | None:
    """The input with one place of its tree changed; None for a target or an input that has no tree."""
    if target not in CODECS:
        return None
    apart, together = CODECS[target]
    with suppress(RengoError, ValueError, TypeError, OverflowError, RecursionError, struct.error):
        before, tree, behind = apart(data)
        return together(before, _changed(tree, random), behind)
    return None


def _changed(tree: Any, random: Random) -> Any:
    if isinstance(tree, dict) and tree and random.random() < 0.85:
        key = random.choice(list(tree))
        if random.random() < 0.1:
            return {k: v for k, v in tree.items() if k != key}
        return {**tree, key: _changed(tree[key], random)}
    if isinstance(tree, list) and tree and random.random() < 0.85:
        at = random.randrange(len(tree))
        match random.randrange(8):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return [*tree[:at], tree[at], *tree[at:]]
            case 2:
                return random.sample(tree, len(tree))
        return [*tree[:at], _changed(tree[at], random), *tree[at + 1 :]]
    if isinstance(tree, int) and random.random() < 0.5:
        return tree + random.choice((-1, 1))
    if isinstance(tree, bytes) and tree and random.random() < 0.5:
        at = random.randrange(len(tree))
        return tree[:at] + bytes([random.randrange(256)]) + tree[at + 1 :]
    return random.choice(STRANGE)
