"""ZIP -> the files in it, each a document or set aside."""

import io
import zipfile
from pathlib import Path

import pytest

from clients.ingest import archive, read_documents
from clients.ingest.confinement import Limits
from clients.ingest.content import Unusable
from clients.ingest.parser import Parser
from tests.unit.test_ingest_parser import forms_within_forms
from tests.unit.test_ingest_sheets import cell, rows, workbook


def zipped(files: dict[str, bytes]) -> bytes:
    """With names in UTF-8, and the mark that they are."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in files.items():
            written.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def test_every_file_in_an_archive_is_a_document_or_set_aside(tmp_path: Path) -> None:
    files = {
        "手順/点検.txt": "止めてから開ける".encode("cp932"),
        "手順/表.xlsx": workbook({"1日": rows([cell("A1", "温度"), cell("B1", 23)])}),
        "手順/メモ.md": "# 見出し\n本文".encode(),
        "古い.xls": b"\xd0\xcf\x11\xe0",
        "壊れた.docx": b"PK",
        ".DS_Store": b"x",
        "空.txt": b"",
        "空.zip": zipped({}),
        "中.zip": zipped({"手順.txt": "中の文書".encode(), "同じ.txt": "止めてから開ける".encode()}),
    }
    (tmp_path / "資料.zip").write_bytes(zipped(files))
    reading = read_documents(tmp_path)
    assert {document.name: document.text for document in reading.documents} == {
        "資料.zip/中.zip/同じ.txt": "止めてから開ける",
        "資料.zip/手順/表.xlsx": "1日\n温度: 23\n",
        "資料.zip/手順/メモ.md": "# 見出し\n本文",
        "資料.zip/中.zip/手順.txt": "中の文書",
    }
    found = {aside.name: aside.reason for aside in reading.set_aside}
    assert found.pop("資料.zip/壊れた.docx").startswith("damaged, or not a .docx file (BadZipFile")
    assert found == {
        "資料.zip/古い.xls": "a .xls file: save it as .xlsx",
        "資料.zip/.DS_Store": "a hidden or temporary file",
        "資料.zip/空.txt": "empty",
        "資料.zip/空.zip": "empty",
        "資料.zip/手順/点検.txt": "the same text as 資料.zip/中.zip/同じ.txt",
    }


def test_an_empty_archive_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x")
    (tmp_path / "空.zip").write_bytes(zipped({}))
    assert [(aside.name, aside.reason) for aside in read_documents(tmp_path).set_aside] == [("空.zip", "empty")]


@pytest.mark.parametrize("encoding", ["utf-8", "cp932"])
def test_names_without_a_mark_of_their_encoding(encoding: str) -> None:
    """As Windows' own program writes them. The second byte of 表 and ソ in CP932 is a backslash."""
    name = "設備\u3000日報/表示ソ.txt"
    raw = name.encode(encoding)
    ((found, _),) = archive.files(zipped({"x" * len(raw): b"1"}).replace(b"x" * len(raw), raw))
    assert found == name


def test_files_of_one_name_are_set_aside_since_no_report_could_tell_them_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "二重.zip", "w") as written:
        written.writestr("手順.txt", "一つ目")
        with pytest.warns(UserWarning, match="Duplicate name"):
            written.writestr("手順.txt", "二つ目")
        written.writestr("ほか.txt", "三つ目")
    reading = read_documents(tmp_path)
    assert [document.name for document in reading.documents] == ["二重.zip/ほか.txt"]
    assert [each.reason for each in reading.set_aside] == ["another file here has a name that reads the same"] * 2


def test_a_name_leads_nowhere() -> None:
    (found,) = archive.files(zipped({"../..//etc\\.\\passwd.txt": b"x"}))
    assert found[0] == "etc/passwd.txt"


def test_a_file_that_breaks_its_parser_costs_no_other_file_of_the_archive(tmp_path: Path) -> None:
    files = {"1.txt": "前".encode(), "2.pdf": forms_within_forms(7), "3.txt": "後".encode()}
    (tmp_path / "a.zip").write_bytes(zipped(files))
    with Parser(Limits(seconds=5, patience=60, memory=2**28, text=2**20)) as parser:
        reading = read_documents(tmp_path, parser)
    assert [document.name for document in reading.documents] == ["a.zip/1.txt", "a.zip/3.txt"]
    assert [(aside.name, aside.reason.partition(" (")[0]) for aside in reading.set_aside] == [
        ("a.zip/2.pdf", "its parser crashed")
    ]


def test_an_archive_of_nothing_but_files_that_break_their_parser_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clients.ingest.parser._MOST_DEATHS", 2)
    files = {f"{n}.pdf": forms_within_forms(7) + b"%d" % n for n in range(4)}
    (tmp_path / "a.zip").write_bytes(zipped(files))
    (tmp_path / "z.txt").write_bytes(b"x")
    with Parser(Limits(seconds=5, patience=60, memory=2**28, text=2**20)) as parser:
        aside = read_documents(tmp_path, parser).set_aside
    assert [each.name for each in aside] == ["a.zip", "a.zip/0.pdf", "a.zip/1.pdf"]
    assert aside[0].reason == "2 files in it broke their parser: the rest of it was not read"


def refusals(data: bytes) -> dict[str, str]:
    """What cannot be taken out of an archive, and why."""
    found = {}
    for name, contents in archive.files(data):
        try:
            contents()
        except Unusable as refusal:
            found[name] = refusal.reason
    return found


def test_bombs_meet_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_FILE", 2**16)
    assert refusals(zipped({"a.txt": bytes(2**16 + 1), "b.txt": b"x"})) == {"a.txt": "larger than 64 MiB"}
    budget = archive._Budget(files=3, size=100_000)
    monkeypatch.setattr(archive, "_Budget", lambda: budget)
    many = zipped({f"{n}.txt": bytes(40_000) for n in range(4)})
    assert refusals(many) == {
        "2.txt": "its ZIP unfolds to more than 512 MiB",
        "": "more than 5000 files in it: the rest was not read",
    }


def test_archives_within_archives_without_end() -> None:
    data = zipped({"文書.txt": b"x"})
    for depth in range(4):
        data = zipped({f"{depth}.zip": data})
    assert refusals(data) == {"3.zip/2.zip/1.zip": "archives nested more than 3 deep"}


def test_encrypted_and_damaged_files_within() -> None:
    data = bytearray(zipped({"a.txt": b"x" * 1000}))
    directory = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    assert refusals(bytes(data)) == {"a.txt": "encrypted: it opens only with a password"}
    data = bytearray(zipped({"a.txt": b"x" * 1000, "b.txt": b"y"}))
    data[40] ^= 0xFF
    (name, reason), *others = refusals(bytes(data)).items()
    assert (name, others) == ("a.txt", [])
    assert reason.startswith("damaged within its ZIP (")
    assert refusals(b"PK\x03\x04 no archive") == {"": "damaged, or not a ZIP file (BadZipFile)"}
