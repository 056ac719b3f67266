"""DOCX -> its text: paragraphs and tables in the order of the document.

Read straight from the package's XML with expat, and not with a library: it must be certain that a file whose XML has a
document type (the door to entity bombs and to other files; the format forbids it) goes no further, that deletions which
a reviewer tracked stay out and insertions stay in, and that an archive does not unfold without end.
"""

import io
import re
import zipfile
from xml.parsers import expat

from clients.ingest.content import Content, Facts, Unusable

LARGEST_XML = 64 * 2**20  # bytes, unpacked
_BODY = "word/document.xml"
_WORD = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",  # "strict"
)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADING = re.compile(r"(?:Heading|見出し)\s*\d|Title", re.IGNORECASE)


def read(data: bytes) -> Content:
    """Raises Unusable for what is no DOCX, is encrypted, declares a document type, or unfolds beyond LARGEST_XML."""
    if data.startswith(_OLD_OFFICE):
        raise Unusable("an encrypted document, or an old .doc", "暗号化された文書、または古い .doc 形式です")
    body = _Body()
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        if _BODY not in package.namelist():
            raise Unusable("not a Word document", "Word 文書ではありません")
        with package.open(_BODY) as stream:
            xml = stream.read(LARGEST_XML + 1)
    if len(xml) > LARGEST_XML:
        mebibytes = LARGEST_XML // 2**20
        raise Unusable(f"unfolds to more than {mebibytes} MiB", f"展開すると {mebibytes} MiB を超えます")
    body.parse(xml)
    return Content("".join(body.lines).lstrip("\n"), Facts("docx"))


class _Body:
    """Takes the XML's events. `lines`: the text so far, each with its LF."""

    def __init__(self) -> None:
        self._sinks: list[list[str]] = [[]]  # where lines go: the document, or the cell that is open
        self._rows: list[list[str]] = []
        self._paragraphs: list[list[str]] = []  # a text box is a paragraph within a paragraph
        self._is_heading = False
        self._in_text = False
        self._skipped = 0  # depth within what is left out

    @property
    def lines(self) -> list[str]:
        return self._sinks[0]

    def parse(self, xml: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse
        parser.Parse(xml, True)

    def _refuse(self, *_: object) -> None:
        raise Unusable("its XML declares a document type", "XML に文書型宣言があります")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, tag = name.rpartition(" ")
        # A fallback repeats the text box before it; a move's source is repeated at its target.
        if self._skipped or tag in ("Fallback", "moveFrom"):
            self._skipped += 1
        elif space in _WORD:
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
        self._in_text = tag == "t"

    def _characters(self, text: str) -> None:
        if self._in_text and not self._skipped and self._paragraphs:
            self._paragraphs[-1].append(text)

    def _end(self, name: str) -> None:
        space, _, tag = name.rpartition(" ")
        if self._skipped:
            self._skipped -= 1
        elif space in _WORD:
            self._in_text = False
            self._close(tag)

    def _close(self, tag: str) -> None:
        if tag == "p":
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
