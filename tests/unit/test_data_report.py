"""What a site's people are told of the text that is read there."""

import argparse
import re
from pathlib import Path

import pypdfium2
import pytest

from clients import data_report, report_page
from clients.commands.records import VERBS
from clients.data_report import NoSuchDocument
from clients.ingest import Reading, SetAside, read_documents
from clients.ingest.personal.settings import DEFAULT_SETTINGS
from clients.ingest.preparing import prepared_documents
from federation.commands import Printer, Result
from federation.errors import Language, UsageError
from federation.output import OutputNotWritable
from tests.unit.test_ingest_sheets import cell, rows, workbook

SCAN = Path(__file__).resolve().parents[1] / "data" / "scan.pdf"


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


def told(folder: Path, language: Language) -> Result:
    return data_report.told(data_report.report([folder], [read_documents(folder)], {}), language)


def test_report_counts_by_kind_and_encoding_and_says_what_is_set_aside(folder: Path) -> None:
    result = told(folder, "ja")
    assert result.facts["totals"]["kinds"] == {
        "text cp932": {"files": 1, "chars": 21},
        "html utf-8": {"files": 1, "chars": 6},
    }
    assert "除外: 図.dwg: 対応する形式" in result.text
    assert "文書 2" in result.text


def test_report_in_japanese_says_in_japanese_what_kind_a_file_is_and_what_is_done(folder: Path) -> None:
    rows = "".join(f"2026/11/22 8:{minute:02},{minute}\n" for minute in range(30))
    (folder / "炉.csv").write_text(f"日時,炉温[℃]\n{rows}", encoding="utf-8")
    events = "発生日時,コード,メッセージ\n26/11/22 8:05:30,E1,エアー圧低下\n26/11/22 9:10,E203,炉温上限異常\n"
    (folder / "警報.csv").write_text(events, encoding="utf-8")
    (folder / "連絡先.txt").write_text("電話は 052-123-4567 です。", encoding="utf-8")
    prepared = prepared_documents(folder, personal=DEFAULT_SETTINGS)
    report = data_report.report([folder], [prepared.reading], {})
    for text in (data_report.told(report, "ja").text, report_page.page(report, {}, "ja")):
        assert "センサーログ utf-8" in text
        assert "イベントログ utf-8" in text
        assert "テキスト cp932" in text
        assert "mask（置き換え）" in text
        assert "event log" not in text
    assert "sensor log utf-8" in data_report.told(report, "en").facts["totals"]["kinds"]


def test_report_has_every_file_with_its_status_encoding_and_reason(folder: Path) -> None:
    result = told(folder, "en")
    drawing, html, text = result.facts["files"]
    assert (html["path"], html["status"], html["kind"]) == ("手順/a.html", "used", "html")
    assert (text["path"], text["encoding"], text["chars"], text["reason"]) == ("点検.txt", "cp932", 21, "")
    assert 0.6 < text["encoding_confidence"] <= 1
    assert (drawing["status"], drawing["chars"]) == ("set aside", 0)
    assert drawing["reason"].startswith("not a kind of file that is read")
    assert {key: result.facts["totals"][key] for key in ("files", "used", "set_aside", "chars")} == {
        "files": 3,
        "used": 2,
        "set_aside": 1,
        "chars": 27,
    }


def test_report_counts_what_is_set_aside_by_reason_and_what_of_a_file_is_not_in_its_text(folder: Path) -> None:
    for name in ("一.xls", "二.xls"):
        (folder / name).write_bytes(b"x" + name.encode())
    sheet = {"1日": rows([cell("A1", "温度"), cell("B1", 23)])}
    (folder / "日報.xlsx").write_bytes(workbook(sheet | {"控え": rows()}, states=["visible", "hidden"]))
    result = told(folder, "ja")
    assert result.facts["totals"]["reasons"]["a .xls file: save it as .xlsx"] == 2
    assert result.facts["totals"]["left_out"] == {"hidden sheets": 1}
    assert "本文に含めていません: 日報.xlsx: 非表示シート 1" in result.text
    assert "除外:      2  .xls 形式です（.xlsx で保存し直してください）" in result.text


def test_report_counts_pages_without_text_by_folder_and_files_by_reason_whatever_their_pages(folder: Path) -> None:
    for name, pages in (("手順/一.pdf", 1), ("手順/二.pdf", 3), ("三.pdf", 2)):
        document = pypdfium2.PdfDocument(SCAN)
        for _ in range(pages - 1):
            document.import_pages(pypdfium2.PdfDocument(SCAN))
        document.save(folder / name)
    report = data_report.report([folder], [read_documents(folder)], {})
    totals = report.facts()["totals"]
    assert totals["reasons"]["no text in it (a scan?)"] == 3
    what = "pages without text (pictures?)"
    assert totals["left_out_by_folder"] == {".": {what: 2}, "手順": {what: 4}}
    text = data_report.told(report, "ja").text
    assert "フォルダー別の不使用: 手順: 文字のないページ（画像？） 4" in text
    assert "除外: 手順/二.pdf: 文字情報がありません（スキャン画像？） (文字のないページ（画像？） 3)" in text
    assert "使用していないもの（フォルダー別）" in report_page.page(report, {}, "ja")


def test_a_page_shows_what_files_are_called_and_say_and_runs_nothing_of_it(folder: Path) -> None:
    (folder / "<img src=x onerror=alert(1)>.txt").write_text("<b>弁</b>を閉じる\x1b[2J", encoding="utf-8")
    reading = read_documents(folder)
    report = data_report.report([folder], [reading], {"near_duplicates": 0})
    samples = {document.name: document.text for document in reading.documents}
    for language in ("en", "ja"):
        page = report_page.page(report, samples, language)
        assert "&lt;b&gt;弁&lt;/b&gt;を閉じる\\x1b[2J" in page
        assert "&lt;img src=x onerror=alert(1)&gt;.txt" in page
        assert f'<html lang="{language}">' in page
        assert "①ポンプ㈱髙橋" in page
        tags = set(re.findall(r"<(\w+)", page))
        assert not tags & {"script", "img", "link", "a", "iframe"}
        assert "default-src 'none'" in page


def test_a_page_shows_no_more_rows_than_a_browser_opens_and_says_so(tmp_path: Path) -> None:
    aside = tuple(SetAside(f"図{number}.dwg", "not read", "対象外") for number in range(2_500))
    page = report_page.page(data_report.report([tmp_path], [Reading((), aside)], {}), {}, "en")
    assert page.count(".dwg</td>") == 2_000
    assert "The first 2,000 of 2,500" in page


class TestTheCommand:
    def report(self, *given: str | Path) -> Result:
        verb = VERBS["data"]
        parser = argparse.ArgumentParser()
        for option in verb.options:
            parser.add_argument(*option.names, **option.how)
        result = verb.run(parser.parse_args(["report", *map(str, given)]), Printer("en", as_json=False))
        assert result is not None
        return result

    def test_reads_any_folders_before_there_is_a_member(self, folder: Path, tmp_path: Path) -> None:
        facts = self.report(folder, folder / "手順", "--home", tmp_path / "none").facts
        assert [file["path"] for file in facts["files"]].count("a.html") == 1
        assert facts["totals"]["used"] == 3
        assert facts["totals"]["near_duplicates"] == 1  # the same file, by both folders
        assert not (tmp_path / "none").exists()

    def test_writes_a_page_for_its_owner_alone(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        page = tmp_path_factory.mktemp("reports") / "報告.html"
        assert self.report(folder, "--html", page).facts["page"] == str(page)
        assert "点検.txt" in page.read_text(encoding="utf-8")
        assert page.stat().st_mode & 0o777 == 0o600
        with pytest.raises(UsageError, match="exists already"):
            self.report(folder, "--html", page)

    def test_makes_no_folder_for_it(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        page = tmp_path_factory.mktemp("reports") / "無い" / "報告.html"
        with pytest.raises(UsageError, match="There is no folder"):
            self.report(folder, "--html", page)
        assert not page.parent.exists()

    def test_tells_where_no_file_can_be_made(self, folder: Path) -> None:
        with pytest.raises(OutputNotWritable):
            self.report(folder, "--html", "/proc/報告.html")

    def test_writes_nothing_into_a_folder_of_data(self, folder: Path) -> None:
        before = sorted(folder.rglob("*"))
        with pytest.raises(UsageError, match="where nothing is written"):
            self.report(folder, "--html", folder / "手順" / "報告.html")
        assert sorted(folder.rglob("*")) == before


def test_a_name_takes_one_line_and_moves_no_cursor(folder: Path) -> None:
    (folder / "手順\n除外: 点検.txt: x\x1b[31m.txt").write_text("弁を閉じる", encoding="utf-8")
    reading = read_documents(folder)
    texts = [told(folder, "ja").text, data_report.where(folder, reading, "ja").text]
    texts += [data_report.sample(folder, reading, None, 1, "ja").text]
    assert not any("\x1b" in text or "\n除外: 点検.txt: x" in text for text in texts)
    assert "手順\\n除外: 点検.txt: x\\x1b[31m.txt" in texts[1]


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


def test_a_reason_that_names_another_file_writes_no_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a\nset aside: 手順.txt: marked.txt").write_text("同じ手順の本文です。", encoding="utf-8")
    (tmp_path / "b.txt").write_text("同じ手順の本文です。", encoding="utf-8")
    text = told(tmp_path, "en").text
    assert "the same text as a\\nset aside" in text
    assert not [line for line in text.split("\n") if line.startswith("set aside: 手順.txt")]
