"""A coordinator's folder saved while its job runs, and put back while its members go on living. Real members in memory.

What an adversary gains by an older state: test_attacks_rollback.py. Here an honest operator restores a backup.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aggregator import backup
from aggregator.carriers import Exchange
from aggregator.exchange import Asked
from aggregator.home import Home, Settings
from aggregator.new_consortium import make_keys
from aggregator.rounds import Event, RoundDone, run
from aggregator.store import Store
from federation.errors import JobStopped
from tests.protocol.consortium import Consortium, Killed, Losing, digest, make_consortium, undisturbed
from tests.protocol.killing import DyingWithin, check_said_once
from tests.protocol.play import Play, make_offer


@dataclass
class Office:
    """A coordinator's folder, where the consortium's job is kept."""

    folder: Path
    home: Home
    consortium: Consortium
    lives: list[Losing] = field(default_factory=list)

    def run(self, carrier: Losing, observe: Callable[[Event], None] = lambda _: None) -> bytes:
        """The job over the folder's store, to its end."""
        self.lives.append(carrier)
        consortium = self.consortium

        def observed(event: Event) -> None:
            consortium.events.append(event)
            observe(event)

        store = Store(self.home.job(consortium.plan.job), consortium.plan.digest())
        with contextlib.closing(store):
            return digest(run(consortium.job, carrier, store, observed))

    def save(self) -> backup.Contents:
        return backup.save(self.home, self.folder / "backup", with_keys=True)

    def restored(self) -> "Office":
        """The folder is lost, and another one made from the backup."""
        home = Home(self.folder / "restored")
        backup.restore(self.folder / "backup", home)
        return Office(self.folder, home, self.consortium, self.lives)


@pytest.fixture
def office(folder: Path) -> Office:
    consortium, home = make_consortium(folder), Home(folder / "coordinator")
    settings = Settings(consortium.plan.consortium, "https://127.0.0.1:1", "127.0.0.1:2", "127.0.0.1", 0)
    home.create(settings)
    make_keys(home, settings, folder / "root.key")
    return Office(folder, home, consortium)


def at(exchange: Exchange, act: Callable[[], object]) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if isinstance(event, Asked) and event.exchange == exchange:
            act()

    return observe


WITHIN = [Exchange(1, step) for step in ("shares", "masked", "agreed", "revealed")]
WITHIN += [Exchange(2, step) for step in ("masked", "agreed", "revealed")]


@pytest.mark.parametrize("lost", WITHIN, ids=lambda exchange: f"{exchange.step} of {exchange.round}")
def test_a_backup_of_the_step_in_which_the_folder_was_lost_costs_nothing(
    office: Office, lost: Exchange, folder: Path
) -> None:
    """Two of five members have answered since; they answer the same again."""
    with pytest.raises(Killed):
        office.run(DyingWithin(office.consortium, lost), at(lost, office.save))
    assert office.restored().run(Losing(office.consortium)) == undisturbed(folder)
    assert not office.consortium.failed
    check_said_once(office.lives)
    assert not any(journal.evidence() for journal in office.consortium.journals.values())


@pytest.mark.parametrize("lost", [Exchange(1, "revealed"), Exchange(2, "agreed")], ids=lambda each: each.step)
def test_a_backup_from_earlier_in_the_same_round_goes_on_while_it_asks_the_same(
    office: Office, lost: Exchange, folder: Path
) -> None:
    with pytest.raises(Killed):
        office.run(DyingWithin(office.consortium, lost), at(Exchange(lost.round, "masked"), office.save))
    assert office.restored().run(Losing(office.consortium)) == undisturbed(folder)
    check_said_once(office.lives)
    assert not any(journal.evidence() for journal in office.consortium.journals.values())


def test_an_earlier_state_to_which_others_answer_costs_an_attempt_and_leaves_evidence(
    office: Office, folder: Path
) -> None:
    """m04 was in the vote that was asked for, and is not in the one that follows from the backup."""
    with pytest.raises(Killed):
        office.run(DyingWithin(office.consortium, Exchange(1, "agreed")), at(Exchange(1, "masked"), office.save))
    again = Losing(office.consortium, {(1, "masked", "m04"): "answer"}, once=True)
    assert office.restored().run(again) == undisturbed(folder)
    assert len(office.consortium.failed) == 1
    assert {reason for reason, _, _ in office.consortium.journals["m00"].evidence()} == {"two different survivors"}


@pytest.mark.parametrize("lost", [Exchange(2, "revealed"), Exchange(3, "masked")], ids=lambda each: each.step)
def test_a_backup_from_before_a_round_that_members_helped_to_open_ends_with_a_clear_message(
    office: Office, lost: Exchange
) -> None:
    """They refuse a second sum of round 2, whatever its attempt: the job is lost, and says so."""

    def observe(event: Event) -> None:
        if isinstance(event, RoundDone) and event.round == 1:
            office.save()

    with pytest.raises(Killed):
        office.run(DyingWithin(office.consortium, lost, after=5), observe)
    for name in office.consortium.names:  # otherwise some would still answer the open step
        office.consortium.start_member(name)
    done = len(office.consortium.rounds)
    with pytest.raises(JobStopped) as caught:
        office.restored().run(Losing(office.consortium))
    assert "5 members have closed this round: this is an older state of the coordinator" in str(caught.value)
    assert "事務局が古い状態に戻っています" in caught.value.text("ja")
    assert caught.value.exit_code == 9
    assert len(office.consortium.rounds) == done
    check_said_once(office.lives)
    assert not any(journal.evidence() for journal in office.consortium.journals.values())


def test_members_that_only_do_not_answer_are_not_taken_for_further(office: Office) -> None:
    silent = {(1, "keys", name): "request" for name in ("m00", "m01")}
    with pytest.raises(JobStopped) as caught:
        office.run(Losing(office.consortium, silent))  # type: ignore[arg-type]
    assert "older state" not in str(caught.value)


def test_a_restored_job_goes_on_with_attempts_that_no_member_has_seen(office: Office, folder: Path) -> None:
    """Since the backup the round was tried again and again, and not opened."""
    carrier = DyingWithin(office.consortium, Exchange(1, "keys"))
    with pytest.raises(Killed):
        office.run(carrier, at(Exchange(1, "keys"), office.save))
    Play(office.consortium, make_offer(office.consortium, attempt=7)).through("masked")
    assert office.restored().run(Losing(office.consortium)) == undisturbed(folder)
    assert not office.consortium.failed
    assert office.consortium.rounds[0].aggregation.offer.attempt > 7
    check_said_once(office.lives)
