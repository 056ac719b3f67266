"""PDFs by Typst, which sets type as TeX does: an embedded font with ToUnicode, justified lines, heads and feet."""

from collections.abc import Iterator
from pathlib import Path

import typst

from truth.words import LONG, PROCEDURE, SPECIFICATION, WRAPPED, Block

SET = '#set text(font: "MotoyaLCedar", lang: "ja", size: 10pt)\n#set par(justify: true, first-line-indent: 1em)\n'
HEAD_AND_FOOT = (
    '#set page(paper: "a5", header: [保全標準書 HZ-014 #h(1fr) 社外秘], '
    'footer: context [#h(1fr) #counter(page).display("1 / 1", both: true) #h(1fr)])\n'
)


def made(fonts: Path) -> Iterator[tuple[str, bytes, list[Block]]]:
    """(class, file, what it says). `fonts`: folder of the font."""
    for name, page, blocks in (
        ("one column", "", PROCEDURE),
        ("two columns", '#set page(paper: "a5", columns: 2, margin: 1.5cm)\n#set text(size: 8pt)\n', LONG),
        ("head and foot", HEAD_AND_FOOT, LONG),
        ("ruled table", "", SPECIFICATION),
        ("open table", "#set table(stroke: none)\n", SPECIFICATION),
        ("table of wrapped cells", "", WRAPPED),
    ):
        yield name, typst.compile((SET + page + _source(blocks)).encode(), font_paths=[str(fonts)]), blocks


def _source(blocks: list[Block]) -> str:
    return "\n\n".join(map(_block, blocks))


def _block(block: Block) -> str:
    if block.rows:
        cells = ", ".join(f"[{_escaped(cell)}]" for row in block.rows for cell in row)
        return f"#table(columns: {len(block.rows[0])}, {cells})"
    marks = {"title": "= ", "heading": "== ", "item": "#par(first-line-indent: 0em)["}
    return marks.get(block.kind, "") + _escaped(block.text) + ("]" if block.kind == "item" else "")


def _escaped(text: str) -> str:
    return text.replace("@", "\\@").replace("*", "\\*")
