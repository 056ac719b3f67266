"""One font in place of all that a machine has, for Japanese text in a PDF that brings no font along.

What such a text says, pdfium knows from the file; from a font it takes the boxes of characters. On a machine without
any Japanese font these are empty, and pdfium leaves out whatever has no width: text of one character (秘 in a corner)
and text that is turned. So pdfium is given box.ttf, where every character is one box of its em: a PDF is read alike on
every machine, and no font of the machine is opened. scripts/make_box_font.py makes it.
"""

import ctypes
import functools
from importlib import resources
from typing import Any

import pypdfium2.raw as pdfium

FONT = (resources.files("clients.ingest") / "box.ttf").read_bytes()
_CJK = {128, 129, 130, 134, 136}
"""Windows' numbers of character sets, as pdfium asks by them: Japanese, Korean (two), both Chinese."""
_BOX = 1  # the handle of the font


@functools.cache
def use_box_font() -> None:
    """From now on, in this process."""
    pdfium.FPDF_SetSystemFontInfo(ctypes.byref(_font_info()))


@functools.cache  # pdfium calls it as long as the process lives
def _font_info() -> Any:
    info = pdfium.FPDF_SYSFONTINFO()
    info.version = 1
    answers = {
        "Release": lambda this: None,
        "EnumFonts": lambda this, mapper: None,
        "MapFont": lambda this, weight, italic, charset, pitch, face, exact: _BOX if charset in _CJK else None,
        "GetFont": lambda this, face: None,
        "GetFontData": lambda this, font, table, buffer, size: _copied(_part(table), buffer, size),
        "GetFaceName": lambda this, font, buffer, size: 0,
        "GetFontCharset": lambda this, font: 128,
        "DeleteFont": lambda this, font: None,
    }
    types = dict(pdfium.FPDF_SYSFONTINFO._fields_)
    for name, answer in answers.items():
        setattr(info, name, types[name](answer))
    return info


def _part(table: int) -> bytes:
    """A table of the font by its four letters (OpenType, Table Directory); the whole font for none."""
    if not table:
        return FONT
    for at in range(12, 12 + 16 * int.from_bytes(FONT[4:6], "big"), 16):
        if FONT[at : at + 4] == table.to_bytes(4, "big"):
            start, size = (int.from_bytes(FONT[at + place : at + place + 4], "big") for place in (8, 12))
            return FONT[start : start + size]
    return b""


def _copied(data: bytes, buffer: Any, room: int) -> int:
    if buffer and room >= len(data):
        ctypes.memmove(buffer, data, len(data))
    return len(data)
