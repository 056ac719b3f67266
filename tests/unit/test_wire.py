"""Messages as bytes: what is written is read again, exactly; a header stands without its data; limits hold."""

import dataclasses
import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.identity import COORDINATOR, Identity, open_signed
from federation.secagg.messages import Agreed, Masked, Sealed
from federation.wire import (
    MAGIC,
    MAX_MESSAGES,
    MAX_TEXT,
    VERSION,
    Body,
    Limits,
    Malformed,
    Signed,
    canonical_cbor,
    read_body,
    read_cbor,
    read_frame,
    write_frame,
    write_header,
)
from tests.unit.messages import BODIES, LIMITS, bodies

MEMBER = Identity.create("豊田工場")
CONTEXT = hashlib.sha256(b"context").digest()
MASKED = MEMBER.sign(Masked(("東京",)), CONTEXT, COORDINATOR, b"0123456789abcdef")
AGREED = MEMBER.sign(Agreed(bytes(32)), CONTEXT, COORDINATOR)


def opened(message: Signed, kind: type[Body]) -> Body:
    key = MEMBER.public_key
    return open_signed(message, kind, public_key=key, digest=CONTEXT, sender=MEMBER.id, recipient=COORDINATOR)


@pytest.mark.parametrize("kind", BODIES.values(), ids=BODIES)
@given(data=st.data(), blob=st.binary(max_size=100))
@settings(max_examples=25)
def test_every_message_comes_back_as_it_was_sent(kind: type[Body], data: st.DataObject, blob: bytes) -> None:
    body = data.draw(bodies(kind))
    sent = MEMBER.sign(body, CONTEXT, COORDINATOR, blob)
    (received,) = read_frame(write_frame([sent]), LIMITS)
    received.check_blob()
    assert opened(received, kind) == body
    assert bytes(received.blob) == blob
    assert write_header(received.header) == sent.header_bytes


def test_there_are_strategies_for_all_fifteen_bodies() -> None:
    assert len(BODIES) == 15


def test_a_frame_holds_several_messages_in_order() -> None:
    messages = [MASKED, AGREED, MASKED, AGREED]
    received = read_frame(write_frame(messages), LIMITS)
    assert [(bytes(m.header_bytes), m.signature, bytes(m.blob)) for m in received] == [
        (m.header_bytes, m.signature, m.blob) for m in messages
    ]


def test_a_frame_of_no_messages_is_an_answer_too() -> None:
    assert read_frame(write_frame([]), LIMITS) == ()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_frame_may_come_in_any_buffer(kind: type) -> None:
    assert len(read_frame(kind(write_frame([MASKED])), LIMITS)) == 1


def test_a_frame_of_too_many_messages_is_refused() -> None:
    read_frame(write_frame([AGREED] * MAX_MESSAGES), LIMITS)
    with pytest.raises(Malformed):
        read_frame(write_frame([AGREED] * (MAX_MESSAGES + 1)), LIMITS)


def test_header_and_blob_may_be_as_large_as_the_limits_and_no_larger() -> None:
    frame, header, blob = write_frame([MASKED]), len(MASKED.header_bytes), len(MASKED.blob)
    assert read_frame(frame, Limits(header, blob))
    for limits in (Limits(header - 1, blob), Limits(header, blob - 1)):
        with pytest.raises(Malformed, match="larger than"):
            read_frame(frame, limits)


def test_a_header_stays_verifiable_without_its_blob() -> None:
    bare = MASKED.without_blob()
    assert bytes(bare.blob) == b""
    assert opened(bare, Masked) == Masked(("東京",))
    assert (bare.header.blob_size, bare.header.blob_sha256) == (16, hashlib.sha256(MASKED.blob).digest())


def test_a_header_without_its_blob_is_no_message_of_its_own() -> None:
    with pytest.raises(Malformed):
        read_frame(write_frame([MASKED.without_blob()]), LIMITS)
    with pytest.raises(Malformed):
        MASKED.without_blob().check_blob()


@pytest.mark.parametrize("blob", [b"", b"0123456789abcdeF", b"0123456789abcde", b"0123456789abcdef0"])
def test_another_blob_than_the_signed_one_is_noticed(blob: bytes) -> None:
    MASKED.check_blob()
    with pytest.raises(Malformed):
        dataclasses.replace(MASKED, blob=blob).check_blob()


def test_a_blob_where_none_was_signed_is_noticed() -> None:
    AGREED.check_blob()
    with pytest.raises(Malformed):
        dataclasses.replace(AGREED, blob=b"x").check_blob()


def test_the_layout_of_a_frame_is_the_documented_one() -> None:
    header, blob = MASKED.header_bytes, MASKED.blob
    parts = [b"RNGO", b"\x01\x01", struct.pack("<I", len(header)), header, MASKED.signature]
    assert write_frame([MASKED]) == b"".join([*parts, struct.pack("<Q", len(blob)), bytes(blob)])


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary(max_size=5)
KEYS = st.text(max_size=3) | st.integers(-5, 99)
BRANCHES = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(KEYS, LEAVES, max_size=3)


@given(st.lists(BRANCHES, max_size=3) | st.dictionaries(KEYS, BRANCHES, max_size=3))
def test_plain_data_comes_back_from_cbor_with_its_types(value: object) -> None:
    again = read_cbor(canonical_cbor(value))
    assert again == value
    assert canonical_cbor(again) == canonical_cbor(value)  # which, unlike ==, tells True from 1


class TestHeader:
    """`MASKED`'s header with one thing changed, and signed by nobody: reading it is enough."""

    plain = read_cbor(MASKED.header_bytes)

    def read(self, **changes: object) -> None:
        data = canonical_cbor({**self.plain, **changes})
        read_frame(write_frame([Signed(data, bytes(64), MASKED.blob)]), LIMITS)

    def test_is_read_unchanged(self) -> None:
        self.read()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("v", VERSION + 1),
            ("v", 0),
            ("v", True),
            ("v", "1"),
            ("kind", ""),
            ("kind", b"masked"),
            ("kind", "x" * (MAX_TEXT + 1)),
            ("from", None),
            ("from", 7),
            ("to", ""),
            ("to", ["a"]),
            ("digest", bytes(31)),
            ("digest", bytes(33)),
            ("digest", "x" * 32),
            ("body", None),
            ("body", []),
            ("blob", []),
            ("blob", [16]),
            ("blob", [0, bytes(32)]),
            ("blob", [-1, bytes(32)]),
            ("blob", [True, bytes(32)]),
            ("blob", [16, bytes(31)]),
            ("blob", [16, None]),
            ("blob", [16, bytes(32), 0]),
            ("blob", [15, bytes(32)]),
            ("blob", None),
            ("extra", 1),
        ],
    )
    def test_with_a_wrong_field_is_refused(self, field: str, value: object) -> None:
        with pytest.raises(Malformed):
            self.read(**{field: value})

    @pytest.mark.parametrize("field", sorted(plain))
    def test_without_a_field_is_refused(self, field: str) -> None:
        data = canonical_cbor({name: value for name, value in self.plain.items() if name != field})
        with pytest.raises(Malformed):
            read_frame(write_frame([Signed(data, bytes(64), MASKED.blob)]), LIMITS)

    def test_may_be_of_a_kind_that_this_version_does_not_know(self) -> None:
        self.read(kind="not_known_yet")

    @pytest.mark.parametrize("kind", ["未知", "a\nb", "\x1b[31m", "Keys", "", "x" * 33])
    def test_may_not_write_what_it_likes_into_a_log_as_its_kind(self, kind: str) -> None:
        with pytest.raises(Malformed):
            self.read(kind=kind)


def test_the_version_of_a_frame_is_checked_before_anything_else() -> None:
    frame = bytearray(write_frame([AGREED]))
    frame[4] = VERSION + 1
    with pytest.raises(Malformed, match="version"):
        read_frame(frame, LIMITS)
    with pytest.raises(Malformed, match="not a rengo message"):
        read_frame(b"HTTP" + frame[4:], LIMITS)
    assert frame[:4] == MAGIC


def test_bytes_fields_have_exactly_their_size_unless_they_are_free() -> None:
    good = {"seed_commitment": bytes(32), "key_commitment": bytes(32), "envelope": b"", "path": b""}
    assert read_body(Sealed, good) == Sealed(bytes(32), bytes(32), b"", b"")
    for size in (0, 31, 33, 64):
        with pytest.raises(Malformed):
            read_body(Sealed, good | {"seed_commitment": bytes(size)})
