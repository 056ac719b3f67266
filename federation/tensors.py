"""Named float32 tensors as bytes and as a hash: how an adapter travels and is named. Order is by name, always."""

import hashlib
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from federation.wire import Buffer, Malformed, canonical_cbor

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]
Means = Mapping[str, NDArray[np.float64]]
"""Decoded means: at 32 bits they are finer than float32 can hold."""
Shapes = Mapping[str, tuple[int, ...]]


def shapes_of(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    """Name -> shape, sorted by name."""
    return {name: tuple(tensors[name].shape) for name in sorted(tensors)}


def size_of(shapes: Shapes) -> int:
    """The number of values in all tensors."""
    return sum(math.prod(shape) for shape in shapes.values())


def to_bytes(tensors: Tensors) -> bytes:
    """Little-endian float32 values, tensor after tensor in order of name, without any framing."""
    return b"".join(np.ascontiguousarray(tensors[name], dtype="<f4").tobytes() for name in sorted(tensors))


def from_bytes(data: Buffer, shapes: Shapes) -> dict[str, Array]:
    """The inverse of `to_bytes`. Raises Malformed for a wrong length or values that are not finite."""
    if len(data) != 4 * size_of(shapes):
        raise Malformed(detail=f"the adapter has {len(data)} bytes, {4 * size_of(shapes)} are expected")
    flat = np.frombuffer(data, dtype="<f4").astype(np.float32)
    if not np.isfinite(flat).all():
        raise Malformed(detail="the adapter holds values that are not finite")
    tensors, start = {}, 0
    for name in sorted(shapes):
        stop = start + math.prod(shapes[name])
        tensors[name] = flat[start:stop].reshape(shapes[name])
        start = stop
    return tensors


def digest(tensors: Tensors) -> bytes:
    """SHA-256 over names, shapes and values: the adapter's name in every context, journal and ledger."""
    manifest = [[name, list(shape)] for name, shape in shapes_of(tensors).items()]
    hashed = hashlib.sha256(b"rengo tensors v1\0" + canonical_cbor(manifest))
    for name in sorted(tensors):
        hashed.update(np.ascontiguousarray(tensors[name], dtype="<f4").data)
    return hashed.digest()


def relative_difference(left: Tensors, right: Tensors) -> float:
    """||left - right|| / ||right|| over all tensors (L2). Zero when both are zero."""
    top = sum(float(np.square(left[n].astype(np.float64) - right[n]).sum()) for n in right)
    bottom = sum(float(np.square(right[n].astype(np.float64)).sum()) for n in right)
    return float(np.sqrt(top / bottom)) if bottom > 0 else float(top > 0)
