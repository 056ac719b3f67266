"""Whatever comes in, reading it gives messages or Malformed and nothing else, soon, and without much memory."""

import contextlib
import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import SignatureInvalid
from federation.identity import COORDINATOR, Identity, open_signed
from federation.secagg.messages import Inbox, Keys, Masked, Revealed, Sealed, Shares
from federation.wire import (
    MAX_DEPTH,
    MAX_TEXT,
    Body,
    Malformed,
    Signed,
    canonical_cbor,
    read_body,
    read_cbor,
    read_frame,
    write_frame,
)
from tests.unit.messages import BODIES, LIMITS, bodies, take_apart

MEMBER = Identity.create("m")
CONTEXT = bytes(range(32))
KEYS = MEMBER.sign(Keys(b"a" * 32, b"b" * 32), CONTEXT, COORDINATOR)
FRAME = write_frame([MEMBER.sign(Masked(("東京", "x")), CONTEXT, COORDINATOR, b"blob"), KEYS])


def as_header(data: bytes) -> bytes:
    return write_frame([Signed(data, bytes(64))])


def refused(data: bytes) -> None:
    """Malformed, as a frame and as a header, within a second and a megabyte, or a hundred times what came."""
    tracemalloc.start()
    began = time.process_time()
    try:
        for read in (read_cbor, take_apart, lambda data: take_apart(as_header(data))):
            with pytest.raises(Malformed):
                read(data)
        assert time.process_time() - began < 1
        assert tracemalloc.get_traced_memory()[1] < 2**20 + 100 * len(data)
    finally:
        tracemalloc.stop()


BAD_CBOR = json.loads((Path(__file__).parents[1] / "vectors/refused-cbor.json").read_text(encoding="utf-8"))
BOMBS = {
    "a bomb of lists": "81" * 50_000 + "00",
    "a bomb of maps": "a100" * 20_000 + "00",
    "a bomb of tags": "c6" * 50_000 + "00",
    "a bomb of lists of two": "82" * 50_000,
    "a map of 10,000 pairs in the wrong order": "b92710" + "".join(f"19{n:04x}00" for n in range(65535, 55535, -1)),
}


@pytest.mark.parametrize("data", [*BAD_CBOR.values(), *BOMBS.values()], ids=[*BAD_CBOR, *BOMBS])
def test_no_cbor_is_read_but_the_one_way_to_write_plain_data(data: str) -> None:
    refused(bytes.fromhex(data))


def test_depth_is_bounded() -> None:
    deepest = b"\x81" * MAX_DEPTH + b"\x80"
    assert str(read_cbor(deepest)) == "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    refused(b"\x81" + deepest)


@given(st.binary(max_size=200).filter(lambda data: data != write_frame([])))
def test_random_bytes_are_no_frame(data: bytes) -> None:
    with pytest.raises(Malformed):
        take_apart(data)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_random_bytes_are_no_header(data: bytes) -> None:
    with pytest.raises(Malformed):
        take_apart(as_header(data))


@given(st.integers(0, len(FRAME)), st.integers(0, 30), st.binary(max_size=30))
@settings(max_examples=300)
def test_a_frame_with_a_piece_replaced_is_read_or_malformed(at: int, cut: int, piece: bytes) -> None:
    changed = FRAME[:at] + piece + FRAME[at + cut :]
    with contextlib.suppress(Malformed):
        take_apart(changed)


def open_keys(data: bytes) -> Keys:
    (message,) = read_frame(data, LIMITS)
    key = MEMBER.public_key
    return open_signed(message, Keys, public_key=key, digest=CONTEXT, sender="m", recipient=COORDINATOR)


def test_no_bit_of_a_message_can_be_flipped_unnoticed() -> None:
    frame = write_frame([KEYS])
    assert open_keys(frame) == Keys(b"a" * 32, b"b" * 32)
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Malformed, SignatureInvalid)):
            open_keys(bytes(flipped))


def test_a_frame_that_ends_early_is_malformed_wherever_it_ends() -> None:
    take_apart(FRAME)
    for length in range(len(FRAME)):
        with pytest.raises(Malformed):
            take_apart(FRAME[:length])


@given(st.binary(min_size=1, max_size=20))
@settings(max_examples=30)
def test_bytes_behind_a_frame_are_malformed(tail: bytes) -> None:
    with pytest.raises(Malformed, match="left over"):
        take_apart(FRAME + tail)


@pytest.mark.parametrize("at", [6, 6 + 4 + len(KEYS.header_bytes) + 64])
@pytest.mark.parametrize("size", [2**16 + 1, 2**31, 2**32 - 1])
def test_a_size_beyond_the_limit_is_malformed_whatever_follows(at: int, size: int) -> None:
    frame = bytearray(write_frame([KEYS]))
    frame[at : at + 4] = size.to_bytes(4, "little")
    with pytest.raises(Malformed, match="larger than"):
        take_apart(frame)


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, -1, 0, 2**63 - 1, "", "x" * (MAX_TEXT + 1), b"", bytes(31), [], {}, [[]]]
)


@pytest.mark.parametrize("kind", BODIES.values(), ids=BODIES)
@given(data=st.data())
@settings(max_examples=25)
def test_a_body_with_junk_in_a_field_is_malformed_or_means_exactly_that(kind: type[Body], data: st.DataObject) -> None:
    plain: dict[str, Any] = data.draw(bodies(kind)).to_plain()
    plain[data.draw(st.sampled_from(sorted(plain)))] = data.draw(JUNK)
    try:
        body = read_body(kind, plain)
    except Malformed:
        return
    assert canonical_cbor(body.to_plain()) == canonical_cbor(plain)


@pytest.mark.parametrize("kind", BODIES.values(), ids=BODIES)
@given(data=st.data())
@settings(max_examples=10)
def test_a_body_has_all_its_fields_and_no_other(kind: type[Body], data: st.DataObject) -> None:
    plain = data.draw(bodies(kind)).to_plain()
    for name in plain:
        with pytest.raises(Malformed):
            read_body(kind, {key: value for key, value in plain.items() if key != name})
    for key in ("extra", "", 0):
        with pytest.raises(Malformed):
            read_body(kind, {**plain, key: 1})


OFFER: dict[str, Any] = {"suite": "s", "consortium": "c", "job": "j", "round": 1, "attempt": 1}
OFFER |= dict.fromkeys(("parent", "roster", "plan", "model"), bytes(32))
REVEALED: dict[str, Any] = {"survivors": bytes(32), "seed_shares": {"m": bytes(33)}, "key_shares": {}}
SEALED = Sealed(bytes(32), bytes(32), b"e", b"").to_plain()


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("offer", OFFER, {"round": True}),
        ("offer", OFFER, {"round": -1}),
        ("offer", OFFER, {"round": "1"}),
        ("offer", OFFER, {"job": b"j"}),
        ("offer", OFFER, {"job": "x" * (MAX_TEXT + 1)}),
        ("offer", OFFER, {"plan": bytes(33)}),
        ("offer", OFFER, {"plan": "x" * 32}),
        ("revealed", REVEALED, {"seed_shares": {"m": bytes(32)}}),
        ("revealed", REVEALED, {"seed_shares": {1: bytes(33)}}),
        ("revealed", REVEALED, {"seed_shares": [bytes(33)]}),
        ("shares", {"seed_commitment": bytes(32), "root": bytes(32)}, {"root": bytes(31)}),
        ("shares", {"seed_commitment": bytes(32), "root": bytes(32)}, {"root": [bytes(32)]}),
        ("cohort", {"keys": [[b"h", bytes(64)]]}, {"keys": [[b"h", bytes(63)]]}),
        ("cohort", {"keys": [[b"h", bytes(64)]]}, {"keys": [[b"h", bytes(64), b""]]}),
        ("cohort", {"keys": [[b"h", bytes(64)]]}, {"keys": [["h", bytes(64)]]}),
        ("cohort", {"keys": []}, {"keys": None}),
        ("inbox", {"shares": [], "sealed": [SEALED]}, {"sealed": [SEALED | {"more": 1}]}),
        ("inbox", {"shares": [], "sealed": [SEALED]}, {"sealed": [[]]}),
        ("broadcast", {"adapter": bytes(32), "adapter_size": 0, "last": None}, {"last": {}}),
    ],
)
def test_a_field_of_a_wrong_type_or_size_is_malformed(kind: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    read_body(BODIES[kind], good)
    with pytest.raises(Malformed):
        read_body(BODIES[kind], good | bad)


def test_the_classes_above_are_the_ones_on_the_wire() -> None:
    assert {BODIES[kind] for kind in ("revealed", "shares", "inbox")} == {Revealed, Shares, Inbox}
