"""A registry with its coordinator and root, and members that join it as a site does, in this process."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aggregator.registry import Registry
from federation.identity import COORDINATOR, Identity, Roster, SignedRoster, open_signed
from federation.registry import LIMITS, PROTOCOL, Ask, Consent, Join, Joined, Noted, Standing, context
from federation.secagg.messages import Refused
from federation.token import JoinToken
from federation.wire import Body, read_frame, write_frame

B = TypeVar("B", bound=Body)
URL = "https://127.0.0.1:8443"


@dataclass
class Office:
    """The coordinator's registry, opened; `root` is on the same machine here."""

    registry: Registry
    root: Identity
    coordinator: Identity

    @property
    def context(self) -> bytes:
        return context(self.root.public_key)

    def invite(self, id: str, hours: float = 1.0) -> JoinToken:
        """An invitation's token."""
        token = JoinToken.create(URL, self.root.public_key)
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
        self.registry.invite(id, f"{id} 株式会社", token.secret_digest(), expires)
        return token

    def request(self, body: Body, signer: Identity, digest: bytes | None = None) -> bytes:
        """A signed request, as a site sends it."""
        return write_frame([signer.sign(body, digest or self.context, COORDINATOR)])

    def ask(self, body: Body, signer: Identity, expected: type[B], peer: str = "192.0.2.1") -> B | Refused:
        """The verified answer to a request from the address `peer`, or the refusal."""
        return self.opened(self.registry.answer(self.request(body, signer), peer), signer.id, expected)

    def opened(self, frame: bytes, recipient: str, expected: type[B]) -> B | Refused:
        """An answer's body; its signature is the coordinator's."""
        [message] = read_frame(frame, LIMITS)
        kind = Refused if message.header.kind == Refused.kind else expected
        key = self.coordinator.public_key
        return open_signed(message, kind, public_key=key, digest=self.context, sender=COORDINATOR, recipient=recipient)

    def join(self, token: JoinToken, **changes: object) -> tuple[Joined | Refused, Identity]:
        """What a site gets for its token, and the identity that it made."""
        identity = Identity.create("joining")
        return self.ask(join_body(token, identity, **changes), identity, Joined), identity

    def member(self, id: str) -> Identity:
        """Someone who was invited and joined."""
        answer, identity = self.join(self.invite(id))
        assert answer == Joined(id)
        return Identity.from_private_bytes(id, identity.private_bytes())

    def publish(self) -> Roster:
        """The root signs the next roster, and it is published."""
        self.registry.publish_roster(SignedRoster.sign(self.registry.proposal(), self.root))
        return self.registry.roster().roster

    def standing(self, member: Identity, ahead: int = 0, peer: str = "192.0.2.1") -> Standing | Refused:
        """What a member hears whose clock is `ahead` seconds fast, at the address `peer`."""
        now = int(datetime.datetime.now(datetime.UTC).timestamp())
        return self.ask(Ask(now + ahead, PROTOCOL, "0.1.0"), member, Standing, peer)

    def consent(self, member: Identity, plan: bytes, roster: bytes, answer: str = "approved") -> Noted | Refused:
        """A member's decision."""
        return self.ask(Consent(plan, roster, answer, "理由"), member, Noted)

    def log(self) -> list[str]:
        """What happened, without times."""
        return [event for _, _, event in self.registry.log()]


def join_body(token: JoinToken, identity: Identity, **changes: object) -> Join:
    """A site's Join, or one with changed fields."""
    fields = {"secret": token.secret, "identity_key": identity.public_key, "node_key": new_node_key()}
    return Join(**(fields | {"protocol": PROTOCOL, "rengo": "0.1.0"} | changes))  # type: ignore[arg-type]


def new_node_key() -> str:
    """A Flower node's public key."""
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def open_office(folder: Path) -> Office:
    """A new consortium with an empty roster."""
    root, coordinator = Identity.create("root"), Identity.create(COORDINATOR)
    registry = Registry(folder / "registry.sqlite", coordinator, root.public_key, "PEM", "127.0.0.1:8444", "0.1.0")
    registry.publish_roster(SignedRoster.sign(Roster("研究会", 1, coordinator.public_key, ()), root))
    return Office(registry, root, coordinator)
