"""A job that is paused, or has too few members: it waits, loses nothing, and says what for. Real members in memory."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from aggregator import rounds, status, waiting
from aggregator.carriers import Exchange
from aggregator.exchange import Asked
from aggregator.home import Home, Settings
from aggregator.registry import Registry
from aggregator.rounds import Control, Event, RoundDone
from aggregator.status import Status, Watch
from aggregator.waiting import RosterChanged, Waiting
from federation.commands import Printer
from federation.identity import SignedRoster
from federation.registry import APPROVED
from tests.protocol.consortium import Consortium, Losing, digest, make_consortium, undisturbed

MEMBERS = frozenset(f"m{index:02d}" for index in range(5))


@dataclass
class Office:
    """A coordinator's folder and registry beside the consortium in memory. `looks`: what happens at each look while it
    waits, in place of the time between them."""

    home: Home
    registry: Registry
    consortium: Consortium
    monkeypatch: pytest.MonkeyPatch
    connected: set[str] = field(default_factory=lambda: set(MEMBERS))
    seen: list[Status] = field(default_factory=list)

    def run(self, observe: Callable[[Event], None], *looks: Callable[[], object]) -> tuple[bytes, Losing]:
        """The job to its end: the final adapter, and what the carrier saw."""
        consortium, carrier = self.consortium, Losing(self.consortium)
        watch = Watch(self.home.path / "status.json", consortium.plan, Printer("en", as_json=False))
        parts = (self.home, self.registry, consortium.plan, consortium.roster, watch, Printer("en", as_json=False))
        left = iter(looks)

        def look(seconds: float) -> None:
            if seconds:  # between two attempts there are none here
                self.seen.append(self.status)
                next(left)()

        def observed(event: Event) -> None:
            watch.observe(event)
            consortium.events.append(event)
            observe(event)

        self.monkeypatch.setattr(waiting.time, "sleep", look)
        control = Control(lambda: Waiting(*parts).for_turn(lambda: self.connected))
        with contextlib.closing(consortium.store()) as store:
            state = rounds.run(consortium.job, carrier, store, observed, control)
        assert next(left, None) is None
        return digest(state), carrier

    @property
    def status(self) -> Status:
        found = status.read(self.home.path / "status.json")
        assert found is not None
        return found

    def pause(self) -> None:
        self.home.pause_mark(self.consortium.plan.job).touch()

    def resume(self) -> None:
        self.home.pause_mark(self.consortium.plan.job).unlink()


@pytest.fixture
def office(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    consortium, home = make_consortium(folder), Home(folder / "coordinator")
    home.create(Settings(consortium.plan.consortium, "https://127.0.0.1:1", "127.0.0.1:2", "127.0.0.1", 0))
    home.job(consortium.plan.job).mkdir(parents=True)
    signer, root = consortium.coordinator, consortium.root
    registry = Registry(home.registry, signer, root.public_key, "", "127.0.0.1:2", "0")
    registry.publish_roster(SignedRoster.sign(consortium.roster, root))
    for name in MEMBERS:
        decided = (name, consortium.plan.digest(), consortium.roster.digest(), APPROVED, "", "", b"", b"")
        registry._db.execute("INSERT INTO consents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", decided)
    yield Office(home, registry, consortium, monkeypatch)
    registry.close()


def when(matches: Callable[[Event], bool], act: Callable[[], object]) -> Callable[[Event], None]:
    """Act once, at the first event that matches."""
    left = [act]

    def observe(event: Event) -> None:
        if left and matches(event):
            left.pop()()

    return observe


def is_round(round: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, RoundDone) and event.round == round


def test_a_job_that_is_paused_between_rounds_ends_with_the_same_adapter(office: Office, folder: Path) -> None:
    """The set-up that the last round carried stays valid in the members' memory: nothing is asked twice."""
    adapter, carrier = office.run(when(is_round(1), office.pause), lambda: None, lambda: None, office.resume)
    assert adapter == undisturbed(folder)
    assert [each.phase for each in office.seen] == [status.PAUSED] * 3
    assert office.seen[0].online == sorted(MEMBERS)
    steady = [Exchange(round, step) for round in (2, 3) for step in ("masked", "agreed", "revealed")]
    assert carrier.exchanges[5:] == steady
    assert {done.aggregation.offer.attempt for done in office.consortium.rounds} == {1}


@pytest.mark.parametrize("step", ["keys", "masked", "revealed"])
def test_a_pause_in_a_round_begins_when_the_round_has_ended(office: Office, step: str, folder: Path) -> None:
    def asked(event: Event) -> bool:
        return isinstance(event, Asked) and event.exchange == Exchange(1, step)

    adapter, _ = office.run(when(asked, office.pause), office.resume)
    assert adapter == undisturbed(folder)
    assert [each.summed for each in office.seen] == [1]


def test_a_paused_job_stays_paused_when_the_coordinator_is_started_again(office: Office, folder: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        office.run(when(is_round(1), office.pause), lambda: None, stop)
    before = len(office.seen)
    adapter, carrier = office.run(lambda _: None, lambda: None, office.resume)
    assert adapter == undisturbed(folder)
    assert {each.phase for each in office.seen[before:]} == {status.PAUSED}
    # What round 1 carried is on disk here and in memory there: no new set-up.
    assert carrier.exchanges[0] == Exchange(2, "masked")


def test_members_that_restart_in_a_pause_cost_one_attempt_and_no_round(office: Office, folder: Path) -> None:
    def restart() -> None:
        for name in MEMBERS:
            office.consortium.start_member(name)

    adapter, _ = office.run(when(is_round(1), office.pause), restart, office.resume)
    assert adapter == undisturbed(folder)
    assert [done.aggregation.offer.attempt for done in office.consortium.rounds] == [1, 2, 2]
    assert len(office.consortium.failed) == 1


def test_a_job_below_quorum_waits_and_says_for_whom(
    office: Office, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No attempt is spent on it; of five, four are needed."""
    adapter, _ = office.run(
        when(is_round(1), lambda: office.connected.difference_update({"m01", "m03"})),
        lambda: None,
        lambda: office.connected.add("m03"),
    )
    assert adapter == undisturbed(folder)
    assert not office.consortium.failed
    assert [(each.phase, each.online) for each in office.seen] == [(status.CONNECTING, ["m00", "m02", "m04"])] * 2
    assert "3 of 5 approving members are connected, 4 needed; missing: m01, m03" in capsys.readouterr().out


def test_members_in_quarantine_are_not_awaited_and_not_counted(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    def quarantine() -> None:
        for name in ("m01", "m03"):
            office.registry._db.execute("INSERT INTO quarantined VALUES (?, '')", (name,))

    office.run(when(is_round(1), quarantine), lambda: None, lambda: office.registry.lift("m03"))
    assert [each.online for each in office.seen] == [["m00", "m02", "m04"]] * 2
    assert "3 of 3 approving members are connected, 4 needed; missing: -; in quarantine: m01, m03" in (
        capsys.readouterr().out
    )
    assert not office.consortium.failed


def test_a_roster_that_is_published_in_a_pause_stops_the_job_between_rounds(office: Office) -> None:
    def publish() -> None:
        newer = replace(office.consortium.roster, version=2)
        office.registry.publish_roster(SignedRoster.sign(newer, office.consortium.root))
        office.resume()

    with pytest.raises(RosterChanged) as caught:
        office.run(when(is_round(1), office.pause), publish)
    assert caught.value.exit_code == 9
    assert len(office.consortium.rounds) == 1
