"""The two machines as data: what each state waits for, what answers it, and what comes next.

The member looks its one allowed message up here; docs/protocol.md is written from these tables, and a test shows every
message to the real machines in every state (tests/protocol/test_transitions.py).
"""

from dataclasses import dataclass

from federation.secagg.client import AgreedSent, KeysSent, MaskedSent, Ready, SharesSent
from federation.secagg.messages import (
    Agreed,
    Broadcast,
    Cohort,
    Inbox,
    Keys,
    Masked,
    Offer,
    Revealed,
    Shares,
    Survivors,
    Unmask,
)
from federation.secagg.server import Step
from federation.wire import Body


@dataclass(frozen=True)
class MemberTransition:
    """In `state` (None: there is no session yet) a member takes `message`, answers with `answer` (None: with nothing)
    and stands in `following` (None: the session has said its last)."""

    state: type | None
    message: type[Body]
    context: str
    answer: type[Body] | None
    following: type | None


MEMBER = (
    MemberTransition(None, Offer, "setup_ctx", Keys, KeysSent),
    MemberTransition(KeysSent, Cohort, "setup_ctx", Shares, SharesSent),
    MemberTransition(SharesSent, Inbox, "share_ctx", None, Ready),
    MemberTransition(Ready, Broadcast, "share_ctx", Masked, MaskedSent),
    MemberTransition(MaskedSent, Survivors, "ctx", Agreed, AgreedSent),
    MemberTransition(AgreedSent, Unmask, "ctx", Revealed, None),
)


@dataclass(frozen=True)
class CoordinatorTransition:
    """To wait for `answer` at `step`, the coordinator sends `requests` to `asked`; those who answer are `answered`."""

    requests: tuple[type[Body], ...]
    asked: str
    step: Step
    answer: type[Body]
    context: str
    answered: str


COORDINATOR = (
    CoordinatorTransition((Offer,), "the N members of the job", Step.KEYS, Keys, "setup_ctx", "U1"),
    CoordinatorTransition((Cohort,), "U1", Step.SHARES, Shares, "share_ctx", "U2"),
    CoordinatorTransition((Inbox, Broadcast), "U2", Step.MASKED, Masked, "ctx", "U3"),
    CoordinatorTransition((Survivors,), "U3", Step.AGREED, Agreed, "ctx", "U4"),
    CoordinatorTransition((Unmask,), "U4", Step.REVEALED, Revealed, "ctx", "the revealers"),
)

DUE: dict[str, type] = {t.message.kind: t.state for t in MEMBER if t.state is not None}
"""By kind: the state that waits for it. Everything else is not allowed there."""
