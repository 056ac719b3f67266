"""XLSX -> text."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import fromstring

import pytest

from clients.ingest import sheets
from clients.ingest.cells import Formats
from clients.ingest.content import LeftOut, Unusable

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
STRICT = 'xmlns="http://purl.oclc.org/ooxml/spreadsheetml/main"'
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
DRAWING = (
    'xmlns:xdr="http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
)
# Styles: 0 plain, 1 filled (a label), 2 a date, 3 a Japanese date with time, 4 a percentage, 5 hours, 6 a unit.
STYLES = f"""<styleSheet {MAIN}><numFmts>
<numFmt numFmtId="164" formatCode="[$-411]yyyy&quot;年&quot;m&quot;月&quot;d&quot;日&quot; h:mm"/>
<numFmt numFmtId="165" formatCode="[h]:mm"/>
<numFmt numFmtId="166" formatCode="0.0&quot;mm/sec&quot;;[Red]-0.0"/></numFmts>
<fonts><font/><font><b/></font></fonts>
<fills><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="solid"/></fill></fills>
<cellXfs><xf/><xf fillId="1"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="9"/><xf numFmtId="165"/>
<xf numFmtId="166"/></cellXfs></styleSheet>"""


def related(targets: Mapping[str, tuple[str, str]]) -> str:
    """A part's relationships: id -> (kind, target)."""
    each = "".join(f'<Relationship Id="{i}" Type="{R}/{kind}" Target="{to}"/>' for i, (kind, to) in targets.items())
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{each}</Relationships>'


def workbook(
    names: Mapping[str, str], more: Mapping[str, str] | None = None, states: Sequence[str] = (), book: str = ""
) -> bytes:
    """A workbook of sheets: name -> what is within its <worksheet>."""
    states = states or ["visible"] * len(names)
    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" state="{state}" r:id="s{n}"/>'
        for n, (name, state) in enumerate(zip(names, states, strict=True), 1)
    )
    parts = {
        "xl/workbook.xml": f'<workbook {MAIN} xmlns:r="{R}">{book}<sheets>{listed}</sheets></workbook>',
        "xl/styles.xml": STYLES,
        "xl/_rels/workbook.xml.rels": related(
            {f"s{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(names) + 1)}
            | {"st": ("styles", "/xl/styles.xml"), "sh": ("sharedStrings", "sharedStrings.xml")}
        ),
        "xl/sharedStrings.xml": f"<sst {MAIN}/>",
    }
    parts |= {
        f"xl/worksheets/sheet{n}.xml": f"<worksheet {MAIN}>{sheet}</worksheet>"
        for n, sheet in enumerate(names.values(), 1)
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (parts | dict(more or {})).items():
            archive.writestr(name, text)
    return target.getvalue()


def cell(place: str, value: str | float, style: int = 0) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" s="{style}" t="inlineStr"><is><t>{value}</t></is></c>'
    return f'<c r="{place}" s="{style}"><v>{value}</v></c>'


def rows(*given: Sequence[str]) -> str:
    return f"<sheetData>{''.join(f'<row>{chr(10).join(each)}</row>' for each in given)}</sheetData>"


def merged(*ranges: str) -> str:
    return f"<mergeCells>{''.join(f'<mergeCell ref={chr(34)}{each}{chr(34)}/>' for each in ranges)}</mergeCells>"


def test_a_daily_report_on_squared_paper_is_labels_and_values() -> None:
    """Cells merged over narrow columns; what a merged cell covers, Excel may have kept in the file."""
    report = rows(
        [cell("A1", "設備日報"), cell("B1", "昔の値")],
        [cell("A3", "設備名", 1), cell("D3", "主軸ユニット MC-01"), cell("H3", "日付", 1), cell("K3", 46348, 2)],
        [cell("A4", "担当", 1), cell("D4", "髙橋"), cell("E4", "山田"), cell("H4", "稼働率", 1), cell("K4", 0.935, 4)],
        [cell("A5", "稼働時間", 1), cell("D5", 1.25, 5), cell("H5", "開始", 1), cell("K5", 46348.375, 3)],
        [cell("A6", "特記事項：")],
        [cell("A7", "①ポンプから異音。 1200～1500rpm")],
    ) + merged("A1:M1", "A3:C3", "D3:G4", "H3:J3", "K3:M3", "A4:C4")
    assert sheets.read(workbook({"22日": report})).text == (
        "22日\n設備日報\n\n設備名: 主軸ユニット MC-01 | 日付: 2026-11-22\n担当 | 稼働率: 93.5%\n"
        "稼働時間: 30:00 | 開始: 2026-11-22 09:00\n特記事項：\n①ポンプから異音。 1200～1500rpm\n"
    )


def test_a_table_has_its_headings_in_each_row() -> None:
    plain = rows(
        [cell("B2", "項目"), cell("C2", "基準"), cell("D2", "測定値")],
        [cell("B3", "すきま"), cell("C3", "0.02㎜以下"), cell("D3", 0.015, 6)],
        [cell("B4", "振動"), cell("D4", 0.1)],
        [cell("B6", "以上")],
    )
    filled = rows(
        [cell("A1", "品番", 1), cell("B1", "品名", 1)], [cell("A2", "A-1"), cell("B2", "軸受")], [cell("A3", "B-2")]
    )
    assert sheets.read(workbook({"点検": plain, "部品": filled})).text == (
        "点検\n項目: すきま | 基準: 0.02㎜以下 | 測定値: 0.015\n項目: 振動 | 測定値: 0.1\n\n以上\n"
        "\n部品\n品番: A-1 | 品名: 軸受\n品番: B-2\n"
    )


def test_a_form_without_colours_is_no_table() -> None:
    form = rows(
        [cell("A1", "担当"), cell("B1", "山田"), cell("C1", "天候"), cell("D1", "晴")],
        [cell("A2", "温度"), cell("B2", 23), cell("C2", "湿度"), cell("D2", 45)],
        [cell("A3", "備考"), cell("B3", "異常なし")],
    )
    assert (
        sheets.read(workbook({"1日": form})).text
        == "1日\n担当 | 山田 | 天候 | 晴\n温度: 23 | 湿度: 45\n備考: 異常なし\n"
    )


def test_shared_strings_without_their_furigana() -> None:
    strings = f"""<sst {MAIN}><si><r><t>主</t></r><r><t>軸</t></r><rPh sb="0" eb="2"><t>シュジク</t></rPh></si>
    <si><t>改行
の値</t></si></sst>"""
    sheet = '<sheetData><row><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row></sheetData>'
    assert sheets.read(workbook({"S": sheet}, {"xl/sharedStrings.xml": strings})).text == "S\n主軸: 改行 の値\n"


def test_what_is_left_out_is_counted() -> None:
    drawing = (
        f"<xdr:wsDr {DRAWING}><xdr:sp><xdr:txBody><a:p><a:r><a:t>注意：</a:t></a:r><a:r><a:t>高温</a:t></a:r></a:p>"
        "</xdr:txBody></xdr:sp><xdr:pic/><xdr:pic/></xdr:wsDr>"
    )
    more = {
        "xl/worksheets/_rels/sheet1.xml.rels": related(
            {"a": ("drawing", "../drawings/drawing1.xml"), "b": ("comments", "../comments1.xml")}
        ),
        "xl/drawings/drawing1.xml": drawing,
        "xl/comments1.xml": f"<comments {MAIN}><commentList><comment/></commentList></comments>",
    }
    sheet = (
        '<sheetData><row><c r="A1"><f>SUM(B1:B9)</f></c><c r="B1"><f>1+1</f><v>2</v></c>'
        '<c r="C1" t="str"><f>A1&amp;""</f><v>式の文字</v></c><c r="D1" t="e"><v>#DIV/0!</v></c></row></sheetData>'
    )
    names = {"見える": sheet, "隠れ": rows([cell("A1", "秘")]), "深く隠れ": rows([cell("A1", "秘")])}
    content = sheets.read(workbook(names, more, ["visible", "hidden", "veryHidden"]))
    assert content.text == "見える\n2 | 式の文字: #DIV/0!\n注意：高温\n"
    assert set(content.left_out) == {
        LeftOut(2, "hidden sheets", "非表示シート"),
        LeftOut(1, "formulas without a stored value", "計算結果が保存されていない数式"),
        LeftOut(1, "cell comments", "セルのコメント"),
        LeftOut(2, "pictures", "画像"),
    }


def test_a_workbook_of_nothing_but_hidden_sheets_says_so() -> None:
    with pytest.raises(Unusable, match=r"^nothing but 1 hidden sheets$"):
        sheets.read(workbook({"S": rows([cell("A1", "x")])}, states=["hidden"]))


@pytest.mark.parametrize(
    ("number", "style", "shown"),
    [
        ("0.1", 0, "0.1"),
        ("0.30000000000000004", 0, "0.3"),
        ("182.4", 6, "182.4"),
        ("1E-05", 0, "0.00001"),
        ("123456789012", 0, "123456789012"),
        ("-0", 0, "0"),
        ("0.5", 2, "12:00"),
        ("46348.000011574", 3, "2026-11-22 00:00:01"),
        ("99999999", 2, "99999999"),
        ("abc", 2, "abc"),
        ("1", 99, "1"),
    ],
)
def test_numbers_are_shown_as_people_read_them(number: str, style: int, shown: str) -> None:
    styles = fromstring(STYLES.replace(f" {MAIN}", ""))  # noqa: S314  # ours
    assert Formats(styles, since_1904=False).shown(number, style) == shown


def test_dates_since_1904_and_strict_workbooks() -> None:
    book = workbook({"S": rows([cell("A1", 0.0, 0), cell("B1", 44886, 2)])}, book='<workbookPr date1904="1"/>')
    assert sheets.read(book).text == "S\n0 | 2026-11-22\n"
    strict = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(strict, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).decode().replace(MAIN, STRICT))
    assert sheets.read(strict.getvalue()).text == "S\n0 | 2026-11-22\n"


def test_a_million_merged_rows_cost_nothing() -> None:
    sheet = rows([cell("A1", "左上"), cell("B1", "隠れた値")]) + merged(*["A1:XFD1048576"] * 1_000)
    assert sheets.read(workbook({"S": sheet})).text == "S\n左上\n"


def test_what_is_no_workbook_or_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unusable, match="an encrypted document, or one in an old format"):
        sheets.read(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><sst>&b;</sst>'
    with pytest.raises(Unusable, match="declares a document type"):
        sheets.read(workbook({"S": ""}, {"xl/sharedStrings.xml": bomb}))
    monkeypatch.setattr("clients.ingest.package.LARGEST_XML", 2**20)
    with pytest.raises(Unusable, match="unfolds to more than 1 MiB"):
        sheets.read(workbook({"S": " " * 2**19, "T": " " * 2**19}))
