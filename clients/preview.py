"""`rengo member preview`: everything that would leave this site in one round, to the byte, and nothing is sent.

The site's real member takes part in a first round of the plan, with its model and its documents, in this process: the
coordinator and the other members are played here, and every key is made for this and forgotten. So what is written is
what the protocol says, in fields, order and sizes; keys, masks and signatures differ each time, in a real round too.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clients.contribution import Contribution
from clients.home import Home
from clients.journal import Journal
from clients.loading import load
from clients.member import Member, request_limits
from clients.policy import Policy
from clients.relay.node import app_sha256
from federation import step, tensors
from federation.errors import Language
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry
from federation.plan import Plan
from federation.schemes.state import LayerShapes
from federation.secagg import client
from federation.secagg.contexts import SUITE, Terms
from federation.secagg.messages import Broadcast, Offer, Refused
from federation.secagg.parties import Parties
from federation.secagg.refusals import Refusal
from federation.secagg.server import Aggregation
from federation.wire import ZERO_DIGEST, Limits, Signed, read_frame, write_frame

_State = client.KeysSent | client.SharesSent | client.Ready | client.MaskedSent | client.AgreedSent


@dataclass(frozen=True)
class Departing:
    """One frame as it would leave: for which step, its bytes, the statements in it, and after how many seconds."""

    step: str
    frame: bytes
    statements: tuple[Signed, ...]
    seconds: float


@dataclass(frozen=True)
class Preview:
    """What one round of `plan` makes leave. `destination`: host:port; `app`: SHA-256 of the Flower app."""

    plan: Plan
    destination: str
    app: str
    frames: tuple[Departing, ...]


class _Peer:
    """Another member: it answers as the protocol says, and its vector is zeros."""

    def __init__(self, me: Identity, parties: Parties) -> None:
        self._me, self._parties = me, parties
        self._states: dict[bytes, _State] = {}

    def answer(self, message: Signed, terms: Terms | None) -> Signed | None:
        """The statement that `message` asks for."""
        header, context = message.header, message.header.digest
        if header.kind == Offer.kind:
            seat = client.Seat(self._me, self._parties, 0, Offer(**header.body))
            self._states[context], said = client.announce(seat)
            return said
        state = self._states[context]
        match state:
            case client.KeysSent():
                shares_sent, said = state.on_cohort(message)
                self._states[shares_sent.share_ctx] = shares_sent
                return said
            case client.SharesSent():
                self._states[context] = state.on_inbox(message)
                return None
            case client.Ready():
                assert terms is not None  # noqa: S101  # fixed when the inboxes were made
                zeros = np.zeros(terms.dimension, dtype=f"<u{terms.ring_bits // 8}")
                masked_sent, said = state.mask(zeros, terms)
                self._states[masked_sent.ctx] = masked_sent
                return said
            case client.MaskedSent():
                self._states[context], said = state.on_survivors(message)
                return said
        return state.on_unmask(message)


class _Round:
    """The coordinator of the first round, and everyone but the site."""

    def __init__(self, me: str, plan: Plan, roster: Roster, keys: Mapping[str, Identity], limits: Limits) -> None:
        self._me, self._plan, self._signer, self._limits = me, plan, keys[COORDINATOR], limits
        self._roster, self.parties = roster, Parties.of(roster, plan)
        self._peers = {m: _Peer(keys[m], self.parties) for m in plan.members if m != me}
        self.frames: list[Departing] = []

    def play(self, handle: Callable[[bytes], bytes], shapes: LayerShapes) -> None:
        """Steps 0 to 4, the set-up of the second round on board of the first as always (aggregator/rounds.py)."""
        plan = self._plan
        state = step.first_state(plan, shapes)
        adapter = step.broadcast(plan, state)
        ring = step.ring_for(plan, state, 1, None)
        terms = step.terms(plan, step.adapter_digest(state), ring)
        this = Aggregation(self._signer, self.parties, self._offer(1, ZERO_DIGEST))
        self._ask("keys", [this.offers()], [this], handle)
        self._ask("shares", [this.cohorts()], [this], handle)
        words, inboxes = tensors.to_bytes(adapter), this.inboxes(terms)
        body = Broadcast(step.adapter_digest(state), len(words), None)
        broadcasts = {m: self._signer.sign(body, this.share_ctx, m, words) for m in this.u2}
        self._ask("masked", [inboxes, broadcasts], [this], handle, terms)
        survivors = this.survivors()
        following = Aggregation(self._signer, self.parties, self._offer(2, this.ctx))
        self._ask("agreed", [survivors, following.offers()], [this, following], handle)
        self._ask("revealed", [this.unmasks(), following.cohorts()], [this, following], handle)
        this.total()

    def _ask(
        self,
        name: str,
        requests: Sequence[Mapping[str, Signed]],
        awaiting: list[Aggregation],
        handle: Callable[[bytes], bytes],
        terms: Terms | None = None,
    ) -> None:
        for member in self._plan.members:
            messages = [part[member] for part in requests]
            if member == self._me:
                began = time.monotonic()
                frame = handle(write_frame(messages))
                seconds = time.monotonic() - began
                statements = read_frame(frame, self._limits)
                self.frames.append(Departing(name, frame, statements, seconds))
            else:
                answers = [self._peers[member].answer(message, terms) for message in messages]
                statements = tuple(answer for answer in answers if answer is not None)
            for statement in statements:
                if statement.header.kind == Refused.kind:
                    raise Refusal(detail=statement.header.body["reason"])
                next(a for a in awaiting if a.step.value == statement.header.kind).accept(statement)

    def _offer(self, round: int, parent: bytes) -> Offer:
        plan, model = self._plan, bytes.fromhex(self._plan.model.sha256)
        return Offer(SUITE, plan.consortium, plan.job, round, 1, parent, self._roster.digest(), plan.digest(), model)


def make(home: Home, plan: Plan, destination: str) -> Preview:
    """Play the first round of `plan`. Nothing of it touches the site's journal, keys or network.

    Raises ModelMismatch and what model and data raise; a Refusal when this site's policy refuses the round.
    """
    me, site = home.settings().id, home.policy()
    learner, corpus = load(home, plan)
    keys = {id: Identity.create(id) for id in (*plan.members, COORDINATOR)}
    entries = tuple(RosterEntry(id, id, keys[id].public_key) for id in plan.members)
    roster = Roster(plan.consortium, 1, keys[COORDINATOR].public_key, entries)
    contribution = Contribution(plan, me, learner, corpus, train=home.settings().train_here(plan.train))
    limits = site.minimum_cohort, site.rounds_per_data_set, None, site.semi_malicious
    policy = Policy(plan.digest(), roster.digest(), bytes.fromhex(plan.model.sha256), *limits)
    with tempfile.TemporaryDirectory(prefix="rengo-preview-") as folder:
        journal = Journal(Path(folder) / "journal.sqlite")
        member = Member(keys[me], roster, plan, policy, contribution, journal, destination)
        largest = request_limits(plan, contribution)
        played = _Round(me, plan, roster, keys, replace(largest, blob=2 * largest.blob + 1024 * len(plan.members)))
        played.play(member.handle, learner.shapes)
        journal.close()
    return Preview(plan, destination, app_sha256(), tuple(played.frames))


def facts(preview: Preview) -> dict[str, Any]:
    """For a program."""
    return {
        "plan": preview.plan.digest().hex(),
        "job": preview.plan.job,
        "destination": preview.destination,
        "app_sha256": preview.app,
        "sent": False,
        "bytes": sum(len(departing.frame) for departing in preview.frames),
        "frames": [
            {
                "step": departing.step,
                "bytes": len(departing.frame),
                "seconds": round(departing.seconds, 2),
                "deadline": preview.plan.deadlines.seconds(departing.step),
                "sha256": hashlib.sha256(departing.frame).hexdigest(),
                "statements": [_statement(statement) for statement in departing.statements],
            }
            for departing in preview.frames
        ],
    }


def text(preview: Preview, language: Language) -> str:
    """For a person."""
    found = facts(preview)
    place = (
        preview.destination or {"en": "(asked of the registry at start)", "ja": "（開始時に事務局へ照会）"}[language]
    )
    head, note = {
        "en": (
            f"Plan {found['plan'][:16]}, job {found['job']}: one round with its set-up sends {found['bytes']:,} bytes "
            f"in {len(preview.frames)} messages to {place}. Nothing was sent now.",
            "Keys, masks and signatures were made for this preview: in the real round these values differ, fields and "
            "sizes do not.\nA later round sends masked, agreed and revealed only. TLS and Flower's envelope and "
            "heartbeat come on top.\nDocuments, counts of documents, and the update itself are in none of the fields.",
        ),
        "ja": (
            f"計画 {found['plan'][:16]}（ジョブ {found['job']}）: 準備を含む 1 学習回の送信は {found['bytes']:,} バイト"
            f"（{len(preview.frames)} メッセージ）、送信先 {place}。今回は何も送信していません。",
            "鍵・マスク・署名はこの確認のために作ったものです。実際の学習回では値が異なります（項目と大きさは同じ）。\n"
            "以降の学習回では masked・agreed・revealed だけを送ります。TLS と Flower の外枠・生存確認は別です。\n"
            "文書、文書の件数、更新そのものは、どの項目にも含まれません。",
        ),
    }[language]
    lines = [head, ""]
    for frame in found["frames"]:
        lines.append(f"{frame['step']}: {frame['bytes']:,} bytes, SHA-256 {frame['sha256']}")
        lines.append(f"  {_TIME[language].format_map(frame)}")
        for statement in frame["statements"]:
            lines.append(f"  {statement['kind']}  {statement['from']} -> {statement['to']}")
            lines += [f"    {name}: {_short(value)}" for name, value in statement["fields"].items()]
            if statement["data_bytes"]:
                lines.append(f"    + {statement['data_bytes']:,} bytes: {_DATA[statement['kind']][language]}")
    return "\n".join([*lines, "", note])


def write(preview: Preview, folder: Path, language: Language) -> dict[str, Any]:
    """preview.json, preview.txt and each message as it would leave; what the JSON holds."""
    found = facts(preview) | {"folder": str(folder)}
    for number, departing in enumerate(preview.frames, 1):
        (folder / f"{number}-{departing.step}.bin").write_bytes(departing.frame)
    (folder / "preview.txt").write_text(text(preview, language) + "\n", encoding="utf-8")
    (folder / "preview.json").write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    return found


_TIME: Mapping[Language, str] = {
    "en": "ready after {seconds:.1f} s here; the plan gives {deadline} s, its way to this site and back included",
    "ja": "この拠点での所要時間 {seconds:.1f} 秒（計画の制限 {deadline} 秒、往復の通信を含む）",
}
_DATA: Mapping[str, Mapping[Language, str]] = {
    "masked": {"en": "the update, masked", "ja": "秘匿された更新"},
    "shares": {"en": "encrypted shares, one for each member", "ja": "拠点ごとに暗号化されたシェア"},
}


def _statement(statement: Signed) -> dict[str, Any]:
    header = statement.header
    return {
        "kind": header.kind,
        "from": header.sender,
        "to": header.recipient,
        "context": header.digest.hex(),
        "signature": statement.signature.hex(),
        "fields": {name: _plain(value) for name, value in header.body.items()},
        "data_bytes": header.blob_size,
        "data_sha256": header.blob_sha256.hex() if header.blob_sha256 else "",
    }


def _short(value: Any) -> str:
    """A field for a line of text; whole in the JSON."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_short, value)) or "-"
    return f"{value[:16]}… ({len(value) // 2} bytes)" if isinstance(value, str) and len(value) >= 64 else str(value)


def _plain(value: Any) -> Any:
    """A field for JSON: bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
