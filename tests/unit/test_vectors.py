"""Version 1 of the protocol, in bytes: today's code against tests/vectors. A difference here is another protocol."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federation import plan, step, tensors
from federation.errors import SignatureInvalid
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster, open_signed
from federation.ring import Ring, rounding_stream
from federation.secagg import contexts, primitives, shamir
from federation.secagg.merkle import root_from
from federation.secagg.messages import Agreed, Keys, Offer, Sealed, Shares
from federation.wire import Limits, Malformed, Signed, canonical_cbor, read_body, read_cbor, read_frame, write_frame
from tests.unit.messages import take_apart

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests/vectors/secagg-v1.json"
MADE = ("secagg-v1.json", "round-v1.json", "neighbourhoods-v1.json", "round-neighbourhoods-v1.json")
VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
MEMBERS = [member for member, _ in VECTORS["roster"]["members"]]
OFFER = VECTORS["setup"]["offer"]
DIGESTS = ("parent", "roster", "plan", "model")


def of(*path: str) -> bytes:
    found: Any = VECTORS
    for name in path:
        found = found[name]
    return bytes.fromhex(found)


def statement(found: dict[str, str]) -> Signed:
    header, signature, blob = (bytes.fromhex(found.get(part, "")) for part in ("header", "signature", "blob"))
    return Signed(header, signature, blob)


def identity(name: str) -> Identity:
    return Identity(name, Ed25519PrivateKey.from_private_bytes(of("identities", name, "signing_private")))


def x25519(member: str, which: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(of("identities", member, f"{which}_private"))


def opened(found: dict[str, str], kind: Any, context: bytes, sender: str) -> Any:
    key = of("identities", sender, "signing_public")
    return open_signed(
        statement(found), kind, public_key=key, digest=context, sender=sender, recipient=COORDINATOR
    )  # fmt: skip


def test_regenerating_gives_the_same_bytes(tmp_path: Path) -> None:
    script = ROOT / "scripts/make_vectors.py"
    subprocess.run([sys.executable, script, tmp_path], check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    again = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert again == {name: (FILE.parent / name).read_bytes() for name in MADE}


def test_identities_have_the_public_keys_of_their_private_ones() -> None:
    for name, found in VECTORS["identities"].items():
        assert identity(name).public_key.hex() == found["signing_public"]


def test_roster() -> None:
    found = VECTORS["roster"]
    entries = tuple(RosterEntry(id, name, identity(id).public_key) for id, name in found["members"])
    roster = Roster(found["consortium"], found["version"], identity(COORDINATOR).public_key, entries)
    assert roster.to_bytes() == of("roster", "cbor")
    assert roster.digest() == hashlib.sha256(b"rengo roster v1\0" + of("roster", "cbor")).digest()
    assert roster.digest().hex() == found["digest"] == OFFER["roster"]
    assert SignedRoster.sign(roster, identity("root")).signature.hex() == found["signature"]
    assert SignedRoster(roster, of("roster", "signature")).verify(identity("root").public_key) == roster


def test_plan() -> None:
    read = plan.read(plan.Plan, VECTORS["plan"]["plain"])
    encoded = b"rengo plan v1\0" + canonical_cbor(VECTORS["plan"]["plain"])
    assert read.digest() == of("plan", "digest") == hashlib.sha256(encoded).digest()


def test_the_first_adapter_and_the_terms_of_the_first_round() -> None:
    read, found = plan.read(plan.Plan, VECTORS["plan"]["plain"]), VECTORS["plan"]["first_round"]
    state = step.first_state(read, {name: tuple(shape) for name, shape in found["shapes"].items()})
    terms = step.terms(read, tensors.digest(state.factors), step.ring_for(read, state, 1, None))
    assert vars(terms) == {n: bytes.fromhex(v) if isinstance(v, str) else v for n, v in found["terms"].items()}


def test_setup_context() -> None:
    offer = Offer(**{**OFFER, **{name: bytes.fromhex(OFFER[name]) for name in DIGESTS}})
    assert offer.suite == contexts.SUITE == VECTORS["suite"]
    encoded = b"rengo setup context v1\0" + canonical_cbor(offer.to_plain())
    assert contexts.setup_context(offer) == of("setup", "setup_ctx") == hashlib.sha256(encoded).digest()


@pytest.mark.parametrize("member", MEMBERS)
def test_keys(member: str) -> None:
    context, found = of("setup", "setup_ctx"), VECTORS["keys"][member]
    public = [x25519(member, which).public_key().public_bytes_raw() for which in ("mask", "channel")]
    assert opened(found, Keys, context, member) == Keys(*public)
    signed = identity(member).sign(Keys(*public), context, COORDINATOR)
    assert (signed.header_bytes.hex(), signed.signature.hex()) == (found["header"], found["signature"])


def test_share_and_round_context() -> None:
    keys, shares = ([statement(VECTORS[kind][m]) for m in MEMBERS] for kind in ("keys", "shares"))
    terms: dict[str, Any] = {
        n: bytes.fromhex(v) if isinstance(v, str) else v for n, v in VECTORS["ctx"]["terms"].items()
    }
    assert contexts.share_context(of("setup", "setup_ctx"), keys) == of("share_ctx")
    assert contexts.round_context(of("share_ctx"), shares, contexts.Terms(**terms)) == of("ctx", "ctx")
    other = contexts.Terms(**{**terms, "dimension": terms["dimension"] + 1})
    assert contexts.round_context(of("share_ctx"), shares, other) != of("ctx", "ctx")


@pytest.mark.parametrize("dealer", MEMBERS)
def test_shares(dealer: str) -> None:
    """Every recipient opens its envelope, the shares match what was committed, and all of them give the secrets."""
    context, found = of("share_ctx"), VECTORS["shares"][dealer]
    body = opened(found, Shares, context, dealer)
    sealed = [read_body(Sealed, plain) for plain in read_cbor(statement(found).blob)]
    dealt: dict[str, dict[int, bytes]] = {"seed": {}, "key": {}}
    for x, (recipient, envelope) in enumerate(zip(MEMBERS, sealed, strict=True), start=1):
        secret = primitives.agree(
            x25519(recipient, "channel"), x25519(dealer, "channel").public_key().public_bytes_raw()
        )
        key = primitives.derive(secret, context, "envelope", dealer, recipient)
        shares = primitives.unseal(key, context, dealer, recipient, envelope.envelope)
        assert shares is not None
        commitments = [
            contexts.share_commitment(context, kind, dealer, recipient, share)
            for kind, share in zip(dealt, shares, strict=True)
        ]
        assert commitments == [envelope.seed_commitment, envelope.key_commitment]
        assert root_from(contexts.leaf(*commitments), x - 1, len(MEMBERS), envelope.path) == body.root
        dealt["seed"][x], dealt["key"][x] = shares
    seed, private = (shamir.combine(s, shamir.lagrange_at_zero(tuple(s))) for s in dealt.values())
    assert seed.hex() == VECTORS["identities"][dealer]["self_mask_seed"]
    assert private.hex() == VECTORS["identities"][dealer]["mask_private"]
    assert contexts.seed_commitment(context, dealer, seed) == body.seed_commitment


class TestMasks:
    pair, own, words = (VECTORS["masks"][name] for name in ("pair", "self", "words"))

    def test_keys(self) -> None:
        for mine, theirs in ((self.pair["low"], self.pair["high"]), (self.pair["high"], self.pair["low"])):
            secret = primitives.agree(x25519(mine, "mask"), x25519(theirs, "mask").public_key().public_bytes_raw())
            assert secret.hex() == self.pair["shared_secret"]
            key = primitives.derive(secret, of("ctx", "ctx"), "pair", self.pair["low"], self.pair["high"])
            assert key.hex() == self.pair["key"]
        seed = of("identities", self.own["member"], "self_mask_seed")
        assert primitives.derive(seed, of("ctx", "ctx"), "self", self.own["member"]).hex() == self.own["key"]

    @pytest.mark.parametrize("bits", [16, 32])
    def test_streams(self, bits: int) -> None:
        zeros = np.zeros(512 // bits, dtype=f"<u{bits // 8}")
        primitives.add_masks(zeros, [(bytes.fromhex(self.own["key"]), 1)])
        assert zeros.tobytes().hex() == self.own["first_64_bytes"]
        for name, sign in (("added", 1), ("subtracted", -1)):
            words = np.arange(512 // bits, dtype=f"<u{bits // 8}")
            primitives.add_masks(words, [(bytes.fromhex(self.pair["key"]), sign)])  # type: ignore[arg-type]
            assert words.tobytes().hex() == self.words[f"{bits} bits, pair mask {name} to 0, 1, 2…"]


def test_survivors() -> None:
    found = VECTORS["survivors"]
    digest = contexts.survivors_digest(of("ctx", "ctx"), [statement(header) for header in found["masked"]])
    assert digest.hex() == found["digest"]
    assert opened(found["agreed"], Agreed, of("ctx", "ctx"), MEMBERS[0]) == Agreed(digest)


def test_shamir(monkeypatch: pytest.MonkeyPatch) -> None:
    found = VECTORS["shamir"]
    shares = {int(x): bytes.fromhex(share) for x, share in found["shares"].items()}
    assert str(shamir.PRIME) == found["prime"]
    coefficients = [int(c) for c in found["coefficients"]]
    monkeypatch.setattr("federation.secagg.shamir.secrets.randbelow", lambda _, left=list(coefficients): left.pop(0))
    assert shamir.share(of("shamir", "secret"), len(coefficients) + 1, list(shares)) == shares
    chosen = {int(x): int(weight) for x, weight in found["weights"].items()}
    assert shamir.lagrange_at_zero(tuple(chosen)) == tuple(chosen.values())
    assert shamir.combine({x: shares[x] for x in chosen}, tuple(chosen.values())) == of("shamir", "secret")


@pytest.mark.parametrize("found", VECTORS["rings"], ids=["16 bits", "32 bits"])
def test_ring(found: dict[str, Any]) -> None:
    shapes = {name: tuple(shape) for name, shape in found["shapes"].items()}
    ranges = {name: float.fromhex(text) for name, text in found["ranges"].items()}
    ring = Ring(found["bits"], found["members"], shapes, ranges, tuple(found["scalars"]))
    assert (ring.levels, [ring.limbs, ring.limb_bits]) == (found["levels"], found["limbs"])
    assert ring.digest().hex() == found["digest"]
    update = {name: np.array(values, np.float32) for name, values in found["update"].items()}
    words = ring.encode(update, found["scalars"], rounding_stream(**found["rounding"]))
    assert words.tolist() == found["words"]
    means, scalars = ring.decode(np.array(found["words"], ring.dtype), 1)
    assert {name: array.tolist() for name, array in means.items()} == found["decoded"]
    assert scalars == found["decoded_scalars"]


def test_frame() -> None:
    limits = Limits(header=4096, blob=4096)
    sent = [statement(VECTORS["shares"][m]) for m in MEMBERS]
    assert write_frame(sent) == of("frame")
    read = read_frame(of("frame"), limits)
    assert [(m.header_bytes, m.signature, bytes(m.blob)) for m in read] == [
        (m.header_bytes, m.signature, m.blob) for m in sent
    ]


class TestRefused:
    envelopes, derivations = VECTORS["refused"]["envelope"], VECTORS["refused"]["derivation"]

    @pytest.mark.parametrize("what", VECTORS["refused"]["statement"])
    def test_statement(self, what: str) -> None:
        with pytest.raises((SignatureInvalid, Malformed)):
            opened(VECTORS["refused"]["statement"][what], Keys, of("setup", "setup_ctx"), MEMBERS[0])

    def test_the_statements_are_changed_from_a_good_one(self) -> None:
        assert opened(VECTORS["keys"][MEMBERS[0]], Keys, of("setup", "setup_ctx"), MEMBERS[0])

    def unsealed(self, envelope: str) -> object:
        dealer, recipient = self.envelopes["dealer"], self.envelopes["recipient"]
        key = bytes.fromhex(self.envelopes["key"])
        return primitives.unseal(key, of("share_ctx"), dealer, recipient, bytes.fromhex(envelope))

    @pytest.mark.parametrize("envelope", envelopes["bad"].values(), ids=envelopes["bad"])
    def test_envelope(self, envelope: str) -> None:
        assert self.unsealed(self.envelopes["good"]) is not None
        assert self.unsealed(envelope) is None

    @pytest.mark.parametrize("shares", VECTORS["refused"]["share"].values(), ids=VECTORS["refused"]["share"])
    def test_share(self, shares: dict[str, str]) -> None:
        given = {int(x): bytes.fromhex(share) for x, share in shares.items()}
        with pytest.raises(shamir.InconsistentShares):
            shamir.combine(given, shamir.lagrange_at_zero(tuple(given)))

    def test_derivation(self) -> None:
        """A client with any of these has gone wrong: none is among the good ones, and no two are the same."""
        keys, commitments = (list(self.derivations[part].values()) for part in ("key", "commitment"))
        sealed = read_cbor(statement(VECTORS["shares"][MEMBERS[0]]).blob)
        good = [VECTORS["masks"]["pair"]["key"], VECTORS["masks"]["self"]["key"], self.envelopes["key"]]
        assert len({*good, *keys}) == len(good) + len(keys)
        committed = [s[f"{kind}_commitment"].hex() for s in sealed for kind in ("seed", "key")]
        assert len({*committed, *commitments}) == len(committed) + len(commitments)

    @pytest.mark.parametrize("frame", VECTORS["refused"]["frame"].values(), ids=VECTORS["refused"]["frame"])
    def test_frame(self, frame: str) -> None:
        with pytest.raises(Malformed):
            take_apart(bytes.fromhex(frame))

    @pytest.mark.parametrize("point", VECTORS["refused"]["point"].values(), ids=VECTORS["refused"]["point"])
    def test_point(self, point: str) -> None:
        assert len(bytes.fromhex(point)) == 32
        assert not primitives.is_safe_point(bytes.fromhex(point))


def test_the_frames_are_refused_for_what_is_wrong_with_them_alone() -> None:
    assert take_apart(write_frame([statement(VECTORS["keys"][MEMBERS[0]])]))
