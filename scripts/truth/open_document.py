"""Files that LibreOffice writes (PDF, DOCX, XLSX, PPTX, HTML), from OpenDocument that is written here."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from truth.words import LONG, PROCEDURE, SPECIFICATION, TATE, WRAPPED, Block

SPACES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for short, name in (
        ("office", "office"),
        ("style", "style"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("presentation", "presentation"),
        ("fo", "xsl-fo-compatible"),
        ("svg", "svg-compatible"),
    )
)
FONT = 'style:font-name="M" style:font-name-asian="M" fo:font-size="{0}pt" style:font-size-asian="{0}pt"'
FURIGANA = {"放射温度計": "ほうしゃおんどけい", "振動": "しんどう", "端面": "たんめん"}
FONTS_CONF = '<?xml version="1.0"?><fontconfig><dir>{}</dir><cachedir>{}</cachedir></fontconfig>'


def made(fonts: Path, scratch: Path) -> Iterator[tuple[str, str, bytes, list[Block]]]:
    """(class, suffix, file, what it says). `fonts`: folder of the font."""
    (scratch / "fonts.conf").write_text(FONTS_CONF.format(fonts, scratch / "cache"))
    for name, suffix, source, blocks in (
        ("one column", "pdf", _text(PROCEDURE), PROCEDURE),
        ("two columns", "pdf", _text(LONG, columns=2), LONG),
        ("head and foot", "pdf", _text(LONG, head="保全標準書 HZ-014"), LONG),
        ("vertical", "pdf", _text(TATE, mode="tb-rl"), TATE),
        ("furigana", "pdf", _text(PROCEDURE, furigana=True), PROCEDURE),
        ("ruled table", "pdf", _text(SPECIFICATION), SPECIFICATION),
        ("open table", "pdf", _text(SPECIFICATION, border="none"), SPECIFICATION),
        ("table of wrapped cells", "pdf", _text(WRAPPED), WRAPPED),
        ("text and tables", "docx", _text([*PROCEDURE, *SPECIFICATION]), [*PROCEDURE, *SPECIFICATION]),
        ("text and tables", "html", _text([*PROCEDURE, *SPECIFICATION]), [*PROCEDURE, *SPECIFICATION]),
        ("slides", "pptx", _slides([PROCEDURE, SPECIFICATION[::2]]), [*PROCEDURE, *SPECIFICATION[::2]]),
    ):
        yield name, suffix, _converted(source, suffix, scratch), blocks


def _converted(source: str, suffix: str, scratch: Path) -> bytes:
    kind = "fodp" if suffix == "pptx" else "fodt"
    (scratch / f"page.{kind}").write_text(source, encoding="utf-8")
    target = "html:XHTML Writer File:UTF8" if suffix == "html" else suffix
    command = [
        "soffice",
        f"-env:UserInstallation={(scratch / 'office').as_uri()}",
        "--headless",
        "--convert-to",
        target,
    ]
    environment = os.environ | {"FONTCONFIG_FILE": str(scratch / "fonts.conf")}
    subprocess.run([*command, "--outdir", scratch, scratch / f"page.{kind}"], check=True, env=environment, timeout=300)
    return (scratch / f"page.{suffix}").read_bytes()


def _text(
    blocks: list[Block],
    columns: int = 1,
    head: str = "",
    mode: str = "lr-tb",
    furigana: bool = False,
    border: str = "0.5pt solid #000000",
) -> str:
    body = "".join(_block(block, furigana) for block in blocks)
    footer = "<style:footer><text:p>- <text:page-number>1</text:page-number> -</text:p></style:footer>" if head else ""
    header = f"<style:header><text:p>{head}</text:p></style:header>" if head else ""
    around = '<style:{0}-style><style:header-footer-properties fo:min-height="0.8cm"/></style:{0}-style>'
    size = 'fo:page-width="14.8cm" fo:page-height="21cm"' if head or columns > 1 else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<office:document {SPACES} office:version="1.2" office:mimetype="application/vnd.oasis.opendocument.text">
<office:font-face-decls>
<style:font-face style:name="M" svg:font-family="MotoyaLCedar"/></office:font-face-decls>
<office:styles><style:default-style style:family="paragraph">
<style:paragraph-properties style:writing-mode="{mode}"/>
<style:text-properties {FONT.format(10)}/></style:default-style>
<style:style style:name="H" style:family="paragraph"><style:text-properties {FONT.format(14)}/></style:style>
<style:style style:name="P" style:family="paragraph"><style:paragraph-properties fo:text-align="justify"
 fo:margin-bottom="0.15cm"/></style:style></office:styles>
<office:automatic-styles>
<style:style style:name="C" style:family="table-cell"><style:table-cell-properties fo:border="{border}"
 fo:padding="0.1cm" style:vertical-align="middle"/></style:style>
<style:page-layout style:name="L"><style:page-layout-properties {size} style:writing-mode="{mode}" fo:margin="2cm">
<style:columns fo:column-count="{columns}" fo:column-gap="0.8cm"/></style:page-layout-properties>
{around.format("header") + around.format("footer") if head else ""}</style:page-layout></office:automatic-styles>
<office:master-styles><style:master-page style:name="Standard" style:page-layout-name="L">{header}{footer}
</style:master-page></office:master-styles>
<office:body><office:text>{body}</office:text></office:body></office:document>"""


def _block(block: Block, furigana: bool) -> str:
    if block.rows:
        cell = '<table:table-cell table:style-name="C"><text:p>{}</text:p></table:table-cell>'
        row = "<table:table-row>{}</table:table-row>"
        rows = "".join(row.format("".join(cell.format(escape(text)) for text in texts)) for texts in block.rows)
        columns = f'<table:table-column table:number-columns-repeated="{len(block.rows[0])}"/>'
        return f"<table:table>{columns}{rows}</table:table>"
    text = escape(block.text)
    for word, reading in FURIGANA.items() if furigana else ():
        ruby = (
            f"<text:ruby><text:ruby-base>{word}</text:ruby-base><text:ruby-text>{reading}</text:ruby-text></text:ruby>"
        )
        text = text.replace(word, ruby)
    if block.kind in ("title", "heading"):
        level = 1 if block.kind == "title" else 2
        return f'<text:h text:style-name="H" text:outline-level="{level}">{text}</text:h>'
    return f'<text:p text:style-name="P">{text}</text:p>'


def _slides(decks: list[list[Block]]) -> str:
    place = 'svg:x="1cm" svg:y="{}cm" svg:width="24cm" svg:height="{}cm"'
    frame = f'<draw:frame presentation:class="{{}}" {place}>{{}}</draw:frame>'
    pages = []
    for number, blocks in enumerate(decks):
        title, *rest = blocks
        texts = "".join(_block(block, False) for block in rest if not block.rows).replace("text:h ", "text:p ")
        texts = texts.replace("</text:h>", "</text:p>")
        parts = frame.format("title", 1, 2, f"<draw:text-box><text:p>{title.text}</text:p></draw:text-box>")
        parts += frame.format("outline", 4, 8, f"<draw:text-box>{texts}</draw:text-box>")
        for block in rest:
            if block.rows:
                parts += frame.format("table", 13, 6, _block(block, False))
        pages.append(f'<draw:page draw:name="s{number}" draw:master-page-name="Standard">{parts}</draw:page>')
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<office:document {SPACES} office:version="1.2" office:mimetype="application/vnd.oasis.opendocument.presentation">
<office:automatic-styles><style:page-layout style:name="L"/></office:automatic-styles>
<office:master-styles><style:master-page style:name="Standard" style:page-layout-name="L"/></office:master-styles>
<office:body><office:presentation>{"".join(pages)}</office:presentation></office:body></office:document>"""
