"""Damage within the store of texts: made again where it can be, else an error that quotes nothing."""

import sqlite3
from pathlib import Path

import pytest

from clients.ingest import Texts, read_folders
from clients.ingest.personal.settings import DEFAULT_SETTINGS
from clients.ingest.preparing import prepared
from clients.ingest.store import TextMissing
from clients.similarity import sketch
from tests.unit.test_ingest_store import Watched, found


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
