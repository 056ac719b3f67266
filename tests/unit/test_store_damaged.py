"""Damage to the coordinator's state, which is noticed before anything is gone on with."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.store import (
    StepDamaged,
    Store,
    StoreDamaged,
    StoreUnreadable,
)
from federation.secagg.server import Step
from tests.unit.storing import MASKED_SUM, PLAN, checkpoint, step


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "出力" / "coordinator"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    store = Store(folder, PLAN)
    yield store
    store.close()


class TestDamagedSteps:
    @pytest.fixture
    def kept(self, store: Store) -> Store:
        store.keep([step(1, Step.MASKED, True)])
        return store

    def test_by_a_changed_row_are_noticed(self, kept: Store, folder: Path) -> None:
        with sqlite3.connect(folder / "coordinator.sqlite") as database:
            (record,) = database.execute("SELECT record FROM steps").fetchone()
            changed = record[:100] + bytes([record[100] ^ 1]) + record[101:]
            assert database.execute("UPDATE steps SET record = ?", (changed,)).rowcount == 1
        with pytest.raises(StepDamaged, match="masked in round 1") as caught:
            kept.kept(1, Step.MASKED)
        assert caught.value.exit_code == 10

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE statements SET record = zeroblob(9) WHERE number = 1",
            "DELETE FROM statements WHERE number = 2",
            "DELETE FROM statements",
            "UPDATE statements SET number = 9 - number",
        ],
    )
    def test_by_changed_lost_or_reordered_statements_are_noticed(self, kept: Store, folder: Path, change: str) -> None:
        with sqlite3.connect(folder / "coordinator.sqlite") as database:
            assert database.execute(change).rowcount > 0
        with pytest.raises(StepDamaged, match="masked in round 1"):
            kept.kept(1, Step.MASKED)

    @pytest.mark.parametrize("torn", [b"", b"half", None])
    def test_by_a_torn_sum_are_noticed(self, kept: Store, folder: Path, torn: bytes | None) -> None:
        (folder / MASKED_SUM).unlink()
        if torn is not None:
            (folder / MASKED_SUM).write_bytes(torn)
        with pytest.raises(StepDamaged, match=MASKED_SUM):
            kept.kept(1, Step.MASKED)

    def test_by_a_changed_sum_are_noticed(self, kept: Store, folder: Path) -> None:
        data = (folder / MASKED_SUM).read_bytes()
        (folder / MASKED_SUM).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(StepDamaged):
            kept.kept(1, Step.MASKED)


class TestUnreadable:
    """The database itself, told when it is opened and not in the middle of a round."""

    @pytest.fixture
    def database(self, store: Store, folder: Path) -> Path:
        store.keep([step(1, s) for s in Step])
        store.commit(checkpoint(1))
        store.keep([step(2, s) for s in Step])
        store.close()
        return folder / "coordinator.sqlite"

    @pytest.mark.parametrize("at", [0, 24, 4096, 4100])
    def test_when_pages_were_overwritten(self, database: Path, folder: Path, at: int) -> None:
        data = bytearray(database.read_bytes())
        data[at : at + 2000] = b"\xaa" * 2000
        database.write_bytes(data)
        with pytest.raises(StoreUnreadable) as caught:
            Store(folder, PLAN)
        assert caught.value.exit_code == 10

    @pytest.mark.parametrize("left", [100, 5000])
    def test_when_it_was_cut(self, database: Path, folder: Path, left: int) -> None:
        os.truncate(database, left)
        with pytest.raises(StoreUnreadable):
            Store(folder, PLAN)

    def test_when_it_is_empty_and_rounds_are_beside_it(self, database: Path, folder: Path) -> None:
        """Otherwise the job would begin again at round 1, and members would refuse without saying what is wrong."""
        os.truncate(database, 0)
        with pytest.raises(StoreUnreadable, match="files of rounds are beside it"):
            Store(folder, PLAN)


class TestDamage:
    @pytest.fixture
    def file(self, store: Store, folder: Path) -> Path:
        store.commit(checkpoint(1))
        return folder / "round-00001.safetensors"

    def test_of_any_byte_is_noticed(self, store: Store, file: Path) -> None:
        """Header, adapter and sum alike: from a wrong sum members would compute another adapter."""
        whole = file.read_bytes()
        for at in range(len(whole)):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(StoreDamaged, match="round 1 committed"):
                store.latest()
        file.write_bytes(whole)
        last = store.latest()
        assert last is not None
        assert last.round == 1

    @pytest.mark.parametrize("kept", [0, 7, -1])
    def test_of_the_end_is_noticed(self, store: Store, file: Path, kept: int) -> None:
        file.write_bytes(file.read_bytes()[:kept])
        with pytest.raises(StoreDamaged):
            store.latest()

    def test_by_loss_is_noticed(self, store: Store, file: Path) -> None:
        file.unlink()
        with pytest.raises(StoreDamaged):
            store.latest()

    def test_by_the_file_of_another_round_is_noticed(self, store: Store, folder: Path, file: Path) -> None:
        store.commit(checkpoint(2))
        (folder / "round-00002.safetensors").write_bytes(file.read_bytes())
        with pytest.raises(StoreDamaged):
            store.latest()
