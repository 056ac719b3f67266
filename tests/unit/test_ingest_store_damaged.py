"""Damage within the store of texts: made again where it can be, else an error that quotes nothing."""

import errno
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.ingest import Texts, read_folders
from clients.ingest.content import Unusable
from clients.ingest.parser import Part
from clients.ingest.personal.settings import DEFAULT_SETTINGS
from clients.ingest.preparing import prepared
from clients.ingest.store import ReadingDamaged, TextMissing
from clients.ingest.together import Request
from clients.similarity import sketch
from tests.unit.test_ingest_store import Watched, an_hour_later, fail_to_open, found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "共有"
    folder.mkdir()
    for number in range(4):
        (folder / f"手順{number}.txt").write_text(
            f"手順書の本文 {number}。電話は 052-123-4567 です。", encoding="utf-8"
        )
    return folder


@pytest.mark.parametrize("damage", ["x'00'", "5", "'text'", "x''", "substr(said, 1, length(said) - 1) || x'00'"])
def test_what_a_step_said_is_made_again(folder: Path, tmp_path: Path, damage: str) -> None:
    def all_of_it() -> list[object]:
        made = prepared(read_folders([folder], texts), DEFAULT_SETTINGS)
        return [made, [sketch(each) for each in made.reading.documents]]

    with Texts(tmp_path / "texts.sqlite") as texts:
        before = all_of_it()
        with sqlite3.connect(tmp_path / "texts.sqlite") as database:
            assert database.execute(f"UPDATE steps SET said = {damage}").rowcount > 4  # noqa: S608  # one of these
        assert all_of_it() == before


@pytest.mark.parametrize("damage", ["x'ff' || text", "x'ff'", "5"])
def test_a_text_is_never_quoted(folder: Path, tmp_path: Path, damage: str) -> None:
    with Texts(tmp_path / "texts.sqlite") as texts:
        digest = read_folders([folder], texts).documents[0].digest
        with sqlite3.connect(tmp_path / "texts.sqlite") as database:
            database.execute(f"UPDATE texts SET text = CAST({damage} AS TEXT)")  # noqa: S608  # one of these
        with pytest.raises(TextMissing, match="rengo member data purge") as caught:
            texts.text(digest)
        assert "手順書" not in str(caught.value)


def test_what_is_said_of_a_file_is_read_again(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.sqlite"
    with Texts(path) as texts, Watched() as parser:
        before = found(read_folders([folder], texts, parser))
        with sqlite3.connect(path) as database:
            (said,) = database.execute("SELECT said FROM parts WHERE text IS NOT NULL").fetchone()
        wrong = said.replace('"records": 1', '"records": "1"'), b"\xff" + said.encode()[1:]
        for damage in ("{", "[]", "{}", "[" * 100_000, *wrong):
            with sqlite3.connect(path) as database:
                database.execute("UPDATE parts SET said = CAST(? AS TEXT)", (damage,))
            parser.read.clear()
            assert found(read_folders([folder], texts, parser)) == before
            assert len(parser.read) == 4


@pytest.mark.parametrize("damage", ["name = 'x' || name", "number = number + 5", "text = x'00'", "seal = x'00'"])
def test_what_an_archive_holds_is_read_again(folder: Path, tmp_path: Path, damage: str) -> None:
    """Marks are in names, too, and a name is nowhere else."""
    with zipfile.ZipFile(folder / "資料.zip", "w") as archive:
        archive.writestr("秘_図面.txt", "主軸を点検する。")
        archive.writestr("別.txt", "弁を閉じる。")
    path = tmp_path / "texts.sqlite"
    with Texts(path) as texts, Watched() as parser:
        before = found(read_folders([folder], texts, parser))
        with sqlite3.connect(path) as database:
            database.execute(f"UPDATE parts SET {damage} WHERE name LIKE '秘%'")  # noqa: S608  # one of these
        for again in (["資料.zip"], []):
            parser.read.clear()
            assert found(read_folders([folder], texts, parser)) == before
            assert parser.read == again


class TestFiles:
    """What is noted of a file: four of them, the first marked, with a copy that is forbidden by it."""

    @pytest.fixture
    def folder(self, folder: Path) -> Path:
        (folder / "極秘").mkdir()
        for name in ("極秘/原本.txt", "写し.txt"):
            (folder / name).write_text("主軸を点検する。", encoding="utf-8")
        return folder

    @pytest.fixture
    def texts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Texts]:
        an_hour_later(monkeypatch)  # files that do not change are not opened again
        with Texts(tmp_path / "texts.sqlite") as texts:
            yield texts

    @pytest.mark.parametrize("damage", [f"{column} = x'00'" for column in ("sha256", "reading", "seal")])
    def test_a_damaged_row_is_made_again(self, folder: Path, texts: Texts, damage: str) -> None:
        before = found(read_folders([folder], texts))
        rows = self.rows(texts)
        self.change(texts, damage)
        assert found(read_folders([folder], texts)) == before
        assert self.rows(texts) == rows

    def test_a_digest_of_another_file_of_that_name_is_not_believed(self, folder: Path, texts: Texts) -> None:
        """Its text would be taken for the marked one's, and the copy of that for a file like any other."""
        (folder / "公開").mkdir()
        (folder / "公開" / "原本.txt").write_text("弁を閉じる。", encoding="utf-8")
        before = found(read_folders([folder], texts))
        of_another = f"(SELECT sha256 FROM files WHERE {self.called('公開')})"  # noqa: S608  # of these
        self.change(texts, f"sha256 = {of_another}")
        assert found(read_folders([folder], texts)) == before

    @pytest.mark.parametrize("damage", ["sha256 = x'00'", "reading = x'00'", "inode = 1 - inode", "said"])
    def test_what_a_file_forbids_that_cannot_be_read_now_is_not_forgotten(
        self, folder: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch, damage: str
    ) -> None:
        read_folders([folder], texts)
        if damage == "said":
            with sqlite3.connect(texts.path or "") as database:
                database.execute("UPDATE parts SET said = '{'")
        else:
            self.change(texts, damage)
        with monkeypatch.context() as failing:
            fail_to_open(failing, "原本.txt", errno.EACCES)
            with pytest.raises(ReadingDamaged, match=r"data forget .*原本\.txt"):
                read_folders([folder], texts)
        assert "写し.txt" not in found(read_folders([folder], texts))[0]
        self.change(texts, "seal = x'00'")
        assert texts.forget(folder / "極秘" / "原本.txt") == 1
        with monkeypatch.context() as failing:
            fail_to_open(failing, "原本.txt", errno.EACCES)
            assert "写し.txt" in found(read_folders([folder], texts))[0]

    def test_a_store_from_before_there_were_seals_forbids_what_it_forbade(
        self, folder: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert texts.path is not None
        with Watched() as parser:
            read_folders([folder], texts, parser)
            parser.read.clear()
            with sqlite3.connect(texts.path) as database:
                database.execute("ALTER TABLE files DROP COLUMN seal")
            with Texts(texts.path) as again, monkeypatch.context() as failing:
                fail_to_open(failing, "原本.txt", errno.EACCES)
                assert "写し.txt" not in found(read_folders([folder], again, parser))[0]
            assert parser.read == []  # hashed alone

    def test_bytes_that_a_marked_file_forbids_stay_forbidden_though_its_reading_was_not_kept(
        self, folder: Path, texts: Texts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Slow(Watched):
            def parts(self, descriptor: int, name: str, request: Request | None = None) -> list[Part]:
                slow = name == "原本.txt"
                return (
                    [Part("", Unusable("slow", "遅い", again=True))]
                    if slow
                    else super().parts(descriptor, name, request)
                )

        with Slow() as parser:
            assert "写し.txt" not in found(read_folders([folder], texts, parser))[0]
            fail_to_open(monkeypatch, "原本.txt", errno.EACCES)
            assert "写し.txt" not in found(read_folders([folder], texts, parser))[0]

    def called(self, name: str) -> str:
        return f"instr(path, x'{name.encode().hex()}')"

    def change(self, texts: Texts, damage: str) -> None:
        with sqlite3.connect(texts.path or "") as database:
            changed = database.execute(f"UPDATE files SET {damage} WHERE {self.called('極秘')}")  # noqa: S608  # of these
            assert changed.rowcount == 1

    def rows(self, texts: Texts) -> list[object]:
        with sqlite3.connect(texts.path or "") as database:
            return database.execute("SELECT * FROM files ORDER BY path").fetchall()
