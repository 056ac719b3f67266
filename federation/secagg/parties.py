"""Who takes part in a job, and the checks on signed statements that members and coordinator share."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from federation.errors import RengoError
from federation.identity import COORDINATOR, Roster, open_signed
from federation.plan import Plan, least_quorum
from federation.secagg.contexts import claim_digest, statements_digest
from federation.secagg.graph import Graph, Parameters, graph_of
from federation.secagg.messages import Claim, Keys
from federation.secagg.primitives import is_safe_point
from federation.secagg.refusals import BadPoint, CohortTooSmall, Duplicated, UnknownMember
from federation.wire import Body, Buffer, Malformed, Signed, canonical_cbor, read_body, read_cbor

B = TypeVar("B", bound=Body)


class NotInRoster(RengoError):
    """The plan names {members}, which roster {version} does not have. Nothing was started; ask the coordinator for a
    plan that fits its roster."""

    ja = (
        "計画にある {members} は参加者名簿（版 {version}）にありません。何も開始していません。"
        "名簿に合う計画を事務局に依頼してください。"
    )
    exit_code = 3


@dataclass(frozen=True)
class Everyone:
    """Who is in U1, U2 or U3, and the digest that stands for what they said."""

    members: tuple[str, ...]
    digest: bytes


@dataclass(frozen=True)
class Parties:
    """The N members that a job names, within a verified roster. Raises NotInRoster.

    `sparse`: the neighbourhoods of `threat=semi_malicious`; None where everybody is everybody's neighbour.
    `asked`: how many members the plan asks for in every sum (`secagg.quorum`); fewer than the least quorum is that.
    """

    roster: Roster
    members: tuple[str, ...]
    sparse: Parameters | None = None
    asked: int = 0

    @classmethod
    def of(cls, roster: Roster, plan: Plan) -> "Parties":
        """The members of a plan, and what its `secagg.threat` makes them show each other."""
        return cls(roster, plan.members, plan.neighbourhoods, plan.quorum)

    def __post_init__(self) -> None:
        missing = [member for member in self.members if member not in self.roster.keys]
        if missing:
            raise NotInRoster(members=", ".join(missing), version=self.roster.version)

    @property
    def quorum(self) -> int:
        """How many of the N members have to be in every sum. Nobody sends it and no cohort changes it."""
        return max(self.asked, self.least_quorum)

    @property
    def least_quorum(self) -> int:
        """How many have to vote. From the number of members alone."""
        return least_quorum(len(self.members), self.sparse.corrupt if self.sparse else 0)

    @property
    def threshold(self) -> int:
        """t: how many of a neighbourhood open a secret, and how many votes decide. From the plan alone, too."""
        return self.sparse.threshold if self.sparse else self.least_quorum

    @property
    def spare(self) -> int:
        """How many members a round can do without."""
        beyond = len(self.members) - self.quorum
        return min(self.sparse.lost, beyond) if self.sparse else beyond

    def graph(self, share_ctx: bytes) -> Graph:
        """Who is whose neighbour in a set-up."""
        return graph_of(self.members, self.sparse.degree if self.sparse else len(self.members), share_ctx)

    def claim(self, name: str, statements: Mapping[str, Signed]) -> tuple[Everyone, bytes]:
        """The coordinator's side of `everyone`: it knows all statements, by member and sorted. And the data to send."""
        digest = statements_digest(name, list(statements.values()))
        if self.sparse is None:
            return Everyone(tuple(statements), digest), b""
        claim = Claim(digest, tuple(member for member in self.members if member not in statements))
        return Everyone(tuple(statements), claim_digest(name, claim)), canonical_cbor(claim.to_plain())

    def everyone(self, name: str, shown: Sequence[Signed], claim: Buffer) -> Everyone:
        """Who is in the set `name`: those whose statements are shown; where that is a neighbourhood, those whom the
        coordinator claims. Raises Malformed, also for a claim where all have to be shown."""
        if self.sparse is None:
            if len(claim):
                raise Malformed(detail="a claim stands in for nobody where all members are shown")
            return Everyone(tuple(statement.header.sender for statement in shown), statements_digest(name, shown))
        plain = read_cbor(claim)
        if not isinstance(plain, dict):
            raise Malformed(detail="a claim is a map")
        claimed = read_body(Claim, plain)
        absent = set(claimed.absent)
        if list(claimed.absent) != sorted(absent & set(self.members)):
            raise Malformed(detail="those absent are not distinct, sorted and members of the job")
        return Everyone(tuple(m for m in self.members if m not in absent), claim_digest(name, claimed))

    def index(self, member: str) -> int:
        """The member's abscissa in Shamir's scheme."""
        return self.roster.indices[member]

    def open(self, statement: Signed, kind: type[B], digest: bytes, step: str) -> B:
        """A member's verified statement to the coordinator. Raises UnknownMember, Malformed, SignatureInvalid."""
        sender = statement.header.sender
        if sender not in self.members:
            raise UnknownMember(member=sender, step=step)
        key = self.roster.keys[sender]
        return open_signed(statement, kind, public_key=key, digest=digest, sender=sender, recipient=COORDINATOR)

    def open_all(
        self, statements: Sequence[Signed], kind: type[B], digest: bytes, step: str, minimum: int
    ) -> dict[str, B]:
        """One verified statement a member, sorted by member, at least `minimum` of them."""
        senders = [statement.header.sender for statement in statements]
        if len(set(senders)) != len(senders):
            raise Duplicated(what=f"a member in {step}")
        if senders != sorted(senders):
            raise Duplicated(what=f"{step} is not sorted: a member")
        if len(senders) < minimum:
            raise CohortTooSmall(count=len(senders), step=step, needed=minimum)
        return {s: self.open(statement, kind, digest, step) for s, statement in zip(senders, statements, strict=True)}


def check_points(keys: Mapping[str, Keys], others: Collection[bytes] = ()) -> None:
    """Raises BadPoint or Duplicated unless every key is a safe point, no two are equal and none is among `others`."""
    seen = set(others)
    for member, pair in keys.items():
        for what, point in (("mask key", pair.mask_key), ("channel key", pair.channel_key)):
            if not is_safe_point(point):
                raise BadPoint(what=what, member=member)
            if point in seen:
                raise Duplicated(what=f"the {what} of {member}")
            seen.add(point)
