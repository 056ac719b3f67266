"""Disks of the coordinator that are full or change what is on them: nothing is lost, or nothing is asked, and no member
is blamed for it."""

import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from aggregator.exchange import Declined, Rejected
from aggregator.shelf import ShelfFile
from aggregator.store import StepDamaged
from federation.output import OutputNotWritable, disk_errors
from federation.secagg.shelf import ShelfDamaged
from federation.wire import Buffer
from tests.protocol.consortium import Consortium, Killed, Losing, digest, make_consortium
from tests.protocol.killing import Dying, Moment, Undisturbed, When, check_nothing_shows, run_undisturbed


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """When nobody is lost."""
    return run_undisturbed(tmp_path_factory.mktemp("undisturbed"), {})


class FullDisk(Dying):
    """A store whose disk takes nothing more from a moment on: no page of the database, or no byte of a file."""

    def _die_if(self, round: int, step: str, when: When) -> None:
        if Moment(round, step, when) == self._dies:
            (pages,) = self._db.execute("PRAGMA page_count").fetchone()
            self._db.execute(f"PRAGMA max_page_count = {pages}")

    def _write(self, name: str, data: bytes) -> None:
        if Moment(*self._writing, "within") == self._dies:
            resource.setrlimit(resource.RLIMIT_FSIZE, (16, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        super()._write(name, data)


@pytest.fixture
def no_limit_afterwards() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


FULL = [
    *(Moment(round, step, "within") for round in (1, 2) for step in ("masked", "commit")),
    Moment(1, "agreed", "before"),
    Moment(1, "revealed", "before"),
]


@pytest.mark.parametrize("full", FULL, ids=str)
def test_a_disk_that_is_full_ends_the_run_and_loses_nothing(
    folder: Path, full: Moment, expected: Undisturbed, no_limit_afterwards: None
) -> None:
    consortium = make_consortium(folder)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    lives = [Losing(consortium), Losing(consortium)]
    with pytest.raises(OutputNotWritable) as caught, disk_errors(folder):
        consortium.run(lives[0], FullDisk(consortium, full))
    assert caught.value.exit_code == 7
    # What would have told of the next step did not leave.
    assert full.step in ("commit", lives[0].exchanges[-1].step)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    adapter = digest(consortium.run(lives[1]))
    check_nothing_shows(consortium, expected, adapter, lives)


@pytest.mark.parametrize("round", [1, 2])
def test_a_disk_that_is_full_while_envelopes_arrive_ends_the_run_and_loses_nothing(
    folder: Path, round: int, expected: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the open round, or those that it carries."""
    consortium = make_consortium(folder)
    lives, put, limit = (
        [Losing(consortium), Losing(consortium)],
        ShelfFile.put,
        resource.getrlimit(resource.RLIMIT_FSIZE),
    )

    def full(shelf: ShelfFile, data: Buffer) -> int:
        if shelf._path == shelf_of(consortium, round):
            resource.setrlimit(resource.RLIMIT_FSIZE, (16, limit[1]))
        try:
            return put(shelf, data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    monkeypatch.setattr(ShelfFile, "put", full)
    with pytest.raises(OutputNotWritable) as caught, disk_errors(folder):
        consortium.run(lives[0])
    monkeypatch.undo()
    assert caught.value.exit_code == 7
    assert lives[0].exchanges[-1] == Exchange(1, "shares" if round == 1 else "revealed")
    assert shelf_of(consortium, round).stat().st_size == 16  # of the first dealer's
    assert not [event for event in consortium.events if isinstance(event, Rejected)]
    adapter = digest(consortium.run(lives[1]))
    check_nothing_shows(consortium, expected, adapter, lives)


def shelf_of(consortium: Consortium, round: int) -> Path:
    return consortium.folder / consortium.plan.job / f"envelopes-{round:05d}.shelf"


def flip(path: Path, at: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize("dies", [Moment(1, "shares", "after"), Moment(1, "revealed", "after")], ids=str)
@pytest.mark.parametrize("lost", [False, True])
def test_damaged_envelopes_stop_the_coordinator_before_it_asks_anything(folder: Path, dies: Moment, lost: bool) -> None:
    """Those of the open round, or those that it carries."""
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, dies))
    path = shelf_of(consortium, 2 if dies.step == "revealed" else 1)
    path.unlink() if lost else flip(path, 1000)
    carrier = Losing(consortium)
    with pytest.raises(StepDamaged, match=path.name):
        consortium.run(carrier)
    assert {exchange.step for exchange in carrier.exchanges} <= {"agreed"}  # voters, once more, in the open round


class Damaging(Losing):
    """A carrier while which the disk changes a byte in each of the envelopes, before an exchange of round 1."""

    def __init__(self, consortium: Consortium, before: str) -> None:
        super().__init__(consortium)
        self._before = before

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        if exchange == Exchange(1, self._before):
            path = shelf_of(self._consortium, 1)
            path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
        return super().exchange(exchange, requests)


@pytest.mark.parametrize("before", ["masked", "revealed"])
def test_envelopes_that_the_disk_changes_in_mid_round_are_no_members_fault(folder: Path, before: str) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(ShelfDamaged):
        consortium.run(Damaging(consortium, before))
    assert not [event for event in consortium.events if isinstance(event, Rejected | Declined)]
    with pytest.raises(StepDamaged, match="envelopes-00001"):
        consortium.run()


def test_no_envelope_is_left_when_the_job_has_ended(folder: Path) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(2, "masked", "after")))
    assert shelf_of(consortium, 2).exists()
    consortium.run()
    assert not list((folder / consortium.plan.job).glob("envelopes-*"))


def test_a_damaged_step_stops_the_coordinator_before_it_asks_anything(folder: Path) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(Killed):
        consortium.run(store=Dying(consortium, Moment(1, "masked", "after")))
    path = folder / consortium.plan.job / "masked-sum.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    carrier = Losing(consortium)
    with pytest.raises(StepDamaged):
        consortium.run(carrier)
    assert carrier.exchanges == []
