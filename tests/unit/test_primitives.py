"""The cryptography against published answers and against a second way to compute it."""

import os

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.secagg.primitives import Mask, add_masks, agree, derive, envelope_size, is_safe_point, seal, unseal
from federation.secagg.shamir import SHARE_SIZE
from federation.wire import canonical_cbor

FIELD = 2**255 - 19
SMALL_ORDER = {
    "0": 0,
    "1": 1,
    "order 8": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "order 8, the other": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
    "p - 1": FIELD - 1,
}
NON_CANONICAL = {"p": FIELD, "p + 1": FIELD + 1, "p + 9": FIELD + 9, "2^255 + 9": 2**255 + 9, "all ones": 2**256 - 1}


def point(u: int) -> bytes:
    return u.to_bytes(32, "little")


class TestAgreement:
    """X25519, with the vectors of RFC 7748."""

    def test_gives_the_answer_of_section_5_2(self) -> None:
        scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
        u = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
        answer = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
        assert is_safe_point(u)
        assert agree(X25519PrivateKey.from_private_bytes(scalar), u).hex() == answer

    def test_gives_the_answer_of_section_5_2_after_a_thousand_iterations(self) -> None:
        k = u = point(9)
        for _ in range(1000):
            # A scalar may be any bytes; here the last result, which is a canonical point.
            k, u = agree(X25519PrivateKey.from_private_bytes(k), u), k[:31] + bytes([k[31] & 127])
        assert k.hex() == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"

    def test_is_the_same_from_both_sides(self) -> None:
        left, right = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        public = [key.public_key().public_bytes_raw() for key in (left, right)]
        assert agree(left, public[1]) == agree(right, public[0])
        assert all(is_safe_point(key) for key in public)


class TestSafePoint:
    @pytest.mark.parametrize("u", SMALL_ORDER.values(), ids=SMALL_ORDER)
    def test_is_not_of_small_order(self, u: int) -> None:
        assert not is_safe_point(point(u))
        with pytest.raises(ValueError, match="key"):  # and what the list says of it is true: the secret is all zeros
            agree(X25519PrivateKey.generate(), point(u))

    @pytest.mark.parametrize("u", NON_CANONICAL.values(), ids=NON_CANONICAL)
    def test_is_canonical(self, u: int) -> None:
        assert not is_safe_point(point(u))

    def test_has_no_alias(self) -> None:
        """X25519 itself reads p + 9 and 2^255 + 9 as 9: two announced keys could differ and be the same."""
        private = X25519PrivateKey.generate()
        assert agree(private, point(FIELD + 9)) == agree(private, point(2**255 + 9)) == agree(private, point(9))
        assert [is_safe_point(point(u)) for u in (9, FIELD + 9, 2**255 + 9)] == [True, False, False]

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_is_32_bytes(self, size: int) -> None:
        assert not is_safe_point(b"\x09" + bytes(size - 1) if size else b"")

    @given(st.integers(2, FIELD - 2))
    @settings(max_examples=50)
    def test_may_be_any_other(self, u: int) -> None:
        assert is_safe_point(point(u)) == (u not in SMALL_ORDER.values())


def hmac(key: bytes, data: bytes) -> bytes:
    state = HMAC(key, SHA256())
    state.update(data)
    return state.finalize()


class TestDerivation:
    """HKDF-SHA256 (RFC 5869): one block of output is T(1) = HMAC(HMAC(salt, secret), info | 1)."""

    def independent(self, secret: bytes, salt: bytes, info: bytes) -> bytes:
        return hmac(hmac(salt, secret), info + b"\x01")

    def test_by_hand_agrees_with_the_rfc(self) -> None:
        salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
        answer = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"  # test case 1, first 32 bytes
        assert self.independent(b"\x0b" * 22, salt, info).hex() == answer

    @given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.lists(st.text(max_size=9)))
    @settings(max_examples=30)
    def test_agrees_with_the_one_by_hand(self, secret: bytes, salt: bytes, parties: list[str]) -> None:
        info = b"rengo v1\0" + canonical_cbor(["pair", *parties])
        assert derive(secret, salt, "pair", *parties) == self.independent(secret, salt, info)

    def test_tells_secrets_salts_purposes_and_parties_apart(self) -> None:
        zero, one = bytes(32), bytes([1] * 32)
        keys = [
            derive(zero, zero, "pair", "a", "b"),
            derive(one, zero, "pair", "a", "b"),
            derive(zero, one, "pair", "a", "b"),
            derive(zero, zero, "self", "a", "b"),
            derive(zero, zero, "pair", "b", "a"),
            derive(zero, zero, "pair", "ab"),
            derive(zero, zero, "pair", "a", "b", ""),
        ]
        assert len(set(keys)) == len(keys)


# Around one block of AES, and around the chunks of 128 KiB: 32 Ki words of 32 bits, 64 Ki words of 16 bits.
LENGTHS = [0, 1, 3, 4, 5, 7, 8, 9, 1001]
LENGTHS += [chunks * 65536 + offset for chunks in (1, 2, 3, 4) for offset in (-1, 0, 1)]


class TestMask:
    def test_begins_as_published(self) -> None:
        """Under a key of zeros: AES-256 of the counters 0 (CAVP GFSbox256's key), 1 and 2 (GCM's test cases 13, 14)."""
        vector = np.zeros(12, dtype="<u4")
        add_masks(vector, [(bytes(32), 1)])
        assert [vector[at : at + 4].tobytes().hex() for at in (0, 4, 8)] == [
            "dc95c078a2408989ad48a21492842087",
            "530f8afbc74536b9a963b4f1c4cb738b",
            "cea7403d4d606b6e074ec5d3baf39d18",
        ]

    def test_is_aes_of_a_counter(self) -> None:
        key, vector = os.urandom(32), np.zeros(4000, dtype="<u4")
        block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305
        add_masks(vector, [(key, 1)])
        assert vector.tobytes() == block.update(b"".join(counter.to_bytes(16) for counter in range(1000)))

    def test_of_many_are_what_they_are_one_by_one(self) -> None:
        """More than are set up at once."""
        masks: list[Mask] = [(os.urandom(32), -1 if number % 3 else 1) for number in range(1025)]
        together, alone = np.zeros(33, dtype="<u4"), np.zeros(33, dtype="<u4")
        add_masks(together, masks)
        for mask in masks:
            add_masks(alone, [mask])
        np.testing.assert_array_equal(together, alone)

    @pytest.mark.parametrize("width", [2, 4])
    @pytest.mark.parametrize("length", LENGTHS)
    def test_is_the_keystream_in_little_endian_words(self, length: int, width: int) -> None:
        key, draw = os.urandom(32), np.random.default_rng(length)
        before = draw.integers(0, 256, length * width, dtype=np.uint8).view(f"<u{width}")
        stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(length * width))
        expected = [
            (int(value) + int.from_bytes(stream[at * width : (at + 1) * width], "little")) % 2 ** (8 * width)
            for at, value in enumerate(before[:40])
        ]
        vector = before.copy()
        add_masks(vector, [(key, 1)])
        assert vector[:40].tolist() == expected
        np.testing.assert_array_equal(vector - before, np.frombuffer(stream, dtype=f"<u{width}"))
        add_masks(vector, [(key, -1)])
        np.testing.assert_array_equal(vector, before)

    def test_of_two_members_cancels_in_the_sum(self) -> None:
        key, left, right = os.urandom(32), np.arange(9, dtype="<u2"), np.arange(9, dtype="<u2") * 3
        total = left + right
        add_masks(left, [(key, 1)])
        add_masks(right, [(key, -1)])
        np.testing.assert_array_equal(left + right, total)

    @pytest.mark.parametrize("width", [2, 4])
    @pytest.mark.parametrize("length", [*LENGTHS, 200_003])
    def test_is_the_same_from_any_number_of_threads(self, length: int, width: int) -> None:
        masks: list[Mask] = [(os.urandom(32), 1), (os.urandom(32), -1), (os.urandom(32), 1)]
        before = np.arange(length, dtype=f"<u{width}")
        alone = before.copy()
        for mask in masks:
            add_masks(alone, [mask])
        for threads in (1, 2, 3, 7):
            vector = before.copy()
            add_masks(vector, masks, threads)
            np.testing.assert_array_equal(vector, alone)

    def test_raises_what_a_thread_raises(self) -> None:
        with pytest.raises(ValueError, match="key"):
            add_masks(np.zeros(200_000, "<u4"), [(bytes(3), 1)], 2)

    def test_stays_within_the_part_of_an_array_that_it_is_given(self) -> None:
        whole = np.zeros(12, dtype="<u4")
        add_masks(whole[4:8], [(bytes(32), 1)])
        assert whole[4:8].all()
        assert not np.delete(whole, slice(4, 8)).any()


class TestEnvelope:
    KEY, CONTEXT = bytes(range(32)), bytes([7] * 32)
    SHARES = b"s" * SHARE_SIZE, b"k" * SHARE_SIZE

    def sealed(self) -> bytes:
        return seal(self.KEY, self.CONTEXT, "浜松", "豊田", *self.SHARES)

    def unsealed(self, envelope: bytes, **changes: object) -> object:
        how = {"key": self.KEY, "share_ctx": self.CONTEXT, "dealer": "浜松", "recipient": "豊田", **changes}
        return unseal(envelope=envelope, **how)  # type: ignore[arg-type]

    def test_opens_to_the_two_shares(self) -> None:
        assert self.unsealed(self.sealed()) == self.SHARES

    @pytest.mark.parametrize(
        "changes",
        [
            {"key": bytes(32)},
            {"share_ctx": bytes(32)},
            {"dealer": "豊田", "recipient": "浜松"},
            {"dealer": "豊田"},
            {"recipient": "浜松"},
        ],
        ids=["key", "context", "swapped", "dealer", "recipient"],
    )
    def test_does_not_open_under_anything_else(self, changes: dict[str, object]) -> None:
        assert self.unsealed(self.sealed(), **changes) is None

    @pytest.mark.parametrize(("dealer", "recipient"), [("浜松", "豊田"), ("a", "b"), ("x" * 300, "")])
    def test_is_of_the_size_that_its_receiver_expects(self, dealer: str, recipient: str) -> None:
        envelope = seal(self.KEY, self.CONTEXT, dealer, recipient, *self.SHARES)
        assert len(envelope) == envelope_size(dealer, recipient)

    def test_does_not_open_with_any_bit_flipped_or_byte_missing(self) -> None:
        envelope = self.sealed()
        for bit in range(8 * len(envelope)):
            flipped = bytearray(envelope)
            flipped[bit // 8] ^= 1 << bit % 8
            assert self.unsealed(bytes(flipped)) is None
        for length in range(len(envelope)):
            assert self.unsealed(envelope[:length]) is None
        assert self.unsealed(envelope + b"\0") is None

    @pytest.mark.parametrize(
        "plaintext",
        [
            b"",
            b"not CBOR",
            canonical_cbor({}),
            canonical_cbor(["浜松", "豊田"]),
            canonical_cbor(["豊田", "浜松", *SHARES]),
            canonical_cbor(["浜松", "豊田", *SHARES, b""]),
            canonical_cbor(["浜松", "豊田", SHARES[0], SHARES[1][:-1]]),
            canonical_cbor(["浜松", "豊田", SHARES[0], "k" * SHARE_SIZE]),
        ],
    )
    def test_of_a_lying_dealer_does_not_open(self, plaintext: bytes) -> None:
        """The right key, the right context, and something else inside."""
        associated = canonical_cbor(["rengo v1", "envelope", self.CONTEXT, "浜松", "豊田"])
        honest = AESGCM(self.KEY).encrypt(bytes(12), canonical_cbor(["浜松", "豊田", *self.SHARES]), associated)
        assert self.unsealed(honest) == self.SHARES
        assert self.unsealed(AESGCM(self.KEY).encrypt(bytes(12), plaintext, associated)) is None

    def test_shows_nothing_of_the_shares(self) -> None:
        assert b"ssss" not in self.sealed()
        assert b"kkkk" not in self.sealed()
