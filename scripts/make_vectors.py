"""Write tests/vectors: what version 1 of the protocol is, in bytes, for whoever implements it again.

    python scripts/make_vectors.py [FOLDER]

secagg-v1.json has each part for itself, round-v1.json a whole job (vectors/whole_job.py); neighbourhoods-v1.json and
round-neighbourhoods-v1.json are the same of `semi_malicious` (vectors/neighbourhoods.py). Everything follows from fixed
seeds: the same code gives the same file, and a change of a file is a change of the protocol. All secrets in them are
public. Bytes are hexadecimal, integers beyond 64 bits decimal text. What no decoder may read is in refused-cbor.json,
which is written by hand.
"""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from vectors import neighbourhoods, refused, whole_job

from federation import plan as p
from federation import step, tensors
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster
from federation.ring import Ring, rounding_stream
from federation.secagg import contexts, primitives
from federation.secagg.merkle import root_and_paths
from federation.secagg.messages import Agreed, Keys, Masked, Offer, Sealed, Shares
from federation.secagg.shamir import PRIME, SHARE_SIZE, lagrange_at_zero
from federation.wire import ZERO_DIGEST, Signed, canonical_cbor, write_frame

FOLDER = Path(__file__).resolve().parent.parent / "tests/vectors"
MEMBERS = ("a", "名古屋", "豊田")


def fixed(name: str) -> bytes:
    """32 bytes that stand for a secret."""
    return hashlib.sha256(b"rengo test vectors v1\0" + name.encode()).digest()


def coefficients(dealer: str, what: str, count: int) -> list[int]:
    """The coefficients of a dealer's polynomial behind its secret."""
    return [int.from_bytes(fixed(f"{what} coefficient {n} of {dealer}")) for n in range(1, count)]


def deal(secret: bytes, others: list[int], indices: list[int]) -> dict[int, bytes]:
    """Shamir's shares of `secret` under a polynomial that is not random."""
    polynomial = [int.from_bytes(secret), *others]
    return {x: (sum(c * x**n for n, c in enumerate(polynomial)) % PRIME).to_bytes(SHARE_SIZE) for x in indices}


class Example:
    """One round of three members, up to the first mask."""

    def __init__(self) -> None:
        self.root, self.coordinator = (Identity(n, _signing_key(n)) for n in ("root", COORDINATOR))
        self.identities = {m: Identity(m, _signing_key(m)) for m in MEMBERS}
        entries = tuple(RosterEntry(m, f"{m} 株式会社", self.identities[m].public_key) for m in MEMBERS)
        self.roster = Roster("連合", 3, self.coordinator.public_key, entries)
        digests = self.roster.digest(), fixed("plan"), fixed("base model")
        self.offer = Offer(contexts.SUITE, "連合", "vectors", 1, 1, ZERO_DIGEST, *digests)
        self.setup_ctx = contexts.setup_context(self.offer)
        self.mask_keys = {m: X25519PrivateKey.from_private_bytes(fixed(f"mask key of {m}")) for m in MEMBERS}
        self.channel_keys = {m: X25519PrivateKey.from_private_bytes(fixed(f"channel key of {m}")) for m in MEMBERS}
        self.seeds = {m: fixed(f"self-mask seed of {m}") for m in MEMBERS}
        self.keys = {m: self._announced(m) for m in MEMBERS}
        self.share_ctx = contexts.share_context(self.setup_ctx, list(self.keys.values()))
        self.roots: dict[str, bytes] = {}
        self.sealed = {m: self._sealed(m) for m in MEMBERS}
        self.shares = {m: self._dealt(m) for m in MEMBERS}
        self.terms = contexts.Terms(fixed("adapter"), 1000, 16, fixed("encoding"), fixed("privacy"))
        self.ctx = contexts.round_context(self.share_ctx, [s.without_blob() for s in self.shares.values()], self.terms)

    def envelope_key(self, dealer: str, recipient: str) -> bytes:
        """Of this direction."""
        secret = primitives.agree(self.channel_keys[dealer], _public(self.channel_keys[recipient]))
        return primitives.derive(secret, self.share_ctx, "envelope", dealer, recipient)

    def shares_of(self, dealer: str, what: str) -> dict[int, bytes]:
        """What a dealer deals of its self-mask seed ("seed") or of its mask key ("key")."""
        secret = self.seeds[dealer] if what == "seed" else self.mask_keys[dealer].private_bytes_raw()
        others = coefficients(dealer, what, p.least_quorum(len(MEMBERS)))
        return deal(secret, others, list(self.roster.indices.values()))

    def _announced(self, member: str) -> Signed:
        body = Keys(_public(self.mask_keys[member]), _public(self.channel_keys[member]))
        return self.identities[member].sign(body, self.setup_ctx, COORDINATOR)

    def _sealed(self, dealer: str) -> list[Sealed]:
        sealed = []
        for recipient, x in self.roster.indices.items():
            seed, key = (self.shares_of(dealer, what)[x] for what in ("seed", "key"))
            envelope_key = self.envelope_key(dealer, recipient)
            envelope = primitives.seal(envelope_key, self.share_ctx, dealer, recipient, seed, key)
            commit = contexts.share_commitment
            seed_commitment = commit(self.share_ctx, "seed", dealer, recipient, seed)
            sealed.append(Sealed(seed_commitment, commit(self.share_ctx, "key", dealer, recipient, key), envelope, b""))
        self.roots[dealer], paths = root_and_paths([contexts.leaf(s.seed_commitment, s.key_commitment) for s in sealed])
        return [replace(s, path=path) for s, path in zip(sealed, paths, strict=True)]

    def _dealt(self, dealer: str) -> Signed:
        commitment = contexts.seed_commitment(self.share_ctx, dealer, self.seeds[dealer])
        sealed = self.sealed[dealer]
        body = Shares(commitment, self.roots[dealer])
        blob = canonical_cbor([s.to_plain() for s in sealed])
        return self.identities[dealer].sign(body, self.share_ctx, COORDINATOR, blob)


def make() -> dict[str, Any]:
    """The whole file as plain data."""
    example = Example()
    return {
        "about": "Rengo secure aggregation, version 1. Made by scripts/make_vectors.py. All secrets are public.",
        "suite": contexts.SUITE,
        "identities": _identities(example),
        "roster": _roster(example),
        "plan": _plan(),
        "setup": {"offer": _hex(example.offer.to_plain()), "setup_ctx": example.setup_ctx.hex()},
        "keys": {m: _statement(s) for m, s in example.keys.items()},
        "share_ctx": example.share_ctx.hex(),
        "shares": {m: {**_statement(s), "blob": bytes(s.blob).hex()} for m, s in example.shares.items()},
        "ctx": {"terms": _hex(vars(example.terms)), "ctx": example.ctx.hex()},
        "masks": _masks(example),
        "survivors": _survivors(example),
        "shamir": _shamir(),
        "rings": [_ring(bits) for bits in (16, 32)],
        "frame": write_frame(list(example.shares.values())).hex(),
        "refused": refused.make(example),
    }


def _identities(example: Example) -> dict[str, Any]:
    signers = {"root": example.root, COORDINATOR: example.coordinator, **example.identities}
    found: dict[str, Any] = {}
    for name, identity in signers.items():
        private = _signing_key(name).private_bytes_raw()
        found[name] = {"signing_private": private.hex(), "signing_public": identity.public_key.hex()}
    for member in MEMBERS:
        mask, channel = example.mask_keys[member], example.channel_keys[member]
        secrets = {"mask_private": mask.private_bytes_raw(), "channel_private": channel.private_bytes_raw()}
        found[member] |= _hex({**secrets, "self_mask_seed": example.seeds[member]})
    return found


def _roster(example: Example) -> dict[str, Any]:
    roster = example.roster
    facts = {"consortium": roster.consortium, "version": roster.version}
    signed = {"cbor": roster.to_bytes(), "signature": SignedRoster.sign(roster, example.root).signature}
    return {**facts, "members": [[m.id, m.name] for m in roster.members], **_hex({**signed, "digest": roster.digest()})}


def _masks(example: Example) -> dict[str, Any]:
    low, high = MEMBERS[0], MEMBERS[1]
    shared = primitives.agree(example.mask_keys[low], _public(example.mask_keys[high]))
    pair = primitives.derive(shared, example.ctx, "pair", low, high)
    own = primitives.derive(example.seeds[low], example.ctx, "self", low)
    streams = {}
    for bits in (16, 32):
        for sign, name in ((1, "added"), (-1, "subtracted")):
            words = np.arange(64 * 8 // bits, dtype=f"<u{bits // 8}")
            primitives.add_masks(words, [(pair, 1 if sign > 0 else -1)])
            streams[f"{bits} bits, pair mask {name} to 0, 1, 2…"] = words.tobytes().hex()
    zeros = np.zeros(32, dtype="<u2")
    primitives.add_masks(zeros, [(own, 1)])
    return {
        "pair": {"low": low, "high": high, "shared_secret": shared.hex(), "key": pair.hex()},
        "self": {"member": low, "key": own.hex(), "first_64_bytes": zeros.tobytes().hex()},
        "words": streams,
    }


def _survivors(example: Example) -> dict[str, Any]:
    """U3 = the first two; the third is gone."""
    signed = [example.identities[m].sign(Masked(()), example.ctx, COORDINATOR, fixed(m)) for m in MEMBERS[:2]]
    headers = [s.without_blob() for s in signed]
    digest = contexts.survivors_digest(example.ctx, headers)
    agreed = example.identities[MEMBERS[0]].sign(Agreed(digest), example.ctx, COORDINATOR)
    return {"masked": [_statement(h) for h in headers], "digest": digest.hex(), "agreed": _statement(agreed)}


def _shamir() -> dict[str, Any]:
    secret, threshold, indices = fixed("shamir"), 4, [1, 2, 5, 7, 30, 999]
    others, chosen = coefficients("shamir", "example", threshold), (2, 5, 30, 999)
    return {
        "prime": str(PRIME),
        "secret": secret.hex(),
        "coefficients": [str(c) for c in others],
        "shares": {str(x): share.hex() for x, share in deal(secret, others, indices).items()},
        "weights": {str(x): str(w) for x, w in zip(chosen, lagrange_at_zero(chosen), strict=True)},
    }


def _ring(bits: int) -> dict[str, Any]:
    ring = Ring(bits, 30, {"b": (3,), "a": (2, 2)}, {"a": 0.5, "b": 2.0**-10}, ("held_out_loss", "clipped_share"))
    update = {"a": np.array([[0.5, -0.5], [0.1, 9]], np.float32), "b": np.array([1e-4, 0, -1e-5], np.float32)}
    figures = {"held_out_loss": 2.718281828, "clipped_share": 1 / 7}
    rounding: dict[str, Any] = {"consortium": "c", "job": "j", "seed": 7, "member": MEMBERS[1], "round": 2}
    words = ring.encode(update, figures, rounding_stream(**rounding))
    means, scalars = ring.decode(words, 1)
    return {
        "bits": bits,
        "members": ring.members,
        "shapes": {name: list(shape) for name, shape in ring.shapes.items()},
        "ranges": {name: float(value).hex() for name, value in ring.ranges.items()},
        "levels": ring.levels,
        "limbs": [ring.limbs, ring.limb_bits],
        "digest": ring.digest().hex(),
        "rounding": rounding,
        "update": {name: array.tolist() for name, array in update.items()},
        "scalars": figures,
        "words": words.tolist(),
        "decoded": {name: array.tolist() for name, array in means.items()},
        "decoded_scalars": scalars,
    }


def _plan() -> dict[str, Any]:
    """A plan's digest, and what else of a round follows from a plan and the base model's shapes alone."""
    plan = p.Plan(
        consortium="連合",
        job="vectors",
        members=MEMBERS,
        rounds=2,
        seed=7,
        model=p.Model("tiny", fixed("base model").hex(), "float32", "cpu", 1),
        lora=p.Lora(r=2, alpha=4.0, targets=("layer",)),
        train=p.Train(16, 64, 16, p.Optimizer("adamw", 1e-3, 0.0)),
        scheme=p.Scheme("fedit"),
        server_optim=p.ServerOptim("fedavg", 1.0),
        secagg=p.SecAgg(16, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6),
        privacy=p.Privacy(None),
        evaluation=p.Evaluation(1, 32, 0.15, 0.2),
        deadlines=p.Deadlines(3600, 300),
    )
    state = step.first_state(plan, {"layer": (5, 4)})
    terms = step.terms(plan, tensors.digest(state.factors), step.ring_for(plan, state, 1, None))
    first = {"shapes": {"layer": [5, 4]}, "terms": _hex(vars(terms))}
    return {"plain": p.plain(plan), "digest": plan.digest().hex(), "first_round": first}


def _signing_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(fixed(f"signing key of {name}"))


def _public(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def _statement(signed: Signed) -> dict[str, str]:
    return {"header": signed.header_bytes.hex(), "signature": signed.signature.hex()}


def _hex(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in plain.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    files = {
        "secagg-v1": make(),
        "round-v1": whole_job.make(whole_job.EVERYBODY),
        "neighbourhoods-v1": neighbourhoods.make(),
        "round-neighbourhoods-v1": whole_job.make(neighbourhoods.WHOLE_JOB),
    }
    for name, contents in files.items():
        text = json.dumps(contents, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
