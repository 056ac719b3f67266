"""What reads hostile bytes, one function each. A target returns when the input was read or refused in the way that is
promised, and raises for anything else: another exception than a RengoError, a value that does not encode to what it was
decoded from, or a machine that a refusal changed. Where the reader checks a signature first, the input is signed with
the right key: the liar is the party itself.
"""

import dataclasses
import hashlib
import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from small_job import MEMBERS, SHAPES, OneValue

from clients.contribution import Contribution
from clients.journal import Journal
from clients.member import Member
from federation import base_model, step, tensors
from federation.errors import RengoError
from federation.identity import COORDINATOR, verify_bytes
from federation.secagg import messages, shamir
from federation.secagg.client import AgreedSent, KeysSent, MaskedSent, SharesSent
from federation.secagg.contexts import setup_context
from federation.secagg.graph import Parameters
from federation.secagg.messages import Broadcast, Claim, LastSum, Offer, Refused
from federation.secagg.parties import Parties
from federation.secagg.primitives import unseal
from federation.secagg.proof import check_proof
from federation.secagg.server import Aggregation
from federation.wire import (
    SIGNATURE_SIZE,
    Body,
    Header,
    Limits,
    Signed,
    canonical_cbor,
    read_body,
    read_cbor,
    read_frame,
    write_frame,
    write_header,
)
from fuzzing.honest import ADAPTER, ME, HonestRound, honest_round, twin

LIMITS = Limits(header=1 << 16, blob=1 << 16)
BODIES = sorted(
    (
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, Body) and kind is not Body
    ),
    key=lambda kind: kind.kind,
)
KEY = bytes(32)
DEALER, RECIPIENT = MEMBERS[1], MEMBERS[0]


@cache
def honest() -> HonestRound:
    return honest_round()


def frame(data: bytes) -> None:
    """wire.read_frame: what was read is what would be written."""
    with suppress(RengoError):
        read = read_frame(data, LIMITS)
        assert write_frame(read) == data
        for message in read:
            assert write_header(message.header) == message.header_bytes
            assert repr(message)


def cbor(data: bytes) -> None:
    """wire.read_cbor: only the canonical encoding is read."""
    with suppress(RengoError):
        assert canonical_cbor(read_cbor(data)) == data


def body(data: bytes) -> None:
    """wire.read_body of every message: the first byte says of which."""
    with suppress(RengoError):
        plain = read_cbor(data[1:])
        if data and isinstance(plain, dict):
            kind = BODIES[data[0] % len(BODIES)]
            assert canonical_cbor(read_body(kind, plain).to_plain()) == data[1:]


def identity(data: bytes) -> None:
    """identity.verify_bytes: a public key, a signature and a statement, all of a stranger."""
    with suppress(RengoError):
        verify_bytes(data[:32], data[32 : 32 + SIGNATURE_SIZE], data[32 + SIGNATURE_SIZE :], "anything")


def adapter(data: bytes) -> None:
    """tensors.from_bytes."""
    with suppress(RengoError):
        assert tensors.to_bytes(tensors.from_bytes(data, ADAPTER)) == data


def envelope(data: bytes) -> None:
    """primitives.unseal and shamir.combine: what a dealer sealed with the right key, whatever it is."""
    ctx = bytes(32)
    associated = canonical_cbor(["rengo v1", "envelope", ctx, DEALER, RECIPIENT])
    sealed = AESGCM(KEY).encrypt(bytes(12), data, associated)
    assert unseal(KEY, ctx, DEALER, RECIPIENT, data) is None
    opened = unseal(KEY, ctx, DEALER, RECIPIENT, sealed)
    if opened is not None:
        assert canonical_cbor([DEALER, RECIPIENT, *opened]) == data
        with suppress(shamir.InconsistentShares):
            shares = dict(enumerate(opened, start=1))
            assert len(shamir.combine(shares, shamir.lagrange_at_zero(tuple(shares)))) == shamir.SECRET_SIZE


def request(data: bytes) -> None:
    """What a coordinator can sign: the member's machine takes it or refuses it, at each step."""
    round = honest()
    steps: list[tuple[str, KeysSent | SharesSent | MaskedSent | AgreedSent, Callable[[Signed], object]]] = [
        ("cohort", round.keys_sent, round.keys_sent.on_cohort),
        ("inbox", round.shares_sent, round.shares_sent.on_inbox),
        ("survivors", round.masked_sent, round.masked_sent.on_survivors),
        ("unmask", round.agreed_sent, round.agreed_sent.on_unmask),
    ]
    with suppress(RengoError):
        which, plain, blob = _split(data)
        kind, _, take = steps[which % len(steps)]
        take(_signed(COORDINATOR, kind, round.asked[kind].header.digest, ME, plain, blob))


def answer(data: bytes) -> None:
    """server.Aggregation.accept: what a member can sign. A refused answer leaves the aggregation as it was."""
    round = honest()
    with suppress(RengoError):
        which, plain, blob = _split(data)
        name = list(round.before)[which % len(round.before)]
        aggregation = twin(round.before[name])
        statement = _signed(ME, name, round.said[name].header.digest, COORDINATOR, plain, blob)
        untouched = _seen(aggregation)
        try:
            aggregation.accept(statement)
        except RengoError:
            assert _seen(aggregation) == untouched
            raise


def broadcast(data: bytes) -> None:
    """contribution.receive and proof.check_proof: an adapter with a last sum, in rounds 1 and 2."""
    job = honest().job
    # Receiving needs shapes alone: there is no learner and no text to train on.
    contribution = Contribution(job.plan, ME, _Shapes(), None)  # type: ignore[arg-type]
    with suppress(RengoError):
        which, plain, blob = _split(data)
        told = read_body(Broadcast, plain)
        with suppress(RengoError):
            if told.last is not None:
                check_proof(told.last.proof, job.offer(round=2), job.parties)
        with np.errstate(all="ignore"):
            received = contribution.receive(1 + which % 2, told, blob)
        assert all(np.isfinite(list(received.ring.ranges.values())))


def claim(data: bytes) -> None:
    """Parties.everyone among neighbours: whom the coordinator claims beside those that it shows."""
    parties = _neighbours()
    with suppress(RengoError):
        everyone = parties.everyone("U1", [], data)
        absent = tuple(member for member in parties.members if member not in everyone.members)
        told = read_body(Claim, _map(read_cbor(data)))
        assert told.absent == absent
        assert canonical_cbor(told.to_plain()) == data


def member(data: bytes) -> None:
    """Member.handle, whole. The first byte: below 128 the rest is a frame, otherwise the body of an Offer, signed."""
    request = _offered(data[1:]) if data[:1] >= b"\x80" else data[1:]
    with _member() as member:
        answers = member.handle(request)
    for statement in read_frame(answers, LIMITS):
        assert statement.header.sender == ME
        if statement.header.kind == Refused.kind:
            assert len(read_body(Refused, statement.header.body).reason) <= 500


def model_folder(data: bytes) -> None:
    """base_model.check: a folder from anywhere. The first byte says which of its files the rest is."""
    names = ("config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer_config.json")
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        folder = Path(name)
        (folder / "config.json").write_text("{}")
        (folder / "tokenizer.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
        (folder / names[data[0] % 4 if data else 0]).write_bytes(data[1:])
        with suppress(RengoError):
            base_model.check(folder)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        frame, cbor, body, identity, adapter, envelope, request, answer, broadcast, claim, member, model_folder
    )
}  # fmt: skip


def seeds() -> Iterator[tuple[str, bytes]]:
    """(target, input): what honest parties say, for the fuzzer to start from."""
    round = honest()
    asked, said = list(round.asked.values()), list(round.said.values())
    for statement in (*asked, *said):
        yield "frame", write_frame([statement])
        yield "cbor", statement.header_bytes
        kinds = [kind.kind for kind in BODIES]
        yield "body", bytes([kinds.index(statement.header.kind)]) + canonical_cbor(statement.header.body)
    for index, kind in enumerate(("cohort", "inbox", "survivors", "unmask")):
        yield "request", _joined(index, round.asked[kind])
    for index, statement in enumerate(said):
        yield "answer", _joined(index, statement)
    offer = round.asked["offer"]
    yield "member", b"\0" + write_frame([offer])
    yield "member", b"\x80" + canonical_cbor(offer.header.body)
    key = round.job.coordinator.public_key
    yield "identity", key + offer.signature + offer.to_sign()
    yield "adapter", bytes(4 * tensors.size_of(ADAPTER))
    yield "envelope", canonical_cbor([DEALER, RECIPIENT, bytes(33), bytes(33)])
    yield from (("broadcast", data) for data in _broadcasts(round))
    statements = {message.header.sender: message for message in said[:1]}
    yield "claim", bytes(_neighbours().claim("U1", statements)[1])
    yield "model_folder", b"\0" + json.dumps({"model_type": "llama", "auto_map": {}}).encode()
    yield "model_folder", b"\1" + struct.pack("<Q", 2) + b"{}"
    yield "model_folder", b"\2" + json.dumps({"weight_map": {"a": "model.safetensors"}}).encode()


def _broadcasts(round: HonestRound) -> Iterator[bytes]:
    first = step.scheme_of(round.job.plan).broadcast(step.first_state(round.job.plan, SHAPES))
    values = tensors.to_bytes(first)
    # As above: shapes alone.
    contribution = Contribution(round.job.plan, ME, _Shapes(), None)  # type: ignore[arg-type]
    ring = contribution._stated_ring(1, LastSum(3, ((0.5).hex(),) * len(ADAPTER), (), round.proof))
    proof = dataclasses.replace(round.proof, encoding=ring.digest())
    last = LastSum(3, ring.stated_ranges, ring.scalars, proof)
    words = bytes(ring.dimension * ring.dtype.itemsize)
    for which, told, blob in ((0, None, values), (1, last, values + words)):
        plain = Broadcast(tensors.digest(first), len(values), told).to_plain()
        yield _join(which, plain, blob)


def _neighbours() -> Parties:
    """The small job's four members in the narrowest neighbourhoods that there are."""
    job = honest().job
    return Parties(
        job.roster,
        MEMBERS,
        Parameters(degree=2, threshold=2, corrupt=0, lost=1, not_private=Fraction(0), not_complete=Fraction(0)),
    )


class _Shapes:
    """A learner that is never asked to learn."""

    shapes = SHAPES


def _split(data: bytes) -> tuple[int, dict[str, object], bytes]:
    """(which, a body, a blob). Anything but a map is thrown away as the wire would."""
    which, size = struct.unpack("<BH", data[:3].ljust(3, b"\0"))
    plain = read_cbor(data[3 : 3 + size])
    return which, _map(plain), data[3 + size :]


def _join(which: int, plain: object, blob: bytes) -> bytes:
    encoded = canonical_cbor(plain)
    return struct.pack("<BH", which, len(encoded)) + encoded + blob


def _joined(which: int, statement: Signed) -> bytes:
    return _join(which, statement.header.body, bytes(statement.blob))


def _signed(sender: str, kind: str, digest: bytes, recipient: str, plain: dict[str, object], blob: bytes) -> Signed:
    """Any body, signed with the sender's real key in the right context."""
    sha256 = hashlib.sha256(blob).digest() if blob else None
    header = write_header(Header(kind, digest, sender, recipient, plain, len(blob), sha256))
    unsigned = Signed(header, b"", blob)
    return Signed(header, honest().job.identities[sender].sign_bytes(unsigned.to_sign()), blob)


def _seen(aggregation: Aggregation) -> bytes:
    """Everything that an aggregation knows, as text."""
    return repr(sorted(vars(aggregation).items())).encode()


@contextmanager
def _member() -> Iterator[Member]:
    """A member that has just been started. Its journal is real and in memory."""
    job = honest().job
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        journal = Journal(Path(folder) / "journal.sqlite")
        yield Member(job.identities[ME], job.roster, job.plan, job.policy, OneValue(), journal, "nowhere")
        journal.close()


def _offered(encoded: bytes) -> bytes:
    """A frame with an Offer of these fields, signed by the coordinator in the context that they give."""
    with suppress(RengoError):
        offer = read_body(Offer, _map(read_cbor(encoded)))
        return write_frame([honest().job.coordinator.sign(offer, setup_context(offer), ME)])
    return encoded


def _map(plain: object) -> dict[str, object]:
    return plain if isinstance(plain, dict) else {}


def _memory() -> str | None:
    """A folder in memory, where the system offers one: an input a millisecond is no work for a disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
