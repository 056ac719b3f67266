"""PDF -> its text, in the order in which a person reads it, with the lines that a page wraps joined to paragraphs.

pdfium reads; when what it finds is no text (fonts that it cannot map), pdfminer.six tries. There is no recognition of
characters here: what a scan has in place of text is left out, and said.
"""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import replace

import pypdfium2
import pypdfium2.raw as pdfium

from clients.ingest import pdf_fonts, pdf_layout, pdf_second_opinion
from clients.ingest.content import Content, Facts, LeftOut, Unusable
from clients.ingest.marks import set_apart
from clients.ingest.pdf_layout import Line
from clients.ingest.pdf_page import Page, taken
from clients.ingest.pdf_paragraphs import edge_lines, paragraphs, without_running_heads
from clients.ingest.plausible import is_garbled, is_poor_recognition, without_gaps

MOST_PAGES = 5_000
_SAID_OF_IT = (b"Title", b"Subject", b"Keywords")
_XMP_VALUE = re.compile(r"""[>"']([^<>"']{1,200})(?=[<"'])""")


def read(data: bytes) -> Content:
    """Raises Unusable for an encrypted file, one without a text layer or with a poorly recognised one, and one whose
    text cannot be decoded."""
    reading = _Reading(data)
    lines = reading.lines
    text = paragraphs(without_running_heads(lines)) if lines else ""
    if (not text.strip() and not reading.poor) or is_garbled(text):
        text = pdf_second_opinion.text_of(data, MOST_PAGES) or text
    text += "".join(f"{typed}\n" for typed in reading.typed)
    if reading.poor and not text.strip():
        raise Unusable(
            "a scan whose text was recognised poorly",
            "スキャン画像で、文字認識の結果が不良です",
            left_out=tuple(reading.left_out()),
        )
    if not text.strip():
        pages = (_without_text(reading.pages),)
        raise Unusable("no text in it (a scan?)", "文字情報がありません（スキャン画像？）", left_out=pages)
    if is_garbled(text):
        raise Unusable(
            "its fonts do not say which characters they show", "フォントに文字の対応表がなく、読み取れません"
        )
    around = "\n".join([*reading.about, *reading.stamps, *(line.text for line in edge_lines(lines))])
    return Content(text, Facts("pdf"), tuple(reading.left_out()), around)


class _Reading:
    """`lines` of all pages, `stamps`, what was `typed`, and what the file says `about` itself. Of the `pages`: those
    `without_text`, those with `recognised` text, and those of which that is too `poor` to use."""

    def __init__(self, data: bytes) -> None:
        self.lines, self.stamps, self.typed = list[Line](), list[str](), list[str]()
        self.without_text = self.recognised = self.poor = 0
        document = _opened(data)
        try:
            self.about = [*(_said(document, key) for key in _SAID_OF_IT), *_described(data)]
            self.pages = len(document)
            for number in range(self.pages):
                page = document[number]
                try:
                    self._add(taken(page, number))
                finally:
                    page.close()
        finally:
            document.close()

    def _add(self, page: Page) -> None:
        self.stamps += page.stamps
        self.typed += (each for each in page.typed if each.strip())
        lines = pdf_layout.lines(page)
        self.without_text += page.has_ink and not lines
        if page.is_scan and is_poor_recognition("\n".join(line.text for line in lines)):
            self.poor += 1
            self.stamps += (line.text for line in edge_lines(lines))
        elif page.is_scan:
            self.recognised += 1
            self.lines += (replace(line, text=without_gaps(line.text)) for line in lines)
        else:
            self.lines += lines

    def left_out(self) -> Iterator[LeftOut]:
        """What a person should know of the pages."""
        if self.without_text:
            yield _without_text(self.without_text)
        if self.poor:
            yield LeftOut(self.poor, "scanned pages with poorly recognised text", "文字認識が不良のスキャンページ")
        if self.recognised:
            words = "pictures of scanned pages (their recognised text was used)"
            yield LeftOut(self.recognised, words, "スキャンページの画像（文字認識の結果を使用）")


def _without_text(pages: int) -> LeftOut:
    return LeftOut(pages, "pages without text (pictures?)", "文字のないページ（画像？）")


def _said(document: pypdfium2.PdfDocument, key: bytes) -> str:
    """One entry of its information, whatever it is made of."""
    size = pdfium.FPDF_GetMetaText(document.raw, key, None, 0)  # bytes, UTF-16 with a NUL at its end
    held = ctypes.create_string_buffer(size)
    pdfium.FPDF_GetMetaText(document.raw, key, held, size)
    return held.raw.decode("utf-16-le", "replace").rstrip("\0")


def _described(data: bytes) -> Iterator[str]:
    """What its XMP says, values of tags and attributes that are set as marks; XMP is to be kept as it is, uncompressed
    (ISO 16684-1), so that programs find it without knowing the format around it."""
    begin = data.find(b"<x:xmpmeta")
    while begin >= 0 and (end := data.find(b"</x:xmpmeta>", begin)) >= 0:
        yield from filter(set_apart, _XMP_VALUE.findall(data[begin:end].decode("utf-8", "replace")))
        begin = data.find(b"<x:xmpmeta", end)


def _opened(data: bytes) -> pypdfium2.PdfDocument:
    pdf_fonts.use_box_font()
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise Unusable(
                "encrypted: it opens only with a password", "暗号化されています（パスワードが必要）"
            ) from error
        raise Unusable(f"not a readable PDF ({error})", f"読み取れない PDF です（{error}）") from error
    if len(document) > MOST_PAGES:
        document.close()
        raise Unusable(f"more than {MOST_PAGES} pages", f"{MOST_PAGES} ページを超えています")
    return document
