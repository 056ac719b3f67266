"""What left the site stays written down, and what it rules out stays ruled out."""

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clients.journal import MOST_EVIDENCE, MOST_EVIDENCE_BYTES, Departure, Journal, read_unverified
from clients.journal_errors import JournalDamaged, JournalInUse, NoOpenJob
from federation.secagg.history import History
from federation.secagg.refusals import DataSetBusy, JobClosed
from federation.wire import canonical_cbor

SPENT = bytes(range(32))
HISTORY = History((2, 5), (2, 4), 3, frozenset({SPENT, bytes(32)}))


def departure(job: str = "溶接", *kinds: str) -> Departure:
    return Departure(job, kinds or ("masked", "keys"), "coordinator", 1234, b"h" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "工場" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def reopened(journal: Journal) -> Journal:
    journal.close()
    return Journal(journal.path)


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as database:
        assert database.execute(statement).rowcount == 1


class TestHistory:
    def test_of_a_new_job_is_empty(self, journal: Journal) -> None:
        assert journal.history("溶接") == History()

    def test_comes_back_after_a_restart(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure())
        assert journal.history("溶接") == reopened(journal).history("溶接") == HISTORY

    def test_is_kept_by_job_but_spent_adapters_are_spent_for_all(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure(), open=False)
        assert journal.history("塗装") == History(spent=HISTORY.spent)
        journal.commit(History((1, 1), spent=frozenset({b"n" * 32})), departure("塗装"))
        assert journal.history("溶接") == History((2, 5), (2, 4), 3, HISTORY.spent | {b"n" * 32})

    def test_survives_the_end_of_the_process_right_after_commit(self, path: Path) -> None:
        """Killed, not closed: `commit` itself has to have written."""
        program = (
            "import os, signal, sys; from pathlib import Path; from clients.journal import Departure, Journal;"
            "from federation.secagg.history import History;"
            "Journal(Path(sys.argv[1])).commit(History((1, 2), (1, 1)), Departure('j', ('keys',), 'c', 1, bytes(32)));"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        killed = subprocess.run([sys.executable, "-c", program, path], capture_output=True)
        assert killed.returncode == -9, killed.stderr
        journal = Journal(path)
        assert journal.history("j") == History((1, 2), (1, 1))
        assert len(journal.sent()) == 1
        journal.close()


def test_everything_that_left_is_listed_oldest_first(journal: Journal) -> None:
    journal.commit(HISTORY, departure("溶接", "keys"))
    journal.commit(HISTORY, departure("溶接", "masked", "refused"))
    first, second = reopened(journal).sent()
    assert first[1:6] == ("溶接", "keys", "coordinator", 1234, b"h" * 32)
    assert second[2] == "masked refused"
    assert first[0] <= second[0]
    assert first[0].endswith("+00:00")


class TestContributions:
    def test_are_vectors_counted_once_across_jobs_and_attempts(self, journal: Journal) -> None:
        for job, position in [("a", (1, 1)), ("a", (1, 1)), ("a", (1, 2)), ("a", (2, 2)), ("b", (1, 1)), ("b", (0, 1))]:
            journal.count_contribution(job, position)
        assert journal.contributions() == reopened(journal).contributions() == 5

    def test_are_not_made_by_what_was_said(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure("a", "keys"))
        assert journal.contributions() == 0


class TestDataSet:
    def test_is_free_for_its_own_open_job(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure("溶接"))
        journal.require_free("溶接")

    def test_is_busy_for_another_job_until_the_open_one_is_closed(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure("溶接"))
        journal = reopened(journal)
        with pytest.raises(DataSetBusy, match="Job 溶接 is still open"):
            journal.require_free("塗装")
        journal.commit(HISTORY, departure("溶接"), open=False)
        reopened(journal).require_free("塗装")


class TestClosing:
    """By a person's decision, when nothing else ends a job."""

    def test_frees_the_data_set_for_good(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure("溶接"))
        journal.close_job("溶接")
        after = reopened(journal)
        after.require_free("塗装")
        assert after.open_jobs() == []
        with pytest.raises(JobClosed):
            after.require_not_closed("溶接")
        after.close()

    @pytest.mark.parametrize("kinds", [("revealed",), ("refused", "keys"), ()])
    def test_lets_nothing_leave_but_refusals(self, journal: Journal, kinds: tuple[str, ...]) -> None:
        """Also what a process has already computed when another one closes the job."""
        journal.commit(HISTORY, departure("溶接"))
        closing = Journal(journal.path)
        closing.close_job("溶接")
        closing.close()
        with pytest.raises(JobClosed):
            journal.commit(HISTORY, Departure("溶接", kinds, "coordinator", 1, bytes(32)))
        journal.commit(HISTORY, departure("溶接", "refused"), open=True)
        assert journal.open_jobs() == []
        assert [row[2] for row in journal.sent()] == ["masked keys", "close", "refused"]

    def test_gives_back_nothing_that_was_spent_or_counted(self, journal: Journal) -> None:
        journal.count_contribution("溶接", (1, 1))
        journal.commit(HISTORY, departure("溶接"))
        journal.close_job("溶接")
        assert journal.history("塗装") == History(spent=HISTORY.spent)
        assert journal.contributions() == 1

    def test_is_for_a_job_that_is_open(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure("塗装"), open=False)
        journal.commit(HISTORY, departure("溶接"))
        for job in ("塗装", "鋳造"):
            with pytest.raises(NoOpenJob, match="Open: 溶接") as caught:
                journal.close_job(job)
        assert caught.value.exit_code == 2
        journal.require_not_closed("塗装")


class TestChain:
    """Three departures; then somebody has the file."""

    @pytest.fixture
    def written(self, journal: Journal) -> Path:
        for kind in ("keys", "masked", "revealed"):
            journal.commit(HISTORY, departure("溶接", kind))
        journal.close()
        return journal.path

    def test_holds_when_nothing_was_changed(self, written: Path) -> None:
        journal = Journal(written)
        journal.commit(HISTORY, departure("溶接", "keys"))
        assert len(reopened(journal).sent()) == 4

    @pytest.mark.parametrize(
        "assignment",
        [
            "utc = '2020-01-01T00:00:00.000+00:00'",
            "job = '別'",
            "kinds = 'refused'",
            "destination = 'elsewhere'",
            "bytes = 1",
            "bytes = '1234x'",
            "sha256 = zeroblob(32)",
            "chain = zeroblob(32)",
            "manifest = zeroblob(32)",
            "manifest = ''",
            "number = 9",
        ],
    )
    def test_shows_a_changed_row(self, written: Path, assignment: str) -> None:
        change(written, f"UPDATE sent SET {assignment} WHERE number = 2")  # noqa: S608
        with pytest.raises(JournalDamaged, match=r"row [239]"):
            Journal(written)

    @pytest.mark.parametrize("number", [1, 2])
    def test_shows_a_row_that_was_taken_out(self, written: Path, number: int) -> None:
        change(written, f"DELETE FROM sent WHERE number = {number}")  # noqa: S608
        with pytest.raises(JournalDamaged, match=f"row {number + 1}"):
            Journal(written)

    def test_shows_a_row_that_was_put_in(self, written: Path) -> None:
        columns = (
            "utc, job, kinds, destination, bytes, sha256, received, app, note, rounds, position, spent, chain, manifest"
        )
        change(written, f"INSERT INTO sent SELECT 4, {columns} FROM sent LIMIT 1")  # noqa: S608
        with pytest.raises(JournalDamaged, match="row 4"):
            Journal(written)


class TestManifest:
    """On which data a job trains: every row of its rounds says it."""

    def named(self, journal: Journal, manifest: bytes) -> None:
        journal.commit(HISTORY, replace(departure(), manifest=manifest))

    def test_is_that_of_the_jobs_last_row_that_names_one(self, journal: Journal) -> None:
        assert journal.manifest("溶接") == b""
        self.named(journal, b"a" * 32)
        self.named(journal, b"b" * 32)
        journal.commit(HISTORY, departure("塗装"))
        journal = reopened(journal)
        assert journal.manifest("溶接") == b"b" * 32
        assert journal.manifest("塗装") == b""

    @pytest.mark.parametrize("change_to", ["x''", "zeroblob(32)"])
    def test_cannot_be_changed_or_taken_out_afterwards(self, journal: Journal, change_to: str) -> None:
        self.named(journal, b"a" * 32)
        journal.close()
        change(journal.path, f"UPDATE sent SET manifest = {change_to} WHERE number = 1")  # noqa: S608
        with pytest.raises(JournalDamaged, match="row 1"):
            Journal(journal.path)

    def test_a_journal_from_before_there_were_any_verifies_and_goes_on(self, journal: Journal) -> None:
        """Its rows keep the links that the program of then gave them."""
        for kind in ("keys", "masked"):
            journal.commit(HISTORY, departure("溶接", kind))
        before = journal.sent()
        journal.close()
        with sqlite3.connect(journal.path) as database:
            database.execute("ALTER TABLE sent DROP COLUMN manifest")
            rows = database.execute("SELECT * FROM sent ORDER BY number").fetchall()
        link = bytes(32)
        for _, *columns, stored in rows:
            link = hashlib.sha256(link + canonical_cbor(columns)).digest()  # as it was: over the twelve columns of then
            assert stored == link
        assert read_unverified(journal.path) == before
        after = Journal(journal.path)
        assert after.sent() == before
        self.named(after, b"a" * 32)
        assert reopened(after).manifest("溶接") == b"a" * 32


class TestFiles:
    def test_are_for_their_owner_alone(self, journal: Journal) -> None:
        journal.commit(HISTORY, departure())
        files = sorted(journal.path.parent.iterdir())
        assert [file.suffix for file in files] == [".sqlite", ".sqlite-shm", ".sqlite-wal"]
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        assert journal.path.parent.stat().st_mode & 0o777 == 0o700

    def test_are_synced_before_commit_returns(self, journal: Journal) -> None:
        settings = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert settings == ["wal", 2]


def test_a_commit_that_fails_leaves_nothing_behind(journal: Journal) -> None:
    journal.commit(HISTORY, departure())
    broken = Departure("溶接", ("masked",), "coordinator", 1, None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        journal.commit(History((9, 9), (9, 9), 9, frozenset({b"n" * 32})), broken)
    assert journal.history("溶接") == HISTORY
    journal.commit(HISTORY, departure())
    assert len(reopened(journal).sent()) == 2


def test_a_second_process_on_the_same_journal_is_noticed_and_harms_nothing(journal: Journal) -> None:
    journal.commit(HISTORY, departure())
    other = Journal(journal.path)
    other.commit(HISTORY, departure())
    with pytest.raises(JournalInUse):
        journal.commit(History((9, 9)), departure())
    other.commit(HISTORY, departure())
    other.close()
    journal = reopened(journal)
    assert len(journal.sent()) == 3
    assert journal.history("溶接") == HISTORY


def test_evidence_is_kept_once(journal: Journal) -> None:
    pair = [(b"header 1", b"s" * 64), (b"header 2", b"t" * 64)]
    journal.keep_evidence("two different cohort", pair)
    journal.keep_evidence("two different cohort", pair)
    assert sorted(reopened(journal).evidence()) == [("two different cohort", *statement) for statement in pair]


def pair(number: int, size: int = 10) -> list[tuple[bytes, bytes]]:
    """Two statements of a coordinator that contradict each other."""
    return [(b"%d-%d " % (number, side) + bytes(size), bytes(64)) for side in range(2)]


def test_evidence_is_bounded_in_number_and_the_first_stays(journal: Journal) -> None:
    room = [journal.keep_evidence("two different cohort", pair(number)) for number in range(MOST_EVIDENCE)]
    assert room == [True] * (MOST_EVIDENCE // 2) + [False] * (MOST_EVIDENCE // 2)
    assert journal.keep_evidence("two different cohort", pair(0))  # it is there
    kept = [statement for _, *statement in journal.evidence()]
    assert kept == [list(statement) for number in range(MOST_EVIDENCE // 2) for statement in pair(number)]


def test_evidence_is_bounded_in_bytes_but_the_first_is_kept_whatever_its_size(journal: Journal) -> None:
    for number in range(3):
        journal.keep_evidence("two different inbox", pair(number, MOST_EVIDENCE_BYTES))
    assert [statement for _, *statement in journal.evidence()] == [list(s) for s in pair(0, MOST_EVIDENCE_BYTES)]
