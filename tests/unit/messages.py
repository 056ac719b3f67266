"""Hypothesis strategies for every message body, from its annotations; and a frame taken apart as a receiver does it."""

import dataclasses
import types
import typing
from typing import Annotated, Any, get_args, get_origin

from hypothesis import strategies as st

from federation.secagg import messages
from federation.wire import SIGNATURE_SIZE, Body, Buffer, Limits, Signed, read_body, read_frame

BODIES: dict[str, type[Body]] = {
    item.kind: item
    for item in vars(messages).values()
    if isinstance(item, type) and issubclass(item, Body) and item is not Body
}
LIMITS = Limits(header=65536, blob=65536)


def bodies(kind: type[Body]) -> st.SearchStrategy[Any]:
    """Any body of this kind."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, *(_values(hints[field.name], 32) for field in dataclasses.fields(typing.cast(Any, kind))))


def _values(hint: Any, size: int) -> st.SearchStrategy[Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _values(inner[0], inner[1].bytes)
    if origin is types.UnionType:
        return st.none() | _values(inner[0], size)
    if origin is tuple:
        return st.lists(_values(inner[0], size), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=8), _values(bytes, size), max_size=3)
    if hint is Signed:
        return st.builds(Signed, st.binary(max_size=40), _values(bytes, SIGNATURE_SIZE))
    if issubclass(hint, Body):
        return bodies(hint)
    sizes = {"min_size": size, "max_size": size or 100}
    return {int: st.integers(0, 2**63 - 1), str: st.text(max_size=30), bytes: st.binary(**sizes)}[hint]


def take_apart(data: Buffer) -> list[Body]:
    """Everything that a receiver decodes of a frame before any cryptography. Raises Malformed."""
    opened = []
    for message in read_frame(data, LIMITS):
        message.check_blob()
        if message.header.kind in BODIES:
            opened.append(read_body(BODIES[message.header.kind], message.header.body))
    return opened
