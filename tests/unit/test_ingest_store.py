"""What was read is not read again, a share that is away is not an empty folder, and a kill loses one file at most."""

import errno
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.ingest import FolderUnreachable, Reading, Texts, files, read_documents, read_folders, store
from clients.ingest.content import Unusable
from clients.ingest.parser import Parser, Part
from clients.ingest.store import TextMissing, TextsUnreadable
from clients.ingest.together import Request
from federation.errors import DataFolderInvalid

OLD = time.time() - 3600


def put(folder: Path, name: str, text: str) -> Path:
    """A file that was written long ago: one written just now is read again, see `Texts.note`."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (OLD, OLD))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        put(tmp_path / "共有", f"手順{number}.txt", f"手順書の本文 {number}")
    put(tmp_path / "共有", "図.dwg", "AC1032")
    return tmp_path / "共有"


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[Texts]:
    with Texts(tmp_path / "member" / "texts.sqlite") as texts:
        yield texts


class Watched(Parser):
    """The real one, noting what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def parts(self, descriptor: int, name: str, request: Request | None = None) -> list[Part]:
        self.read.append(name)
        return super().parts(descriptor, name, request)


@pytest.fixture
def parser() -> Iterator[Watched]:
    with Watched() as parser:
        yield parser


def found(reading: Reading) -> tuple[dict[str, str], dict[str, str]]:
    return {d.name: d.text for d in reading.documents}, {a.name: a.reason for a in reading.set_aside}


def fail_to_open(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """As a file server that answers with `number` when this one file is opened."""
    real = os.open

    def refuse(path: Path, flags: int, *more: int) -> int:
        if os.fspath(path).endswith(name):
            raise OSError(number, os.strerror(number))
        return real(path, flags, *more)

    monkeypatch.setattr(files.os, "open", refuse)


def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes ahead of the files, whose time of change nobody can set back."""
    real = time.time_ns
    monkeypatch.setattr(store.time, "time_ns", lambda: real() + 3600 * 10**9)


class TestIncremental:
    def test_is_what_reading_in_memory_gives(self, folder: Path, texts: Texts) -> None:
        for _ in range(2):
            assert found(read_folders([folder], texts)) == found(read_documents(folder))

    def test_an_unchanged_file_is_not_opened(
        self, folder: Path, texts: Texts, parser: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        an_hour_later(monkeypatch)
        read_folders([folder], texts, parser)
        for number in range(4):
            fail_to_open(monkeypatch, f"手順{number}.txt", errno.EIO)
        assert len(read_folders([folder], texts, parser).documents) == 4
        assert len(parser.read) == 4

    def test_a_changed_file_is_read_and_one_whose_time_changed_alone_is_only_hashed(
        self, folder: Path, texts: Texts, parser: Watched
    ) -> None:
        read_folders([folder], texts, parser)
        put(folder, "手順0.txt", "改めた本文")
        os.utime(folder / "手順1.txt", (OLD + 5, OLD + 5))
        parser.read.clear()
        assert found(read_folders([folder], texts, parser))[0]["手順0.txt"] == "改めた本文"
        assert parser.read == ["手順0.txt"]

    def test_a_change_that_keeps_size_and_time_is_seen_if_the_file_was_fresh_when_it_was_read(
        self, folder: Path, texts: Texts
    ) -> None:
        fresh = folder / "日報.txt"
        fresh.write_text("一号機", encoding="utf-8")
        status = fresh.stat()
        read_folders([folder], texts)
        fresh.write_text("二号機", encoding="utf-8")
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert fresh.stat().st_ino == status.st_ino
        assert found(read_folders([folder], texts))[0]["日報.txt"] == "二号機"

    def test_a_file_that_is_written_to_in_place_and_given_its_time_back_is_read_again(
        self, folder: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        an_hour_later(monkeypatch)
        read_folders([folder], texts)
        path = folder / "手順0.txt"
        before = path.stat()
        path.write_text("手順書の本文 9", encoding="utf-8")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        after = path.stat()
        assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
        assert found(read_folders([folder], texts))[0]["手順0.txt"] == "手順書の本文 9"

    def test_a_store_from_before_that_was_looked_at_is_read_and_its_files_are_hashed_once(
        self, folder: Path, texts: Texts, parser: Watched
    ) -> None:
        read_folders([folder], texts, parser)
        assert texts.path is not None
        with sqlite3.connect(texts.path) as database:
            database.execute("ALTER TABLE files DROP COLUMN ctime_ns")
        with Texts(texts.path) as again:
            assert len(read_folders([folder], again, parser).documents) == 4
        assert len(parser.read) == 4

    def test_other_readers_read_everything_again(
        self, folder: Path, texts: Texts, parser: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read_folders([folder], texts, parser)
        monkeypatch.setattr(store, "_readers", lambda: b"of another version")
        read_folders([folder], texts, parser)
        assert len(parser.read) == 8

    def test_a_removed_file_is_no_document_and_its_text_is_pruned(self, folder: Path, texts: Texts) -> None:
        before = read_folders([folder], texts).documents
        (folder / "手順0.txt").unlink()
        assert [d.name for d in read_folders([folder], texts).documents] == [d.name for d in before[1:]]
        texts.prune([before[1].digest])
        with pytest.raises(store.TextMissing):
            texts.text(before[0].digest)
        assert texts.text(before[3].digest) == "手順書の本文 3"

    def test_a_text_that_is_needed_elsewhere_is_not_pruned(self, folder: Path, texts: Texts) -> None:
        gone = read_folders([folder], texts).documents[0]
        (folder / "手順0.txt").unlink()
        read_folders([folder], texts)
        texts.prune([gone.digest])
        assert gone.text == "手順書の本文 0"

    def test_several_folders_have_their_names_before_those_of_their_documents(
        self, folder: Path, texts: Texts, tmp_path: Path
    ) -> None:
        other, third = tmp_path / "記録", tmp_path / "二" / "共有"
        put(other, "手順0.txt", "別のフォルダー")
        put(third, "旧/a.txt", "古い")
        put(third, "手順9.txt", "三つ目")
        reading = read_folders([folder, other, third], texts)
        assert {"共有/手順0.txt", "記録/手順0.txt", "共有-2/手順9.txt"} <= {d.name for d in reading.documents}
        places = {d.name: Path(d.place) for d in reading.documents}
        assert places["共有-2/手順9.txt"] == third / "手順9.txt"
        assert all(path.is_file() for path in places.values())
        assert "共有-2/旧/a.txt" in {a.name for a in reading.set_aside}

    def test_a_process_that_is_killed_in_the_middle_loses_one_file_at_most(self, folder: Path, tmp_path: Path) -> None:
        program = (
            "import os, signal, sys; from pathlib import Path; from clients.ingest import Pace, Texts, read_folders;"
            "tell = lambda size: os.kill(os.getpid(), signal.SIGKILL) if pace._done[0] == 2 else None;"
            "pace = Pace(); read = pace.read; pace.read = lambda size: (read(size), tell(size));"
            "read_folders([Path(sys.argv[1])], Texts(Path(sys.argv[2])), pace=pace)"
        )
        path = tmp_path / "killed" / "texts.sqlite"
        killed = subprocess.run([sys.executable, "-c", program, folder, path], capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        with Texts(path) as texts, Watched() as parser:
            assert found(read_folders([folder], texts, parser)) == found(read_documents(folder))
            assert len(parser.read) == 2

    def test_a_damaged_store_says_what_to_do(self, tmp_path: Path) -> None:
        path = tmp_path / "texts.sqlite"
        path.write_bytes(b"no database" * 100)
        with pytest.raises(TextsUnreadable, match="rengo member data purge") as caught:
            Texts(path)
        assert caught.value.exit_code == 7

    def test_so_does_one_that_is_damaged_inside(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "texts.sqlite"
        with Texts(path) as texts:
            read_folders([folder], texts)
        data = bytearray(path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        path.write_bytes(data)
        with pytest.raises(TextsUnreadable), Texts(path) as texts:
            read_folders([folder], texts)


class TestLogsTogether:
    EXPORT = "日時,炉温[℃]\n" + "".join(f"2026/11/22 8:{minute:02},{minute}\n" for minute in range(30))
    QUOTED = 'quoted = ["警報.csv"]\n'
    EVENTS = "発生日時,コード,メッセージ\n26/11/22 8:05:30,E1,エアー圧低下\n26/11/22 9:10,E203,炉温上限異常\n"

    @pytest.fixture
    def logs(self, tmp_path: Path) -> Path:
        folder = tmp_path / "記録"
        folder.mkdir()
        for name, text in (("炉.csv", self.EXPORT), ("警報.csv", self.EVENTS)):
            path = folder / name
            path.write_bytes(text.encode("cp932"))
            os.utime(path, (1.7e9, 1.7e9))
        (folder / "logs.toml").write_text(self.QUOTED, encoding="utf-8")
        return folder

    def test_are_not_opened_again_while_both_are_as_they_were(self, logs: Path, texts: Texts, parser: Watched) -> None:
        before = read_folders([logs], texts, parser)
        assert parser.read == ["炉.csv", "警報.csv", "炉.csv"]
        assert "エアー圧低下" in found(before)[0]["炉.csv"]
        texts.prune([])
        assert found(read_folders([logs], texts, parser)) == found(before)
        assert len(parser.read) == 3

    def test_are_read_again_when_the_other_one_changed(self, logs: Path, texts: Texts, parser: Watched) -> None:
        read_folders([logs], texts, parser)
        (logs / "警報.csv").write_bytes(self.EVENTS.replace("エアー圧低下", "油圧低下").encode("cp932"))
        assert "油圧低下" in found(read_folders([logs], texts, parser))[0]["炉.csv"]
        assert parser.read[3:] == ["警報.csv", "炉.csv"]

    def test_are_read_again_when_the_site_says_something_else_of_them(
        self, logs: Path, texts: Texts, parser: Watched
    ) -> None:
        read_folders([logs], texts, parser)
        (logs / "logs.toml").write_text(self.QUOTED + '[[tags]]\ntag = "炉温"\nhigh = 20\n', encoding="utf-8")
        assert "20" in found(read_folders([logs], texts, parser))[0]["炉.csv"]
        assert parser.read[3:] == ["炉.csv", "警報.csv", "炉.csv"]

    def test_leave_no_text_behind_that_nothing_says_any_more(self, logs: Path, texts: Texts, parser: Watched) -> None:
        before = found(read_folders([logs], texts, parser))[0]["炉.csv"]
        (logs / "警報.csv").unlink()
        reading = read_folders([logs], texts, parser)
        texts.prune([])
        assert "エアー圧低下" not in found(reading)[0]["炉.csv"]
        with pytest.raises(TextMissing):
            texts.text(hashlib.sha256(before.encode()).digest())


class TestFileServers:
    @pytest.mark.parametrize("number", [errno.EACCES, errno.EBUSY, errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
    def test_a_file_that_cannot_be_opened_now_is_tried_again_the_next_time(
        self, number: int, folder: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as failing:
            fail_to_open(failing, "手順1.txt", number)
            documents, aside = found(read_folders([folder], texts))
        assert len(documents) == 3
        assert aside["手順1.txt"] == f"cannot be read ({os.strerror(number)})"
        assert len(read_folders([folder], texts).documents) == 4

    def test_a_file_that_grows_while_it_is_read_is_tried_again_the_next_time(self, folder: Path, texts: Texts) -> None:
        class Growing(Watched):
            def parts(self, descriptor: int, name: str, request: Request | None = None) -> list[Part]:
                found = super().parts(descriptor, name, request)
                if name == "手順1.txt" and len(self.read) < 4:
                    with (folder / name).open("a", encoding="utf-8") as file:
                        file.write("追記")
                return found

        with Growing() as parser:
            _, aside = found(read_folders([folder], texts, parser))
            assert aside["手順1.txt"] == "it changed while it was read"
            assert found(read_folders([folder], texts, parser))[0]["手順1.txt"] == "手順書の本文 1追記"

    def test_a_timeout_is_not_a_files_verdict_for_ever(self, folder: Path, texts: Texts, parser: Watched) -> None:
        late = Unusable("not read within 900 s", "間に合いません", again=True)
        key = store.reading_key("手順1.txt", b"d" * 32)
        texts.keep(key, [Part("", late)])
        assert texts.parts(key) is None
        texts.keep(key, [Part("", Unusable("damaged", "壊れています"))])
        assert texts.parts(key) is not None

    def test_locked_files_of_office_are_left_alone(self, folder: Path, texts: Texts) -> None:
        put(folder, "~$日報.xlsx", "lock")
        assert found(read_folders([folder], texts))[1]["~$日報.xlsx"] == "a hidden or temporary file"

    def test_a_folder_that_is_gone_or_empty_after_it_was_read_is_unreachable_and_nothing_is_forgotten(
        self, folder: Path, texts: Texts, parser: Watched
    ) -> None:
        read_folders([folder], texts, parser)
        away = folder.rename(folder.with_name("外した"))
        with pytest.raises(
            FolderUnreachable, match=r"no such folder; 4 file\(s\)|no such folder\. 4 file\(s\)"
        ) as caught:
            read_folders([folder], texts, parser)
        assert caught.value.exit_code == 8
        assert "削除とはみなさず" in caught.value.text("ja")
        folder.mkdir()
        with pytest.raises(FolderUnreachable, match="it is empty"):
            read_folders([folder], texts, parser)
        folder.rmdir()
        away.rename(folder)
        assert len(read_folders([folder], texts, parser).documents) == 4
        assert len(parser.read) == 4

    def test_a_share_that_is_lost_while_it_is_read_is_no_folder_of_unreadable_files(
        self, folder: Path, texts: Texts
    ) -> None:
        class Cutting(Watched):
            def parts(self, descriptor: int, name: str, request: Request | None = None) -> list[Part]:
                found = super().parts(descriptor, name, request)
                if len(self.read) == 2:
                    folder.rename(folder.with_name("切断"))
                    folder.mkdir()
                return found

        with Cutting() as parser:
            with pytest.raises(FolderUnreachable):
                read_folders([folder], texts, parser)
            folder.rmdir()
            folder.with_name("切断").rename(folder)
            assert len(read_folders([folder], texts, parser).documents) == 4
        assert len(parser.read) == 4

    @pytest.mark.parametrize("number", [errno.ENOTCONN, errno.EHOSTDOWN, errno.ESTALE, errno.EIO])
    def test_a_share_whose_server_is_down_is_unreachable(
        self, number: int, folder: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read_folders([folder], texts)

        def down(_: Path) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(files.os, "scandir", down)
        with pytest.raises(FolderUnreachable, match=os.strerror(number)):
            read_folders([folder], texts)

    def test_a_folder_that_was_never_there_is_a_mistake_in_the_settings(self, tmp_path: Path, texts: Texts) -> None:
        with pytest.raises(DataFolderInvalid, match="no such folder"):
            read_folders([tmp_path / "typo"], texts)

    def test_a_subfolder_that_cannot_be_opened_for_once_loses_nothing(
        self, folder: Path, texts: Texts, parser: Watched, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(folder, "下/手順8.txt", "下の本文")
        read_folders([folder], texts, parser)
        real = os.scandir

        def refuse(path: Path) -> object:
            if os.fspath(path).endswith("下"):
                raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
            return real(path)

        with monkeypatch.context() as failing:
            failing.setattr(files.os, "scandir", refuse)
            assert found(read_folders([folder], texts, parser))[1]["下"] == "a folder that cannot be opened"
        assert len(read_folders([folder], texts, parser).documents) == 5
        assert len(parser.read) == 5

    def test_nothing_is_written_to_a_source(self, folder: Path, texts: Texts) -> None:
        before = {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in [folder, *folder.iterdir()]}
        read_folders([folder], texts)
        assert {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in before} == before


def test_a_text_in_the_store_is_the_text_of_its_digest(folder: Path, texts: Texts) -> None:
    document = read_folders([folder], texts).documents[0]
    with sqlite3.connect(texts.path or "") as database:
        database.execute("UPDATE texts SET text = '差し替え' WHERE sha256 = ?", (document.digest,))
    with pytest.raises(store.TextMissing):
        assert document.text
