"""A member written from docs/protocol.md and docs/protocol-encoding.md, with nothing of ours: if it can take part, the
specification is whole. It knows both threats and scheme `fedit`, learns nothing (its update is given), and keeps its
history in memory, where a real client writes it to disk before it answers.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.protocol.stranger_broadcast import Known, receive
from tests.protocol.stranger_bytes import (
    FIELDS,
    SUITE,
    ZEROS,
    H,
    Message,
    Refuse,
    Words,
    cbor,
    fits,
    read_cbor,
    read_frame,
    require,
    verifies,
    write_frame,
)
from tests.protocol.stranger_cryptography import (
    P,
    associated,
    climb,
    exchange,
    hkdf,
    mask,
    path_of,
    public_of,
    root_of,
    safe,
)
from tests.protocol.stranger_encoding import Tensor, first_adapter, vector
from tests.protocol.stranger_neighbours import Circle, Step


@dataclass
class Session:
    """One (attempt, round): `due` is the kind that it waits for, the rest what later steps need. `u1`, `u2` and `u3`
    are of its neighbourhood, `everyone` holds the whole sets by their names."""

    offer: Words
    setup_ctx: bytes
    due: str
    secret: dict[str, bytes]
    answered: dict[str, tuple[Message, Message | None]] = field(default_factory=dict)
    share_ctx: bytes = b""
    ctx: bytes = b""
    u1: dict[str, Words] = field(default_factory=dict)
    u2: tuple[str, ...] = ()
    u3: tuple[str, ...] = ()
    everyone: dict[str, Step] = field(default_factory=dict)
    held: dict[str, list[bytes]] = field(default_factory=dict)
    adapter: bytes = b""
    survivors: bytes = b""

    @property
    def position(self) -> tuple[int, int]:
        return self.offer["attempt"], self.offer["round"]


@dataclass
class Stranger:
    """`roster` and `plan` as the documents' maps, `layers` as name -> (out, in). `update(round, adapter)` gives the
    tensors' new values less the old ones and the two losses. `draw(what)` gives 32 fresh bytes, `below_p(what)` a
    fresh element of the field."""

    id: str
    key: Ed25519PrivateKey
    roster: Words
    plan: Words
    layers: Mapping[str, tuple[int, int]]
    update: Callable[[int, Mapping[str, Tensor]], tuple[dict[str, list[float]], tuple[float, float]]]
    draw: Callable[[str], bytes]
    below_p: Callable[[str], int]
    minimum: int = 1
    cap: int = 100
    permits: tuple[str, ...] = ("malicious", "semi_malicious")

    def __post_init__(self) -> None:
        self.keys = {id: key for id, _, key in self.roster["members"]}
        self.index = {id: 1 + at for at, id in enumerate(self.keys)}
        self.circle = Circle.of(self.plan)
        self.sessions: list[Session] = []
        self.keyed = self.masked = (0, 0)
        self.opened = self.count = 0
        self.spent: set[bytes] = set()
        self.known: dict[int, Known] = {}
        self.first = first_adapter(self.plan, self.layers)

    def handle(self, request: bytes) -> bytes:
        try:
            messages = read_frame(request)
        except Refuse as refused:
            return write_frame([self._refused("frame", ZEROS, str(refused))])
        return write_frame([answer for m in messages if (answer := self._answer(m)) is not None])

    def _answer(self, m: Message) -> Message | None:
        try:
            kind, digest = m.h["kind"], m.h["digest"]
            found = [s for s in self.sessions if digest in (s.setup_ctx, s.share_ctx, s.ctx)]
            if found and kind in found[0].answered:
                first, answer = found[0].answered[kind]
                if first.statement != m.statement:
                    self._open(m, kind, digest)
                    raise Refuse("conflicting")
                return answer
            if kind == "offer":
                return self._on_offer(m)
            if not found or kind != found[0].due:
                raise Refuse("not-allowed-here")
            answer = getattr(self, f"_on_{kind}")(found[0], m)
            found[0].answered[kind] = m, answer
            return answer
        except Refuse as refused:
            return self._refused(m.h["kind"], m.h["digest"], str(refused))

    # Section 9, message by message

    def _on_offer(self, m: Message) -> Message:
        offer = self._open(m, "offer", H("setup context", m.h["body"]))
        approved = (
            ("suite", SUITE, "wrong-terms"),
            ("plan", H("plan", self.plan), "plan-not-approved"),
            ("roster", H("roster", self.roster), "roster-not-approved"),
            ("model", bytes.fromhex(self.plan["model"]["sha256"]), "base-model-differs"),
            ("job", self.plan["job"], "wrong-terms"),
            ("consortium", self.plan["consortium"], "wrong-terms"),
        )
        for name, value, code in approved:
            require(offer[name] == value, code)
        require(self.plan["secagg"]["threat"] in self.permits, "threat-not-permitted")
        position = attempt, round = offer["attempt"], offer["round"]
        require(attempt >= 1 and 1 <= round <= self.plan["rounds"] + 1, "wrong-terms")
        require(self.count < self.cap, "rounds-exhausted")
        require(all(s.position != position for s in self.sessions), "conflicting")
        carriers = [s for s in self.sessions if s.position == (attempt, round - 1) and s.ctx]
        require(all(s.ctx == offer["parent"] for s in carriers), "wrong-terms")
        require(self.keyed < position and attempt <= self.keyed[0] + 1000, "closed")
        require(round > self.opened and round >= self.masked[1], "closed")
        self.keyed = position
        self.sessions = [s for s in self.sessions if s.offer["attempt"] == attempt]
        secret = {what: self.draw(what) for what in ("mask key", "channel key", "seed")}
        session = Session(offer, m.h["digest"], "cohort", secret)
        body = {"mask_key": public_of(secret["mask key"]), "channel_key": public_of(secret["channel key"])}
        answer = self._sign("keys", session.setup_ctx, body)
        session.answered["offer"] = m, answer
        self.sessions.append(session)
        return answer

    def _on_cohort(self, s: Session, m: Message) -> Message:
        body = self._open(m, "cohort", s.setup_ctx)
        require(s.offer["attempt"] == self.keyed[0], "closed")
        u1, everyone = self._set("U1", body["keys"], "keys", s.setup_ctx, m.data)
        self._mine(s, "offer", body["keys"])
        points = [point for keys in u1.values() for point in (keys["mask_key"], keys["channel_key"])]
        require(all(safe(point) for point in points), "bad-point")
        require(len(set(points)) == len(points), "duplicated")
        share_ctx = H("share context", [s.setup_ctx, everyone.digest])
        require(set(u1) == self.circle.around(share_ctx, self.id) & everyone.ids, "neighbours-differ")
        s.u1, s.share_ctx, s.everyone = u1, share_ctx, {"U1": everyone}
        dealt = {"seed": self._deal(s.secret["seed"], "seed"), "key": self._deal(s.secret["mask key"], "key")}
        sealed = []
        for member, keys in u1.items():
            pair = [dealt[kind][self.index[member]] for kind in ("seed", "key")]
            key = hkdf(exchange(s.secret["channel key"], keys["channel_key"]), s.share_ctx, "envelope", self.id, member)
            envelope = AESGCM(key).encrypt(
                bytes(12), cbor([self.id, member, *pair]), associated(s.share_ctx, self.id, member)
            )
            seed, mask_key = self._commitments(s, self.id, member, pair)
            sealed.append({"seed_commitment": seed, "key_commitment": mask_key, "envelope": envelope})
        leaves = [H("leaf", [x["seed_commitment"], x["key_commitment"]]) for x in sealed]
        for at, x in enumerate(sealed):
            x["path"] = b"".join(path_of(leaves, at))
        commitment = H("seed commitment", [s.share_ctx, self.id, s.secret["seed"]])
        s.due = "inbox"
        return self._sign("shares", s.share_ctx, {"seed_commitment": commitment, "root": root_of(leaves)}, cbor(sealed))

    def _on_inbox(self, s: Session, m: Message) -> None:
        body = self._open(m, "inbox", s.share_ctx)
        require(s.offer["attempt"] == self.keyed[0], "closed")
        u2, everyone = self._set("U2", body["shares"], "shares", s.share_ctx, m.data)
        self._mine(s, "cohort", body["shares"])
        require(set(u2) <= set(s.u1) and len(body["sealed"]) == len(u2), "survivors-inconsistent")
        require(set(u2) == self.circle.around(s.share_ctx, self.id) & everyone.ids, "neighbours-differ")
        for (dealer, shares), sealed in zip(u2.items(), body["sealed"], strict=True):
            opened = self._unseal(s, dealer, shares["root"], sealed)
            if opened is not None:
                s.held[dealer] = opened
        s.u2, s.everyone["U2"], s.due = tuple(u2), everyone, "broadcast"

    def _unseal(self, s: Session, dealer: str, root: bytes, x: Words) -> list[bytes] | None:
        recipients = sorted(self.circle.around(s.share_ctx, dealer) & s.everyone["U1"].ids)
        commitments = [x["seed_commitment"], x["key_commitment"]]
        path = [x["path"][i : i + 32] for i in range(0, len(x["path"]), 32)]
        if climb(H("leaf", commitments), recipients.index(self.id), len(recipients), path) != root:
            return None
        secret = exchange(s.secret["channel key"], s.u1[dealer]["channel_key"])
        key = hkdf(secret, s.share_ctx, "envelope", dealer, self.id)
        try:
            opened = read_cbor(AESGCM(key).decrypt(bytes(12), x["envelope"], associated(s.share_ctx, dealer, self.id)))
        except (InvalidTag, ValueError, Refuse):
            return None
        if not isinstance(opened, list) or len(opened) != 4 or opened[:2] != [dealer, self.id]:
            return None
        pair = opened[2:]
        return pair if fits(pair, [33]) and self._commitments(s, dealer, self.id, pair) == commitments else None

    def _on_broadcast(self, s: Session, m: Message) -> Message:
        body = self._open(m, "broadcast", s.share_ctx)
        position = attempt, round = s.position
        received = self._receive(s.offer, body, m.data)
        allowed = attempt == self.keyed[0] and self.keyed >= position > self.masked and round > self.opened
        require(allowed, "closed")
        require(body["adapter"] not in self.spent, "adapter-spent")
        require(self.count < self.cap, "rounds-exhausted")
        self.masked, self.count = position, self.count + 1
        self.known[round], ring = received, received.ring
        privacy = H("privacy", self.plan["privacy"])
        terms = [body["adapter"], ring.dimension, ring.bits, ring.digest(), privacy, received.last]
        s.ctx = H("round context", [s.share_ctx, s.everyone["U2"].digest, terms])
        words = vector(self.plan, self.id, round, ring, *self.update(round, received.adapter))
        self._add(words, hkdf(s.secret["seed"], s.ctx, "self", self.id), 1, ring.bits)
        for peer in s.u2:
            if peer != self.id:
                shared = exchange(s.secret["mask key"], s.u1[peer]["mask_key"])
                sign = 1 if self.id < peer else -1
                self._add(words, hkdf(shared, s.ctx, "pair", *sorted((self.id, peer))), sign, ring.bits)
        s.adapter, s.secret, s.due = body["adapter"], {}, "survivors"
        self.sessions = [other for other in self.sessions if other.position >= position]
        data = struct.pack(f"<{len(words)}{'H' if ring.bits == 16 else 'I'}", *words)
        return self._sign("masked", s.ctx, {"unopened": [d for d in s.u2 if d not in s.held]}, data)

    def _on_survivors(self, s: Session, m: Message) -> Message:
        body = self._open(m, "survivors", s.ctx)
        require(s.position == self.masked and s.offer["attempt"] == self.keyed[0], "closed")
        require(s.adapter not in self.spent, "adapter-spent")
        u3, everyone = self._set("U3", body["masked"], "masked", s.ctx, m.data)
        self._mine(s, "broadcast", body["masked"])
        require(sorted([*u3, *body["gone"]]) == list(s.u2), "survivors-inconsistent")
        require(set(u3) == self.circle.around(s.share_ctx, self.id) & everyone.ids, "neighbours-differ")
        s.u3, s.everyone["U3"] = tuple(u3), everyone
        s.survivors, s.due = H("survivors", [s.ctx, everyone.digest]), "unmask"
        return self._sign("agreed", s.ctx, {"survivors": s.survivors})

    def _on_unmask(self, s: Session, m: Message) -> Message:
        allowed = s.position == self.masked and s.offer["attempt"] == self.keyed[0] and s.offer["round"] > self.opened
        require(allowed, "closed")
        require(s.adapter not in self.spent, "adapter-spent")
        body = self._open(m, "unmask", s.ctx)
        votes = self._statements(body["agreed"], "agreed", s.ctx, 0)
        voters = self.circle.voters(s.share_ctx) & s.everyone["U3"].ids
        if self.id in voters:
            self._mine(s, "survivors", body["agreed"])
        same = all(v["survivors"] == s.survivors and member in voters for member, v in votes.items())
        require(same, "survivors-inconsistent")
        require(len(votes) >= self.circle.votes_needed(self.minimum), "too-few-signatures")
        self.opened, s.due = s.offer["round"], ""
        self.spent.add(s.adapter)
        seeds = {d: s.held[d][0] for d in s.u3 if d in s.held}
        keys = {d: s.held[d][1] for d in s.u2 if d not in s.u3 and d in s.held}
        return self._sign("revealed", s.ctx, {"survivors": s.survivors, "seed_shares": seeds, "key_shares": keys})

    # Statements

    def _open(self, m: Message, kind: str, digest: bytes) -> Words:
        h = m.h
        require(
            (h["kind"], h["digest"], h["from"], h["to"]) == (kind, digest, "coordinator", self.id), "signature-invalid"
        )
        require(fits(h["body"], FIELDS[kind]), "malformed")
        claims = ("cohort", "inbox", "survivors") if self.circle.k else ()
        sha256 = hashlib.sha256(m.data).digest() if kind in ("broadcast", *claims) else None
        require(h["blob"] is None or h["blob"][1] == sha256, "malformed")
        signed = b"rengo signed message v1\0" + m.header
        require(verifies(self.roster["coordinator"], m.signature, signed), "signature-invalid")
        return dict(h["body"])

    def _set(
        self, name: str, shown: list[list[bytes]], kind: str, digest: bytes, data: bytes
    ) -> tuple[dict[str, Words], Step]:
        statements = self._statements(shown, kind, digest, self.circle.shown_needed(self.minimum))
        return statements, self.circle.read(name, shown, statements, data, self.minimum)

    def _statements(self, shown: list[list[bytes]], kind: str, digest: bytes, least: int) -> dict[str, Words]:
        headers = [Message(*statement).h for statement in shown]
        senders = [h["from"] for h in headers]
        require(senders == sorted(set(senders)), "duplicated")
        require(len(senders) >= least, "cohort-too-small")
        for h, (header, signature) in zip(headers, shown, strict=True):
            require(h["from"] in self.plan["members"], "unknown-member")
            require((h["kind"], h["digest"], h["to"]) == (kind, digest, "coordinator"), "signature-invalid")
            require(fits(h["body"], FIELDS[kind]), "malformed")
            signed = b"rengo signed message v1\0" + header
            require(verifies(self.keys[h["from"]], signature, signed), "signature-invalid")
        return {h["from"]: h["body"] for h in headers}

    def _mine(self, s: Session, request: str, shown: list[list[bytes]]) -> None:
        answer = s.answered[request][1]
        require(answer is not None and answer.statement in shown, "not-included")

    def _sign(self, kind: str, digest: bytes, body: Words, data: bytes = b"") -> Message:
        blob = [len(data), hashlib.sha256(data).digest()] if data else None
        h = {"v": 1, "kind": kind, "digest": digest, "from": self.id, "to": "coordinator", "body": body, "blob": blob}
        return Message(cbor(h), self.key.sign(b"rengo signed message v1\0" + cbor(h)), data)

    def _refused(self, request: str, digest: bytes, code: str) -> Message:
        return self._sign("refused", digest, {"request": request, "code": code, "reason": code})

    # Shares and masks

    def _deal(self, secret: bytes, kind: str) -> dict[int, bytes]:
        others = (self.below_p(f"{kind} coefficient {n}") for n in range(1, self.circle.t))
        polynomial = [int.from_bytes(secret), *others]
        value = lambda x: sum(c * pow(x, n, P) for n, c in enumerate(polynomial)) % P  # noqa: E731
        return {x: value(x).to_bytes(33) for x in self.index.values()}

    def _commitments(self, s: Session, dealer: str, recipient: str, pair: Sequence[bytes]) -> list[bytes]:
        kinds = zip(("seed", "key"), pair, strict=True)
        return [H("share commitment", [s.share_ctx, kind, dealer, recipient, share]) for kind, share in kinds]

    def _add(self, words: list[int], key: bytes, sign: int, bits: int) -> None:
        words[:] = [(w + sign * m) % 2**bits for w, m in zip(words, mask(key, len(words), bits), strict=True)]

    def _receive(self, offer: Words, body: Words, data: bytes) -> Known:
        before = self.known.get(offer["round"] - 1)
        if body["last"] is not None and before is None:
            self._check_proof(offer, body["last"]["proof"])
        return receive(self.plan, self.first, before, offer["round"], self.circle.q, body, data)

    def _check_proof(self, offer: Words, proof: Words) -> None:
        same = ("suite", "consortium", "job", "plan", "model")
        before = proof["offer"]
        require(before["round"] == offer["round"] - 1 and all(before[f] == offer[f] for f in same), "round-unproven")
        terms = [proof[f] for f in ("adapter", "dimension", "ring_bits", "encoding", "privacy", "last")]
        share_ctx = H("share context", [H("setup context", before), proof["keys"]])
        votes = self._statements(proof["agreed"], "agreed", H("round context", [share_ctx, proof["shares"], terms]), 0)
        require(len(votes) >= self.circle.t and len({v["survivors"] for v in votes.values()}) == 1, "round-unproven")
        require(set(votes) <= self.circle.voters(share_ctx), "round-unproven")
