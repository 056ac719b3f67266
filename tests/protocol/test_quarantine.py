"""`rengo coordinator quarantine`: a member is left out from the next set-up on. Real members in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from aggregator.exchange import Asked
from aggregator.rounds import Control, Event, RoundDone, run
from aggregator.status import QUARANTINED, Watch, read
from aggregator.status_text import text
from federation.commands import Printer
from tests.protocol.consortium import Consortium, Killed, Losing, make_consortium
from tests.protocol.killing import Dying, Moment

BAD = "m03"


def run_with(
    consortium: Consortium,
    left_out: Callable[[], frozenset[str]],
    observe: Callable[[Event], None] = lambda _: None,
    dies: Moment | None = None,
) -> Losing:
    """The job to its end, or until it is killed."""
    carrier = Losing(consortium)
    store = Dying(consortium, dies) if dies else consortium.store()

    def observed(event: Event) -> None:
        consortium.events.append(event)
        observe(event)

    try:
        run(consortium.job, carrier, store, observed, Control(left_out=left_out))
    finally:
        store.close()
    return carrier


def asked(carrier: Losing, member: str) -> list[Exchange]:
    return [exchange for exchange, name, _ in carrier.requests if name == member]


def survivors(consortium: Consortium) -> list[tuple[int, bool]]:
    """(round, whether BAD is in its sum)."""
    return [(done.round, BAD in done.aggregation.u3) for done in consortium.rounds]


def test_a_member_in_quarantine_is_asked_for_nothing_and_not_waited_for(folder: Path) -> None:
    consortium = make_consortium(folder)
    carrier = run_with(consortium, lambda: frozenset({BAD}))
    assert asked(carrier, BAD) == []
    assert consortium.left(BAD) == []
    assert survivors(consortium) == [(1, False), (2, False), (3, False)]
    consortium.check_sums()
    assert not consortium.failed


BEGINNING = [Exchange(1, "keys"), Exchange(1, "masked"), Exchange(1, "agreed"), Exchange(1, "revealed")]


@pytest.mark.parametrize("begins", BEGINNING, ids=lambda exchange: exchange.step)
def test_it_takes_effect_where_the_next_set_up_or_vector_is_asked_for(folder: Path, begins: Exchange) -> None:
    """What is under way ends as it began; the sum stays that of those who are in it, word for word."""
    consortium, left_out = make_consortium(folder), set[str]()

    def observe(event: Event) -> None:
        if isinstance(event, Asked) and event.exchange == begins:
            left_out.add(BAD)

    carrier = run_with(consortium, lambda: frozenset(left_out), observe)
    in_first = begins.step != "keys"
    assert survivors(consortium) == [(1, in_first), (2, False), (3, False)]
    assert {exchange.round for exchange in asked(carrier, BAD)} == {1}
    consortium.check_sums()
    assert not consortium.failed
    assert not any(journal.evidence() for journal in consortium.journals.values())


def test_a_member_whose_quarantine_is_lifted_is_in_again_without_a_new_attempt(folder: Path) -> None:
    consortium, left_out = make_consortium(folder, rounds=3), {BAD}

    def observe(event: Event) -> None:
        if isinstance(event, RoundDone) and event.round == 1:
            left_out.clear()

    run_with(consortium, lambda: frozenset(left_out), observe)
    # Round 1 carried the set-up of round 2 before that; round 2 carries that of round 3.
    assert survivors(consortium) == [(1, False), (2, False), (3, True), (4, True)]
    assert {done.aggregation.offer.attempt for done in consortium.rounds} == {1}
    consortium.check_sums()


@pytest.mark.parametrize("step", ["keys", "shares", "masked", "agreed"])
def test_a_coordinator_that_restarts_with_a_member_in_quarantine_goes_on(folder: Path, step: str) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        run_with(consortium, frozenset, dies=Moment(1, step, "after"))
    run_with(consortium, lambda: frozenset({BAD}))
    assert survivors(consortium) == [(1, step in ("masked", "agreed")), (2, False), (3, False)]
    consortium.check_sums()
    assert not any(journal.evidence() for journal in consortium.journals.values())


def test_it_is_told_once_by_name_and_explains_who_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    consortium = make_consortium(folder)
    watch = Watch(folder / "status.json", consortium.plan, Printer("en", as_json=False))
    run_with(consortium, lambda: frozenset({BAD, "no-member-of-this-job"}), watch.observe)
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if "quarantine" in line] == [
        f"{BAD}: in quarantine, not asked for keys or vectors from now on"
    ]
    status = read(folder / "status.json")
    assert status is not None
    assert status.dropped == {BAD: QUARANTINED}
    assert f"{BAD} (in quarantine)" in text(status, "en")
    assert f"{BAD} (隔離中)" in text(status, "ja")
