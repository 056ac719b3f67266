"""PPTX -> text."""

import io
import zipfile

import pytest

from clients.ingest import slides
from clients.ingest.content import LeftOut, Unusable
from tests.unit.test_ingest_sheets import R, related

NAMES = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{R}"'
)


def paragraph(text: str) -> str:
    return f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>"


def shape(*texts: str, place: str = "") -> str:
    kind = f'<p:nvSpPr><p:nvPr><p:ph type="{place}"/></p:nvPr></p:nvSpPr>' if place else ""
    return f"<p:sp>{kind}<p:txBody>{''.join(map(paragraph, texts))}</p:txBody></p:sp>"


def presentation(*shown: str, hidden: tuple[int, ...] = ()) -> bytes:
    """Its slides; file names are in another order than the slides."""
    count = len(shown)
    listed = "".join(f'<p:sldId id="{255 + n}" r:id="s{n}"/>' for n in range(count))
    parts = {
        "ppt/presentation.xml": f"<p:presentation {NAMES}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": related(
            {f"s{n}": ("slide", f"slides/slide{count - n}.xml") for n in range(count)}
        ),
        f"ppt/slides/_rels/slide{count}.xml.rels": related({"n": ("notesSlide", "../notesSlides/notesSlide1.xml")}),
    }
    for n, inner in enumerate(shown):
        show = ' show="0"' if n in hidden else ""
        parts[f"ppt/slides/slide{count - n}.xml"] = f"<p:sld {NAMES}{show}><p:spTree>{inner}</p:spTree></p:sld>"
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return target.getvalue()


def test_slides_in_their_order_with_titles_tables_and_groups() -> None:
    row = "<a:tr>{}</a:tr>".format("".join(f"<a:tc><a:txBody>{paragraph(t)}</a:txBody></a:tc>" for t in ("項目", "値")))
    number = '<p:sp><p:txBody><a:p><a:fld type="slidenum"><a:t>2</a:t></a:fld></a:p></p:txBody></p:sp>'
    group = f"<p:grpSp>{shape('注意')}</p:grpSp>"
    content = slides.read(
        presentation(
            shape("主軸の点検", place="title") + shape("①止める", "②確認する"),
            shape("結果", place="ctrTitle") + f"<p:graphicFrame>{row}</p:graphicFrame>{group}{number}",
            shape("隠したもの"),
            "<p:pic/>",
            hidden=(2,),
        )
    )
    assert content.text == "主軸の点検\n①止める\n②確認する\n\n結果\n項目 | 値\n注意\n"
    assert content.facts.kind == "pptx"
    assert set(content.left_out) == {
        LeftOut(1, "hidden slides", "非表示スライド"),
        LeftOut(1, "pages of speaker's notes", "ノートページ"),
        LeftOut(1, "pictures", "画像"),
    }


def test_what_is_no_presentation() -> None:
    target = io.BytesIO()
    zipfile.ZipFile(target, "w").close()
    with pytest.raises(Unusable, match="not a PowerPoint file"):
        slides.read(target.getvalue())
