"""The member's machine: one object a state, each with the one thing that may happen next.

    KeysSent --Cohort--> SharesSent --Inbox--> Ready --mask()--> MaskedSent --Survivors--> AgreedSent --Unmask--> done

A transition returns the next state and the message to send, or raises a refusal and changes nothing. States are frozen
and keep only what later steps need: the private keys and the seed are gone once the vector is masked, so that this
member could not reveal them if it were asked to. What a member has said in other rounds is history.py's business.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federation.identity import COORDINATOR, Identity, open_signed
from federation.secagg import shamir
from federation.secagg.contexts import (
    Terms,
    leaf,
    round_context_from,
    seed_commitment,
    setup_context,
    share_commitment,
    share_context_from,
    survivors_digest_from,
)
from federation.secagg.graph import Graph
from federation.secagg.merkle import root_and_paths, root_from
from federation.secagg.messages import (
    Agreed,
    Cohort,
    Inbox,
    Keys,
    Masked,
    Offer,
    Revealed,
    Sealed,
    Shares,
    Survivors,
    Unmask,
)
from federation.secagg.parties import Everyone, Parties, check_points
from federation.secagg.primitives import Mask, Words, add_masks, agree, derive, seal, unseal
from federation.secagg.refusals import (
    CohortTooSmall,
    NeighboursDiffer,
    NotIncluded,
    SurvivorsInconsistent,
    TooFewSignatures,
)
from federation.wire import Body, Buffer, Signed, canonical_cbor

B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Seat:
    """What does not change in a session: who I am, with whom, and the site's own minimum cohort."""

    me: Identity
    parties: Parties
    minimum_cohort: int
    offer: Offer

    @property
    def minimum(self) -> int:
        """How many have to be in every sum: the site's minimum, and never below the quorum."""
        return max(self.minimum_cohort, self.parties.quorum)

    @property
    def shown(self) -> int:
        """How many of them have to be shown to me: all, or t where I am shown my neighbourhood."""
        return self.parties.threshold if self.parties.sparse else self.minimum

    @property
    def votes(self) -> int:
        """How many have to sign the same survivors. A plan's `quorum` is for sums and asks for no more votes: what they
        prove, that no second set can win, they prove from the least quorum on."""
        parties = self.parties
        return parties.threshold if parties.sparse else max(self.minimum_cohort, parties.least_quorum)

    def open(self, message: Signed, kind: type[B], digest: bytes) -> B:
        """A coordinator's verified message to me, in the context `digest`."""
        key = self.parties.roster.coordinator_key
        return open_signed(message, kind, public_key=key, digest=digest, sender=COORDINATOR, recipient=self.me.id)

    def open_all(
        self, name: str, statements: Sequence[Signed], claim: Buffer, kind: type[B], digest: bytes, step: str
    ) -> tuple[dict[str, B], Everyone]:
        """The verified statements of those in the set `name` that I am shown, by member, and who is in it."""
        opened = self.parties.open_all(statements, kind, digest, step, self.shown)
        everyone = self.parties.everyone(name, statements, claim)
        if len(everyone.members) < self.minimum:
            raise CohortTooSmall(count=len(everyone.members), step=step, needed=self.minimum)
        return opened, everyone

    def require_neighbours(self, graph: Graph, shown: Sequence[str], step: str) -> None:
        """Raises NeighboursDiffer unless `shown` is my neighbourhood in `graph`."""
        differing = sorted(set(graph.neighbourhood(self.me.id)) ^ set(shown))
        if differing:
            raise NeighboursDiffer(step=step, detail=", ".join(differing))

    def require_mine(self, mine: Signed, shown: tuple[Signed, ...], step: str) -> None:
        """Raises NotIncluded unless my own statement is among those shown, to the byte."""
        if not any((s.header_bytes, s.signature) == (mine.header_bytes, mine.signature) for s in shown):
            raise NotIncluded(step=step)


@dataclass(frozen=True)
class KeysSent:
    """Step 0 done: fresh keys announced, waiting for the cohort that announced theirs."""

    seat: Seat
    keys: Signed
    _mask_private: X25519PrivateKey = field(repr=False)
    _channel_private: X25519PrivateKey = field(repr=False)

    def on_cohort(self, message: Signed) -> tuple["SharesSent", Signed]:
        """U1 is known: deal a fresh self-mask seed and my mask key to everyone in it."""
        setup_ctx = setup_context(self.seat.offer)
        cohort = self.seat.open(message, Cohort, setup_ctx)
        keys, u1 = self.seat.open_all("U1", cohort.keys, message.blob, Keys, setup_ctx, "Keys")
        self.seat.require_mine(self.keys, cohort.keys, "Keys")
        check_points(keys)
        share_ctx = share_context_from(setup_ctx, u1.digest)
        graph = self.seat.parties.graph(share_ctx).among(u1.members)
        self.seat.require_neighbours(graph, tuple(keys), "Keys")
        seed = secrets.token_bytes(32)
        root, sealed = self._deal(keys, share_ctx, seed)
        body = Shares(seed_commitment(share_ctx, self.seat.me.id, seed), root)
        blob = canonical_cbor([s.to_plain() for s in sealed])
        shares = self.seat.me.sign(body, share_ctx, COORDINATOR, blob)
        private = (self._mask_private, self._channel_private, seed)
        return SharesSent(self.seat, shares, share_ctx, graph, keys, *private), shares

    def _deal(self, keys: Mapping[str, Keys], share_ctx: bytes, seed: bytes) -> tuple[bytes, list[Sealed]]:
        """The root over what is dealt, and what each recipient gets, in U1's order."""
        parties, me = self.seat.parties, self.seat.me.id
        indices = [parties.index(member) for member in keys]
        seed_shares = shamir.share(seed, parties.threshold, indices)
        key_shares = shamir.share(self._mask_private.private_bytes_raw(), parties.threshold, indices)
        sealed = []
        for member, pair in keys.items():
            x = parties.index(member)
            # I am a recipient like any other, so that my own shares need no place of their own.
            secret = agree(self._channel_private, pair.channel_key)
            key = derive(secret, share_ctx, "envelope", me, member)
            sealed.append(
                Sealed(
                    share_commitment(share_ctx, "seed", me, member, seed_shares[x]),
                    share_commitment(share_ctx, "key", me, member, key_shares[x]),
                    seal(key, share_ctx, me, member, seed_shares[x], key_shares[x]),
                    b"",
                )
            )
        root, paths = root_and_paths([leaf(s.seed_commitment, s.key_commitment) for s in sealed])
        return root, [replace(s, path=path) for s, path in zip(sealed, paths, strict=True)]


@dataclass(frozen=True)
class SharesSent:
    """Step 1 done: waiting for the others' shares."""

    seat: Seat
    shares: Signed
    share_ctx: bytes
    graph: Graph
    keys: Mapping[str, Keys]
    _mask_private: X25519PrivateKey = field(repr=False)
    _channel_private: X25519PrivateKey = field(repr=False)
    _seed: bytes = field(repr=False)

    def on_inbox(self, message: Signed) -> "Ready":
        """U2 is known: open what each of it sealed for me. A dealer whose envelope fails is noted, not accused:
        nobody can tell a false dealer from a carrier that changed the envelope."""
        inbox = self.seat.open(message, Inbox, self.share_ctx)
        dealers, u2 = self.seat.open_all("U2", inbox.shares, message.blob, Shares, self.share_ctx, "Shares")
        self.seat.require_mine(self.shares, inbox.shares, "Shares")
        outside = sorted(set(dealers) - set(self.keys))
        if outside or len(inbox.sealed) != len(dealers):
            raise SurvivorsInconsistent(detail=f"Shares of {', '.join(outside) or 'another number'} than Keys allow")
        graph = self.graph.among(u2.members)
        self.seat.require_neighbours(graph, tuple(dealers), "Shares")
        held = {}
        for (dealer, shares), sealed in zip(dealers.items(), inbox.sealed, strict=True):
            opened = self._open(dealer, shares, sealed)
            if opened is not None:
                held[dealer] = opened
        stands = (self.seat, self.share_ctx, self.graph, self.keys, u2.digest, tuple(dealers))
        return Ready(*stands, held, self._mask_private, self._seed)

    def _open(self, dealer: str, shares: Shares, sealed: Sealed) -> tuple[bytes, bytes] | None:
        me = self.seat.me.id
        recipients = self.graph.neighbourhood(dealer)
        mine, mine_leaf = recipients.index(me), leaf(sealed.seed_commitment, sealed.key_commitment)
        if root_from(mine_leaf, mine, len(recipients), sealed.path) != shares.root:
            return None
        secret = agree(self._channel_private, self.keys[dealer].channel_key)
        opened = unseal(
            derive(secret, self.share_ctx, "envelope", dealer, me), self.share_ctx, dealer, me, sealed.envelope
        )
        if opened is None:
            return None
        committed = (sealed.seed_commitment, sealed.key_commitment)
        actual = tuple(
            share_commitment(self.share_ctx, kind, dealer, me, share)
            for kind, share in zip(("seed", "key"), opened, strict=True)
        )
        return opened if actual == committed else None


@dataclass(frozen=True)
class Ready:
    """The cohort stands; the vector may be trained and masked. Nothing of it depends on what follows."""

    seat: Seat
    share_ctx: bytes
    graph: Graph
    keys: Mapping[str, Keys]
    u2: bytes
    dealers: tuple[str, ...]
    _held: Mapping[str, tuple[bytes, bytes]] = field(repr=False)
    _mask_private: X25519PrivateKey = field(repr=False)
    _seed: bytes = field(repr=False)

    @property
    def unopened(self) -> tuple[str, ...]:
        """Dealers of whom I hold no share."""
        return tuple(dealer for dealer in self.dealers if dealer not in self._held)

    def mask(self, vector: Words, terms: Terms, threads: int = 1) -> tuple["MaskedSent", Signed]:
        """x + PRG(self) + sum of +-PRG(pair), in place: `vector` belongs to this call and is masked afterwards."""
        me = self.seat.me.id
        ctx = round_context_from(self.share_ctx, self.u2, terms)
        masks: list[Mask] = [(derive(self._seed, ctx, "self", me), 1)]
        for peer in self.dealers:
            if peer != me:
                low, high = sorted((me, peer))
                secret = agree(self._mask_private, self.keys[peer].mask_key)
                # The lower id adds, the higher subtracts: the pair's masks cancel in the sum.
                masks.append((derive(secret, ctx, "pair", low, high), 1 if me == low else -1))
        add_masks(vector, masks, threads)
        masked = self.seat.me.sign(Masked(self.unopened), ctx, COORDINATOR, vector.data.cast("B"))
        return MaskedSent(self.seat, self.graph, ctx, masked.without_blob(), self.dealers, self._held), masked


@dataclass(frozen=True)
class MaskedSent:
    """Step 2 done: waiting to hear who is gone."""

    seat: Seat
    graph: Graph
    ctx: bytes
    masked: Signed
    dealers: tuple[str, ...]
    _held: Mapping[str, tuple[bytes, bytes]] = field(repr=False)

    def on_survivors(self, message: Signed) -> tuple["AgreedSent", Signed]:
        """U3 is claimed: sign it, once, if it and the gone make up U2 exactly and my own vector is in it."""
        survivors = self.seat.open(message, Survivors, self.ctx)
        alive, u3 = self.seat.open_all("U3", survivors.masked, message.blob, Masked, self.ctx, "Masked")
        self.seat.require_mine(self.masked, survivors.masked, "Masked")
        both = sorted(set(alive) & set(survivors.gone))
        if both:
            raise SurvivorsInconsistent(detail=f"{', '.join(both)} both gone and alive")
        if sorted([*alive, *survivors.gone]) != sorted(self.dealers):
            raise SurvivorsInconsistent(detail="members are missing, repeated or foreign")
        graph = self.graph.among(u3.members)
        self.seat.require_neighbours(graph, tuple(alive), "Masked")
        digest = survivors_digest_from(self.ctx, u3.digest)
        agreed = self.seat.me.sign(Agreed(digest), self.ctx, COORDINATOR)
        sets = (tuple(alive), survivors.gone, graph.voters)
        return AgreedSent(self.seat, self.ctx, agreed, digest, *sets, self._held), agreed


@dataclass(frozen=True)
class AgreedSent:
    """Step 3 done: waiting for proof that at least t members signed the same survivor set."""

    seat: Seat
    ctx: bytes
    agreed: Signed
    survivors: bytes
    alive: tuple[str, ...]
    gone: tuple[str, ...]
    voters: tuple[str, ...]
    _held: Mapping[str, tuple[bytes, bytes]] = field(repr=False)

    def on_unmask(self, message: Signed) -> Signed:
        """Reveal what unmasks U3 and nothing else: seed shares of the alive, key shares of the gone."""
        unmask = self.seat.open(message, Unmask, self.ctx)
        votes = self.seat.parties.open_all(unmask.agreed, Agreed, self.ctx, "Agreed", minimum=0)
        if self.seat.me.id in self.voters:
            self.seat.require_mine(self.agreed, unmask.agreed, "Agreed")
        other = [voter for voter, vote in votes.items() if vote.survivors != self.survivors]
        strangers = sorted(set(votes) - set(self.voters))
        if other or strangers:
            raise SurvivorsInconsistent(detail=f"{', '.join(other + strangers)} signed another set or is not in it")
        if len(votes) < self.seat.votes:
            raise TooFewSignatures(count=len(votes), needed=self.seat.votes)
        seeds = {dealer: self._held[dealer][0] for dealer in self.alive if dealer in self._held}
        keys = {dealer: self._held[dealer][1] for dealer in self.gone if dealer in self._held}
        return self.seat.me.sign(Revealed(self.survivors, seeds, keys), self.ctx, COORDINATOR)


def announce(seat: Seat) -> tuple[KeysSent, Signed]:
    """Step 0: two fresh X25519 keys for one round and attempt, signed."""
    mask_private, channel_private = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    body = Keys(mask_private.public_key().public_bytes_raw(), channel_private.public_key().public_bytes_raw())
    keys = seat.me.sign(body, setup_context(seat.offer), COORDINATOR)
    return KeysSent(seat, keys, mask_private, channel_private), keys
