"""A document -> the bytes of a TXT, HTML or DOCX file: the same bytes each time, and nothing said beyond it."""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from demo_members.pages import Line
from demo_members.texts import Document

CELL = " | "  # between a table row's cells, in a line
SHORT = 40  # characters: several lines below this, without a sentence's end, are a list
SOURCE_WIDTH = 60  # characters after which HTML's source is wrapped, between two Japanese ones only
BETWEEN_WIDE = re.compile(r"(?<=[\u3040-\u30ff\u3400-\u9fff])(?=[\u3040-\u30ff\u3400-\u9fff])")

WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
MAIN_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"
PARTS = {
    "[Content_Types].xml": f'{XML}<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
    'ContentType="application/xml"/><Override PartName="/word/document.xml" '
    f'ContentType="{MAIN_TYPE}.document.main+xml"/>'
    f'<Override PartName="/word/styles.xml" ContentType="{MAIN_TYPE}.styles+xml"/></Types>',
    "_rels/.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
    "word/_rels/document.xml.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
    "word/styles.xml": f"{XML}<w:styles {WORD}>"
    + "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{n}"><w:name w:val="heading {n}"/><w:pPr><w:outlineLvl '
        f'w:val="{n - 1}"/></w:pPr><w:rPr><w:b/><w:sz w:val="{34 - 4 * n}"/></w:rPr></w:style>'
        for n in (1, 2, 3)
    )
    + "</w:styles>",
}


def txt(document: Document, cp932: bool) -> bytes:
    """CP932 with Windows' line ends, else UTF-8 with LF."""
    return document.text.replace("\n", "\r\n").encode("cp932") if cp932 else document.text.encode()


def html(document: Document, cp932: bool) -> bytes:
    """A small page of valid HTML. Pages in CP932 wrap their source too, as old ones do."""
    blocks = []
    for kind, lines in groupby(_kinds(document.lines), key=lambda item: item[0]):
        texts = [escape(line.text, quote=False) for _, line in lines]
        if kind == "row":
            rows = ("".join(f"<td>{cell}</td>" for cell in text.split(CELL)) for text in texts)
            blocks += ["<table>", *(f"<tr>{row}</tr>" for row in rows), "</table>"]
        elif kind == "item":
            blocks += ["<ul>", *(f"<li>{text}</li>" for text in texts), "</ul>"]
        else:
            blocks += [f"<{kind}>{_wrapped(text) if cp932 else text}</{kind}>" for text in texts]
    content = "\n".join(blocks)
    page = f"""<!DOCTYPE html>
<html lang="ja">
<head>
<meta charset="{"Shift_JIS" if cp932 else "utf-8"}">
<title>{escape(document.lines[0].text, quote=False)}</title>
<style>body {{ line-height: 1.6 }}</style>
</head>
<body>
<nav><a href="index.html">目次</a></nav>
{content}
</body>
</html>
"""
    return page.replace("\n", "\r\n").encode("cp932") if cp932 else page.encode()


def docx(document: Document) -> bytes:
    """A WordprocessingML package with headings, paragraphs and tables. No dates, no author."""
    body = []
    for kind, lines in groupby(_kinds(document.lines), key=lambda item: item[0]):
        if kind == "row":
            body.append(_table([line.text.split(CELL) for _, line in lines]))
        else:
            style = f"Heading{min(3, int(kind[1]))}" if kind[0] == "h" else ""
            body += [_paragraph(line.text, style) for _, line in lines]
    parts = {**PARTS, "word/document.xml": f"{XML}<w:document {WORD}><w:body>{''.join(body)}</w:body></w:document>"}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as package:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name)  # 1980, whenever it is made
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            package.writestr(entry, content)
    return target.getvalue()


def _kinds(lines: Sequence[Line]) -> Iterator[tuple[str, Line]]:
    """Each line with what it is set as: h1 to h6, row (of a table), item (of a list), p."""
    plain = [not line.level and len(line.text) < SHORT and "。" not in line.text for line in lines]
    for at, line in enumerate(lines):
        if line.level:
            yield f"h{line.level}", line
        elif all(line.text.split(CELL)) and CELL in line.text:
            yield "row", line
        else:
            yield "item" if plain[at] and any(plain[max(0, at - 1) : at] + plain[at + 1 : at + 2]) else "p", line


def _wrapped(text: str) -> str:
    pieces, line = [], ""
    for piece in BETWEEN_WIDE.split(text):
        if len(line) + len(piece) > SOURCE_WIDTH and line:
            pieces.append(line)
            line = ""
        line += piece
    return "\n".join([*pieces, line])


def _paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{properties}<w:r><w:t xml:space="preserve">{escape(text, quote=False)}</w:t></w:r></w:p>'


def _table(rows: Sequence[Sequence[str]]) -> str:
    grid = "<w:gridCol/>" * max(map(len, rows))
    cells = ("".join(f"<w:tc>{_paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl><w:tblPr/><w:tblGrid>{grid}</w:tblGrid>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"
