"""PPTX -> its text: slides in their order, on each a line a paragraph or table row, shapes in the file's order."""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element  # the parser is package's

from clients.ingest.content import Content, Facts, LeftOut, Unusable
from clients.ingest.package import Package, drawn, without

_MAIN = "ppt/presentation.xml"
_AROUND = re.compile(
    r"ppt/(?:slideMasters|slideLayouts|notesSlides|notesMasters|handoutMasters|comments)/\w+\.xml", re.IGNORECASE
)
_FURNITURE = frozenset({"ftr", "hdr", "dt", "sldNum"})
_TITLES = frozenset({"title", "ctrTitle"})


def read(data: bytes) -> Content:
    """Hidden slides, speakers' notes and pictures are left out and counted. Raises Unusable as `office.read`."""
    package = Package(data, _MAIN, Unusable("not a PowerPoint file", "PowerPoint ファイルではありません"))
    related = package.related(_MAIN)
    slides = [related[each.get("r:id", "")] for each in package.tree(_MAIN).iter("sldId")]
    lines, around, hidden, pictures, notes = list[str](), list[str](), 0, 0, 0
    for slide in slides:
        tree = package.tree(slide)
        if tree.get("show") in ("0", "false"):
            hidden += 1
            continue
        lines += _lines(tree)
        around += (text for shape in tree.iter("sp") if _is_furniture(shape) for text in drawn(shape))
        lines += (f"{text}\n" for diagram in package.diagrams(slide) for text in drawn(diagram))
        pictures += sum(1 for element in without(tree, "Fallback") if element.tag == "pic")
        notes += len(package.related(slide, "notesSlide"))
    left_out = (
        LeftOut(hidden, "hidden slides", "非表示スライド"),
        LeftOut(notes, "pages of speaker's notes", "ノートページ"),
        LeftOut(pictures, "pictures", "画像"),
    )
    counted = tuple(each for each in left_out if each.count)
    return Content("".join(lines).lstrip("\n"), Facts("pptx"), counted, "\n".join([*around, package.around(_AROUND)]))


def _lines(slide: Element) -> Iterator[str]:
    for shape in without(slide, "Fallback"):
        if shape.tag == "tr":
            yield " | ".join(filter(None, (" ".join(drawn(cell)) for cell in shape.iter("tc")))) + "\n"
        elif shape.tag == "sp" and not _is_furniture(shape):
            is_title = bool(_places(shape) & _TITLES)
            yield from (f"\n{text}\n" if is_title else f"{text}\n" for text in drawn(shape))


def _is_furniture(shape: Element) -> bool:
    """A footer and the like: what every slide says."""
    return bool(_places(shape) & _FURNITURE)


def _places(shape: Element) -> set[str | None]:
    return {place.get("type") for place in shape.iter("ph")}
