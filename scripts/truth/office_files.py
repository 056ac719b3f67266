"""DOCX by python-docx, XLSX by openpyxl, PPTX by python-pptx: forms as Japanese offices keep them."""

import datetime
import io
from collections.abc import Iterator

import docx
import openpyxl
import pptx
from openpyxl.styles import Border, Font, PatternFill, Side
from pptx.util import Cm

from truth.words import PROCEDURE, SPECIFICATION, Block, expected

FILL, BOX = PatternFill("solid", fgColor="FFDDDDDD"), Border(*[Side("thin")] * 4)
DAYS = (
    ("11月20日", datetime.date(2026, 11, 20), 0.935, 412, "異常なし"),
    ("11月21日", datetime.date(2026, 11, 21), 0.871, 386, "搬送コンベアのベルトが蛇行し、15分停止した。調整して復旧。"),
)


def made() -> Iterator[tuple[str, str, bytes, str]]:
    """(class, suffix, file, what it says)."""
    yield "text and tables", "docx", _document([*PROCEDURE, *SPECIFICATION]), expected([*PROCEDURE, *SPECIFICATION])
    yield "squared paper", "xlsx", _squared_paper(), SQUARED_PAPER_SAYS
    yield "daily reports", "xlsx", _daily_reports(), _daily_reports_say()
    yield "slides", "pptx", _slides(), expected([*PROCEDURE, SPECIFICATION[0], SPECIFICATION[2]])


def _document(blocks: list[Block]) -> bytes:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "保全標準書"
    for block in blocks:
        if block.rows:
            table = document.add_table(rows=0, cols=len(block.rows[0]))
            for row in block.rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
        elif block.kind in ("title", "heading"):
            document.add_heading(block.text, 1 if block.kind == "title" else 2)
        else:
            document.add_paragraph(block.text)
    return _saved(document)


SQUARED_PAPER_SAYS = """異常処置票
異常処置票

管理番号: F-0731 | 発行日: 2026-11-20
設備名: 横形射出成形機 3号 | 担当: 佐々木

現象
型開きの途中で停止し、アラーム「E-52」が出た。

処置
近接スイッチの汚れを拭き、取付けを0.5㎜内側に直した。
"""


def _squared_paper() -> bytes:
    """Forty narrow columns; everything stands in merged cells."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "異常処置票"
    for column in range(1, 41):
        sheet.column_dimensions[openpyxl.utils.get_column_letter(column)].width = 2.6
    _merged(sheet, "A1:AN2", "異常処置票", bold=False)
    for place, label, at, value in (
        ("A4:F4", "管理番号", "G4:T4", "F-0731"),
        ("U4:Z4", "発行日", "AA4:AN4", datetime.date(2026, 11, 20)),
        ("A5:F5", "設備名", "G5:T5", "横形射出成形機 3号"),
        ("U5:Z5", "担当", "AA5:AN5", "佐々木"),
    ):
        _merged(sheet, place, label, bold=True)
        _merged(sheet, at, value, bold=False)
    _merged(sheet, "A7:AN7", "現象", bold=True)
    _merged(sheet, "A8:AN9", "型開きの途中で停止し、アラーム「E-52」が出た。", bold=False)
    _merged(sheet, "A11:AN11", "処置", bold=True)
    _merged(sheet, "A12:AN13", "近接スイッチの汚れを拭き、取付けを0.5㎜内側に直した。", bold=False)
    return _saved(book)


def _merged(sheet: openpyxl.worksheet.worksheet.Worksheet, place: str, value: object, bold: bool) -> None:
    cell = sheet[place.partition(":")[0]]
    cell.value, cell.border = value, BOX
    if bold:
        cell.fill, cell.font = FILL, Font(bold=True)
    sheet.merge_cells(place)


def _daily_reports() -> bytes:
    """One sheet a day, and one that is hidden."""
    book = openpyxl.Workbook()
    book.active.title = "記入例"
    book.active["A1"] = "この行は読まれない"
    book.active.sheet_state = "hidden"
    for name, day, share, count, remark in DAYS:
        sheet = book.create_sheet(name)
        sheet["A1"] = "設備日報"
        for row, (label, value) in enumerate((("日付", day), ("稼働率", share), ("生産数", count)), start=3):
            sheet.cell(row, 1, label).fill = FILL
            sheet.cell(row, 2, value)
        sheet["B4"].number_format = "0.0%"
        for column, text in enumerate(("時刻", "号機", "油温"), start=1):
            sheet.cell(7, column, text).font = Font(bold=True)
        for row, time in enumerate((datetime.time(8, 30), datetime.time(13, 0)), start=8):
            sheet.cell(row, 1, time)
            sheet.cell(row, 2, "2号機")
            sheet.cell(row, 3, 41.5 + row)
        sheet["A11"] = "特記事項："
        sheet["A12"] = remark
    book.active = 1
    return _saved(book)


def _daily_reports_say() -> str:
    parts = []
    for name, day, share, count, remark in DAYS:
        table = "時刻: 08:30 | 号機: 2号機 | 油温: 49.5\n時刻: 13:00 | 号機: 2号機 | 油温: 50.5\n"
        head = f"{name}\n設備日報\n\n日付: {day}\n稼働率: {100 * share:.1f}%\n生産数: {count}\n\n"
        parts.append(f"{head}{table}\n特記事項：\n{remark}\n")
    return "\n".join(parts)


def _slides() -> bytes:
    show = pptx.Presentation()
    first = show.slides.add_slide(show.slide_layouts[1])
    first.shapes.title.text = PROCEDURE[0].text
    first.placeholders[1].text = "\n".join(block.text for block in PROCEDURE[1:])
    second = show.slides.add_slide(show.slide_layouts[5])
    second.shapes.title.text = SPECIFICATION[0].text
    rows = SPECIFICATION[2].rows
    table = second.shapes.add_table(len(rows), len(rows[0]), Cm(1), Cm(5), Cm(23), Cm(8)).table
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            table.cell(number, column).text = text
    return _saved(show)


def _saved(file: object) -> bytes:
    target = io.BytesIO()
    file.save(target)  # type: ignore[attr-defined]
    return target.getvalue()
