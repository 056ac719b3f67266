"""DOCX -> text."""

import io
import zipfile

import docx
import pytest

from clients.ingest import office
from clients.ingest.content import Unusable
from tests.unit.test_ingest_sheets import related

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def package(xml: str | bytes, name: str = "word/document.xml") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, xml)
    return target.getvalue()


def body(inner: str) -> bytes:
    return package(f"<w:document {WORD}><w:body>{inner}</w:body></w:document>")


def word_document() -> bytes:
    document = docx.Document()
    document.add_heading("主軸の点検", 1)
    paragraph = document.add_paragraph("毎朝、")
    paragraph.add_run("①号機～③号機").bold = True
    paragraph.add_run("を確認する。")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [c for row in table.rows for c in row.cells], ["項目", "値", "すきま", "0.02㎜"], strict=True
    ):
        cell.text = text
    document.add_paragraph("表の後の段落。\n改行の後。")
    document.add_heading("次の節", 2)
    document.add_paragraph("終わり。", style="List Bullet")
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def test_paragraphs_and_tables_in_the_order_of_the_document() -> None:
    assert office.read(word_document()).text == (
        "主軸の点検\n毎朝、①号機～③号機を確認する。\n項目 | 値\nすきま | 0.02㎜\n"
        "表の後の段落。\n改行の後。\n\n次の節\n終わり。\n"
    )


def test_insertions_are_read_and_deletions_are_not() -> None:
    tracked = (
        "<w:p><w:r><w:t>温度は</w:t></w:r><w:ins><w:r><w:t>60℃</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>80℃</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>旧</w:t></w:r></w:moveFrom></w:p>"
    )
    assert office.read(body(tracked)).text == "温度は60℃\n"


def test_a_table_within_a_cell_and_a_text_box() -> None:
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p>{}</w:tc>"
    inner = f"<w:tbl><w:tr>{cell.format('B', '')}{cell.format('C', '')}</w:tr></w:tbl>"
    assert office.read(body(f"<w:tbl><w:tr>{cell.format('A', inner)}{cell.format('D', '')}</w:tr></w:tbl>")).text == (
        "A B | C | D\n"
    )
    box = "<w:txbxContent><w:p><w:r><w:t>箱</w:t></w:r></w:p></w:txbxContent>"
    alternative = f'<x:Choice xmlns:x="urn:x">{box}</x:Choice><x:Fallback xmlns:x="urn:x">{box}</x:Fallback>'
    assert office.read(body(f"<w:p><w:r>{alternative}<w:t>本文</w:t></w:r></w:p>")).text == "箱\n本文\n"


def test_readings_above_kanji_are_left_out_and_diagrams_follow() -> None:
    reading = "<w:rt><w:r><w:t>しゅじく</w:t></w:r></w:rt>"
    ruby = f"<w:ruby>{reading}<w:rubyBase><w:r><w:t>主軸</w:t></w:r></w:rubyBase></w:ruby>"
    target = io.BytesIO(body(f"<w:p><w:r>{ruby}<w:t>を点検する</w:t></w:r></w:p>"))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("word/_rels/document.xml.rels", related({"d": ("diagramData", "diagrams/data1.xml")}))
        archive.writestr(
            "word/diagrams/data1.xml", '<d xmlns:a="urn:a"><a:p><a:r><a:t>止める→外す</a:t></a:r></a:p></d>'
        )
    assert office.read(target.getvalue()).text == "主軸を点検する\n止める→外す\n"


def test_foot_and_end_notes_follow_the_text() -> None:
    target = io.BytesIO(body("<w:p><w:r><w:t>すきまは0.02㎜以下</w:t><w:footnoteReference/></w:r></w:p>"))
    note = "<w:footnote><w:p><w:r><w:footnoteRef/></w:r><w:r><w:t>20℃のとき。</w:t></w:r></w:p></w:footnote>"
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("word/footnotes.xml", f"<w:footnotes {WORD}>{note}</w:footnotes>")
    assert office.read(target.getvalue()).text == "すきまは0.02㎜以下\n20℃のとき。\n"


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;">]>',
        '<!DOCTYPE x [<!ENTITY c SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://192.0.2.1/x.dtd">',
    ],
)
def test_a_document_type_goes_no_further(doctype: str) -> None:
    xml = f"{doctype}<w:document {WORD}><w:body><w:p><w:r><w:t>本文&c;</w:t></w:r></w:p></w:body></w:document>"
    for data in (xml.encode(), xml.encode("utf-16")):
        with pytest.raises(Unusable, match="declares a document type"):
            office.read(package(data))


def test_an_archive_that_unfolds_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.ingest.package.LARGEST_XML", 2**20)
    bomb = package(b" " * (2**20 + 1))
    assert len(bomb) < 5_000
    with pytest.raises(Unusable, match="unfolds to more than 1 MiB"):
        office.read(bomb)


def test_what_is_no_word_document() -> None:
    with pytest.raises(Unusable, match="not a Word document"):
        office.read(package("<x/>", "xl/workbook.xml"))
    with pytest.raises(Unusable, match="encrypted document, or one in an old format"):
        office.read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))


def test_a_truncated_file_is_an_error_that_the_folder_survives() -> None:
    whole = word_document()
    for data in (whole[: len(whole) // 2], body("<w:p>")[:-40], package(b"<w:document>")):
        with pytest.raises(Exception, match=r".+"):  # each parser has its own
            office.read(data)
