"""The coordinator's machine: one aggregation from Keys to the sum.

    offers() -> accept(Keys)*     -> cohorts() -> accept(Shares)* -> inboxes(terms) -> accept(Masked)*
             -> survivors()       -> accept(Agreed)* -> unmasks() -> accept(Revealed)* -> total()

Asking for the next step's requests closes the step before: whoever has not answered by then is out. `accept` raises for
an answer that is not acceptable and changes nothing; the caller goes on without that member. When fewer than t are
left, closing raises TooFewMembers. A masked vector is added to the running sum on arrival and not kept; envelopes go to
a shelf, and of what is revealed the shares stay as bytes. So memory holds no objects for pairs of neighbours.

Requests follow from the offer, the terms, the signer's key (Ed25519 is deterministic) and what was accepted. So only
`answers` has to be durable: `replay` takes them after a restart, and every request comes out as the same bytes again.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from federation.errors import RengoError
from federation.identity import Identity
from federation.secagg import shamir
from federation.secagg.contexts import (
    Terms,
    round_context_from,
    seed_commitment,
    setup_context,
    share_commitment,
    share_context_from,
    survivors_digest_from,
)
from federation.secagg.dealt import Dealt
from federation.secagg.graph import Graph
from federation.secagg.messages import (
    Agreed,
    Cohort,
    Inbox,
    Keys,
    Masked,
    Offer,
    Revealed,
    RoundProof,
    Shares,
    Survivors,
    Unmask,
)
from federation.secagg.on_demand import OnDemand
from federation.secagg.opened import Opened
from federation.secagg.parties import Parties, check_points
from federation.secagg.primitives import Mask, Words, add_masks, agree, derive
from federation.secagg.refusals import Duplicated, NotAllowedHere, UnknownMember, WrongTerms
from federation.secagg.shelf import InMemory, Shelf
from federation.wire import Body, Malformed, Signed

B = TypeVar("B", bound=Body)


class Step(enum.Enum):
    """The five steps, by the answer that is awaited."""

    KEYS = "keys"
    SHARES = "shares"
    MASKED = "masked"
    AGREED = "agreed"
    REVEALED = "revealed"


class TooFewMembers(RengoError):
    """Only {count} members answered {step}; {needed} are needed. The attempt is given up."""

    ja = "{step} に応答した参加拠点は {count} だけです（必要数 {needed}）。この試行は中止します。"
    exit_code = 9


class FalseShare(RengoError):
    """{member} revealed a share of {dealer}'s {what} that is not the one it was given. Its answer is not used."""

    ja = "{member} が開示した {dealer} の {what} のシェアは、渡されたものと異なります。この応答は使いません。"
    exit_code = 10


class FalseDealer(RengoError):
    """{dealer} dealt shares that match its commitments but not its secret ({what}). This attempt cannot be opened."""

    ja = "{dealer} の配ったシェアは約束とは合いますが秘密（{what}）と合いません。この試行は開けません。"
    exit_code = 10


@dataclass(frozen=True)
class Answers:
    """What a step of `offer`'s round has accepted: signed answers without their data; of Masked the vectors' sum; of
    Shares the places of their envelopes on the shelf, in the same order."""

    offer: Offer
    step: Step
    statements: tuple[Signed, ...]
    total: Words | None = field(default=None, repr=False)
    places: tuple[int, ...] = ()


class Aggregation:
    """One (round, attempt). `step` is the answer awaited; after each closing, `u1`..`u4` say who answered. Envelopes
    lie on `shelf`: for `replay`, the one that they were put on."""

    def __init__(self, signer: Identity, parties: Parties, offer: Offer, shelf: Shelf | None = None) -> None:
        self.parties, self.offer, self.step = parties, offer, Step.KEYS
        self.setup_ctx = setup_context(offer)
        self._signer, self._shelf = signer, InMemory() if shelf is None else shelf
        self._answers: dict[str, Signed] = {}
        self._keys: dict[str, Keys] = {}
        self._points: set[bytes] = set()
        self._dealt: dict[str, Dealt] = {}
        self._shares: dict[str, Shares] = {}
        self._unopened: dict[str, tuple[str, ...]] = {}
        self._revealed: set[str] = set()
        self._opened = Opened()
        self.u1: tuple[str, ...] = ()
        self.u2: tuple[str, ...] = ()
        self.u3: tuple[str, ...] = ()
        self.u4: tuple[str, ...] = ()

    def offers(self) -> Mapping[str, Signed]:
        """Step 0: ask every member of the job for Keys."""
        return OnDemand(self.parties.members, lambda m: self._signer.sign(self.offer, self.setup_ctx, m))

    def cohorts(self) -> Mapping[str, Signed]:
        """Step 1: show U1 to itself, each its neighbourhood."""
        keys = self._close(Step.KEYS, Step.SHARES)
        everyone, claim = self.parties.claim("U1", keys)
        self.u1, self._keys_digest = everyone.members, everyone.digest
        self.share_ctx = share_context_from(self.setup_ctx, self._keys_digest)
        self._near1 = near = self.parties.graph(self.share_ctx).among(self.u1)

        def cohort(member: str) -> Signed:
            return self._signer.sign(Cohort(_shown(keys, near, member)), self.setup_ctx, member, claim)

        return OnDemand(self.u1, cohort)

    def inboxes(self, terms: Terms) -> Mapping[str, Signed]:
        """Step 2: hand out the envelopes, and fix what the vectors will be."""
        shares = self._close(Step.SHARES, Step.MASKED)
        headers = {m: statement.without_blob() for m, statement in shares.items()}
        everyone, claim = self.parties.claim("U2", headers)
        self.u2, self._shares_digest = everyone.members, everyone.digest
        self._near2 = near = self._near1.among(self.u2)
        self.require_holders(self.u2)
        self.terms, self.ctx = terms, round_context_from(self.share_ctx, self._shares_digest, terms)
        self._sum = np.zeros(terms.dimension, dtype=f"<u{terms.ring_bits // 8}")

        def inbox(recipient: str) -> Signed:
            sealed = tuple(self._dealt[dealer].to(recipient) for dealer in near.neighbourhood(recipient))
            body = Inbox(_shown(headers, near, recipient), sealed)
            return self._signer.sign(body, self.share_ctx, recipient, claim)

        return OnDemand(self.u2, inbox)

    def survivors(self) -> Mapping[str, Signed]:
        """Step 3: ask U3 to sign who survived."""
        masked = self._close(Step.MASKED, Step.AGREED)
        everyone, claim = self.parties.claim("U3", masked)
        self.u3 = everyone.members
        self._near3 = near = self._near1.among(self.u3)
        gone = self._near1.among(set(self.u2) - set(self.u3))
        self.survivors_digest = survivors_digest_from(self.ctx, everyone.digest)

        def survivors(member: str) -> Signed:
            body = Survivors(gone.neighbourhood(member), _shown(masked, near, member))
            return self._signer.sign(body, self.ctx, member, claim)

        return OnDemand(self.u3, survivors)

    def unmasks(self) -> Mapping[str, Signed]:
        """Step 4: show the votes to those who voted."""
        agreed = self._close(Step.AGREED, Step.REVEALED)
        self.u4 = tuple(agreed)
        self.require_holders(self.u4)
        self._votes = tuple(agreed[m] for m in self._near3.voters if m in agreed)
        if len(self._votes) < self.parties.threshold:
            raise TooFewMembers(count=len(self._votes), step="the vote", needed=self.parties.threshold)
        body = Unmask(self._votes)
        return OnDemand(self.u4, lambda m: self._signer.sign(body, self.ctx, m))

    @property
    def answered(self) -> frozenset[str]:
        """Who has answered the current step."""
        return frozenset(self._answers)

    @property
    def ready(self) -> bool:
        """Whether enough have answered the current step to go on; at the last one, enough holders of every secret."""
        if self.step is Step.REVEALED:
            return self.fewest_shares >= self.parties.threshold
        return len(self._answers) >= self._needed

    @property
    def _needed(self) -> int:
        """How many have to answer the current step: to be in a sum, to vote about it, or to open it."""
        votes = {Step.AGREED: self.parties.least_quorum, Step.REVEALED: self.parties.threshold}
        return votes.get(self.step, self.parties.quorum)

    @property
    def fewest_shares(self) -> int:
        """While shares are revealed: how many there are of the secret that fewest could reveal."""
        return self._fewest_shares(self._answers)[0]

    @property
    def dropped(self) -> dict[Step, tuple[str, ...]]:
        """By step: who answered the step before and not this one. Complete once `total` has been called."""
        sets = (self.parties.members, self.u1, self.u2, self.u3, self.u4, tuple(self._revealed))
        return {s: tuple(sorted(set(a) - set(b))) for s, a, b in zip(Step, sets, sets[1:], strict=False)}

    def require_holders(self, members: Collection[str]) -> None:
        """Raises TooFewMembers when the sum could not be opened by all of `members` together. To be known before any
        of them reveals: afterwards there is no other attempt on this adapter."""
        count, dealer = self._fewest_shares(members)
        if count < self.parties.threshold:
            raise TooFewMembers(count=count, step=f"shares of {dealer}", needed=self.parties.threshold)

    def has(self, statement: Signed) -> bool:
        """Whether this very statement was accepted in the current step."""
        mine = self._answers.get(statement.header.sender)
        return mine is not None and (mine.header_bytes, mine.signature) == (statement.header_bytes, statement.signature)

    def accept(self, statement: Signed) -> None:
        """Take one member's answer to the current step, or raise: Malformed, SignatureInvalid, Refusal, FalseShare.
        ShelfDamaged and OSError are no fault of the member's."""
        self._take(statement, None)

    def _take(self, statement: Signed, place: int | None) -> None:
        """`place`: where its data lies on the shelf already."""
        sender, kind = statement.header.sender, statement.header.kind
        self._require_awaited(statement)
        if len(statement.blob) and self.step not in (Step.SHARES, Step.MASKED):
            raise Malformed(detail=f"{kind} carries data that it should not")
        statement.check_blob()
        match self.step:
            case Step.KEYS:
                keys = self._open(statement, Keys, self.setup_ctx, self.parties.members)
                check_points({sender: keys}, self._points)
                self._points |= {keys.mask_key, keys.channel_key}
                self._keys[sender] = keys
            case Step.SHARES:
                self._accept_shares(sender, statement, place)
            case Step.MASKED:
                self._check_masked(statement)
                self._sum += np.frombuffer(statement.blob, dtype=self._sum.dtype)
            case Step.AGREED:
                vote = self._open(statement, Agreed, self.ctx, self.u3)
                if vote.survivors != self.survivors_digest:
                    raise WrongTerms(what="survivor set", actual=vote.survivors.hex(), expected="the one shown")
            case Step.REVEALED:
                revealed = self._open(statement, Revealed, self.ctx, self.u4)
                self._check_revealed(sender, revealed)
                self._opened.add(self.parties.index(sender), revealed)
                self._revealed.add(sender)
        # The vector is in the sum now, envelopes are on the shelf. And without what was decoded of the header.
        self._answers[sender] = statement.without_blob()

    def answers(self) -> Answers | None:
        """What the current step has accepted, to be made durable before the next one's requests leave. None while it is
        fewer than t vectors: the attempt fails anyway, and a sum of one would be one member's vector on a disk."""
        masked = self.step is Step.MASKED
        if masked and not self.ready:
            return None
        places = tuple(self._dealt[m].place for m in self._answers) if self.step is Step.SHARES else ()
        return Answers(self.offer, self.step, tuple(self._answers.values()), self._sum if masked else None, places)

    def replay(self, answers: Answers) -> None:
        """After a restart: accept a step's answers again, through the same checks. Raises as `accept` does."""
        if answers.total is None:
            for statement, place in zip_longest(answers.statements, answers.places):
                data = b"" if place is None else self._shelf.read(place, place + statement.header.blob_size)
                self._take(Signed(statement.header_bytes, statement.signature, data), place)
            return
        for statement in answers.statements:
            self._require_awaited(statement)
            self._check_masked(statement)
            self._answers[statement.header.sender] = statement.without_blob()
        # Onto the zeros that `inboxes` has put there: the vectors of exactly these headers, each once.
        self._sum += answers.total

    def total(self, threads: int = 1) -> Words:
        """The sum over U3, unmasked. Raises TooFewMembers or FalseDealer."""
        self._close(Step.REVEALED, Step.REVEALED)
        add_masks(self._sum, self._masks_left(), threads)
        return self._sum

    def proof(self) -> RoundProof:
        """Proof of this round for members that are not in it. Known once `unmasks` has been called."""
        terms = self.terms
        stated = (terms.adapter, terms.dimension, terms.ring_bits, terms.encoding, terms.privacy, terms.last)
        return RoundProof(self.offer, self._keys_digest, self._shares_digest, *stated, self._votes)

    def _close(self, step: Step, following: Step) -> dict[str, Signed]:
        if self.step is not step:
            raise NotAllowedHere(kind=f"closing {step.value}", state=f"waiting for {self.step.value}")
        needed = self._needed
        if len(self._answers) < needed:
            raise TooFewMembers(count=len(self._answers), step=step.value, needed=needed)
        answers, self._answers, self.step = self._answers, {}, following
        return dict(sorted(answers.items()))

    def _fewest_shares(self, members: Collection[str]) -> tuple[int, str]:
        """(shares that `members` hold, dealer), for the dealer of whom they hold fewest: some could not be opened."""
        near, unopened = self._near1.among(members), self._unopened
        held = {
            dealer: [m for m in near.neighbourhood(dealer) if dealer not in unopened.get(m, ())] for dealer in self.u2
        }
        return min((len(holders), dealer) for dealer, holders in held.items())

    def _require_awaited(self, statement: Signed) -> None:
        sender, kind = statement.header.sender, statement.header.kind
        if kind != self.step.value:
            raise NotAllowedHere(kind=kind, state=f"waiting for {self.step.value}")
        if sender in self._answers:
            raise Duplicated(what=f"{kind} of {sender}")

    def _open(self, statement: Signed, kind: type[B], digest: bytes, allowed: Sequence[str]) -> B:
        sender = statement.header.sender
        if sender not in allowed:
            raise UnknownMember(member=sender, step=kind.kind)
        return self.parties.open(statement, kind, digest, kind.kind)

    def _accept_shares(self, sender: str, statement: Signed, place: int | None) -> None:
        shares = self._open(statement, Shares, self.share_ctx, self.u1)
        recipients = self._near1.neighbourhood(sender)
        self._dealt[sender] = Dealt.read(sender, recipients, shares.root, statement.blob, self._shelf, place)
        self._shares[sender] = shares

    def _check_masked(self, statement: Signed) -> None:
        """By its header alone, which names the vector's size and hash."""
        masked = self._open(statement, Masked, self.ctx, self.u2)
        if list(masked.unopened) != sorted(
            set(masked.unopened) & set(self._near2.neighbourhood(statement.header.sender))
        ):
            raise Malformed(detail="the unopened dealers are not distinct, sorted and in the cohort")
        if statement.header.blob_size != self._sum.nbytes:
            raise WrongTerms(what="vector size", actual=statement.header.blob_size, expected=self._sum.nbytes)
        self._unopened[statement.header.sender] = masked.unopened

    def _check_revealed(self, sender: str, revealed: Revealed) -> None:
        dealers, alive = (set(near.neighbourhood(sender)) for near in (self._near2, self._near3))
        missing = set(self._unopened[sender])
        if set(revealed.seed_shares) != alive - missing or set(revealed.key_shares) != dealers - alive - missing:
            raise Malformed(detail=f"{sender} did not reveal exactly what was asked")
        for what, shares in (("seed", revealed.seed_shares), ("key", revealed.key_shares)):
            for dealer, share in shares.items():
                sealed = self._dealt[dealer].to(sender)
                expected = sealed.seed_commitment if what == "seed" else sealed.key_commitment
                if share_commitment(self.share_ctx, what, dealer, sender, share) != expected:
                    raise FalseShare(member=sender, dealer=dealer, what=what)

    def _masks_left(self) -> list[Mask]:
        """What takes the masks off the sum: U3's self masks, and U3's pair masks with those who are gone."""
        masks: list[Mask] = []
        for member in self.u3:
            seed = self._recover(member, "seed")
            if seed_commitment(self.share_ctx, member, seed) != self._shares[member].seed_commitment:
                raise FalseDealer(dealer=member, what="self-mask seed")
            masks.append((derive(seed, self.ctx, "self", member), -1))
        for member in sorted(set(self.u2) - set(self.u3)):
            private = X25519PrivateKey.from_private_bytes(self._recover(member, "key"))
            if private.public_key().public_bytes_raw() != self._keys[member].mask_key:
                raise FalseDealer(dealer=member, what="mask key")
            for peer in self._near3.neighbourhood(member):
                low, high = sorted((member, peer))
                pair = derive(agree(private, self._keys[peer].mask_key), self.ctx, "pair", low, high)
                # The survivor added or subtracted this mask; take it out again.
                masks.append((pair, -1 if peer == low else 1))
        return masks

    def _recover(self, dealer: str, what: str) -> bytes:
        shares = self._opened.of(dealer, self.parties.threshold)
        if len(shares) < self.parties.threshold:
            raise TooFewMembers(count=len(shares), step=f"shares of {dealer}", needed=self.parties.threshold)
        try:
            return shamir.combine(shares, shamir.lagrange_at_zero(tuple(shares)))
        except shamir.InconsistentShares as error:
            raise FalseDealer(dealer=dealer, what=what) from error


def _shown(statements: Mapping[str, Signed], near: Graph, member: str) -> tuple[Signed, ...]:
    """The statements of a member's neighbourhood."""
    return tuple(statements[m] for m in near.neighbourhood(member))
