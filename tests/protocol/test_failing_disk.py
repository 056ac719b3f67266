"""Every write of the coordinator's store and of a member's journal fails once, in each way a disk can: what was
committed is there, nothing is said twice, and the job ends with the adapter that it would have had."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from aggregator.store import Store
from tests.protocol.consortium import Consortium, Losing, digest, make_consortium, undisturbed
from tests.protocol.failing_disk import FAULTS, FailingDisk, Fault, sqlite_can_be_hooked
from tests.protocol.killing import check_said_once

pytestmark = pytest.mark.skipif(not sqlite_can_be_hooked(), reason="this Python's SQLite hides its VFS")
FEW = 5  # writes to fail every day, of some hundreds


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the job gives on a sound disk."""
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


def store_disk(consortium: Consortium, fault: Fault = "no space", fails_at: int = 0) -> FailingDisk:
    return FailingDisk(consortium.folder / consortium.plan.job, fault, fails_at)


def count_store_writes(folder: Path) -> int:
    consortium = make_consortium(folder)
    with store_disk(consortium).mounted() as disk:
        consortium.run()
    return disk.writes


def check_store_write(folder: Path, fault: Fault, fails_at: int, adapter: bytes) -> None:
    """One life on a disk that fails there, and one after it was mended."""
    consortium = make_consortium(folder)
    lives = [Losing(consortium), Losing(consortium)]
    with store_disk(consortium, fault, fails_at).mounted() as disk:
        try:
            consortium.run(lives[0])
        except (OSError, sqlite3.Error):
            ended = True
        else:
            ended = False  # SQLite could do without that write: it checkpoints again later
    assert disk.writes >= fails_at
    committed = len(consortium.checkpoints)
    store = Store(consortium.folder / consortium.plan.job, consortium.plan.digest())
    assert store.check() in ((committed, committed + 1) if ended else (committed,))  # durable, but it could not say so
    store.close()
    if ended:
        assert digest(consortium.run(lives[1])) == adapter
    check_said_once(lives)


def stride(writes: int, few: int, offset: int) -> list[int]:
    """`few` of the numbers 1 to `writes`, evenly."""
    return list(range(1 + offset % (writes // few), writes + 1, writes // few))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_write_of_the_store_that_fails_loses_nothing_that_was_committed(
    folder: Path, fault: Fault, adapter: bytes
) -> None:
    writes = count_store_writes(folder / "counted")
    for fails_at in stride(writes, FEW, 7 * FAULTS.index(fault)):
        check_store_write(folder / str(fails_at), fault, fails_at, adapter)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_each_write_of_the_store_that_fails_loses_nothing_that_was_committed(
    folder: Path, fault: Fault, adapter: bytes
) -> None:
    writes = count_store_writes(folder / "counted")
    assert writes > 200
    for fails_at in range(1, writes + 1):
        check_store_write(folder / str(fails_at), fault, fails_at, adapter)


class WithOneJournalFailing(Losing):
    """A carrier to members of which m02's disk fails. Its process ends at that, and starts again on a sound one."""

    def __init__(self, consortium: Consortium, disk: FailingDisk) -> None:
        super().__init__(consortium)
        self._disk, self.ended = disk, False

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for member in sorted(requests):
            if member != "m02" or self.ended:
                answer = self._consortium.members[member].handle(requests[member])
            else:
                try:
                    with self._disk.mounted():
                        answer = self._consortium.members[member].handle(requests[member])
                except (OSError, sqlite3.Error):
                    self.ended = True
                    self._consortium.start_member(member)
                    continue
            self.answers.append((exchange, member, answer))
            yield member, answer


def journal_carrier(consortium: Consortium, fault: Fault = "no space", fails_at: int = 0) -> WithOneJournalFailing:
    return WithOneJournalFailing(consortium, FailingDisk(consortium.folder / "members" / "m02", fault, fails_at))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_journal_that_cannot_be_written_sends_nothing_and_the_job_goes_on_without_its_member(
    folder: Path, fault: Fault
) -> None:
    counted = journal_carrier(make_consortium(folder / "counted"))
    counted._consortium.run(counted)
    assert counted._disk.writes > 30
    for fails_at in stride(counted._disk.writes, FEW, 3 * FAULTS.index(fault)):
        consortium = make_consortium(folder / str(fails_at))
        carrier = journal_carrier(consortium, fault, fails_at)
        consortium.run(carrier)
        assert len(consortium.rounds) == 3
        consortium.check_sums()
        check_said_once([carrier])
        consortium.start_member("m02")  # its journal is verified
        journal = consortium.journals["m02"]
        # What left is in the journal, and it may hold one answer more: written, and then the disk failed.
        left = [a for _, member, a in carrier.answers if member == "m02"]
        assert len(left) <= len([row for row in journal.sent() if row.job]) <= len(left) + carrier.ended
