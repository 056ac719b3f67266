"""Signed messages as bytes: a canonical CBOR header, an Ed25519 signature over it, and raw bytes that it names by hash.

Everything here runs before any cryptography and treats its input as hostile: sizes, depth, types and canonical form
are checked first, and left-over bytes are an error. A header may be forwarded without its blob (the survivors' headers
are), because the signature covers the blob's length and SHA-256 and not the blob itself.

Frame     = "RNGO" version:u8 count:u8 message*
message   = header_length:u32 header signature:64 blob_length:u64 blob          (little-endian)
header    = CBOR {v, kind, digest, from, to, body, blob: [length, sha256] | null}
"""

import dataclasses
import hashlib
import re
import struct
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar, get_args, get_origin

import cbor2

from federation.errors import RengoError

VERSION = 1
MAGIC = b"RNGO"
MAX_DEPTH = 6
MAX_MESSAGES = 4
MAX_TEXT = 1024
DIGEST_SIZE = 32
SIGNATURE_SIZE = 64
ZERO_DIGEST = bytes(DIGEST_SIZE)
_SIGNATURE_DOMAIN = b"rengo signed message v1\0"

# Kinds reach logs before any signature is checked.
_KIND = re.compile("[a-z_]{1,32}")

T = TypeVar("T")
Buffer = bytes | bytearray | memoryview


class Malformed(RengoError):
    """A message is not well-formed: {detail}. It was thrown away before anything else was done with it."""

    ja = "不正な形式のメッセージです: {detail}。処理せずに破棄しました。"
    exit_code = 10


@dataclass(frozen=True)
class Limits:
    """The largest header and blob that a receiver accepts, in bytes; both follow from the plan."""

    header: int
    blob: int


@dataclass(frozen=True)
class Header:
    """What a signature covers: who says what to whom, in which context (`digest`)."""

    kind: str
    digest: bytes
    sender: str
    recipient: str
    body: Mapping[str, Any]
    blob_size: int
    blob_sha256: bytes | None


@dataclass(frozen=True)
class Signed:
    """A message as it travels. `header_bytes` and `signature` stay valid without the blob."""

    header_bytes: bytes
    signature: bytes
    blob: Buffer = field(default=b"", repr=False)

    @cached_property
    def header(self) -> Header:
        """The decoded header. Raises Malformed."""
        return _read_header(self.header_bytes)

    def without_blob(self) -> "Signed":
        """The same statement without its bulk: what third parties verify."""
        return Signed(self.header_bytes, self.signature)

    def to_sign(self) -> bytes:
        """The exact bytes that the Ed25519 signature covers."""
        return _SIGNATURE_DOMAIN + self.header_bytes

    def check_blob(self) -> None:
        """Raises Malformed unless the blob is the one that the header names."""
        header = self.header
        expected = header.blob_sha256
        actual = hashlib.sha256(self.blob).digest() if header.blob_size else None
        if len(self.blob) != header.blob_size or actual != expected:
            raise Malformed(detail=f"the data of {header.kind} does not match its signed hash")


def _refuse_tag(*_: object) -> NoReturn:
    raise Malformed(detail="CBOR tags are not allowed")


# Every tag that cbor2 would act on (dates, regular expressions, sharing…); unknown ones come out as CBORTag objects,
# which the type check below refuses.
_KNOWN_TAGS = (*range(6), 25, *range(28, 31), *range(35, 38), 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
_TAGS = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)


def canonical_cbor(value: Any) -> bytes:
    """Deterministic CBOR (RFC 8949 section 4.2.3: shortest forms, keys ordered by length, then bytes)."""
    return cbor2.dumps(value, canonical=True)


def read_cbor(data: Buffer) -> Any:
    """`data` decoded, or Malformed: only int, bytes, str, bool, None, list and dict with str or int keys, canonical."""
    try:
        value = cbor2.loads(
            bytes(data),
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            semantic_decoders=_TAGS,
        )
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Malformed(detail="not valid CBOR") from error
    _check_types(value)
    if canonical_cbor(value) != data:
        raise Malformed(detail="not canonical CBOR, or bytes are left over")
    return value


def _check_types(value: Any) -> None:
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) not in (str, int):
                raise Malformed(detail="a map key is neither text nor a number")
            _check_types(item)
    elif kind is list:
        for item in value:
            if type(item) is not bytes:  # as most are
                _check_types(item)
    elif kind is int:
        if not -(2**63) <= value < 2**63:
            raise Malformed(detail="a number is out of range")
    elif value is not None and kind not in (bytes, str, bool):
        raise Malformed(detail=f"a value of type {kind.__name__} is not allowed")


def write_header(header: Header) -> bytes:
    """The canonical bytes of a header."""
    blob = [header.blob_size, header.blob_sha256] if header.blob_sha256 is not None else None
    return canonical_cbor(
        {
            "v": VERSION,
            "kind": header.kind,
            "digest": header.digest,
            "from": header.sender,
            "to": header.recipient,
            "body": header.body,
            "blob": blob,
        }
    )


def _read_header(data: Buffer) -> Header:
    raw = read_cbor(data)
    if not isinstance(raw, dict) or set(raw) != {"v", "kind", "digest", "from", "to", "body", "blob"}:
        raise Malformed(detail="a header has other fields than it should")
    if raw["v"] != VERSION or type(raw["v"]) is not int:
        raise Malformed(detail=f"protocol version {raw['v']!r} is not {VERSION}")
    names = (raw["from"], raw["to"])
    known = type(raw["kind"]) is str and _KIND.fullmatch(raw["kind"])
    if not known or not all(type(name) is str and 0 < len(name) <= MAX_TEXT for name in names):
        raise Malformed(detail="a header names no sender, recipient or kind")
    if type(raw["digest"]) is not bytes or len(raw["digest"]) != DIGEST_SIZE or not isinstance(raw["body"], dict):
        raise Malformed(detail="a header has no digest or body")
    blob = raw["blob"]
    if blob is None:
        blob = [0, None]
    elif not (
        type(blob) is list
        and len(blob) == 2
        and type(blob[0]) is int
        and blob[0] > 0
        and type(blob[1]) is bytes
        and len(blob[1]) == DIGEST_SIZE
    ):
        raise Malformed(detail="a header describes its data wrongly")
    return Header(raw["kind"], raw["digest"], raw["from"], raw["to"], raw["body"], blob[0], blob[1])


def write_frame(messages: Sequence[Signed]) -> bytes:
    """Up to MAX_MESSAGES messages as one request or answer."""
    parts: list[Buffer] = [MAGIC, bytes([VERSION, len(messages)])]
    for message in messages:
        parts += [struct.pack("<I", len(message.header_bytes)), message.header_bytes, message.signature]
        parts += [struct.pack("<Q", len(message.blob)), message.blob]
    return b"".join(parts)


def is_frame(data: Buffer) -> bool:
    """Whether it begins as a frame that this program can read."""
    return bytes(data[:5]) == MAGIC + bytes([VERSION])


def read_frame(data: Buffer, limits: Limits) -> tuple[Signed, ...]:
    """The messages of a frame, headers decoded once and sizes checked; signatures are not. Raises Malformed."""
    view = memoryview(data)
    if bytes(view[:4]) != MAGIC:
        raise Malformed(detail="this is not a rengo message")
    if len(view) < 6 or view[4] != VERSION:
        there = view[4] if len(view) > 4 else "missing"
        raise Malformed(detail=f"the version of its form is {there}, this program's is {VERSION}")
    if view[5] > MAX_MESSAGES:
        raise Malformed(detail=f"{view[5]} messages in one frame")
    messages, rest = [], view[6:]
    for _ in range(view[5]):
        size, rest = _take_number(rest, "<I")
        header, rest = _take(rest, size, limits.header)
        signature, rest = _take(rest, SIGNATURE_SIZE, SIGNATURE_SIZE)
        size, rest = _take_number(rest, "<Q")
        blob, rest = _take(rest, size, limits.blob)
        message = Signed(bytes(header), bytes(signature), blob)
        if message.header.blob_size != len(blob):
            raise Malformed(detail="the data is not as long as its header says")
        messages.append(message)
    if rest:
        raise Malformed(detail=f"{len(rest)} bytes are left over")
    return tuple(messages)


def _take_number(view: memoryview, layout: str) -> tuple[int, memoryview]:
    width = struct.calcsize(layout)
    number, rest = _take(view, width, width)
    return struct.unpack(layout, number)[0], rest


def _take(view: memoryview, size: int, limit: int) -> tuple[memoryview, memoryview]:
    if size > limit:
        raise Malformed(detail=f"a part of {size} bytes is larger than the {limit} allowed")
    if size > len(view):
        raise Malformed(detail="it ends too early")
    return view[:size], view[size:]


@dataclass(frozen=True)
class Size:
    """How many bytes a bytes field holds, where that is not 32; 0 for any number."""

    bytes: int


class Body:
    """A message body: a frozen dataclass whose annotations say exactly what may stand in it.

    Allowed annotations: int, str, bytes, tuple[X, ...], dict[str, bytes], Signed, another Body, `X | None`. A bytes
    value holds 32 bytes unless its field says otherwise: `Annotated[bytes, Size(33)]`.
    """

    kind: ClassVar[str]

    def to_plain(self) -> dict[str, Any]:
        """As plain data for a header."""
        return {name: _to_plain(getattr(self, name)) for name in _readers(typing.cast(Any, type(self)))}


def read_body(kind: type[T], body: Mapping[str, Any]) -> T:
    """`body` as a `kind`, or Malformed: no unknown field, none missing, every type and size as declared."""
    readers = _readers(typing.cast(Any, kind))
    if body.keys() != readers.keys():
        raise Malformed(detail=f"{kind.__name__} has other fields than it should")
    return kind(**{name: read(body[name]) for name, read in readers.items()})


def _to_plain(value: Any) -> Any:
    if type(value) is bytes:
        return value
    if type(value) is tuple:
        return [_to_plain(item) for item in value]
    if isinstance(value, Signed):
        return [value.header_bytes, value.signature]
    if isinstance(value, Body):
        return value.to_plain()
    return dict(value) if isinstance(value, dict) else value


_Reader = Callable[[Any], Any]


@cache
def _readers(kind: type) -> Mapping[str, _Reader]:
    """Field by field, what reads it: annotations are looked at once a class and not once a value."""
    hints = typing.get_type_hints(kind, include_extras=True)
    names = [f.name for f in dataclasses.fields(typing.cast(Any, kind))]
    return {name: _reader(hints[name], DIGEST_SIZE, name) for name in names}


def _reader(hint: Any, size: int, name: str) -> _Reader:
    """Plain data -> what `hint` declares, or Malformed, which names the field; `size` is what its bytes measure."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _reader(inner[0], inner[1].bytes, name)
    if origin is types.UnionType:
        present = _reader(inner[0], size, name)
        return lambda value: None if value is None else present(value)
    if origin is tuple:
        item = _reader(inner[0], size, name)
        return lambda value: tuple([item(each) for each in _require(type(value) is list, value, name)])
    if origin is dict:
        key, item = _reader(str, size, name), _reader(bytes, size, name)
        return lambda value: {key(k): item(each) for k, each in _require(type(value) is dict, value, name).items()}
    if hint is bytes:
        return lambda value: _require(type(value) is bytes and size in (0, len(value)), value, name)
    if hint is str:
        return lambda value: _require(type(value) is str and len(value) <= MAX_TEXT, value, name)
    if hint is int:
        return lambda value: _require(type(value) is int and value >= 0, value, name)
    if hint is Signed:
        signature = _reader(bytes, SIGNATURE_SIZE, name)
        two = [bytes, bytes]
        return lambda value: Signed(
            _require(type(value) is list and [type(part) for part in value] == two, value, name)[0], signature(value[1])
        )
    return lambda value: read_body(hint, _require(type(value) is dict, value, name))


def _require(fits: bool, value: T, name: str) -> T:
    if not fits:
        raise Malformed(detail=f"the field {name} has a wrong type or size")
    return value
