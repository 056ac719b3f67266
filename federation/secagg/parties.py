"""Who takes part in a job, and the checks on signed statements that members and coordinator share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from federation.errors import RengoError
from federation.identity import COORDINATOR, Roster, open_signed
from federation.plan import threshold
from federation.secagg.messages import Keys
from federation.secagg.primitives import is_safe_point
from federation.secagg.refusals import BadPoint, CohortTooSmall, Duplicated, UnknownMember
from federation.wire import Body, Signed

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
class Parties:
    """The N members that a job names, within a verified roster. Raises NotInRoster."""

    roster: Roster
    members: tuple[str, ...]

    def __post_init__(self) -> None:
        missing = [member for member in self.members if member not in self.roster.keys]
        if missing:
            raise NotInRoster(members=", ".join(missing), version=self.roster.version)

    @property
    def threshold(self) -> int:
        """t, from N alone. Nobody sends it and no cohort changes it."""
        return threshold(len(self.members))

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


def check_points(keys: Mapping[str, Keys]) -> None:
    """Raises BadPoint or Duplicated unless every key is a safe point and no two are equal."""
    seen: set[bytes] = set()
    for member, pair in keys.items():
        for what, point in (("mask key", pair.mask_key), ("channel key", pair.channel_key)):
            if not is_safe_point(point):
                raise BadPoint(what=what, member=member)
            if point in seen:
                raise Duplicated(what=f"the {what} of {member}")
            seen.add(point)
