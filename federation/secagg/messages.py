"""The messages of the five steps. Each is signed, and stands in a context (see contexts.py):

step     member -> coordinator                    coordinator -> member
0        Keys      in setup_ctx                   Offer       in setup_ctx      asks for Keys
1        Shares    in share_ctx                   Cohort      in setup_ctx      asks for Shares
2        Masked    in ctx                         Inbox       in share_ctx      with Broadcast, asks for Masked
3        Agreed    in ctx                         Survivors   in ctx            asks for Agreed
4        Revealed  in ctx                         Unmask      in ctx            asks for Revealed
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from federation.secagg.shamir import SHARE_SIZE
from federation.wire import Body, Signed, Size


@dataclass(frozen=True)
class Offer(Body):
    """A round is about to be set up: exactly what setup_ctx is the digest of."""

    kind: ClassVar[str] = "offer"
    suite: str
    consortium: str
    job: str
    round: int
    attempt: int
    parent: bytes
    roster: bytes
    plan: bytes
    model: bytes


@dataclass(frozen=True)
class Keys(Body):
    """A member's fresh X25519 public keys: one for pair masks, one for envelopes."""

    kind: ClassVar[str] = "keys"
    mask_key: bytes
    channel_key: bytes


@dataclass(frozen=True)
class Cohort(Body):
    """The signed Keys of U1, sorted by member."""

    kind: ClassVar[str] = "cohort"
    keys: tuple[Signed, ...]


@dataclass(frozen=True)
class Sealed(Body):
    """What one dealer gives one recipient: commitments to both shares, the shares under AES-256-GCM, and the path from
    the two commitments' leaf to the root in the dealer's Shares (see merkle.py)."""

    kind: ClassVar[str] = "sealed"
    seed_commitment: bytes
    key_commitment: bytes
    envelope: Annotated[bytes, Size(0)]
    path: Annotated[bytes, Size(0)]


@dataclass(frozen=True)
class Shares(Body):
    """A dealer's shares for everyone in U1. The blob is canonical CBOR: a list of Sealed in U1's order.

    `root` is that of the tree over one leaf a recipient, in U1's order, each of which commits to the two share
    commitments: a recipient can check its own without seeing the others'. `seed_commitment` commits to the self-mask
    seed itself.
    """

    kind: ClassVar[str] = "shares"
    seed_commitment: bytes
    root: bytes


@dataclass(frozen=True)
class Inbox(Body):
    """U2, as the signed headers of its Shares, and what each of U2 sealed for me; both sorted by dealer."""

    kind: ClassVar[str] = "inbox"
    shares: tuple[Signed, ...]
    sealed: tuple[Sealed, ...]


@dataclass(frozen=True)
class RoundProof(Body):
    """What a round's context is made of, and at least t votes in it (see proof.py). `keys` and `shares` are the digests
    of U1's Keys and U2's Shares; `adapter` to `last` are the round's terms."""

    kind: ClassVar[str] = "round_proof"
    offer: Offer
    keys: bytes
    shares: bytes
    adapter: bytes
    dimension: int
    ring_bits: int
    encoding: bytes
    privacy: bytes
    last: bytes
    agreed: tuple[Signed, ...]


@dataclass(frozen=True)
class LastSum(Body):
    """The last round's unmasked sum, for checking the adapter: how many members are in it, how it was encoded, and
    proof that the round took place."""

    kind: ClassVar[str] = "last_sum"
    count: int
    ranges: tuple[str, ...]
    scalars: tuple[str, ...]
    proof: RoundProof


@dataclass(frozen=True)
class Broadcast(Body):
    """The adapter of this round. The blob is the adapter's float32 values, then the last sum's ring words, if any."""

    kind: ClassVar[str] = "broadcast"
    adapter: bytes
    adapter_size: int
    last: LastSum | None


@dataclass(frozen=True)
class Masked(Body):
    """A member's masked vector (the blob). `unopened`: dealers whose envelope did not open or match its commitment;
    this member will have no share of theirs to reveal."""

    kind: ClassVar[str] = "masked"
    unopened: tuple[str, ...]


@dataclass(frozen=True)
class Survivors(Body):
    """Who of U2 is gone, and the signed headers of the Masked of the rest (U3), sorted by member."""

    kind: ClassVar[str] = "survivors"
    gone: tuple[str, ...]
    masked: tuple[Signed, ...]


@dataclass(frozen=True)
class Agreed(Body):
    """A vote for exactly one survivor set."""

    kind: ClassVar[str] = "agreed"
    survivors: bytes


@dataclass(frozen=True)
class Unmask(Body):
    """The votes of at least t distinct members of U3 for the same set, sorted by member."""

    kind: ClassVar[str] = "unmask"
    agreed: tuple[Signed, ...]


@dataclass(frozen=True)
class Revealed(Body):
    """Shares of the self-mask seeds of U3 and of the mask keys of U2 without U3: never both for one member."""

    kind: ClassVar[str] = "revealed"
    survivors: bytes
    seed_shares: Annotated[dict[str, bytes], Size(SHARE_SIZE)] = field(repr=False)
    key_shares: Annotated[dict[str, bytes], Size(SHARE_SIZE)] = field(repr=False)


@dataclass(frozen=True)
class Refused(Body):
    """A member will not answer a request, and says why: the code of the refusal and its English text."""

    kind: ClassVar[str] = "refused"
    request: str
    code: str
    reason: str
