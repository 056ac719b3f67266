"""What must be refused, and what must come out otherwise: each one change away from a good example."""

import hashlib
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.secagg import contexts, primitives
from federation.secagg.shamir import PRIME, SHARE_SIZE
from federation.wire import MAX_MESSAGES, Signed, canonical_cbor, read_cbor, write_frame

if TYPE_CHECKING:
    from make_vectors import Example

DEALER, RECIPIENT = "a", "名古屋"


def make(example: "Example") -> dict[str, Any]:
    """The part `refused` of secagg-v1.json."""
    return {
        "frame": _frames(example),
        "point": _points(),
        "statement": _statements(example),
        "envelope": _envelopes(example),
        "share": _shares(),
        "derivation": _derivations(example),
    }


def _statements(example: "Example") -> dict[str, dict[str, str]]:
    """The Keys of the dealer, which nobody may take for its Keys in this set-up."""
    keys, own, root = example.keys[DEALER], example.identities[DEALER], example.root
    flipped = keys.signature[:-1] + bytes([keys.signature[-1] ^ 1])
    header = read_cbor(keys.header_bytes)

    def signed(**changes: object) -> Signed:
        unsigned = Signed(canonical_cbor({**header, **changes}), b"")
        return Signed(unsigned.header_bytes, own.sign_bytes(unsigned.to_sign()))

    bad = {
        "signed by another key": Signed(keys.header_bytes, root.sign_bytes(keys.to_sign())),
        "signed without the domain string": Signed(keys.header_bytes, own.sign_bytes(keys.header_bytes)),
        "a signature with a bit flipped": Signed(keys.header_bytes, flipped),
        "in another context": signed(digest=example.share_ctx),
        "of another sender": signed(**{"from": RECIPIENT}),
        "to another recipient": signed(to=RECIPIENT),
        "of another kind": signed(kind="shares"),
    }
    return {what: {"header": s.header_bytes.hex(), "signature": s.signature.hex()} for what, s in bad.items()}


def _envelopes(example: "Example") -> dict[str, Any]:
    """What the recipient must not open as the dealer's."""
    at = list(example.sealed).index(RECIPIENT)
    good, back = example.sealed[DEALER][at].envelope, example.sealed[RECIPIENT][0].envelope
    key = example.envelope_key(DEALER, RECIPIENT)
    associated = canonical_cbor(["rengo v1", "envelope", example.share_ctx, DEALER, RECIPIENT])
    share = bytes(SHARE_SIZE)

    def lying(plain: bytes) -> bytes:
        return AESGCM(key).encrypt(bytes(12), plain, associated)

    bad = {
        "nothing": b"",
        "a bit flipped": bytes([good[0] ^ 1]) + good[1:],
        "a bit of its tag flipped": good[:-1] + bytes([good[-1] ^ 1]),
        "without its last byte": good[:-1],
        "with a byte more": good + b"\0",
        "reflected: what the recipient sealed for the dealer": back,
        "for another recipient": example.sealed[DEALER][at + 1].envelope,
        "of another dealer": example.sealed[list(example.sealed)[2]][at].envelope,
        "other associated data": AESGCM(key).encrypt(bytes(12), canonical_cbor([DEALER, RECIPIENT, share, share]), b""),
        "ids the other way round": lying(canonical_cbor([RECIPIENT, DEALER, share, share])),
        "a share of 32 bytes": lying(canonical_cbor([DEALER, RECIPIENT, share[1:], share])),
        "three parts": lying(canonical_cbor([DEALER, RECIPIENT, share])),
        "a byte behind the list": lying(canonical_cbor([DEALER, RECIPIENT, share, share]) + b"\0"),
        "a number for a share": lying(canonical_cbor([DEALER, RECIPIENT, 7, share])),
    }
    return {
        "dealer": DEALER,
        "recipient": RECIPIENT,
        "key": key.hex(),
        "good": good.hex(),
        "bad": {what: data.hex() for what, data in bad.items()},
    }


def _shares() -> dict[str, dict[str, str]]:
    """Two shares each, at x = 1 and 2, t = 2, that give no secret."""

    def line(secret: int, slope: int) -> list[bytes]:
        return [((secret + slope * x) % PRIME).to_bytes(SHARE_SIZE) for x in (1, 2)]

    good = line(5, 7)
    bad = {
        "a share that is the prime": [PRIME.to_bytes(SHARE_SIZE), good[1]],
        "a share of all ones": [good[0], b"\xff" * SHARE_SIZE],
        "a share of 32 bytes": [good[0][1:], good[1]],
        "a share of 34 bytes": [b"\0" + good[0], good[1]],
        "the smallest secret beyond 256 bits": line(2**256, 7),
        "the largest element of the field": line(PRIME - 1, 2**200),
    }
    return {what: {str(x): share.hex() for x, share in enumerate(pair, 1)} for what, pair in bad.items()}


def _derivations(example: "Example") -> dict[str, dict[str, str]]:
    """Keys and commitments that are none of the good ones: what a slip in a client would give."""
    low, high = DEALER, RECIPIENT
    shared = primitives.agree(example.mask_keys[low], example.mask_keys[high].public_key().public_bytes_raw())
    seed, share = example.seeds[low], example.shares_of(low, "seed")[1]
    derive, commit = primitives.derive, contexts.share_commitment
    keys = {
        "pair key with the higher id first": derive(shared, example.ctx, "pair", high, low),
        "pair key salted with share_ctx": derive(shared, example.share_ctx, "pair", low, high),
        "pair key without a salt": derive(shared, b"", "pair", low, high),
        "pair key as a self key": derive(shared, example.ctx, "self", low, high),
        "self key of another member": derive(seed, example.ctx, "self", high),
        "self key of half a seed": derive(seed[:16], example.ctx, "self", low),
        "envelope key of the other direction": example.envelope_key(high, low),
    }
    commitments = {
        "of the other kind": commit(example.share_ctx, "key", low, high, share),
        "with dealer and recipient swapped": commit(example.share_ctx, "seed", high, low, share),
        "in another context": commit(example.ctx, "seed", low, high, share),
        "without a context": hashlib.sha256(share).digest(),
    }
    parts = {"key": keys, "commitment": commitments}
    return {part: {what: data.hex() for what, data in found.items()} for part, found in parts.items()}


def _frames(example: "Example") -> dict[str, str]:
    """Each is the frame of one good Keys with one thing wrong."""
    good = example.keys[DEALER]
    frame, header = write_frame([good]), read_cbor(good.header_bytes)

    def with_header(data: bytes, blob: bytes = b"") -> bytes:
        return write_frame([Signed(data, good.signature, blob)])

    def with_fields(**changes: object) -> bytes:
        return with_header(canonical_cbor({**header, **changes}))

    def with_body(**changes: object) -> bytes:
        return with_fields(body={**header["body"], **changes})

    bad = {
        "another magic": b"RNGX" + frame[4:],
        "another version of the frame": frame[:4] + b"\x02" + frame[5:],
        "more messages than there are": frame[:5] + b"\x02" + frame[6:],
        "too many messages": write_frame([good] * (MAX_MESSAGES + 1)),
        "cut at its end": frame[:-1],
        "a byte behind its end": frame + b"\0",
        "a header of 4 GiB": frame[:6] + b"\xff" * 4 + frame[10:],
        "a blob that the header does not know": with_header(good.header_bytes, b"blob"),
        "a blob that is missing": with_fields(blob=[4, hashlib.sha256(b"blob").digest()]),
        "another version of the header": with_fields(v=2),
        "true for version 1": with_fields(v=True),
        "a header with a field more": with_fields(more=None),
        "a header with a field less": with_header(canonical_cbor({k: v for k, v in header.items() if k != "to"})),
        "no sender": with_fields(**{"from": ""}),
        "bytes for a sender": with_fields(**{"from": b"a"}),
        "a digest of 31 bytes": with_fields(digest=bytes(31)),
        "a list for a body": with_fields(body=[]),
        "a header not in its shortest form": with_header(good.header_bytes.replace(b"\x61v\x01", b"\x61v\x18\x01")),
        "a key of 31 bytes": with_body(mask_key=bytes(31)),
        "text for a key": with_body(mask_key="x" * 32),
        "a body with a field more": with_body(more=0),
        "a body with a field less": with_fields(body={"mask_key": bytes(32)}),
    }
    return {what: data.hex() for what, data in bad.items()}


def _points() -> dict[str, str]:
    field = 2**255 - 19
    beyond = {"p - 1": field - 1, "p": field, "p + 1": field + 1, "p + 9, an alias of 9": field + 9}
    points = {"0": 0, "1": 1, **beyond, "9 with its unused bit set": 2**255 + 9}
    orders = {
        "order 8": "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "the other of order 8": "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    }
    return {what: u.to_bytes(32, "little").hex() for what, u in points.items()} | orders
