"""PDF -> text. The files are made by scripts/make_test_pdfs.py."""

import ctypes
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import pypdfium2
import pypdfium2.raw as pdfium
import pytest

from clients.ingest import pdf, pdf_layout, pdf_second_opinion, plausible, read_documents
from clients.ingest.content import LeftOut, Unusable
from clients.ingest.pdf_layout import Line
from clients.ingest.pdf_page import Page, Piece
from clients.ingest.pdf_paragraphs import paragraphs
from tests.growth import LINEAR, growth

DATA = Path(__file__).resolve().parents[1] / "data"
TRUTH = DATA.parent / "truth" / "files"


def test_paragraphs_over_lines_and_pages_without_running_heads() -> None:
    content = pdf.read((DATA / "wrapped.pdf").read_bytes())
    assert content.text == (DATA / "wrapped.txt").read_text(encoding="utf-8")
    assert content.facts.kind == "pdf"


def test_pdfminer_reads_it_too() -> None:
    text = pdf_second_opinion.text_of((DATA / "wrapped.pdf").read_bytes(), pdf.MOST_PAGES)
    assert "対象: ㈱髙橋製作所の①号機〜③号機、主軸回転数 1200rpm〜1500rpm" in text  # its map of the font has 〜
    assert (
        "第3項では、Spindle Unit の振動値を確認し、前回の記録と比べて大きく変わっていないことを確かめます。第3項"
        in text
    )


def test_pdfminer_is_asked_when_pdfium_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "paragraphs", lambda lines: "")
    assert "主軸ユニットの点検手順" in pdf.read((DATA / "wrapped.pdf").read_bytes()).text


@pytest.mark.parametrize("text", ["\ufffd\ufffd検\ufffd", "\ue000\ue001あ", "(cid:12)(cid:7)(cid:99)"])
def test_text_that_no_reader_can_decode_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(pdf, "paragraphs", lambda lines: text)
    monkeypatch.setattr(pdf_second_opinion, "text_of", lambda data, most_pages: "")
    with pytest.raises(Unusable, match="fonts do not say"):
        pdf.read((DATA / "wrapped.pdf").read_bytes())


def test_what_cannot_be_read_is_set_aside_by_its_kind(tmp_path: Path) -> None:
    whole = (DATA / "wrapped.pdf").read_bytes()
    (tmp_path / "good.txt").write_text("良い文書", encoding="utf-8")
    (tmp_path / "encrypted.pdf").write_bytes((DATA / "encrypted.pdf").read_bytes())
    (tmp_path / "scan.pdf").write_bytes((DATA / "scan.pdf").read_bytes())
    (tmp_path / "truncated.pdf").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "word.pdf").write_bytes(b"PK\x03\x04" + bytes(100))
    reading = read_documents(tmp_path)
    found = {aside.name: aside.reason for aside in reading.set_aside}
    assert found["encrypted.pdf"] == "encrypted: it opens only with a password"
    assert found["scan.pdf"] == "no text in it (a scan?)"
    assert found["word.pdf"].startswith("not a readable PDF (")
    assert set(found) == {"encrypted.pdf", "scan.pdf", "truncated.pdf", "word.pdf"}
    assert [document.name for document in reading.documents] == ["good.txt"]


def test_wherever_a_pdf_is_cut_it_is_read_in_part_or_refused() -> None:
    whole = (DATA / "wrapped.pdf").read_bytes()
    for end in range(0, len(whole), 311):
        try:
            text = pdf.read(whole[:end]).text
        except Unusable:
            continue
        assert text.strip()


def test_a_line_over_the_margin_does_not_make_the_others_look_short() -> None:
    lines = [Line("あ" * 40, 0, 50, 450, 700 - 15 * n, 10, 10) for n in range(10)]
    lines.insert(5, Line("x" * 60, 0, 50, 600, 640, 8, 10))
    assert paragraphs([line for line in lines if line.size == 10 or line.right == 600]).count("\n") == 3


def changed(change: Callable[[pypdfium2.PdfDocument], None], path: Path = DATA / "wrapped.pdf") -> bytes:
    """A PDF after something was done to it."""
    document, target = pypdfium2.PdfDocument(path), io.BytesIO()
    change(document)
    document.save(target)
    return target.getvalue()


def annotated(document: pypdfium2.PdfDocument, kind: int, strings: Mapping[bytes, str]) -> None:
    page = document[0]
    note = pdfium.FPDFPage_CreateAnnot(page.raw, kind)
    for key, text in strings.items():
        held = (text + "\0").encode("utf-16-le")
        pdfium.FPDFAnnot_SetStringValue(note, key, ctypes.cast(held, ctypes.POINTER(pdfium.FPDF_WCHAR)))
    pdfium.FPDFPage_CloseAnnot(note)
    page.close()


def test_what_was_typed_onto_a_page_is_text_and_what_a_note_says_is_not() -> None:
    said = {b"Contents": "次回は冷却水を替える。"}
    typed = pdf.read(changed(lambda document: annotated(document, pdfium.FPDF_ANNOT_FREETEXT, said)))
    assert typed.text.endswith("\n次回は冷却水を替える。\n")
    noted = pdf.read(changed(lambda document: annotated(document, pdfium.FPDF_ANNOT_TEXT, said)))
    assert "冷却水を替える" not in noted.text
    assert "冷却水を替える" in noted.around


def test_a_stamp_across_the_page_is_a_mark_and_no_text() -> None:
    def stamped(document: pypdfium2.PdfDocument) -> None:
        page = document[0]
        stamp = pdfium.FPDFPageObj_NewTextObj(document.raw, b"Helvetica", 40.0)
        held = "CONFIDENTIAL\0".encode("utf-16-le")
        pdfium.FPDFText_SetText(stamp, ctypes.cast(held, ctypes.POINTER(pdfium.FPDF_WCHAR)))
        pdfium.FPDFPageObj_Transform(stamp, 0.71, 0.71, -0.71, 0.71, 150, 300)
        pdfium.FPDFPage_InsertObject(page.raw, stamp)
        pdfium.FPDFPage_GenerateContent(page.raw)
        page.close()

    content = pdf.read(changed(stamped))
    assert content.text == (DATA / "wrapped.txt").read_text(encoding="utf-8")
    assert "CONFIDENTIAL" in content.around


def test_pages_without_text_are_counted() -> None:
    def with_scans(document: pypdfium2.PdfDocument) -> None:
        scan = pypdfium2.PdfDocument(DATA / "scan.pdf")
        document.import_pages(scan)
        document.import_pages(scan)
        document.new_page(400, 600)  # an empty one has nothing that could be missed

    content = pdf.read(changed(with_scans))
    assert content.left_out == (LeftOut(2, "pages without text (pictures?)", "文字のないページ（画像？）"),)
    assert content.text == (DATA / "wrapped.txt").read_text(encoding="utf-8")


def test_a_recognised_scan_is_read_and_said_to_be_one() -> None:
    content = pdf.read((TRUTH / "pdf" / "scan, recognised" / "tesseract.pdf").read_bytes())
    assert [(each.count, each.what) for each in content.left_out] == [
        (1, "pictures of scanned pages (their recognised text was used)")
    ]
    assert "・冷却水の量が下限の目盛りより上にあること" in content.text  # without blanks between its characters


def test_of_scans_only_the_poorly_recognised_pages_are_left_out() -> None:
    poor = TRUTH / "pdf" / "scan, recognised as English" / "tesseract.pdf"
    with pytest.raises(Unusable, match=r"^a scan whose text was recognised poorly$"):
        pdf.read(poor.read_bytes())
    mixed = pdf.read(changed(lambda document: document.import_pages(pypdfium2.PdfDocument(poor))))
    assert mixed.left_out == (
        LeftOut(1, "scanned pages with poorly recognised text", "文字認識が不良のスキャンページ"),
    )
    assert mixed.text == (DATA / "wrapped.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "is_poor"),
    [
        ("軸受の温度を放射温度計で測る。室温との差が25℃を超えたときは運転を止め、保全担当に連絡する。", False),
        ("GENERAL NOTES: ALL DIMENSIONS IN MILLIMETRES. Remove burrs and break sharp edges.", False),
        ("匚ﾖ 亠 爿 」「 鸞 ｢ 丶 、 ・ 、 卜 龠 匚 冂 亅 ﾉ | 鬲 黽 鼎 龜 、 ・ 「 丨 凵 几 勹 匕", True),
        ("HRSCRHMNGWCLEHMDS RSCRKSECAN BRMORMR SHAAOLOdtED yhCBR RBCRRAOFLSENIS", True),
        ("~ . I' ; 1 l - _ ^ ' i . , : j / t ' ` . | I ; : l , . ~ - i ' l t", True),
    ],
)
def test_only_gross_failures_of_recognition_are_told(text: str, is_poor: bool) -> None:
    assert plausible.is_poor_recognition(text) is is_poor


def scattered(count: int) -> Page:
    random = Random(1)
    places = [(random.uniform(0, 600), random.uniform(0, 800)) for _ in range(count)]
    return Page(0, pieces=[Piece("a", None, x, y, x + 2, y + 2, 2, 0, (x, y), 2) for x, y in places])


def test_a_page_of_tiny_pieces_costs_time_in_proportion() -> None:
    pages = {count: scattered(count) for count in (2_500, 20_000)}
    for count, page in pages.items():
        assert sum(line.text.count("a") for line in pdf_layout.lines(page)) == count
    assert growth(lambda count: pdf_layout.lines(pages[count]), 2_500) < LINEAR
