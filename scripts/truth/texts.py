"""Text, Markdown, tables and HTML in the encodings of Japanese offices, and archives with Japanese names."""

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from html import escape

from truth.words import LONG, PROCEDURE, SPECIFICATION, Block, expected

ENCODINGS = {
    "UTF-8": "utf-8",
    "UTF-8 with a mark": "utf-8-sig",
    "UTF-16": "utf-16",
    "CP932": "cp932",
    "EUC-JP": "euc_jp",
    "ISO-2022-JP": "iso2022_jp",
}
WRAP = re.compile(r"(.{30,}?[\u3040-\u30ff\u4e00-\u9fff])(?=[\u3040-\u30ff\u4e00-\u9fff])")
PAGE = """<!DOCTYPE html>
<html><head><meta charset="{charset}"><title>設備保全</title></head><body>
<nav><a href="/">目次</a><a href="/list">一覧</a></nav>
{body}
<dl><dt>始動不良</dt><dd>電源の電圧と、非常停止ボタンの状態を調べる。</dd>
<dt>油漏れ</dt><dd>継手を増し締めし、Oリングを替える。</dd></dl>
<pre>G90 G54 X0 Y0
M03   S1500
  G01 Z-5.0 F120</pre>
<table><tr><th rowspan="2">機種</th><th colspan="2">吐出量 [L/min]</th></tr><tr><th>50Hz</th><th>60Hz</th></tr>
<tr><td>VP-20</td><td>16.0</td><td>19.2</td></tr></table>
</body></html>
"""
PAGE_SAYS = [
    Block("item", "始動不良"),
    Block("item", "電源の電圧と、非常停止ボタンの状態を調べる。"),
    Block("item", "油漏れ"),
    Block("item", "継手を増し締めし、Oリングを替える。"),
    Block("item", "G90 G54 X0 Y0"),
    Block("item", "M03   S1500"),
    Block("item", "  G01 Z-5.0 F120"),
    Block("table", rows=(("機種", "吐出量 [L/min]"), ("50Hz", "60Hz"), ("VP-20", "16.0", "19.2"))),
]


def made() -> Iterator[tuple[str, str, str, bytes, str]]:
    """(class, name, suffix, file, what it says)."""
    for name, encoding in ENCODINGS.items():
        old = "～" if encoding in ("iso2022_jp", "euc_jp") else ""  # Windows' own sign, not theirs
        plain, table = (expected(b).replace(old, "から") if old else expected(b) for b in (LONG, SPECIFICATION))
        ends = plain.replace("\n", "\r\n") if encoding in ("cp932", "utf-16") else plain
        yield "txt", name, "txt", ends.encode(encoding), plain
        yield "csv", name, "csv", _csv(old).encode(encoding), _csv_says(old)
        yield "md", name, "md", f"# 点検\n\n{table}".encode(encoding), f"# 点検\n\n{table}"
        charset = encoding.replace("_", "-").replace("-sig", "")
        page = PAGE.format(charset=charset, body=_html([*PROCEDURE, *SPECIFICATION])).replace(old or "\0", "から")
        says = expected([*PROCEDURE, *SPECIFICATION, *PAGE_SAYS]).replace(old or "\0", "から")
        yield "html", name, "html", page.encode(encoding), says
    file = "保全/ポンプの点検.txt"
    apart = unicodedata.normalize("NFD", file)
    for name, inner, encoding in (("CP932 names", file, "cp932"), ("NFD names", apart, "utf-8")):
        yield "zip", name, "zip", _zip(inner, encoding, expected(PROCEDURE)), expected(PROCEDURE)


def _csv(old: str) -> str:
    rows = SPECIFICATION[2].rows
    return "".join(",".join(row) + "\r\n" for row in rows).replace(old or "\0", "から")


def _csv_says(old: str) -> str:
    head, *rows = SPECIFICATION[2].rows
    lines = (" | ".join(f"{name}: {cell}" for name, cell in zip(head, row, strict=True)) for row in rows)
    return "".join(f"{line}\n" for line in lines).replace(old or "\0", "から")


def _html(blocks: list[Block]) -> str:
    tags = {"title": "h1", "heading": "h2", "paragraph": "p", "item": "p"}
    parts = []
    for block in blocks:
        if block.rows:
            rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in block.rows)
            parts.append(f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>")
        else:
            tag = tags[block.kind]
            # Wrapped in its source, as people write it.
            text = WRAP.sub(r"\1\n   ", block.text)
            parts.append(f"<{tag}>{escape(text)}</{tag}>")
    return "\n".join(parts)


def _zip(inner: str, encoding: str, text: str) -> bytes:
    """With the name in this encoding; of CP932, Windows' own archiver says nothing."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("?" * len(inner.encode(encoding)), date_time=(2026, 1, 1, 0, 0, 0))
        archive.writestr(info, text.encode("cp932"))
    return target.getvalue().replace(info.orig_filename.encode(), inner.encode(encoding))
