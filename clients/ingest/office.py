"""DOCX -> its text: paragraphs and tables in the order of the document, then foot- and end notes, then SmartArt.

Deletions that a reviewer tracked stay out and insertions stay in. So do readings above kanji (ruby): stay out.
"""

import re

from clients.ingest.content import Content, Facts, Unusable
from clients.ingest.package import Package, drawn, parse

_BODY = "word/document.xml"
_WORD = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",  # "strict"
)
_NOTES = ("word/footnotes.xml", "word/endnotes.xml")
# Headers and the like, by whatever names: all beside the body but what holds no words of the author's.
_WORDLESS = "document|footnotes|endnotes|styles|stylesWithEffects|settings|webSettings|fontTable|numbering"
_AROUND = re.compile(rf"word/(?!(?:{_WORDLESS})\.)(?:headers/|footers/)?[^/]+\.xml", re.IGNORECASE)
_ENCLOSED = re.compile(r"EQ\s[^()]{0,20}\([^()]{0,20}\)", re.IGNORECASE)  # Word's 囲い文字: EQ \o\ac(○,秘)
_HEADING = re.compile(r"(?:Heading|見出し)\s*\d|Title", re.IGNORECASE)


def read(data: bytes) -> Content:
    """Raises Unusable for what is no DOCX, is encrypted, declares a document type, or unfolds too far."""
    package = Package(data, _BODY, Unusable("not a Word document", "Word 文書ではありません"))
    body = _Body()
    for part in (_BODY, *_NOTES):
        if part in package.names:
            body.parse(package.part(part))
    diagrams = [f"{text}\n" for diagram in package.diagrams(_BODY) for text in drawn(diagram)]
    around = "\n".join([*body.around, package.around(_AROUND)])
    return Content("".join([*body.lines, *diagrams]).lstrip("\n"), Facts("docx"), around=around)


class _Body:
    """Takes the XML's events. `lines`: the text so far, each with its LF; `around`: what stands in the body and is no
    text of it, such as a stamp."""

    def __init__(self) -> None:
        self._sinks: list[list[str]] = [[]]  # where lines go: the document, or the cell that is open
        self._rows: list[list[str]] = []
        self._paragraphs: list[list[str]] = []  # a text box is a paragraph within a paragraph
        self._is_heading = False
        self._in_text = False
        self._field = list[str]()  # what a field is computed from, since the paragraph began
        self._in_field = False
        self.around = list[str]()
        self._skipped = 0  # depth within what is left out

    @property
    def lines(self) -> list[str]:
        return self._sinks[0]

    def parse(self, xml: bytes) -> None:
        parse(xml, self._start, self._end, self._characters)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, tag = name.rpartition(" ")
        # A fallback repeats the text box before it; a move's source is repeated at its target.
        if self._skipped or tag in ("Fallback", "moveFrom", "rt"):
            self._skipped += 1
        elif tag == "textpath":  # WordArt, as a stamp may be
            self.around.append(attributes.get("string", ""))
        elif space in _WORD:
            self._field.append(attributes.get(f"{space} instr", ""))
            self._open(tag, attributes.get(f"{space} val", ""))

    def _open(self, tag: str, value: str) -> None:
        if tag == "p":
            self._paragraphs.append([])
            self._is_heading = False
        elif tag == "tr":
            self._rows.append([])
        elif tag == "tc":
            self._sinks.append([])
        elif tag == "pStyle":
            self._is_heading = bool(_HEADING.match(value))
        elif tag in ("br", "cr", "tab", "noBreakHyphen") and self._paragraphs:
            self._paragraphs[-1].append({"tab": "\t", "noBreakHyphen": "-"}.get(tag, "\n"))
        self._in_text, self._in_field = tag == "t", tag == "instrText"

    def _characters(self, text: str) -> None:
        if self._in_text and not self._skipped and self._paragraphs:
            self._paragraphs[-1].append(text)
        elif self._in_field and not self._skipped:
            self._field.append(text)

    def _end(self, name: str) -> None:
        space, _, tag = name.rpartition(" ")
        if self._skipped:
            self._skipped -= 1
        elif space in _WORD:
            self._in_text = self._in_field = False
            self._close(tag)

    def _close(self, tag: str) -> None:
        if tag == "p":
            self.around += _ENCLOSED.findall("".join(self._field))
            self._field.clear()
            text = "".join(self._paragraphs.pop()).strip()
            before = "\n" if self._is_heading and len(self._sinks) == 1 else ""
            self._is_heading = False
            if text:
                self._sinks[-1].append(f"{before}{text}\n")
        elif tag == "tc":
            cell = " ".join("".join(self._sinks.pop()).split("\n")).strip()
            (self._rows or self._sinks)[-1].append(cell)
        elif tag == "tr":
            row = " | ".join(cell for cell in self._rows.pop() if cell)
            if row:
                self._sinks[-1].append(f"{row}\n")
