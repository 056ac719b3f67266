"""What a coordinator keeps of a dealer's envelopes: each recipient gets its own, whatever the ids and paths."""

import secrets
from dataclasses import replace

import pytest

from federation.secagg.contexts import leaf
from federation.secagg.dealt import Dealt
from federation.secagg.merkle import root_and_paths
from federation.secagg.messages import Sealed
from federation.secagg.primitives import envelope_size
from federation.secagg.shelf import InMemory, ShelfDamaged
from federation.wire import Malformed, canonical_cbor

DEALER = "豊田"


def deal(recipients: tuple[str, ...]) -> tuple[bytes, list[Sealed]]:
    """A root, and what it is over; what is in the envelopes is nobody's business here."""
    random = secrets.token_bytes
    sealed = [Sealed(random(32), random(32), random(envelope_size(DEALER, m)), b"") for m in recipients]
    root, paths = root_and_paths([leaf(s.seed_commitment, s.key_commitment) for s in sealed])
    return root, [replace(s, path=path) for s, path in zip(sealed, paths, strict=True)]


def encoded(sealed: list[Sealed]) -> bytes:
    return canonical_cbor([s.to_plain() for s in sealed])


@pytest.mark.parametrize("count", [1, 2, 5, 23, 24, 300])
def test_each_recipient_gets_what_was_sealed_for_it(count: int) -> None:
    recipients = tuple(sorted(f"{'工場' * (at % 3)}{at}" for at in range(count)))
    root, sealed = deal(recipients)
    shelf = InMemory()
    shelf.put(b"of another dealer")
    dealt = Dealt.read(DEALER, recipients, root, memoryview(encoded(sealed)), shelf)
    assert [dealt.to(m) for m in recipients] == sealed


def test_what_has_its_place_is_not_put_again() -> None:
    recipients = ("a", "b", "豊田")
    root, sealed = deal(recipients)
    shelf, data = InMemory(), encoded(sealed)
    shelf.put(b"before")
    place = shelf.put(data)
    dealt = Dealt.read(DEALER, recipients, root, data, shelf, place)
    assert [dealt.to(m) for m in recipients] == sealed
    assert shelf.read(place + len(data), place + len(data) + 1) == b""


def test_what_the_disk_has_changed_is_noticed_wherever_it_lies() -> None:
    recipients = ("a", "b", "豊田")
    root, sealed = deal(recipients)
    data = encoded(sealed)
    for at in range(1, len(data)):  # the first byte only says how many there are
        shelf = InMemory()
        dealt = Dealt.read(DEALER, recipients, root, data, shelf)
        shelf._data[at] ^= 1
        damaged = 0
        for recipient, expected in zip(recipients, sealed, strict=True):
            try:
                assert dealt.to(recipient) == expected
            except ShelfDamaged:
                damaged += 1
        assert damaged == 1


def test_a_shelf_that_was_cut_is_noticed() -> None:
    root, sealed = deal(("a", "b"))
    shelf = InMemory()
    dealt = Dealt.read(DEALER, ("a", "b"), root, encoded(sealed), shelf)
    del shelf._data[-1]
    assert dealt.to("a") == sealed[0]
    with pytest.raises(ShelfDamaged, match=DEALER) as caught:
        dealt.to("b")
    assert caught.value.exit_code == 10


def test_data_that_is_not_one_envelope_for_each_under_the_root_is_refused() -> None:
    recipients = ("a", "b", "豊田")
    root, sealed = deal(recipients)
    short = replace(sealed[0], envelope=sealed[0].envelope[:-1], path=sealed[0].path + b"\0")
    swapped = [sealed[1], sealed[0], sealed[2]]
    bad = {
        "no CBOR": bytes(len(encoded(sealed))),
        "one too few": encoded(sealed[:-1]),
        "one byte from envelope to path": encoded([short, *sealed[1:]]),
        "another order": encoded(swapped),
    }
    assert len(bad["one byte from envelope to path"]) == len(encoded(sealed))
    shelf = InMemory()
    for data in bad.values():
        with pytest.raises(Malformed):
            Dealt.read(DEALER, recipients, root, data, shelf)
    with pytest.raises(Malformed):
        Dealt.read(DEALER, recipients, bytes(32), encoded(sealed), shelf)
    assert shelf.put(b"") == 0  # nothing of it was put
