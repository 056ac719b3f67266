"""What a member's site and the coordinator's registry say to each other outside of rounds, as signed messages.

    Introduction            coordinator -> anyone      who we are, before anything is trusted
    Join -> Joined          once, with the secret of a join token
    Ask -> Standing         the newest roster and plan
    Consent -> Noted        a person at the site approved, or refused, a plan
    Leave -> Noted          the site takes part no more

They travel as frames over HTTPS (wire.py). All stand in one context: the consortium's root.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from federation.identity import Roster, SignedRoster
from federation.wire import Body, Limits, Size

PROTOCOL = 1
"""What coordinator and members say to each other: messages, contexts, plans, the relay app. Programs with different
numbers do not take part together, and the registry tells them so (docs/adr/0012). For that, these stay whatever else
changes: `protocol` and `rengo` of Join and Ask, and Refused."""

SIGNATURE_SIZE = 64
LIMITS = Limits(header=4 << 20, blob=0)
"""A roster of thousands of members is the largest thing that travels here."""

VERSION_HEADER = "Rengo-Version"
"""Of each answer over HTTP, for a program that cannot read frames of this form at all."""

APPROVED, REFUSED = "approved", "refused"

_ADDRESS = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def is_address(text: str) -> bool:
    """Whether `text` is HOST:PORT as a carrier's may be: it ends on a command line at each site."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[2]) < 1 << 16


def context(root_public_key: bytes) -> bytes:
    """The digest that every message of a consortium's registry carries."""
    return hashlib.sha256(b"rengo registry v1\0" + root_public_key).digest()


@dataclass(frozen=True)
class Introduction(Body):
    """The root, the roster that it signed, and the certificate authority of the coordinator's own servers. Signed by
    the coordinator, whose key stands in the roster: from the root's fingerprint follows all the rest."""

    kind: ClassVar[str] = "introduction"
    root: bytes
    roster: Annotated[bytes, Size(0)]
    roster_signature: Annotated[bytes, Size(SIGNATURE_SIZE)]
    authority: str
    rengo: str

    def verified_roster(self) -> Roster:
        """The roster as `root` signed it. Raises SignatureInvalid or Malformed."""
        return SignedRoster(Roster.from_bytes(self.roster), self.roster_signature).verify(self.root)


@dataclass(frozen=True)
class Join(Body):
    """Sent once, over TLS to a verified coordinator, signed with the key that it announces. `node_key`: the public key
    of the site's Flower node, as OpenSSH writes it."""

    kind: ClassVar[str] = "join"
    secret: str
    identity_key: bytes
    node_key: str
    protocol: int
    rengo: str


@dataclass(frozen=True)
class Joined(Body):
    """The id that the invitation was for."""

    kind: ClassVar[str] = "joined"
    id: str


@dataclass(frozen=True)
class Ask(Body):
    """What is the newest roster and plan? `time`: the site's clock, UTC seconds."""

    kind: ClassVar[str] = "ask"
    time: int
    protocol: int
    rengo: str


@dataclass(frozen=True)
class Standing(Body):
    """The newest roster, the plan that the coordinator proposes (YAML; empty when there is none), and where the
    carrier is. `time`: the coordinator's clock, UTC seconds."""

    kind: ClassVar[str] = "standing"
    roster: Annotated[bytes, Size(0)]
    roster_signature: Annotated[bytes, Size(SIGNATURE_SIZE)]
    plan: Annotated[bytes, Size(0)]
    carrier: str
    time: int
    rengo: str

    def verified_roster(self, root: bytes) -> Roster:
        """The roster, as `root` signed it. Raises SignatureInvalid or Malformed."""
        return SignedRoster(Roster.from_bytes(self.roster), self.roster_signature).verify(root)


@dataclass(frozen=True)
class Consent(Body):
    """A person at the site decided about a plan under a roster (digests). `answer`: approved or refused."""

    kind: ClassVar[str] = "consent"
    plan: bytes
    roster: bytes
    answer: str
    reason: str


@dataclass(frozen=True)
class Leave(Body):
    """The site takes part no more; its keys are not accepted from now on."""

    kind: ClassVar[str] = "leave"


@dataclass(frozen=True)
class Noted(Body):
    """The registry has it on disk."""

    kind: ClassVar[str] = "noted"
