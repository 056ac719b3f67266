"""Office packages (DOCX, XLSX, PPTX): a ZIP of XML, read without trust.

Straight with expat and not with a library: it must be certain that XML with a document type (the door to entity bombs
and to other files; the format forbids it) goes no further, and that a package does not unfold without end.
"""

import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element, TreeBuilder  # the parser is the one below
from xml.parsers import expat

from clients.ingest import marks
from clients.ingest.content import Unusable

LARGEST_XML = 64 * 2**20  # bytes, unpacked, of all parts that are read
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PROPERTIES = re.compile(
    r"docProps/\w+\.xml|package/services/metadata/core-properties/[^/]+\.psmdcp|customXml/item\d*\.xml", re.IGNORECASE
)
_IN_A_LINE = frozenset({"t", "tab", "ptab", "br", "cr"})
_REMARKS = re.compile(r"comment|customXml/", re.IGNORECASE)  # such as what a document library knows of the file
_BLANKS = re.compile(r"\s+")


class Package:
    """The parts of a file by their names, such as `word/document.xml`."""

    def __init__(self, data: bytes, main: str, unlike: Unusable) -> None:
        """Raises `unlike` when there is no part `main`, and Unusable for an encrypted or old file."""
        if data.startswith(_OLD_OFFICE):
            raise Unusable("an encrypted document, or one in an old format", "暗号化された文書、または旧形式の文書です")
        self._zip = zipfile.ZipFile(io.BytesIO(data))
        self.names = frozenset(self._zip.namelist())
        self._left = LARGEST_XML
        if main not in self.names:
            raise unlike

    def part(self, name: str) -> bytes:
        """Raises Unusable when this and what was read before are more than LARGEST_XML."""
        with self._zip.open(name) as stream:
            xml = stream.read(self._left + 1)
        self._left -= len(xml)
        if self._left < 0:
            mebibytes = LARGEST_XML // 2**20
            raise Unusable(f"unfolds to more than {mebibytes} MiB", f"展開すると {mebibytes} MiB を超えます")
        return xml

    def tree(self, name: str) -> Element:
        """A part as elements: their names and attributes without namespaces, but `r:id` for a relationship's."""
        builder = TreeBuilder()

        def start(tag: str, attributes: dict[str, str]) -> None:
            builder.start(_local(tag), {_attribute(key): value for key, value in attributes.items()})

        parse(self.part(name), start, lambda tag: builder.end(_local(tag)), builder.data)
        return builder.close()

    def around(self, parts: re.Pattern[str]) -> str:
        """All that is said in these parts and in the file's properties (where labels of confidentiality are kept),
        watermarks included. A line a piece, and no more order than that. What reviewers remark is text like any other:
        of that only what is set as a mark."""
        lines = list[str]()
        for name in sorted(name for name in self.names if parts.fullmatch(name) or _PROPERTIES.fullmatch(name)):
            said = self._said(name)
            lines += filter(marks.set_apart, said) if _REMARKS.search(name) else said
        return "\n".join(line for line in lines if line.strip())

    def _said(self, name: str) -> Iterator[str]:
        for element in self.tree(name).iter():
            if element.tag in ("p", "si", "text"):  # text: of a cell's comment, in runs or by itself
                yield _in_runs(element) or element.text or ""
            elif element.tag != "t":
                yield from (element.text or "", element.get("string", ""))

    def related(self, name: str, kind: str = "") -> dict[str, str]:
        """The parts that a part refers to, by the reference's id; of one kind if it is given, such as `drawing`."""
        folder, _, file = name.rpartition("/")
        relations = f"{folder}/_rels/{file}.rels"
        if relations not in self.names:
            return {}
        return {
            each.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/")
            for each in self.tree(relations)
            if each.get("TargetMode") != "External" and each.get("Type", "").endswith(f"/{kind}" if kind else "")
        }

    def diagrams(self, name: str) -> Iterator[Element]:
        """The words of SmartArt that a part shows, each once; those that are not there are passed over."""
        yield from (self.tree(part) for part in sorted({*self.related(name, "diagramData").values()} & self.names))


def parse(
    xml: bytes,
    start: Callable[[str, dict[str, str]], object],
    end: Callable[[str], object],
    characters: Callable[[str], object],
) -> None:
    """Tell the three of what comes; names are `namespace name`. Raises Unusable for a document type."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = _refuse
    parser.Parse(xml, True)


def without(root: Element, *unwanted: str) -> Iterator[Element]:
    """`root` and all below in the document's order, but for elements of these names and what is in them."""
    stack = [root]
    while stack:
        element = stack.pop()
        if element.tag not in unwanted:
            yield element
            stack.extend(reversed(element))


def drawn(root: Element) -> list[str]:
    """The paragraphs that stand in DrawingML (text boxes, shapes, slides), each on one line. No slide numbers."""
    found = []
    for paragraph in (each for each in without(root, "Fallback") if each.tag == "p"):
        runs = (each for each in without(paragraph, "fld") if each.tag in ("t", "br"))
        text = _BLANKS.sub(" ", "".join(" " if run.tag == "br" else run.text or "" for run in runs)).strip()
        if text:
            found.append(text)
    return found


def _in_runs(paragraph: Element) -> str:
    """What a paragraph's runs say, a tab where they have one: 設計部 and 秘 at two ends of a header are two words."""
    return "".join(run.text or "" if run.tag == "t" else "\t" for run in paragraph.iter() if run.tag in _IN_A_LINE)


def _refuse(*_: object) -> None:
    raise Unusable("its XML declares a document type", "XML に文書型宣言があります")


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _attribute(name: str) -> str:
    return ("r:" if "/relationships " in name else "") + _local(name)
