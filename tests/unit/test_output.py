"""One run, one folder; and what a disk refuses is told as that, and nothing else is."""

import errno
import os
import resource
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.simulate.config import SimulateConfig
from aggregator.store import Store
from clients.journal import Journal
from federation import load_plan, output
from federation.output import OutputFolderTaken, OutputNotWritable


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def file_limit() -> Iterator[None]:
    """No file may grow beyond 256 KiB: a disk that refuses, also for root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fail_after_writing(path: Path) -> None:
    path.touch()
    raise ZeroDivisionError


class TestClaimed:
    def test_runs_that_start_together_get_a_folder_each(self, workspace: Path) -> None:
        start, got = threading.Barrier(8), list[Path]()

        def claim() -> None:
            start.wait()
            with output.claimed(Path("outputs/demo-1"), chosen=False) as folder:
                got.append(folder)

        threads = [threading.Thread(target=claim) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = {"demo-1", *(f"demo-1-{number}" for number in range(2, 9))}
        assert {folder.name for folder in got} == names == {folder.name for folder in (workspace / "outputs").iterdir()}

    def test_a_folder_that_was_chosen_is_taken_or_refused_but_not_renamed(self, workspace: Path) -> None:
        with output.claimed(Path("mine"), chosen=True) as folder:
            assert folder == workspace / "mine"
        with output.claimed(Path("mine"), chosen=True) as folder:  # still empty
            (folder / "summary.json").touch()
        with pytest.raises(OutputFolderTaken) as caught, output.claimed(Path("mine"), chosen=True):
            pass
        assert caught.value.exit_code == 2

    def test_a_failure_that_wrote_nothing_leaves_nothing(self, workspace: Path) -> None:
        (workspace / "there").mkdir()
        for path in ("outputs/a/b", "there/c"):
            with pytest.raises(KeyboardInterrupt), output.claimed(Path(path), chosen=False):
                raise KeyboardInterrupt
        assert list(workspace.rglob("*")) == [workspace / "there"]

    def test_a_failure_that_wrote_something_leaves_it(self, workspace: Path) -> None:
        with pytest.raises(ZeroDivisionError), output.claimed(Path("outputs/a"), chosen=False) as folder:
            fail_after_writing(folder / "metrics.jsonl")
        assert (workspace / "outputs/a/metrics.jsonl").exists()

    def test_a_place_that_cannot_hold_a_folder(self, workspace: Path) -> None:
        (workspace / "outputs").write_text("a file")
        with pytest.raises(OutputNotWritable) as caught, output.claimed(Path("outputs/a"), chosen=False):
            pass
        assert caught.value.exit_code == 7
        assert "フォルダーではありません" in caught.value.text("ja")


class TestDiskErrors:
    @pytest.mark.usefixtures("file_limit")
    def test_through_the_coordinator_s_store(self, workspace: Path) -> None:
        store = Store(workspace / "coordinator", bytes(32))
        with pytest.raises(OutputNotWritable, match="a file would become larger"), output.disk_errors(workspace):
            store._write("round-00001.safetensors", bytes(1 << 20))

    def test_through_a_member_s_journal(self, workspace: Path) -> None:
        journal = Journal(workspace / "journal.sqlite")
        journal._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(OutputNotWritable, match="no space is left"), output.disk_errors(workspace):
            journal._db.execute("CREATE TABLE filler (x)")

    @pytest.mark.usefixtures("file_limit")
    def test_a_journal_that_cannot_be_begun_is_no_damaged_one(
        self, workspace: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("clients.journal._SCHEMA", "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(1048576));")
        with pytest.raises(OutputNotWritable), output.disk_errors(workspace):
            Journal(workspace / "journal.sqlite")

    @pytest.mark.parametrize("number", sorted({errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT}))
    def test_every_refusal_has_words(self, number: int, workspace: Path) -> None:
        with pytest.raises(OutputNotWritable) as caught, output.disk_errors(workspace):
            raise OSError(number, os.strerror(number), str(workspace / "plan.yaml"))
        assert caught.value.exit_code == 7
        assert caught.value.facts["detail"] != caught.value.facts["detail_ja"]

    def test_sqlite_in_words_of_its_own(self, workspace: Path) -> None:
        read_only = sqlite3.connect(f"file:{workspace}/x.sqlite?mode=rwc", uri=True)
        read_only.execute("CREATE TABLE t (x)")
        read_only.execute("PRAGMA query_only = 1")
        with pytest.raises(OutputNotWritable, match="read-only"), output.disk_errors(workspace):
            read_only.execute("INSERT INTO t VALUES (1)")

    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.EACCES, "Permission denied", "/srv/consortium/manual.txt"),  # the member's documents
            OSError(errno.ENOENT, "No such file", "plan.yaml"),  # a bug of ours
            ValueError("a bug"),
            sqlite3.IntegrityError("a bug"),
        ],
        ids=str,
    )
    def test_anything_else_passes(self, error: Exception, workspace: Path) -> None:
        with pytest.raises(type(error)) as caught, output.disk_errors(workspace):
            raise error
        assert caught.value is error

    def test_a_full_standard_output_is_not_a_full_disk(self, workspace: Path) -> None:
        with pytest.raises(OSError, match="No space left") as caught, output.disk_errors(workspace):
            Path("/dev/full").write_text("a line", encoding="utf-8")
        assert type(caught.value) is OSError

    @pytest.mark.usefixtures("file_limit")
    def test_a_run_on_a_full_disk_is_told_by_the_program(self, workspace: Path) -> None:
        def task(config: SimulateConfig, folder: Path) -> None:
            (folder / "adapter").write_bytes(bytes(1 << 20))

        with pytest.raises(OutputNotWritable) as caught:
            load_plan.run([], SimulateConfig, "simulate", task)
        assert Path(str(caught.value.facts["path"])).parent == workspace / "outputs"

    def test_too_little_room_is_told_before_training(self, workspace: Path) -> None:
        output.require_room(workspace, 1)
        with pytest.raises(OutputNotWritable, match="this run needs 1000000000000") as caught:
            output.require_room(workspace, 10**18)
        assert "空き容量" in caught.value.text("ja")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    output.make_folder(tmp_path / "a" / "b")
    output.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    for place in (Path("/proc/none"), tmp_path / "file" / "b"):
        with pytest.raises(OutputNotWritable):
            output.make_folder(place)
