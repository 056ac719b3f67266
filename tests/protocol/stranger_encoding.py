"""The stranger's vectors (see stranger.py): docs/protocol-encoding.md, but for its proof of the last round."""

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.protocol.stranger_bytes import H, cbor

Tensor = tuple[tuple[int, ...], list[float]]


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
    if not trains:
        names += ["lose_much", "lose", "even", "gain", "gain_much"]
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


def figures(losses: tuple[float, float], clipped: float) -> dict[str, float]:
    """Section 3's scalars of a member whose training did not diverge."""
    gained = losses[1] - losses[0]
    parts = {"lose_much": gained < -0.1, "lose": -0.1 <= gained < -0.01, "even": -0.01 <= gained < 0.01}
    parts |= {"gain": 0.01 <= gained < 0.1, "gain_much": gained >= 0.1}
    shares = {"clipped_share": clipped, "diverged": 0.0}
    return {"held_out_loss": losses[0], "base_held_out_loss": losses[1]} | parts | shares


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
    return ring.encode(
        update, figures(losses, clipped), stream("rounding", [plan["consortium"], plan["job"], plan["seed"], id, round])
    )
