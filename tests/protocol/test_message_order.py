"""The model of the message order (scripts/check_model.py), small enough for every day: it finds nothing, and would."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from message_order.alone import Alone
from message_order.together import Result, Search

from clients.journal import Journal
from clients.member import Member
from federation.secagg.client import AgreedSent
from federation.secagg.history import History, Position
from federation.secagg.messages import Revealed
from federation.wire import Signed, read_body
from tests.protocol.liars import altered

Patch = pytest.MonkeyPatch
ONE: list[Position] = [(1, 1)]
TWO_ATTEMPTS: list[Position] = [(1, 1), (2, 1)]
CARRIED: list[Position] = [(1, 1), (1, 2)]


def search(folder: Path, positions: list[Position], adapters: int = 1, restarts: int = 0) -> Result:
    return Search(Alone(folder, positions, adapters).explore(), positions, adapters, restarts).run()


def test_two_attempts_and_a_restart_show_no_member_and_open_no_two_sums(folder: Path) -> None:
    result = search(folder, TWO_ATTEMPTS, restarts=1)
    assert result.broken is None
    # It is no empty promise: rounds complete in the model, and members restart in the middle of them.
    assert result.openings > 500
    assert result.depth > 20


@pytest.mark.slow
@pytest.mark.parametrize(("positions", "adapters"), [(CARRIED, 1), (TWO_ATTEMPTS, 2)])
def test_a_carried_set_up_and_two_adapters_show_nothing_either(
    folder: Path, positions: list[Position], adapters: int
) -> None:
    result = search(folder, positions, adapters, restarts=1)
    assert result.broken is None
    assert result.openings > 500


def spent_adapters_forgotten(patch: Patch) -> None:
    patch.setattr(History, "require_unspent", lambda *_: None)


def opened_rounds_forgotten(patch: Patch) -> None:
    """Two walls, either of which is enough here: the round that was opened and the adapter that was spent."""
    spent_adapters_forgotten(patch)
    patch.setattr(History, "_require_unopened", lambda *_: None)


def both_kinds_of_share(patch: Patch) -> None:
    honest = AgreedSent.on_unmask

    def reveal(state: AgreedSent, message: Signed) -> Signed:
        answer = honest(state, message)
        held = {dealer: shares[1] for dealer, shares in state._held.items()}
        return altered(
            state.seat.me,
            answer,
            seed_shares=read_body(Revealed, answer.header.body).seed_shares,
            key_shares=held,
        )

    patch.setattr(AgreedSent, "on_unmask", reveal)


def opened_rounds_not_on_disk(patch: Patch) -> None:
    honest = Journal.history
    patch.setattr(Journal, "history", lambda *known: replace(honest(*known), revealed_round=0, spent=frozenset()))
    patch.setattr(Journal, "spent", lambda *_: frozenset())
    patch.setattr(Journal, "_verify", lambda *_: None)  # its chain states the spent adapters, and would notice
    patch.setattr(Member, "_handle", in_memory(Member._handle))


def in_memory(honest: Callable[[Member, bytes], bytes]) -> Callable[[Member, bytes], bytes]:
    """What the member knows of spent adapters is what it remembers, as long as it is not restarted."""

    def handle(member: Member, request: bytes) -> bytes:
        with Patch.context() as inner:
            inner.setattr(Journal, "spent", lambda *_: member._history.spent)
            return honest(member, request)

    return handle


PLANTED = [
    (opened_rounds_forgotten, TWO_ATTEMPTS, 0, "two sums on adapter 0 are known", "attempt 2: A reveals seed shares"),
    (both_kinds_of_share, ONE, 0, "both kinds of share of A are known", "reveals seed shares of A"),
    (opened_rounds_not_on_disk, TWO_ATTEMPTS, 1, "two sums on adapter 0 are known", "is restarted"),
    pytest.param(
        spent_adapters_forgotten, CARRIED, 0, "two sums on adapter 0 are known", "round 2, attempt 1: A reveals",
        marks=pytest.mark.slow,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "positions", "restarts", "broken", "shown"), PLANTED)
def test_a_missing_rule_is_found_and_its_schedule_shown(
    folder: Path,
    monkeypatch: Patch,
    fault: Callable[[Patch], None],
    positions: list[Position],
    restarts: int,
    broken: str,
    shown: str,
) -> None:
    fault(monkeypatch)
    result = search(folder, positions, restarts=restarts)
    assert result.broken == broken
    assert shown in "\n".join(map(str, result.schedule))
