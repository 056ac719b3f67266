"""The coordinator's state: a round is there whole, or not at all."""

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aggregator.store import (
    Checkpoint,
    StepDamaged,
    Store,
    StoreOfAnotherPlan,
    StoreUnreadable,
)
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry
from federation.secagg.messages import Shares
from federation.secagg.server import Answers, Step
from federation.tensors import digest
from federation.wire import Signed
from tests.unit.storing import MASKED_SUM, PLAN, checkpoint, step


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "出力" / "coordinator"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    store = Store(folder, PLAN)
    yield store
    store.close()


def reopened(store: Store, folder: Path) -> Store:
    store.close()
    return Store(folder, PLAN)


def round_of(store: Store) -> int | None:
    latest = store.latest()
    return latest.round if latest else None


def test_a_new_store_has_no_round(store: Store) -> None:
    assert store.latest() is None


@pytest.mark.parametrize("words", ["<u2", "<u4"])
def test_a_round_comes_back_as_it_was_committed(store: Store, folder: Path, words: str) -> None:
    given = checkpoint(1)
    given = Checkpoint(1, given.adapter, given.total.astype(words), *[getattr(given, f) for f in
                       ("count", "ranges", "scalars", "proof")])  # fmt: skip
    store.commit(given)
    found = reopened(store, folder).latest()
    assert found is not None
    assert digest(found.adapter) == digest(given.adapter)
    np.testing.assert_array_equal(found.total, given.total)
    assert found.total.dtype == words
    for name in ("round", "count", "ranges", "scalars", "proof"):
        assert getattr(found, name) == getattr(given, name)


def test_the_latest_round_is_the_last_committed(store: Store, folder: Path) -> None:
    for round in (1, 2, 3):
        store.commit(checkpoint(round))
        assert round_of(store) == round
    assert round_of(reopened(store, folder)) == 3


def test_only_this_round_and_the_one_before_keep_their_files(store: Store, folder: Path) -> None:
    for round in range(1, 6):
        store.commit(checkpoint(round))
    assert sorted(file.name for file in folder.glob("round-*")) == [
        "round-00004.safetensors",
        "round-00005.safetensors",
    ]


class TestCrash:
    """Between any two writes of a commit: what stands is the round before, and the commit can be made again."""

    def after(self, store: Store, folder: Path, leftover: str, data: bytes) -> None:
        store.commit(checkpoint(1))
        store.close()
        (folder / leftover).write_bytes(data)
        store = Store(folder, PLAN)
        assert round_of(store) == 1
        store.commit(checkpoint(2))
        assert round_of(store) == 2
        assert digest(store.latest().adapter) == digest(checkpoint(2).adapter)  # type: ignore[union-attr]
        store.close()

    def test_while_the_file_is_written(self, store: Store, folder: Path) -> None:
        self.after(store, folder, "round-00002.safetensors.part", b"half of a f")

    def test_after_the_file_and_before_its_row(self, store: Store, folder: Path) -> None:
        self.after(store, folder, "round-00002.safetensors", b"whole, or not: nobody looks")

    def test_when_the_row_cannot_be_written(self, store: Store, folder: Path) -> None:
        store.commit(checkpoint(1))
        with sqlite3.connect(folder / "coordinator.sqlite") as database:
            database.execute("CREATE TRIGGER no BEFORE INSERT ON rounds BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        with pytest.raises(sqlite3.IntegrityError, match="disk full"):
            store.commit(checkpoint(2))
        assert (folder / "round-00002.safetensors").exists()
        assert round_of(reopened(store, folder)) == 1


class TestSteps:
    @pytest.mark.parametrize("given", [step(1, Step.AGREED), step(2, Step.MASKED, True)], ids=lambda s: s.step.value)
    def test_come_back_as_they_were_kept(self, store: Store, folder: Path, given: Answers) -> None:
        store.keep([given])
        found = reopened(store, folder).kept(given.offer.round, given.step)
        assert found is not None
        assert (found.offer, found.step, found.statements) == (given.offer, given.step, given.statements)
        if given.total is None:
            assert found.total is None
        else:
            assert found.total is not None
            np.testing.assert_array_equal(found.total, given.total)
            assert found.total.dtype == given.total.dtype

    def test_that_were_not_finished_are_not_there(self, store: Store) -> None:
        store.keep([step(1, Step.KEYS)])
        assert store.kept(1, Step.SHARES) is None
        assert store.kept(2, Step.KEYS) is None

    def test_of_one_exchange_are_there_together_or_not_at_all(self, store: Store, folder: Path) -> None:
        with sqlite3.connect(folder / "coordinator.sqlite") as database:
            when = "BEFORE INSERT ON steps WHEN NEW.round = 2"
            database.execute(f"CREATE TRIGGER no {when} BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        with pytest.raises(sqlite3.IntegrityError, match="disk full"):
            store.keep([step(1, Step.AGREED), step(2, Step.KEYS)])
        assert reopened(store, folder).kept(1, Step.AGREED) is None

    def test_may_be_replaced_by_more_answers(self, store: Store) -> None:
        few = step(1, Step.REVEALED)
        store.keep([Answers(few.offer, few.step, few.statements[:1])])
        store.keep([few])
        assert store.kept(1, Step.REVEALED) == few

    @pytest.mark.parametrize("carried", [False, True])
    def test_are_forgotten_when_their_round_is_committed_but_for_what_it_carried(
        self, store: Store, folder: Path, carried: bool
    ) -> None:
        store.keep([step(1, Step.MASKED, True)])
        store.keep([step(1, Step.AGREED), step(2, Step.KEYS)])
        store.commit(checkpoint(1), carried=carried)
        store = reopened(store, folder)
        assert store.kept(1, Step.MASKED) is None
        assert (store.kept(2, Step.KEYS) is not None) == carried
        assert not (folder / MASKED_SUM).exists()

    def test_are_forgotten_with_the_attempt(self, store: Store, folder: Path) -> None:
        store.keep([step(1, Step.AGREED), step(2, Step.KEYS)])
        store.give_up()
        store = reopened(store, folder)
        assert store.kept(1, Step.AGREED) is store.kept(2, Step.KEYS) is None

    def test_revealed_is_there_as_it_arrived_until_the_attempt_or_the_round_ends(self, store: Store) -> None:
        given = [Signed(bytes([n]) * 20, bytes(64)) for n in range(3)]
        for end in (store.give_up, lambda: store.commit(checkpoint(1))):
            for statement in given:
                store.keep_revealed(1, statement)
            assert list(store.revealed(1)) == given
            assert list(store.revealed(2)) == []
            end()
            assert list(store.revealed(1)) == []

    def test_without_their_row_leave_the_sum_s_file_unread(self, store: Store, folder: Path) -> None:
        (folder / MASKED_SUM).write_bytes(b"half of a")
        assert store.kept(1, Step.MASKED) is None
        store.keep([step(1, Step.MASKED, True)])
        assert store.kept(1, Step.MASKED) is not None


def shelved(store: Store, round: int) -> Answers:
    """Shares whose data has arrived on the store's shelf."""
    me, shelf = Identity.create("m"), store.open_shelf(round)
    said = [me.sign(Shares(bytes(32), bytes(32)), PLAN, COORDINATOR, data_of(round, number)) for number in (0, 1)]
    places = tuple(shelf.put(statement.blob) for statement in said)
    statements = tuple(statement.without_blob() for statement in said)
    return Answers(step(round, Step.SHARES).offer, Step.SHARES, statements, None, places)


def data_of(round: int, number: int) -> bytes:
    return bytes([round, number]) * 500


def shelves(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("envelopes-*"))


class TestShelves:
    def test_hold_what_was_kept_and_the_database_does_not(self, store: Store, folder: Path) -> None:
        given = shelved(store, 1)
        store.keep([given])
        store = reopened(store, folder)
        assert store.kept(1, Step.SHARES) == given
        found = [store.open_shelf(1).read(place, place + 1000) for place in given.places]
        assert found == [data_of(1, 0), data_of(1, 1)]
        others = [path for path in folder.iterdir() if path.name not in shelves(folder)]
        assert others
        assert not any(data in path.read_bytes() for path in others for data in found)

    def test_are_one_a_set_up_and_a_commit_leaves_that_which_the_round_carried(
        self, store: Store, folder: Path
    ) -> None:
        first = shelved(store, 1)
        store.keep([first])
        store.keep([step(1, Step.REVEALED), shelved(store, 2)])
        assert store.kept(1, Step.SHARES) == first
        store.commit(checkpoint(1), carried=True)
        assert shelves(folder) == ["envelopes-00002.shelf"]
        assert reopened(store, folder).kept(2, Step.SHARES) is not None

    @pytest.mark.parametrize("end", ["give_up", "commit", "forget_after"])
    def test_are_gone_when_their_steps_are_forgotten(self, store: Store, folder: Path, end: str) -> None:
        store.keep([shelved(store, 1), shelved(store, 2)])
        shelved(store, 3)
        {
            "give_up": store.give_up,
            "commit": lambda: store.commit(checkpoint(2)),
            "forget_after": lambda: store.forget_after(0),
        }[end]()
        assert shelves(folder) == []

    def test_begin_empty_unless_their_shares_were_kept(self, store: Store, folder: Path) -> None:
        shelved(store, 1)
        assert store.open_shelf(1).put(b"") == 0  # another attempt
        shelved(store, 1)
        store = reopened(store, folder)
        given = shelved(store, 1)
        assert given.places == (0, 1000)
        store.keep([given])
        assert reopened(store, folder).open_shelf(1).put(b"more") == 2000

    def test_that_a_crash_left_are_removed_by_whoever_runs_the_job_and_no_others(
        self, store: Store, folder: Path
    ) -> None:
        store.keep([shelved(store, 1)])
        shelved(store, 2)
        store = reopened(store, folder)
        assert len(shelves(folder)) == 2  # who only looks may not be alone
        store.remove_leftovers()
        assert shelves(folder) == ["envelopes-00001.shelf"]
        assert store.check() == 0

    def test_are_on_disk_before_their_row(self, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        given, synced, fsync = shelved(store, 1), [], os.fsync

        def noting(handle: int) -> None:
            fsync(handle)
            with sqlite3.connect(folder / "coordinator.sqlite") as other:
                rows = other.execute("SELECT count(*) FROM steps").fetchone()[0]
            synced.append((Path(os.readlink(f"/proc/self/fd/{handle}")), rows))

        monkeypatch.setattr(os, "fsync", noting)
        store.keep([given])
        assert synced == [(folder / "envelopes-00001.shelf", 0), (folder, 0)]
        assert store.kept(1, Step.SHARES) == given

    @pytest.mark.parametrize("damage", ["changed", "cut", "lost"])
    def test_that_are_damaged_are_noticed(self, store: Store, folder: Path, damage: str) -> None:
        store.keep([shelved(store, 1)])
        path = folder / "envelopes-00001.shelf"
        whole = path.read_bytes()
        for at in (0, 999, 1000, 1999):
            if damage == "lost":
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(
                    whole[:at] + (bytes([whole[at] ^ 1]) + whole[at + 1 :] if damage == "changed" else b"")
                )
            for look in (lambda: store.kept(1, Step.SHARES), store.check):
                with pytest.raises(StepDamaged, match=r"envelopes-00001\.shelf") as caught:
                    look()
                assert caught.value.exit_code == 10

    def test_whose_step_could_not_be_kept_are_not_looked_at(self, store: Store, folder: Path) -> None:
        given = shelved(store, 1)
        with sqlite3.connect(folder / "coordinator.sqlite") as database:
            database.execute("CREATE TRIGGER no BEFORE INSERT ON steps BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        with pytest.raises(sqlite3.IntegrityError, match="disk full"):
            store.keep([given])
        store = reopened(store, folder)
        assert store.kept(1, Step.SHARES) is None
        assert store.open_shelf(1).put(b"") == 0


def test_a_roster_comes_back_by_its_digest_and_another_is_missed(store: Store, folder: Path) -> None:
    roster = Roster("東海", 3, bytes(32), (RosterEntry("m01", "甲", bytes([1] * 32)),))
    store.keep_roster(roster)
    store = reopened(store, folder)
    assert store.roster(roster.digest()) == roster
    with pytest.raises(StoreUnreadable, match="is not in it"):
        store.roster(bytes(32))


def test_another_plan_is_refused_and_nothing_changed(store: Store, folder: Path) -> None:
    store.commit(checkpoint(1))
    store.close()
    with pytest.raises(StoreOfAnotherPlan, match=PLAN.hex()[:16]):
        Store(folder, bytes(32))
    assert round_of(Store(folder, PLAN)) == 1


class TestAttempts:
    def test_never_repeat(self, store: Store, folder: Path) -> None:
        numbers = [store.next_attempt(), store.next_attempt()]
        store = reopened(store, folder)
        numbers.append(store.next_attempt())
        assert numbers == [1, 2, 3]

    def test_are_on_disk_when_the_number_is_given(self, store: Store, folder: Path) -> None:
        """Another connection sees it at once: no transaction is left open that a crash would roll back."""
        given = store.next_attempt()
        with sqlite3.connect(folder / "coordinator.sqlite") as other:
            assert other.execute("SELECT attempt FROM job").fetchone() == (given,)


def test_files_are_for_their_owner_alone(store: Store, folder: Path) -> None:
    store.commit(checkpoint(1))
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_record_is_plain_json(store: Store, folder: Path) -> None:
    store.commit(checkpoint(1))
    with sqlite3.connect(folder / "coordinator.sqlite") as database:
        record = json.loads(database.execute("SELECT record FROM rounds").fetchone()[0])
    assert (record["count"], record["scalars"], record["proof"]) == (21, ["held_out_loss"], "01" * 32)
