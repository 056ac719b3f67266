"""What this site decides about plans and rosters: recorded here first, then told to the coordinator."""

import hashlib
import json
import unicodedata
from dataclasses import asdict, dataclass

from clients import home as homes
from clients import policy_file
from clients.home import Approval, ApprovedFileChanged, Home, NothingApproved
from clients.journal import Departure, Journal
from clients.policy_file import RefusedByPolicy
from clients.registry_client import RegistryClient
from federation import load_plan
from federation.errors import RengoError
from federation.identity import Roster, SignedRoster
from federation.plan import Plan
from federation.registry import APPROVED, REFUSED, Standing
from federation.secagg.parties import Parties
from federation.secagg.refusals import JobClosed
from federation.wire import Malformed

BY_POLICY = "policy.toml"
"""Who decided, where no person did."""


class NothingProposed(RengoError):
    """The coordinator proposes no plan at present. Try again later."""

    ja = "事務局から提案されている計画はありません。後でもう一度お試しください。"
    exit_code = 9


class RosterOlder(RengoError):
    """The coordinator shows roster {shown}, which is older than the approved {approved}. Nothing was changed; ask the
    coordinator why."""

    ja = (
        "事務局の名簿（版 {shown}）は承認済みの版 {approved} より古いものです。"
        "何も変更していません。事務局に確認してください。"
    )
    exit_code = 10


class JobFinished(RengoError):
    """Job {job} is finished at this site, and no other plan is approved. See what is proposed: `rengo member review`,
    then `rengo member approve`."""

    ja = (
        "ジョブ {job} はこの拠点では完了しています。ほかに承認済みの計画はありません。"
        "`rengo member review` で確認し、`rengo member approve` で承認してください。"
    )
    exit_code = 9


@dataclass(frozen=True)
class Proposal:
    """What stands at the registry, verified: the roster and, if there is one, the proposed plan."""

    roster: SignedRoster
    plan: Plan | None

    def required_plan(self) -> Plan:
        """The plan. Raises NothingProposed."""
        if self.plan is None:
            raise NothingProposed
        return self.plan


def proposal(home: Home, standing: Standing) -> Proposal:
    """Raises SignatureInvalid, Malformed, RosterOlder or ConfigInvalid."""
    roster = standing.verified_roster(home.root())
    if home.file("roster").exists() and roster.version < home.roster().version:
        raise RosterOlder(shown=roster.version, approved=home.roster().version)
    plan = load_plan.from_yaml(_text(standing.plan), Plan) if standing.plan else None
    return Proposal(SignedRoster(roster, standing.roster_signature), plan)


def _text(plan: bytes) -> str:
    try:
        return plan.decode()
    except UnicodeDecodeError as error:
        raise Malformed(detail="the proposed plan is not UTF-8") from error


def require_permitted(home: Home, plan: Plan, journal: Journal) -> None:
    """Raises RefusedByPolicy unless this site is in the plan and policy.toml permits it."""
    if home.settings().id not in plan.members:
        raise RefusedByPolicy(detail="this site is not in the plan", detail_ja="この拠点は計画に含まれていません")
    policy_file.require_within(home.file("policy.toml"), plan, journal.contributions())


def approve(
    home: Home, roster: SignedRoster, plan: Plan, registry: RegistryClient, journal: Journal, who: tuple[str, str]
) -> Approval:
    """Approve the plan under the roster. `who`: applicant and approver. Raises RefusedByPolicy, or NotInRoster."""
    require_permitted(home, plan, journal)
    Parties.of(roster.roster, plan)
    applicant, approver = who
    if home.policy().two_persons and _person(approver) == _person(applicant):
        detail = "applicant and approver have to be two persons (policy.toml, two_persons)"
        raise RefusedByPolicy(
            detail=detail, detail_ja="申請者と承認者は別人でなければなりません（policy.toml two_persons）"
        )
    approval = _decision(APPROVED, plan, roster.roster, applicant, approver)
    home.approve(roster, plan, approval)
    _note(journal, approval)
    registry.consent(home.identity(), plan.digest(), roster.roster.digest(), APPROVED, "")
    return approval


def refuse(
    home: Home, roster: Roster, plan: Plan, registry: RegistryClient, journal: Journal, person: str, reason: str
) -> Approval:
    """Refuse the plan, and tell the coordinator the reason. An approval given earlier is void."""
    refusal = _decision(REFUSED, plan, roster, person, person, reason)
    home.note(refusal)
    _note(journal, refusal)
    registry.consent(home.identity(), plan.digest(), roster.digest(), REFUSED, reason[:500])
    return refusal


def approve_roster(
    home: Home, roster: SignedRoster, registry: RegistryClient, journal: Journal, person: str
) -> Plan | None:
    """Approve the roster alone; the plan whose approval stands is then approved under it too, and returned."""
    plan = home.plan() if home.file("plan.yaml").exists() and home.approved(home.plan()) else None
    approval = _decision(APPROVED, plan, roster.roster, person, person)
    home.approve(roster, None, approval)
    _note(journal, approval)
    if plan is not None:
        registry.consent(home.identity(), plan.digest(), roster.roster.digest(), APPROVED, "")
    return plan


def approve_within_policy(home: Home, standing: Standing, registry: RegistryClient, journal: Journal) -> Plan | None:
    """Approve a plan that nobody has decided about, where policy.toml says so; the plan, or None when there was nothing
    to do. Never a roster: its fingerprints are for people to compare. Raises RefusedByPolicy or NothingApproved."""
    if not home.policy().automatic_approval:
        return None
    proposed = proposal(home, standing)
    plan, roster = proposed.plan, proposed.roster
    if plan is None or any(a.plan == plan.digest().hex() for a in home.approvals()):
        return None
    if not home.file("roster").exists() or home.roster().digest() != roster.roster.digest():
        version = roster.roster.version
        raise NothingApproved(what=f"roster {version}", what_ja=f"参加者名簿 版 {version} ")
    approve(home, roster, plan, registry, journal, (BY_POLICY, BY_POLICY))
    return plan


def require_approved(home: Home) -> None:
    """A person's last word about the kept plan was yes, and about the kept roster. Raises NothingApproved, or
    ApprovedFileChanged when something else stands in a file than what was approved last."""
    plan, roster = home.plan(), home.roster()
    approved = [a for a in home.approvals() if a.answer == APPROVED]
    plans = [a.plan for a in approved if a.plan]  # a roster can be approved alone
    if plans and plans[-1] != plan.digest().hex():
        raise ApprovedFileChanged(path=home.file("plan.yaml"))
    if approved and approved[-1].roster != roster.digest().hex():
        raise ApprovedFileChanged(path=home.file("roster"))
    if not home.approved(plan):
        raise NothingApproved(what="plan", what_ja="計画")


def _person(name: str) -> str:
    """A name as it tells people apart: ｓａｔｏ, Sato and " sato" are one."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def is_finished(journal: Journal, plan: Plan) -> bool:
    """Whether this site has said its last word in the plan's job: the measuring round, after the last, was revealed."""
    return journal.history(plan.job).revealed_round > plan.rounds


def require_startable(home: Home, journal: Journal) -> None:
    """A plan is approved whose job is not over at this site. Raises what `require_approved` raises, JobClosed or
    JobFinished."""
    require_approved(home)
    plan = home.plan()
    journal.require_not_closed(plan.job)
    if is_finished(journal, plan):
        raise JobFinished(job=plan.job)


def is_other_startable(home: Home, journal: Journal, plan: Plan, roster: Roster) -> bool:
    """Whether another plan, or one under another roster, could be started than these. Not while one is written down."""
    try:
        require_startable(home, journal)
    except (NothingApproved, ApprovedFileChanged, JobClosed, JobFinished):
        return False
    return (home.plan().digest(), home.roster().digest()) != (plan.digest(), roster.digest())


def _decision(
    answer: str, plan: Plan | None, roster: Roster, applicant: str, approver: str, reason: str = ""
) -> Approval:
    digests = plan.digest().hex() if plan else "", roster.digest().hex()
    return Approval(homes.now(), answer, *digests, applicant, approver, reason)


def _note(journal: Journal, approval: Approval) -> None:
    """Into the journal's chain, so that a later change of approvals.json shows."""
    digest = hashlib.sha256(json.dumps(asdict(approval), ensure_ascii=False).encode()).digest()
    what = f"plan {approval.plan[:16]}, " if approval.plan else ""
    who = f"applicant {approval.applicant}, approver {approval.approver}"
    note = f"{approval.answer} {what}roster {approval.roster[:16]}; {who}; {approval.reason}".rstrip("; ")
    journal.record(Departure("", ("decision",), "", 0, digest, note=note))
