"""機密区分: a file that is marked confidential is left out, wherever the mark stands, unless the site permits it."""

import io
import zipfile
from pathlib import Path

import pytest

from clients.ingest import Texts, marks, read_documents, read_folders, readers
from clients.ingest.marks import MARKS, in_name, in_text
from tests.growth import LINEAR, growth
from tests.unit.said_around import (
    custom,
    described,
    informed,
    library,
    stamped,
    utf_16,
    watermarked,
    with_a_font_of_the_machine,
    with_part,
    word,
    xmp,
)
from tests.unit.test_ingest_office import WORD, body
from tests.unit.test_ingest_parser import page_showing, stream
from tests.unit.test_ingest_sheets import cell, rows, workbook
from tests.unit.test_ingest_slides import NAMES, presentation, shape


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("社外秘/手順.txt", {"社外秘"}),
        ("手順（極秘）.pdf", {"極秘"}),
        ("秘_図面.pdf", {"秘"}),
        ("【秘】図面.pdf", {"秘"}),
        ("㊙原価.xlsx", {"秘"}),
        ("関係者限り/客先支給図面/a.pdf", {"関係者限り", "客先支給"}),
        ("持ち出し禁止.zip/a.txt", {"持出禁止"}),
        ("Confidential_spec.docx", {"CONFIDENTIAL"}),
        ("マル秘_図面.txt", {"秘"}),
        ("ﾏﾙ秘 図面.txt", {"秘"}),
        ("社_外_秘.txt", {"社外秘"}),
        ("関係者 限り/持ち出し 禁止/客先 支給.txt", {"関係者限り", "持出禁止", "客先支給"}),
        ("ＣＯＮＦＩＤＥＮＴＩＡＬ.txt", {"CONFIDENTIAL"}),
        ("社外\u200c秘.txt", {"社外秘"}),
        ("社内限り/INTERNAL_USE_ONLY.txt", {"社外秘", "CONFIDENTIAL"}),
        ("秘書室/便秘薬の神秘.txt", set()),
        ("手順書.pdf", set()),
    ],
)
def test_marks_in_names_of_files_and_folders(name: str, found: set[str]) -> None:
    assert in_name(name) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("社外秘\n主軸の点検\n", {"社外秘"}),
        ("a\n" * 20 + "【社 外 秘】\n" + "b\n" * 20, {"社外秘"}),
        ("a\n" * 20 + "この項は【関係者限り】とする。\n" + "b\n" * 20, {"関係者限り"}),
        ("a\n" * 20 + "文書番号 | 極秘 | 第3版\n" + "b\n" * 20, {"極秘"}),
        ("a\n" * 20 + "機密区分: 秘\n" + "b\n" * 20, {"秘"}),
        ("a\n" * 20 + "機密区分 | 持出禁止\n" + "b\n" * 20, {"持出禁止"}),
        ("手順書　社外秘　文書番号 A-1\n" + "a\n" * 20, {"社外秘"}),
        ("a\n" * 20 + "CONFIDENTIAL", {"CONFIDENTIAL"}),
        ("a\n" * 20 + "社外秘の文書は施錠して保管する。\n秘密保持契約を結ぶ。極秘に進めた。\n" + "b\n" * 20, set()),
        *(
            ("a\n" * 20 + f"{line}\n" + "b\n" * 20, {"社外秘"})
            for line in (
                "～社外秘～",
                "◇社外秘◇",
                "＝社外秘＝",
                "社外秘 1/3",
                "取扱区分: 社外秘",
                "取扱区分 | 社外秘",
                "12 | 社外秘",
            )
        ),
        ("a\n" * 20 + "マル秘\n" + "b\n" * 20, {"秘"}),
        ("作業手順書（社外秘）\n" + "a\n" * 20, {"社外秘"}),
        ("文書番号 A-1／社外秘／改訂2\n" + "a\n" * 20, {"社外秘"}),
        ("秘伝のたれ\n秘密の部屋\n", set()),
        ("社外秘文書の取扱い規程\n社外秘の文書は、鍵のかかる棚に置く。\n", set()),
        *(
            ("a\n" * 20 + f"{line}\n" + "b\n" * 20, {mark})
            for line, mark in (
                ("【社外持出禁止】", "持出禁止"),
                ("社外持ち出し不可", "持出禁止"),
                ("社外秘につき取扱注意", "社外秘"),
                ("本資料は社外秘です。", "社外秘"),
                ("本書は社外秘につき、無断での複製・転載・第三者への開示を固く禁じます。", "社外秘"),
                ("この文書は関係者限りとする", "関係者限り"),
                ("客先支給図", "客先支給"),
                ("社 内 限 り", "社外秘"),
                ("【社内限】", "社外秘"),
                ("社内限定資料", "社外秘"),
                ("社内専用", "社外秘"),
                ("機密区分: 関係者限", "関係者限り"),
                ("For internal use only", "CONFIDENTIAL"),
                ("まる秘", "秘"),
                ("極祕", "極秘"),
                ("機密", "秘"),
                ("機密文書", "秘"),
                ("【秘密資料】", "秘"),
                ("厳秘扱い", "秘"),
                ("社 | 外 | 秘", "社外秘"),
                ("|社外秘|設計|", "社外秘"),
                ("機密区分: **社外秘**", "社外秘"),
            )
        ),
        *(
            ("a\n" * 20 + f"{line}\n" + "b\n" * 20, set())
            for line in (
                "機密情報の扱い",
                "機密情報",
                "秘密鍵",
                "客先支給品",
                "社内限度見本",
                "社内秘書室",
                "社内専用回線",
                "社外秘の資料は持ち出さない。",
                "工具の持出禁止を守る",
            )
        ),
        ("a\r" * 20 + "社外秘\r" + "b\r" * 20, {"社外秘"}),
        ("a\f" * 20 + "社外秘\u2028" + "b\f" * 20, {"社外秘"}),
    ],
)
def test_marks_in_a_text_are_set_as_marks(text: str, found: set[str]) -> None:
    assert in_text(text, "") == found


def test_around_a_text_a_mark_counts_wherever_it_stands() -> None:
    assert in_text("本文", "弊社・社外秘・複写禁止") == {"社外秘"}


@pytest.mark.parametrize("filler", [" \n", " ", "【", "【 ", "-", "社外秘-", "区分 "])
def test_a_long_text_takes_no_more_than_its_length(filler: str) -> None:
    assert growth(lambda count: marks.in_text("社外秘の話\n" + filler * count + "終わり", ""), 25_000) < LINEAR


def log_ending_in(line: str) -> bytes:
    rows = (f"2026-11-22 {minute // 60:02}:{minute % 60:02}:00,{180 + minute % 7}.5" for minute in range(120))
    return "\n".join(["日時,炉温[℃]", *rows, line]).encode()


def heading(number: int) -> bytes:
    return b"BT /F 9 Tf 20 190 Td (A-1 Confidential rev %d) Tj 0 -90 Td (Step %d.) Tj ET" % (number, number)


SHEET = rows([cell("A1", "温度"), cell("B1", 23)])
MARKED = {
    "header.docx": word(header="㈱髙橋 社外秘 A-1"),
    "label.docx": word(label="社外秘"),
    "watermark.docx": watermarked(),
    "stamp.pdf": stamped(),
    "head.pdf": page_showing(stream(heading(1))),
    "foot.xlsx": workbook(
        {"1日": SHEET + '<headerFooter><oddFooter>&amp;C&amp;"ＭＳ"&amp;10社外秘&amp;P</oddFooter></headerFooter>'}
    ),
    "cell.xlsx": workbook({"1日": SHEET.replace("</sheetData>", f"<row>{cell('A2', '社外秘')}</row></sheetData>")}),
    "comment.xlsx": with_part(
        workbook({"1日": SHEET}),
        "xl/comments1.xml",
        "<comments><comment><text><r><t>社外秘</t></r></text></comment></comments>",
    ),
    "thread.xlsx": with_part(
        workbook({"1日": SHEET}),
        "xl/threadedComments/threadedComment1.xml",
        "<ThreadedComments><threadedComment><text>社外秘</text></threadedComment></ThreadedComments>",
    ),
    "first.docx": with_part(word(), "word/hdr_first.xml", "<hdr><p><r><t>社外秘</t></r></p></hdr>"),
    "reference.html": "<title>社外&#x79D8;</title><p>弁を閉じる".encode(),
    "spaced.pdf": with_a_font_of_the_machine("社外秘"),
    "log.csv": log_ending_in("社外秘,"),
    "art.docx": body('<w:p><w:r><v:textpath xmlns:v="urn:v" string="社外秘"/><w:t>弁を閉じる</w:t></w:r></w:p>'),
    "openpyxl.xlsx": with_part(
        workbook({"1日": SHEET}),
        "xl/comments/comment1.xml",
        "<comments><comment><text><r><t>社外秘</t></r></text></comment></comments>",
    ),
    "capitals.docx": with_part(word(), "word/Header1.XML", "<hdr><p><r><t>社外秘</t></r></p></hdr>"),
    "end.csv": log_ending_in("以上 社外秘,"),
    "foot.pptx": presentation(
        shape("止める"), shape("弁を閉じる") + shape("㈱架空 社外秘", place="ftr"), shape("確かめる")
    ),
    "handout.pptx": with_part(
        presentation(shape("止める")),
        "ppt/handoutMasters/handoutMaster1.xml",
        f"<p:handoutMaster {NAMES}>{shape('社外秘')}</p:handoutMaster>",
    ),
    "title.html": "<title>手順（社外秘）</title><p>弁を閉じる".encode(),
    "title.pdf": informed(Title=utf_16("手順書（社外秘）")),
    "subject.pdf": informed(Subject=utf_16("弊社社外秘扱い")),
    "keywords.pdf": informed(Keywords=b"(spindle, confidential)"),
    "title.docx": described(title="手順書（社外秘）"),
    "subject.docx": described(subject="社外秘"),
    "category.docx": described(category="社外秘"),
    "status.docx": described(content_status="社外秘"),
    "custom.xlsx": with_part(workbook({"1日": SHEET}), "docProps/custom.xml", custom("機密区分", "社外秘")),
    "custom.pptx": with_part(presentation(shape("止める")), "docProps/custom.xml", custom("機密区分", "社外秘")),
    "library.docx": with_part(word(), "customXml/item1.xml", library("社外秘")),
    "library.pptx": with_part(presentation(shape("止める")), "customXml/item2.xml", library("区分: 社外秘")),
    "xmp.pdf": informed() + xmp("<pdfx:Class>社外秘</pdfx:Class>"),
    "xmp2.pdf": informed() + xmp("<a>手順</a>") + xmp('<rdf:Description pdfx:Class="【社外秘】" a=""/>'),
    "another.docx": with_part(
        word(),
        "package/services/metadata/core-properties/1f.psmdcp",
        "<coreProperties><title>社外秘</title></coreProperties>",
    ),
    "keywords.html": '<meta name="keywords" content="手順, 社外秘"><p>弁を閉じる'.encode(),
    "description.html": '<meta property="og:description" content="社外秘の手順"><p>弁を閉じる'.encode(),
    "foot.html": "<p>弁を閉じる<footer><p>本書は社外秘です。</footer>".encode(),
    "head.html": "<header><div>弊社&#x793e;外秘資料</div></header><p>弁を閉じる".encode(),
    "menu.html": "<nav><ul><li>目次<li>社外秘</ul></nav><p>弁を閉じる".encode(),
    "picture.html": '<p>弁を閉じる<img alt="社外秘">'.encode(),
    "drawing.html": "<p>弁を閉じる<svg><text>図1</text><text>社外秘</text></svg>".encode(),
    "wide.csv": log_ending_in("ＣＯＮＦＩＤＥＮＴＩＡＬ,"),
    "small.csv": log_ending_in("ｃｏｎｆｉｄｅｎｔｉａｌ,"),
}
IN_ENGLISH = {"head.pdf", "keywords.pdf", "wide.csv", "small.csv"}
UNMARKED = {
    "title.pdf": informed(
        Title=utf_16("段取りの秘訣"), Subject=utf_16("機密性の高い秘密"), Keywords=b"(confidentially)"
    ),
    "broken.pdf": informed(Title=b"<FEFFD800>", Subject=b"5", Keywords=b"[(Confidential)]"),
    "author.pdf": informed(Author=utf_16("社外秘"), Producer=utf_16("社外秘")),
    "properties.docx": described(title="段取りの秘訣", subject="機密性の高い部品", keywords="秘書, 神秘"),
    "custom.docx": with_part(word(), "docProps/custom.xml", custom("社外秘区分", "なし")),
    "library.docx": with_part(word(), "customXml/item1.xml", library("社外秘の文書の扱い方")),
    "xmp.pdf": informed() + xmp("<a>社外秘の文書の扱い方</a>") + "<x:xmpmeta><a>社外秘</a>".encode(),
    "meta.html": '<title>秘訣</title><meta name="description" content="機密性"><meta name="keywords"><p>弁'.encode(),
    "menu.html": "<nav><a>社外秘文書の取扱い</a><a>秘訣</a></nav><p>弁を閉じる".encode(),
    "article.html": "<article><header>社外秘の文書の扱い方</header><p>弁を閉じる".encode() + "<p>棚に置く".encode() * 6,
    "choice.html": "<select><option>社外秘</select><button>社外秘</button><p>弁を閉じる".encode(),
    "picture.html": '<p>弁を閉じる<img alt><img alt="社外秘の棚の写真"><svg><text>社外秘の棚</text></svg>'.encode(),
    "log.csv": log_ending_in("ＣＯＮＦＩＤＥＮＴＩＡＬＬＹ,"),
}


@pytest.mark.parametrize("name", UNMARKED)
def test_what_is_said_about_a_file_is_no_mark_by_a_word_like_one(name: str) -> None:
    assert readers.parse(UNMARKED[name], name).marks == frozenset()


@pytest.mark.parametrize("tag", ["header", "nav"])
def test_a_page_of_nothing_but_menus_within_menus_takes_no_more_than_its_length(tag: str) -> None:
    def read(count: int) -> None:
        page = "<p>弁を閉じる" + f"<{tag}>" * count + "社外秘の話 " * (100 * count)
        readers.parse(page.encode(), "a.html")

    assert growth(read, 110) < LINEAR


@pytest.mark.parametrize("apart", ["<tab/>", '<ptab relativeTo="margin"/>', "<br/>"])
def test_what_stands_at_two_ends_of_a_header_is_two_words(apart: str) -> None:
    header = f"<hdr><p><r><t>設計部</t>{apart}<t>秘</t></r></p></hdr>"
    assert readers.parse(with_part(word(), "word/header9.xml", header), "a.docx").marks == {"秘"}


def test_a_colour_of_the_theme_before_a_mark_is_no_part_of_it(tmp_path: Path) -> None:
    foot = "<headerFooter><oddHeader>&amp;C&amp;K01+000秘</oddHeader></headerFooter>"
    assert readers.parse(workbook({"1日": SHEET + foot}), "a.xlsx").marks == {"秘"}


@pytest.mark.parametrize("name", MARKED)
def test_a_mark_is_found_where_a_reader_leaves_it_out_of_the_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(MARKED[name])
    (tmp_path / "zz.txt").write_text("ほかの文書", encoding="utf-8")
    reading = read_documents(tmp_path)
    mark = "CONFIDENTIAL" if name in IN_ENGLISH else "社外秘"
    assert [(aside.name, aside.reason) for aside in reading.set_aside] == [
        (name, f"marked {mark}, which is not permitted here")
    ]
    permitted = read_documents(tmp_path, permitted=[mark])
    assert [(document.name, document.marks) for document in permitted.documents] == [
        (name, {mark}),
        ("zz.txt", frozenset()),
    ]


@pytest.mark.parametrize(
    "runs", [["eq \\o\\ac(○,秘)"], ["DATE \\@ yyyy", "EQ \\o\\ac(○,秘)"], ["EQ \\o\\ac(", "○,", "秘)"]]
)
def test_a_character_that_word_encloses_is_a_mark_in_the_body_too(runs: list[str]) -> None:
    field = "".join(f"<w:r><w:instrText> {run}</w:instrText></w:r>" for run in runs)
    document = body(f"<w:p>{field}</w:p>" + "<w:p><w:r><w:t>弁を閉じる</w:t></w:r></w:p>" * 12)
    assert readers.parse(document, "a.docx").marks == {"秘"}


def test_an_enclosed_character_in_a_simple_field_is_a_mark() -> None:
    field = '<w:p><w:fldSimple w:instr=" EQ \\o\\ac(○,秘) "/></w:p>'
    assert readers.parse(body(field + "<w:p><w:r><w:t>弁を閉じる</w:t></w:r></w:p>" * 12), "a.docx").marks == {"秘"}


def test_what_reviewers_and_notes_say_about_marks_is_none() -> None:
    said = "<w:p><w:r><w:t>これは客先支給ですか。工具は持出禁止とする。</w:t></w:r></w:p>"
    for part in ("comments", "footnotes"):
        document = with_part(word(), f"word/{part}.xml", f"<w:{part} {WORD}>{said}</w:{part}>")
        assert readers.parse(document, "a.docx").marks == set()


def test_a_mark_on_the_master_of_slides(tmp_path: Path) -> None:
    target = io.BytesIO(presentation(shape("止める")))
    with zipfile.ZipFile(target, "a") as package:
        package.writestr("ppt/slideMasters/slideMaster1.xml", f"<p:sldMaster {NAMES}>{shape('社外秘')}</p:sldMaster>")
    (tmp_path / "a.pptx").write_bytes(target.getvalue())
    (tmp_path / "zz.txt").write_text("ほかの文書", encoding="utf-8")
    assert [aside.name for aside in read_documents(tmp_path).set_aside] == ["a.pptx"]


def test_every_mark_must_be_permitted(tmp_path: Path) -> None:
    (tmp_path / "社外秘 客先支給.txt").write_text("弁を閉じる", encoding="utf-8")
    (tmp_path / "z.txt").write_text("ほかの文書", encoding="utf-8")
    (aside,) = read_documents(tmp_path, permitted=["社外秘"]).set_aside
    assert aside.reason == "marked 客先支給, which is not permitted here"
    assert not read_documents(tmp_path, permitted=MARKS).set_aside


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("above", ["極秘", "極秘/手順書"])
def test_a_data_folder_that_is_called_by_a_mark_marks_what_is_in_it(tmp_path: Path, above: str) -> None:
    put(tmp_path / above / "手順.txt", "主軸を点検する。")
    put(tmp_path / "ほか" / "点検.txt", "弁を閉じる。")
    with Texts() as texts:
        reading = read_folders([tmp_path / above, tmp_path / "ほか"], texts)
        assert [aside.reason for aside in reading.set_aside] == ["marked 極秘, which is not permitted here"]
        permitted = read_folders([tmp_path / above, tmp_path / "ほか"], texts, permitted=["極秘"])
        assert len(permitted.documents) == 2
