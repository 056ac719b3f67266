"""The coordinator's registry: who was invited, who joined, which roster and plan stand, and who consented.

`answer(frame) -> frame` is what the HTTP server calls for each request; the other methods are the coordinator's own.
One SQLite file. Of a join token's secret only its hash is kept, and it is spent in the transaction that lets the member
in.
"""

import datetime
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aggregator.allowance import Allowance
from aggregator.node_key import canonical
from aggregator.registry_file import opened
from aggregator.registry_refusals import (
    KeyTaken,
    NameTaken,
    NothingToConsent,
    NotQuarantined,
    ProtocolVersionDiffers,
    RosterOutOfOrder,
    TokenRefused,
    TooManyRequests,
    UnknownToRegistry,
)
from federation.errors import RengoError, SignatureInvalid
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster, open_signed
from federation.registry import (
    APPROVED,
    LIMITS,
    PROTOCOL,
    REFUSED,
    Ask,
    Consent,
    Introduction,
    Join,
    Joined,
    Leave,
    Noted,
    Standing,
    context,
)
from federation.secagg.messages import Refused
from federation.text import printable
from federation.token import secret_digest
from federation.wire import Body, Malformed, Signed, read_body, read_frame, write_frame

B = TypeVar("B", bound=Body)

REQUESTS = 200, 0.5
"""Of one member: at once, and more each second. Each is a row on the disk, from wherever it comes."""
_FARTHEST = 100 * 365 * 86400
"""Seconds: a clock that is further ahead is said to be so far ahead."""
_MOST_REFUSALS, _MOST_REFUSALS_OF_ONE = 1000, 100
"""Refused requests a UTC day that the log names each, of all and of one address: who sends them may be anybody, each is
a row on the disk, and one sender must not hide the others."""


@dataclass(frozen=True)
class Registered:
    """A member as the registry knows it. `offset`: its clock minus ours at its last visit, in seconds."""

    id: str
    name: str
    identity_key: bytes
    node_key: str
    joined: str
    revoked: str | None
    seen: str | None
    offset: int | None
    rengo: str | None
    quarantined: str | None


@dataclass(frozen=True)
class Invitation:
    """A join token that was handed out and not used yet. `expires`: UTC."""

    id: str
    name: str
    expires: str


class Registry:
    """The open database, and the coordinator in whose name it answers. One thread at a time."""

    def __init__(self, path: Path, signer: Identity, root: bytes, authority: str, carrier: str, rengo: str) -> None:
        self._db = opened(path)
        self._signer, self._root, self._authority = signer, root, authority
        self._carrier, self._rengo = carrier, rengo
        self._context = context(root)
        self._requests = Allowance(*REQUESTS)
        self._refusals: tuple[str, Counter[str]] = ("", Counter())  # the UTC day, and how many are logged by address

    def close(self) -> None:
        """Close the file; everything is on disk already."""
        self._db.close()

    # What the coordinator does.

    def invite(self, id: str, name: str, secret: bytes, expires: datetime.datetime) -> None:
        """Let `id` join once with the secret of this hash. A newer invitation replaces an older one."""
        taken = self._db.execute("SELECT 1 FROM members WHERE id = ? AND revoked IS NULL", (id,)).fetchone()
        if taken:
            raise NameTaken(id=id)
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO invitations VALUES (?, ?, ?, ?, NULL)", (id, name, secret, expires.isoformat())
            )
            self._log("coordinator", f"invited {id} until {expires.isoformat(timespec='seconds')}")

    def revoke(self, id: str) -> None:
        """The member takes part no more: it is missing from the next roster; an invitation that nobody has used is
        withdrawn. Raises UnknownToRegistry."""
        with self._transaction():
            done = self._db.execute("UPDATE members SET revoked = ? WHERE id = ? AND revoked IS NULL", (_now(), id))
            withdrawn = self._db.execute("DELETE FROM invitations WHERE id = ?", (id,))
            if not done.rowcount + withdrawn.rowcount:
                raise UnknownToRegistry(id=id)
            self._log("coordinator", f"revoked {id}")

    def quarantine(self, id: str) -> None:
        """Leave the member out of rounds until `lift`, under the same roster. Raises UnknownToRegistry."""
        with self._transaction():
            self._member(id)
            self._db.execute("INSERT OR IGNORE INTO quarantined VALUES (?, ?)", (id, _now()))
            self._log("coordinator", f"quarantined {id}")

    def lift(self, id: str) -> None:
        """End a quarantine. Raises NotQuarantined."""
        with self._transaction():
            if not self._db.execute("DELETE FROM quarantined WHERE member = ?", (id,)).rowcount:
                raise NotQuarantined(id=id)
            self._log("coordinator", f"lifted the quarantine of {id}")

    def quarantined(self) -> frozenset[str]:
        """Who is left out now."""
        return frozenset(member for (member,) in self._db.execute("SELECT member FROM quarantined"))

    def members(self) -> list[Registered]:
        """Everyone who ever joined, by id."""
        rows = self._db.execute(
            "SELECT id, name, identity_key, node_key, joined, revoked, seen, offset, rengo, since "
            "FROM members LEFT JOIN quarantined ON member = id ORDER BY id"
        )
        return [Registered(*row) for row in rows]

    def open_invitations(self) -> list[Invitation]:
        """Those that can still be used, by id."""
        rows = self._db.execute(
            "SELECT id, name, expires FROM invitations WHERE used IS NULL AND expires >= ? ORDER BY id", (_now(),)
        )
        return [Invitation(*row) for row in rows]

    def proposal(self) -> Roster:
        """The next roster, for the root to sign: who joined and was not revoked."""
        newest = self.roster().roster
        entries = [RosterEntry(m.id, m.name, m.identity_key) for m in self.members() if m.revoked is None]
        entries.sort(key=lambda entry: entry.id)
        return Roster(newest.consortium, newest.version + 1, newest.coordinator_key, tuple(entries))

    def roster(self) -> SignedRoster:
        """The newest roster."""
        row = self._db.execute("SELECT roster, signature FROM rosters ORDER BY version DESC LIMIT 1").fetchone()
        return SignedRoster(Roster.from_bytes(row[0]), row[1])

    def publish_roster(self, signed: SignedRoster) -> None:
        """From now on this roster stands. Raises SignatureInvalid, Malformed or RosterOutOfOrder."""
        roster = signed.verify(self._root)
        newest = self._db.execute("SELECT max(version) FROM rosters").fetchone()[0]
        if newest is not None and roster.version != newest + 1:
            raise RosterOutOfOrder(version=roster.version, expected=newest + 1)
        with self._transaction():
            self._db.execute(
                "INSERT INTO rosters VALUES (?, ?, ?)", (roster.version, roster.to_bytes(), signed.signature)
            )
            self._log("coordinator", f"published roster {roster.version}")

    def keep_model(self, sha256: str, shapes: str) -> None:
        """Remember a base model's matrix shapes (JSON)."""
        self._db.execute("INSERT OR REPLACE INTO models VALUES (?, ?)", (sha256, shapes))

    def model(self, sha256: str) -> str | None:
        """The shapes that `keep_model` was given."""
        row = self._db.execute("SELECT shapes FROM models WHERE sha256 = ?", (sha256,)).fetchone()
        return row[0] if row else None

    def propose_plan(self, plan: bytes, digest: bytes) -> None:
        """Members are shown this plan from now on."""
        newest = self._db.execute("SELECT digest FROM plans ORDER BY number DESC LIMIT 1").fetchone()
        if newest is None or newest[0] != digest:
            with self._transaction():
                self._db.execute("INSERT INTO plans (plan, digest) VALUES (?, ?)", (plan, digest))
                self._log("coordinator", f"proposed plan {digest.hex()[:16]}")

    def finish_plan(self, digest: bytes) -> None:
        """The plan's job is done: members are not shown it any more."""
        self._db.execute("INSERT OR IGNORE INTO finished VALUES (?)", (digest,))

    def proposed(self) -> tuple[bytes, bytes] | None:
        """The plan that members are shown, and its digest; None when there is none, or its job is done."""
        row = self._db.execute("SELECT plan, digest FROM plans ORDER BY number DESC LIMIT 1").fetchone()
        if row and not self._db.execute("SELECT 1 FROM finished WHERE plan = ?", (row[1],)).fetchone():
            return row[0], row[1]
        return None

    def consents(self, plan: bytes, roster: bytes) -> dict[str, tuple[str, str]]:
        """Who decided about this plan under this roster: member -> (answer, reason)."""
        rows = self._db.execute(
            "SELECT member, answer, reason FROM consents WHERE plan = ? AND roster = ?", (plan, roster)
        )
        return {member: (answer, reason) for member, answer, reason in rows}

    def log(self) -> list[tuple[str, str, str]]:
        """What happened: (UTC, who from, what), oldest first."""
        return list(self._db.execute("SELECT utc, peer, event FROM log ORDER BY rowid"))

    # What members are answered.

    def introduction(self) -> bytes:
        """The frame that anybody gets."""
        signed = self.roster()
        body = Introduction(self._root, signed.roster.to_bytes(), signed.signature, self._authority, self._rengo)
        return write_frame([self._signer.sign(body, self._context, "anyone")])

    def answer(self, request: bytes, peer: str) -> bytes:
        """One signed answer to one signed request; a refusal says why. Raises Malformed for what is no request."""
        messages = read_frame(request, LIMITS)
        if len(messages) != 1:
            raise Malformed(detail=f"{len(messages)} messages where one is expected")
        message = messages[0]
        recipient = message.header.sender
        try:
            body = self._answer(message, peer)
        except RengoError as error:
            self._log_refusal(peer, f"refused {message.header.kind} of {printable(recipient[:40])}: {error.code}")
            body = Refused(message.header.kind, error.code, str(error)[:1000])
        return write_frame([self._signer.sign(body, self._context, recipient)])

    def _answer(self, message: Signed, peer: str) -> Body:
        match message.header.kind:
            case Join.kind:
                return self._join(message, peer)
            case Ask.kind:
                return self._ask(message, peer)
            case Consent.kind:
                return self._consent(message, peer)
            case Leave.kind:
                return self._leave(message, peer)
        raise Malformed(detail=f"a {message.header.kind} is nothing that the registry answers")

    def _join(self, message: Signed, peer: str) -> Joined:
        self._require_protocol(message)
        join = read_body(Join, message.header.body)
        # Whoever announces a key shows that it has it.
        self._open(message, Join, join.identity_key)
        node_key = canonical(join.node_key)
        digest, now = secret_digest(join.secret), _now()
        with self._transaction():
            row = self._db.execute(
                "SELECT id, name, expires, used FROM invitations WHERE secret = ?", (digest,)
            ).fetchone()
            if row is None:
                raise TokenRefused(detail="it is not known here", detail_ja="登録がありません")
            id, name, expires, used = row
            if used is not None:
                raise TokenRefused(detail="it was used already", detail_ja="既に使用されています")
            if expires < now:
                raise TokenRefused(detail="it has expired", detail_ja="期限が切れています")
            keys = (join.identity_key, node_key)
            if self._db.execute("SELECT 1 FROM members WHERE identity_key = ? OR node_key = ?", keys).fetchone():
                raise KeyTaken
            self._db.execute("UPDATE invitations SET used = ? WHERE id = ?", (now, id))
            self._db.execute(
                "INSERT OR REPLACE INTO members (id, name, identity_key, node_key, joined, rengo) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (id, name, *keys, now, printable(join.rengo[:40])),
            )
            self._log(peer, f"{id} joined")
        return Joined(id)

    def _ask(self, message: Signed, peer: str) -> Standing:
        self._require_protocol(message)
        member, ask = self._open_of_member(message, Ask)
        now = int(datetime.datetime.now(datetime.UTC).timestamp())
        self._db.execute(
            "UPDATE members SET seen = ?, offset = ?, rengo = ? WHERE id = ?",
            (_now(), min(ask.time - now, _FARTHEST), printable(ask.rengo[:40]), member.id),
        )
        signed = self.roster()
        plan, _ = self.proposed() or (b"", b"")
        return Standing(signed.roster.to_bytes(), signed.signature, plan, self._carrier, now, self._rengo)

    def _consent(self, message: Signed, peer: str) -> Noted:
        member, consent = self._open_of_member(message, Consent)
        if consent.answer not in (APPROVED, REFUSED):
            raise Malformed(detail="an answer is approved or refused")
        if not self._was_proposed(consent.plan) or not self._was_published(consent.roster):
            raise NothingToConsent
        reason = printable(consent.reason[:1000])  # for people; as it was signed it is in the header
        row = (member.id, consent.plan, consent.roster, consent.answer, reason, _now())
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO consents VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, message.header_bytes, message.signature),
            )
            self._log(peer, f"{member.id} {consent.answer} plan {consent.plan.hex()[:16]}")
        return Noted()

    def _was_proposed(self, plan: bytes) -> bool:
        return self._db.execute("SELECT 1 FROM plans WHERE digest = ?", (plan,)).fetchone() is not None

    def _was_published(self, digest: bytes) -> bool:
        rosters = self._db.execute("SELECT roster FROM rosters ORDER BY version DESC")
        return any(Roster.from_bytes(roster).digest() == digest for (roster,) in rosters)

    def _leave(self, message: Signed, peer: str) -> Noted:
        member, _ = self._open_of_member(message, Leave)
        with self._transaction():
            self._db.execute("UPDATE members SET revoked = ? WHERE id = ?", (_now(), member.id))
            self._log(peer, f"{member.id} left")
        return Noted()

    def _member(self, id: str) -> Registered:
        found = next((m for m in self.members() if m.id == id and m.revoked is None), None)
        if found is None:
            raise UnknownToRegistry(id=id)
        return found

    def _open_of_member(self, message: Signed, kind: type[B]) -> tuple[Registered, B]:
        member = self._member(message.header.sender)
        body = self._open(message, kind, member.identity_key)
        if not self._requests.take(member.id):  # it is known whose they are: nobody else's count
            raise TooManyRequests(id=member.id)
        return member, body

    def _open(self, message: Signed, kind: type[B], key: bytes) -> B:
        digest, sender = self._context, message.header.sender
        if len(key) != 32:
            raise SignatureInvalid(what=kind.kind)
        return open_signed(message, kind, public_key=key, digest=digest, sender=sender, recipient=COORDINATOR)

    def _require_protocol(self, message: Signed) -> None:
        """Before the rest of the message, which another version may write otherwise, and before any signature."""
        protocol, rengo = (message.header.body.get(name) for name in ("protocol", "rengo"))
        if isinstance(protocol, int) and protocol != PROTOCOL:
            facts = {"actual": protocol, "expected": PROTOCOL, "rengo": printable(str(rengo)[:40])}
            raise ProtocolVersionDiffers(**facts, wanted=self._rengo)

    def _log(self, peer: str, event: str) -> None:
        self._db.execute("INSERT INTO log VALUES (?, ?, ?)", (_now(), peer, event))

    def _log_refusal(self, peer: str, event: str) -> None:
        """`_log`, but for the many on one day."""
        today, (day, counts) = _now()[:10], self._refusals
        counts = counts if day == today else Counter()
        self._refusals = (today, counts)
        if counts.total() >= _MOST_REFUSALS or counts[peer] >= _MOST_REFUSALS_OF_ONE:
            return
        counts[peer] += 1
        if counts.total() == _MOST_REFUSALS:
            event = f"refused {_MOST_REFUSALS} requests today; more are not logged before tomorrow (UTC)"
        elif counts[peer] == _MOST_REFUSALS_OF_ONE:
            event = f"refused {counts[peer]} requests from here today; more are not logged before tomorrow (UTC)"
        self._log(peer, event)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
