"""PDF -> text. The files are made by scripts/make_test_pdfs.py."""

from pathlib import Path

import pytest

from clients.ingest import pdf, read_documents
from clients.ingest.content import Unusable

DATA = Path(__file__).resolve().parents[1] / "data"


def test_paragraphs_over_lines_and_pages_without_running_heads() -> None:
    content = pdf.read((DATA / "wrapped.pdf").read_bytes())
    assert content.text == (DATA / "wrapped.txt").read_text(encoding="utf-8")
    assert content.facts.kind == "pdf"


def test_pdfminer_reads_it_too() -> None:
    text = pdf._second_opinion((DATA / "wrapped.pdf").read_bytes())
    assert "対象: ㈱髙橋製作所の①号機〜③号機、主軸回転数 1200rpm〜1500rpm" in text  # its map of the font has 〜
    assert (
        "第3項では、Spindle Unit の振動値を確認し、前回の記録と比べて大きく変わっていないことを確かめます。第3項"
        in text
    )


def test_pdfminer_is_asked_when_pdfium_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "_lines", lambda data: ([], []))
    assert "主軸ユニットの点検手順" in pdf.read((DATA / "wrapped.pdf").read_bytes()).text


@pytest.mark.parametrize("text", ["\ufffd\ufffd検\ufffd", "\ue000\ue001あ", "(cid:12)(cid:7)(cid:99)"])
def test_text_that_no_reader_can_decode_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    line = pdf.Line(text, 0, 50, 100, 700, 10, 10)
    monkeypatch.setattr(pdf, "_lines", lambda data: ([line], []))
    monkeypatch.setattr(pdf, "_second_opinion", lambda data: "")
    with pytest.raises(Unusable, match="fonts do not say"):
        pdf.read(b"")


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
    lines = [pdf.Line("あ" * 40, 0, 50, 450, 700 - 15 * n, 10, 10) for n in range(10)]
    lines.insert(5, pdf.Line("x" * 60, 0, 50, 600, 640, 8, 10))
    assert pdf._paragraphs([line for line in lines if line.size == 10 or line.right == 600]).count("\n") == 3
