"""What a site's people are told of the text that is read there."""

from pathlib import Path

import pytest

from clients import data_report
from clients.data_report import NoSuchDocument
from clients.ingest import Reading, read_documents
from tests.unit.test_ingest_sheets import cell, rows, workbook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "点検.txt").write_bytes("①ポンプ㈱髙橋\r\n\r\nﾎﾟﾝﾌﾟを止める\r\n三行目\r\n".encode("cp932"))
    (tmp_path / "手順").mkdir()
    (tmp_path / "手順" / "a.html").write_text("<p>弁を閉じる</p>", encoding="utf-8")
    (tmp_path / "図.dwg").write_bytes(b"AC1032")
    return tmp_path


@pytest.fixture
def reading(folder: Path) -> Reading:
    return read_documents(folder)


def test_report_counts_by_kind_and_encoding_and_says_what_is_set_aside(folder: Path, reading: Reading) -> None:
    result = data_report.report(folder, reading, "ja")
    assert result.facts["kinds"] == {"html utf-8": 1, "text cp932": 1}
    assert [aside["name"] for aside in result.facts["set_aside"]] == ["図.dwg"]
    assert "除外: 図.dwg: 対応する形式" in result.text
    assert "文書 2 件" in result.text


def test_report_counts_what_is_set_aside_by_reason_and_what_of_a_file_is_not_in_its_text(folder: Path) -> None:
    for name in ("一.xls", "二.xls"):
        (folder / name).write_bytes(b"x" + name.encode())
    sheet = {"1日": rows([cell("A1", "温度"), cell("B1", 23)])}
    (folder / "日報.xlsx").write_bytes(workbook(sheet | {"控え": rows()}, states=["visible", "hidden"]))
    result = data_report.report(folder, read_documents(folder), "ja")
    assert result.facts["totals"]["set_aside"]["a .xls file: save it as .xlsx"] == 2
    assert result.facts["totals"]["left_out"] == {"hidden sheets": 1}
    assert "本文に含めていません: 日報.xlsx: 非表示シート 1" in result.text
    assert "除外:      2  .xls 形式です（.xlsx で保存し直してください）" in result.text


def test_where_lists_every_file(folder: Path, reading: Reading) -> None:
    files = data_report.where(folder, reading, "en").facts["files"]
    assert [file["file"] for file in files] == [str(folder / "手順/a.html"), str(folder / "点検.txt")]
    assert files[1]["as"] == "text cp932"


def test_sample_shows_the_text_as_it_is_trained_on(folder: Path, reading: Reading) -> None:
    result = data_report.sample(folder, reading, "点検.txt", 2, "en")
    assert result.facts["samples"] == {"点検.txt": ["①ポンプ㈱髙橋", "ポンプを止める"]}
    assert set(data_report.sample(folder, reading, None, 1, "en").facts["samples"]) == {"手順/a.html", "点検.txt"}


def test_sample_of_a_document_that_is_not_read_says_which_was_meant(folder: Path, reading: Reading) -> None:
    with pytest.raises(NoSuchDocument, match=r"Did you mean 手順/a\.html\?") as caught:
        data_report.sample(folder, reading, "手順/a.htm", 2, "en")
    assert caught.value.exit_code == 8
