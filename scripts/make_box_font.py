"""Make clients/ingest/box.ttf: a font in which every character is the same box. See clients/ingest/pdf_fonts.py.

    .venv/bin/python scripts/make_box_font.py

The bytes depend on fontTools' version alone (it comes with matplotlib).
"""

import io
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import newTable
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable

TARGET = Path(__file__).resolve().parents[1] / "clients" / "ingest" / "box.ttf"
ASCENT, DESCENT, EM = 880, -120, 1000  # as Japanese fonts have them


def font() -> bytes:
    """The file."""
    builder = FontBuilder(EM, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.font["cmap"] = _every_character_to("box")
    builder.setupGlyf({name: _box() for name in (".notdef", "box")})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "box"), (EM, 0)))
    builder.setupHorizontalHeader(ascent=ASCENT, descent=DESCENT)
    builder.setupNameTable({"familyName": "Rengo Box", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=ASCENT, sTypoDescender=DESCENT, usWinAscent=ASCENT, usWinDescent=-DESCENT)
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    file = io.BytesIO()
    builder.font.save(file)
    return file.getvalue()


def _box() -> object:
    pen = TTGlyphPen(None)
    pen.moveTo((0, DESCENT))
    for corner in ((0, ASCENT), (EM, ASCENT), (EM, DESCENT)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def _every_character_to(glyph: str) -> object:
    """Format 13 says one glyph for a whole range of characters in twelve bytes."""
    many_to_one = CmapSubtable.newSubtable(13)
    many_to_one.platformID, many_to_one.platEncID, many_to_one.language = 3, 10, 0
    many_to_one.cmap = dict.fromkeys(range(0x20, 0x110000), glyph)
    table = newTable("cmap")
    table.tableVersion, table.tables = 0, [many_to_one]
    return table


if __name__ == "__main__":
    TARGET.write_bytes(font())
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")
