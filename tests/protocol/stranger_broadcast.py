"""What a stranger (see stranger.py) makes of a Broadcast: docs/protocol-encoding.md, section 5 without its proof."""

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from tests.protocol.stranger_bytes import ZEROS, H, Refuse, Words, require
from tests.protocol.stranger_encoding import (
    Ring,
    Tensor,
    adapter_bytes,
    adapter_digest,
    f32,
    ring_of,
    scalars_of,
)


@dataclass(frozen=True)
class Known:
    """The adapter that a round was opened with, its ring, and the digest of the sum that gave it."""

    adapter: Mapping[str, Tensor]
    ring: Ring
    last: bytes


def receive(
    plan: Words, first: Mapping[str, Tensor], before: Known | None, round: int, least: int, body: Words, data: bytes
) -> Known:
    """`before`: the last round, if this member has trained in it. A last sum counts `least` members or more."""
    last, size = body["last"], 4 * sum(len(v) for _, v in first.values())
    require(body["adapter_size"] == size <= len(data), "malformed")
    values, words = list(struct.unpack(f"<{size // 4}f", data[:size])), data[size:]
    require(all(map(math.isfinite, values)), "malformed")
    adapter: dict[str, Tensor] = {}
    for name in sorted(first):
        shape, old = first[name]
        adapter[name], values = (shape, values[: len(old)]), values[len(old) :]
    require(adapter_digest(adapter) == body["adapter"], "malformed")
    if round == 1:
        require(last is None and not words, "wrong-terms")
        require(adapter_bytes(adapter) == adapter_bytes(first), "adapter-unexplained")
        return Known(adapter, ring_of(plan, first, 1, {}), ZEROS)
    require(last is not None, "wrong-terms")
    ring = before.ring if before else stated_ring(plan, first, round - 1, last)
    require((last["scalars"], last["ranges"]) == (list(ring.scalars), ring.stated), "wrong-terms")
    require(last["proof"]["encoding"] == ring.digest(), "wrong-terms")
    require(len(words) == ring.dimension * ring.bits // 8, "malformed")
    require(least <= last["count"] <= len(plan["members"]), "wrong-terms")
    unpacked = struct.unpack(f"<{ring.dimension}{'H' if ring.bits == 16 else 'I'}", words)
    mean = ring.mean(unpacked, last["count"])
    if before:
        require(last["proof"]["adapter"] == adapter_digest(before.adapter), "wrong-terms")
        check_step(before.adapter, mean, float(plan["server_optim"]["learning_rate"]), adapter)
    return Known(adapter, ring_of(plan, first, round, mean), H("last sum", [last, hashlib.sha256(words).digest()]))


def check_step(
    before: Mapping[str, Tensor], mean: Mapping[str, list[float]], rate: float, adapter: Mapping[str, Tensor]
) -> None:
    off = size = 0.0
    for name, (_, old) in before.items():
        step = [f32(rate * m) for m in mean.get(name, [0.0] * len(old))]
        expected = [f32(a + b) for a, b in zip(old, step, strict=True)]
        off += sum((a - b) ** 2 for a, b in zip(adapter[name][1], expected, strict=True))
        size += sum(b * b for b in expected)
    require(math.sqrt(off) <= 1e-5 * math.sqrt(size), "adapter-unexplained")


def stated_ring(plan: Words, first: Mapping[str, Tensor], round: int, last: Words) -> Ring:
    """Of a round that this member was not in."""
    shapes = ring_of(plan, first, round, {}).shapes
    require(len(last["ranges"]) == len(shapes), "malformed")
    try:
        ranges = {n: float.fromhex(text) for n, text in zip(sorted(shapes), last["ranges"], strict=True)}
    except (ValueError, OverflowError) as error:
        raise Refuse("malformed") from error
    smallest = float(plan["secagg"]["smallest_range"])
    require(all(smallest <= g < math.inf for g in ranges.values()), "malformed")
    return Ring(plan["secagg"]["ring_bits"], len(plan["members"]), shapes, ranges, scalars_of(plan, round))
